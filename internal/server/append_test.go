package server

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

// wantAppended asserts that a body appends what the general encoder writes.
func wantAppended(t *rapid.T, body appender) {
	t.Helper()
	want, err := json.Marshal(body.general(), json.Deterministic(true))
	if err != nil {
		t.Fatal(err)
	}
	got, err := encode(body)
	if err != nil || string(got.b) != string(want) {
		t.Errorf("appended %s\nencoded  %s\n%v", got.b, want, err)
	}
	got.release()
}

// What values are drawn from: many plain ones, and those that need care.
var (
	someText = rapid.OneOf(rapid.StringMatching(`[a-z0-9 :._-]{0,12}`), rapid.String(), rapid.SampledFrom([]string{
		"", `"`, `\`, "a\"b", "<&>", "\n\t\x00\x1f\x7f", "é", "\u2028\u2029", "🔑", "\ufffd", "~", " ",
	}))
	someTime = rapid.Custom(func(t *rapid.T) time.Time {
		return time.UnixMicro(rapid.Int64Range(-62135596800_000000, 253402300799_999999).Draw(t, "µs")).
			In(time.FixedZone("", rapid.IntRange(-50000, 50000).Draw(t, "offset")))
	})
	someID     = rapid.Custom(func(t *rapid.T) uuid.UUID { return uuid.UUID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id")) })
	someLimits = rapid.Custom(func(t *rapid.T) registry.Limits {
		return rapid.MapOf(someText, rapid.Ptr(rapid.Int64(), true)).Draw(t, "limits")
	})
	someSetting = rapid.OneOf(
		rapid.Just[any](nil), someText.AsAny(), rapid.Bool().AsAny(), rapid.Float64Range(-1e300, 1e300).AsAny(),
		rapid.Map(rapid.Int32(), func(n int32) float64 { return float64(n) }).AsAny(),
		rapid.SliceOf(someText.AsAny()).AsAny(), rapid.MapOf(someText, someText.AsAny()).AsAny(),
		rapid.SampledFrom([]float64{0, 1 << 53, -1 << 53, 1e21, 1e-7, 0.5}).AsAny(),
	)
	someConfig = rapid.Custom(func(t *rapid.T) registry.Config { return rapid.MapOf(someText, someSetting).Draw(t, "config") })
	someSource = rapid.Custom(func(t *rapid.T) registry.Entitlement {
		return registry.Entitlement{
			ID: someID.Draw(t, "id"), TenantID: someID.Draw(t, "tenant"), Product: someText.Draw(t, "product"),
			Source: registry.Source(someText.Draw(t, "source")), StartsAt: someTime.Draw(t, "starts"), EndsAt: rapid.Ptr(someTime, true).Draw(t, "ends"),
			RevokedAt: rapid.Ptr(someTime, true).Draw(t, "revoked"), Limits: someLimits.Draw(t, "limits"), Config: someConfig.Draw(t, "config"),
			RequestID: rapid.Ptr(someID, true).Draw(t, "request"), CreatedAt: someTime.Draw(t, "created"), UpdatedAt: someTime.Draw(t, "updated"),
		}
	})
	someEntitlement = rapid.Custom(func(t *rapid.T) registry.ProductEntitlement {
		return registry.ProductEntitlement{
			Product: someText.Draw(t, "product"), Entitled: rapid.Bool().Draw(t, "entitled"), Reason: registry.Reason(someText.Draw(t, "reason")),
			State: registry.EntitlementState(someText.Draw(t, "state")), ValidUntil: rapid.Ptr(someTime, true).Draw(t, "until"),
			Limits: someLimits.Draw(t, "limits"), Config: someConfig.Draw(t, "config"),
			Sources: rapid.SliceOfN(someSource, 0, 3).Draw(t, "sources"), At: someTime.Draw(t, "at"),
		}
	})
)

func TestAppend_verdict(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		v := registry.Verdict{
			Code:  registry.VerifyCode(rapid.SampledFrom([]string{"VALID", "NOT_FOUND", `"`}).Draw(t, "code")),
			KeyID: rapid.OneOf(someID, rapid.Just(uuid.Nil)).Draw(t, "key"), TenantID: someID.Draw(t, "tenant"), TenantSlug: someText.Draw(t, "slug"),
			TenantStatus: registry.TenantStatus(someText.Draw(t, "status")), Environment: registry.Environment(someText.Draw(t, "environment")),
			Scopes: rapid.SliceOf(someText).Draw(t, "scopes"), Entitlement: rapid.Ptr(someEntitlement, true).Draw(t, "entitlement"),
			Secret:     rapid.SampledFrom([]registry.Secret{registry.CurrentSecret, registry.PreviousSecret}).Draw(t, "secret"),
			ValidUntil: rapid.Ptr(someTime, true).Draw(t, "until"), MaxAgeSeconds: rapid.IntRange(0, 5).Draw(t, "age"),
		}
		wantAppended(t, (*shownVerdict)(&v))
	})
}

