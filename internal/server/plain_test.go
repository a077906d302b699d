package server

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/breakpilot/tenant-registry/internal/server/web"
)

// TestPlain_agreesWithTheStrictDecoder holds that what is read plainly is what the strict decoder reads, and never more
// than that takes.
func TestPlain_agreesWithTheStrictDecoder(t *testing.T) {
	t.Parallel()
	piece := rapid.SampledFrom([]string{
		`{`, `}`, `[`, `]`, `,`, `:`, ` `, "\n", `"key"`, `"key":"bp_live_x"`, `"product":"scanner"`,
		`"scopes":["a","b"]`, `"scopes":[]`, `"environment":"live"`,
		`"scopes":`, `"a"`, `null`, `"\u0061"`, `"é"`, "\"\x00\"", "\"\xff\"", `true`, `1`, `"KEY":"x"`, `"key":null`,
		`"`, `\`,
		`"key":"\u0061"`, `"product":"a\"b"`, `"scopes":["a\nb"]`, `"product":"é"`, "\"environment\":\"\x7f\"",
		"\"key\":\"\xff\"",
	})
	plain := 0
	rapid.Check(t, func(t *rapid.T) {
		for i := range 200 {
			pieces := rapid.SliceOfN(piece, 0, 4).Draw(t, "pieces")
			text := strings.Join(pieces, "")
			if i%2 == 0 {
				text = "{" + strings.Join(pieces, ",") + "}"
			}
			if agrees(t, text) {
				plain++
			}
		}
	})
	if plain == 0 {
		t.Error("nothing was read plainly")
	}
	var in verifyRequest
	const usual = " {\"key\" : \"k\",\n\"product\":\"p\", \"scopes\":[ \"a\" , \"b\"], \"environment\":\"live\" } \r\n"
	if !in.DecodePlain(usual) || *in.Key != "k" || len(in.Scopes) != 2 {
		t.Errorf("the usual body is not read plainly: %+v", in)
	}
}

// agrees compares the two ways to read a body, and reports whether it was read plainly.
func agrees(t *rapid.T, text string) bool {
	var fast verifyRequest
	var strict strictVerifyRequest
	if !fast.DecodePlain(text) {
		if fast.Key != nil || fast.Product != "" || fast.Scopes != nil || fast.Environment != "" {
			t.Errorf("%q was not read and left %+v", text, fast)
		}
		return false
	}
	if err := decodeStrictly(text, &strict); err != nil {
		t.Errorf("%q is read plainly, and refused by the strict decoder: %v", text, err)
	}
	if got, want := said(fast), said(verifyRequest(strict)); got != want {
		t.Errorf("%q is read as %s, and by the strict decoder as %s", text, got, want)
	}
	return true
}

// strictVerifyRequest is verifyRequest without its plain decoder.
type strictVerifyRequest verifyRequest

func decodeStrictly(text string, into any) error {
	r := httptest.NewRequest(http.MethodPost, "/", nil)
	r.Header.Set("Content-Type", "application/json")
	return (&web.Request{Request: r, Body: []byte(text), MaxBody: maxBody}).Decode(into)
}

func said(in verifyRequest) string {
	return fmt.Sprintf("%s %q %q %q", deref(in.Key), in.Product, in.Scopes, in.Environment)
}

func deref(s *string) string {
	if s == nil {
		return "(absent)"
	}
	return "=" + *s
}