func TestAppend_tenant(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		one := registry.Tenant{
			ID: someID.Draw(t, "id"), Slug: someText.Draw(t, "slug"), Name: someText.Draw(t, "name"), Status: registry.TenantStatus(someText.Draw(t, "status")),
			Region: someText.Draw(t, "region"), ExternalID: someText.Draw(t, "external"), KeycloakOrgID: someText.Draw(t, "org"),
			Metadata: rapid.MapOf(someText, someText).Draw(t, "metadata"), Version: rapid.Int64().Draw(t, "version"),
			CreatedAt: someTime.Draw(t, "created"), UpdatedAt: someTime.Draw(t, "updated"),
			ActivatedAt: rapid.Ptr(someTime, true).Draw(t, "activated"), FrozenAt: rapid.Ptr(someTime, true).Draw(t, "frozen"),
		}
		wantAppended(t, (*shownTenant)(&one))
		if got, want := entityTag(one.ID, one.Version), fmt.Sprintf(`"%s-%d"`, one.ID, one.Version); got != want {
			t.Errorf("the entity tag is %s, want %s", got, want)
		}
	})
}

// TestAppend_settingsBeyondIt holds that a value the appender does not know is written all the same, and that the plain ones are not
// left to the general encoder.
func TestAppend_settingsBeyondIt(t *testing.T) {
	t.Parallel()
	for beyond, values := range map[bool][]any{
		false: {nil, true, "text", 365.0, -1.0, 0.0},
		true:  {0.5, 1e21, 1 << 53, []any{"a"}, map[string]any{"a": 1.0}},
	} {
		for _, value := range values {
			var j jsonText
			if j.setting(value); j.beyond != beyond {
				t.Errorf("%v: beyond the appender is %t, want %t", value, j.beyond, beyond)
			}
		}
	}
}

// TestPlain_agreesWithTheStrictDecoder holds that what is read plainly is what the strict decoder reads, and never more than that takes.
func TestPlain_agreesWithTheStrictDecoder(t *testing.T) {
	t.Parallel()
	piece := rapid.SampledFrom([]string{
		`{`, `}`, `[`, `]`, `,`, `:`, ` `, "\n", `"key"`, `"key":"bp_live_x"`, `"product":"scanner"`, `"scopes":["a","b"]`, `"scopes":[]`, `"environment":"live"`,
		`"scopes":`, `"a"`, `null`, `"\u0061"`, `"é"`, "\"\x00\"", "\"\xff\"", `true`, `1`, `"KEY":"x"`, `"key":null`, `"`, `\`,
		`"key":"\u0061"`, `"product":"a\"b"`, `"scopes":["a\nb"]`, `"product":"é"`, "\"environment\":\"\x7f\"", "\"key\":\"\xff\"",
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
	if !in.readPlain(" {\"key\" : \"k\",\n\"product\":\"p\", \"scopes\":[ \"a\" , \"b\"], \"environment\":\"live\" } \r\n") || *in.Key != "k" || len(in.Scopes) != 2 {
		t.Errorf("the usual body is not read plainly: %+v", in)
	}
}

// agrees compares the two ways to read a body, and tells whether it was read plainly.
func agrees(t *rapid.T, text string) bool {
	var fast, strict verifyRequest
	if !fast.readPlain(text) {
		if fast.Key != nil || fast.Product != "" || fast.Scopes != nil || fast.Environment != "" {
			t.Errorf("%q was not read and left %+v", text, fast)
		}
		return false
	}
	err := scan([]byte(text))
	if err == nil {
		err = json.Unmarshal([]byte(text), &strict, json.RejectUnknownMembers(true))
	}
	if err != nil {
		t.Errorf("%q is read plainly, and refused by the strict decoder: %v", text, err)
	}
	if got, want := said(fast), said(strict); got != want {
		t.Errorf("%q is read as %s, and by the strict decoder as %s", text, got, want)
	}
	return true
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
