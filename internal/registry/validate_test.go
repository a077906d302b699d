package registry

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/breakpilot/tenant-registry/internal/apikey"
	"github.com/breakpilot/tenant-registry/internal/audit"
)

// TestPlainName_matchesItsPattern holds the two checks to the patterns that the documents give, for texts one character
// away from a good one.
func TestPlainName_matchesItsPattern(t *testing.T) {
	t.Parallel()
	scope := regexp.MustCompile(`^[a-z0-9][a-z0-9:._-]{0,63}$`)
	product := regexp.MustCompile(`^[a-z0-9][a-z0-9-]{1,62}$`)
	for _, good := range []string{
		"a", "ab", "reports:read", strings.Repeat("a", 62), strings.Repeat("a", 63), strings.Repeat("a", 64),
	} {
		for i := range len(good) + 1 {
			for c := range 256 {
				s := good[:i] + string([]byte{byte(c)}) + good[i:]
				if got := validScope(s); got != scope.MatchString(s) {
					t.Errorf("validScope(%q) = %t", s, got)
				}
				if got := validProductKey(s); got != product.MatchString(s) {
					t.Errorf("validProductKey(%q) = %t", s, got)
				}
			}
		}
	}
}

// violations are what an error says of the members, "pointer message" each; nil if it is none.
func violations(t *testing.T, err error) []string {
	t.Helper()
	if err == nil {
		return nil
	}
	var refusal *Error
	if !errors.As(err, &refusal) || refusal.Kind != Invalid || refusal.Code != CodeInvalid ||
		len(refusal.Violations) == 0 {
		t.Fatalf("%#v is no refusal of a member", err)
	}
	var all []string
	for _, v := range refusal.Violations {
		all = append(all, v.Pointer+v.Parameter+" "+v.Message)
	}
	return all
}

const notShown = "must not contain control, bidirectional or zero-width characters"

// lines are texts of one line, and what is wrong with them.
var lines = map[string]string{
	"":                       "is required",
	" ":                      "must not be blank",
	"\u00a0\u2003":           "must not be blank",
	"a":                      "",
	strings.Repeat("a", 200): "",
	strings.Repeat("ä", 200): "", // characters, not bytes
	strings.Repeat("🦫", 200): "",
	strings.Repeat("a", 201): "must have at most 200 characters",
	strings.Repeat("ä", 201): "must have at most 200 characters",
	"a\xffb":                 "must be valid UTF-8",
	"a\xed\xa0\x80":          "must be valid UTF-8", // half of a surrogate pair
	"a\x00b":                 notShown,
	"a\nb":                   notShown,
	"a\tb":                   notShown,
	"a\x7fb":                 notShown,
	"a\u0085b":               notShown, // next line
	"a\u009bb":               notShown, // control sequence introducer
	"a\u00adb":               notShown, // soft hyphen
	"a\u061cb":               notShown, // Arabic letter mark
	"a\u200bb":               notShown, // zero-width space
	"a\u200cb":               notShown, // zero-width non-joiner
	"a\u200db":               notShown, // zero-width joiner
	"a\u200eb":               notShown, // left-to-right mark
	"a\u2028b":               notShown, // line separator
	"a\u2029b":               notShown, // paragraph separator
	"a\u202eb":               notShown, // right-to-left override
	"a\u2060b":               notShown, // word joiner
	"a\u2066b":               notShown, // left-to-right isolate
	"a\ufeffb":               notShown, // byte order mark
	"a\U000e0041b":           notShown, // tag
	"Zoë’s “Größe” — 株式会社 ✓ עברית": "",
}

func TestLine_isReadable(t *testing.T) {
	t.Parallel()
	for text, want := range lines {
		var c checks
		c.line("/name", text, MaxName)
		var got string
		for _, v := range c.found {
			got += v.Message
		}
		if got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
		c = checks{}
		c.optionalLine("/name", text, MaxName)
		if refused := len(c.found) > 0; refused != (want != "" && text != "") {
			t.Errorf("%q where it may be left out: refused is %t", text, refused)
		}
	}
}

func TestText_isReadable(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                         "",
		" \r\n\t":                  "",
		"one\ntwo\tthree\r\n":      "",
		strings.Repeat("ä", 2000):  "",
		strings.Repeat("ä", 2001):  "must have at most 2000 characters",
		"a\x00":                    notShown,
		"a\x1b[31m":                notShown,
		"a\u202e":                  notShown,
		"a\u200b":                  notShown,
		"a\u2028":                  notShown,
		"\xff":                     "must be valid UTF-8",
		strings.Repeat("\x00", 10): notShown,
	} {
		var c checks
		c.text("/message", text, MaxText)
		var got string
		for _, v := range c.found {
			got += v.Message
		}
		if got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func entries(n int) map[string]string {
	m := map[string]string{}
	for i := range n {
		m[fmt.Sprintf("k%03d", i)] = "v"
	}
	return m
}

func TestMetadata_isBounded(t *testing.T) {
	t.Parallel()
	key, value := strings.Repeat("ä", 64), strings.Repeat("ä", 256)
	for name, c := range map[string]struct {
		m    map[string]string
		want []string
	}{
		"nil":              {nil, nil},
		"empty":            {map[string]string{}, nil},
		"full":             {entries(32), nil},
		"too many":         {entries(33), []string{"/metadata must have at most 32 entries"}},
		"longest":          {map[string]string{key: value}, nil},
		"empty value":      {map[string]string{"a": ""}, nil},
		"lines in a value": {map[string]string{"a": "b\nc"}, nil},
		"empty key": {
			map[string]string{"": "v"}, []string{"/metadata/ must have a name of 1 to 64 visible characters"},
		},
		"key too long": {
			map[string]string{key + "ä": "v"},
			[]string{"/metadata/" + key + "… must have a name of 1 to 64 visible characters"},
		},
		"value too long": {
			map[string]string{"a": value + "ä"}, []string{"/metadata/a must have at most 256 characters"},
		},
		"zero-width key": {
			map[string]string{"a\u200b": "v"},
			[]string{"/metadata/a\u200b must have a name of 1 to 64 visible characters"},
		},
		"NUL in a value": {
			map[string]string{"a": "\x00"},
			[]string{"/metadata/a must not contain control, bidirectional or zero-width characters"},
		},
		"no UTF-8 value": {map[string]string{"a": "\xff"}, []string{"/metadata/a must be valid UTF-8"}},
		"no UTF-8 key": {
			map[string]string{"a\xff": "v"},
			[]string{"/metadata/a\uFFFD must have a name of 1 to 64 visible characters"},
		},
		"escaped pointer": {
			map[string]string{"a/b~c": value + "x"}, []string{"/metadata/a~1b~0c must have at most 256 characters"},
		},
		"sorted violations": {
			map[string]string{"b": value + "x", "a": value + "x"},
			[]string{"/metadata/a must have at most 256 characters", "/metadata/b must have at most 256 characters"},
		},
	} {
		var checked checks
		checked.metadata("/metadata", c.m)
		if got := violations(t, checked.err()); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestScopes_arePlainAndDistinct(t *testing.T) {
	t.Parallel()
	const rule = " must be 1 to 64 of a-z, 0-9, ':', '.', '_' and '-', beginning with a letter or digit"
	many := func(n int) []string { return slices.Sorted(maps.Keys(entries(n))) }
	for name, c := range map[string]struct {
		scopes []string
		want   []string
	}{
		"none":     {nil, nil},
		"good":     {[]string{"reports:read", "a", "0", "a.b_c-d:e", strings.Repeat("a", 64)}, nil},
		"full":     {many(32), nil},
		"too many": {many(33), []string{"/scopes must have at most 32 entries"}},
		"bad": {[]string{"", ":a", "A", "a b", "a*", strings.Repeat("a", 65), "ä", "a\n"}, []string{
			"/scopes/0" + rule, "/scopes/1" + rule, "/scopes/2" + rule, "/scopes/3" + rule, "/scopes/4" +
				rule, "/scopes/5" + rule, "/scopes/6" + rule, "/scopes/7" + rule}},
		"twice": {[]string{"a", "b", "a"}, []string{"/scopes/2 duplicate: must be sent once"}},
	} {
		var checked checks
		checked.scopes("/scopes", c.scopes)
		if got := violations(t, checked.err()); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestTenantInput_everyViolationAtOnce(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 201)
	got := violations(
		t,
		TenantInput{
			Slug: "A", Name: long, Region: long, ExternalID: long, KeycloakOrgID: long,
			Metadata: map[string]string{"a": strings.Repeat("x", 257)},
		}.validate(),
	)
	want := []string{
		"/slug must be 3 to 63 of a-z, 0-9 and '-', with no '-' at either end",
		"/name must have at most 200 characters",
		"/region must have at most 64 characters",
		"/external_id must have at most 200 characters",
		"/keycloak_org_id must have at most 200 characters",
		"/metadata/a must have at most 256 characters",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	most := strings.Repeat("x", 200)
	longest := TenantInput{Slug: "abc", Name: most, Region: most[:64], ExternalID: most, KeycloakOrgID: most}
	if got := violations(t, longest.validate()); got != nil {
		t.Errorf("a tenant of the largest sizes: %q", got)
	}
	required := []string{"/slug is required", "/name is required"}
	if got := violations(t, TenantInput{}.validate()); !slices.Equal(got, required) {
		t.Errorf("a tenant of nothing: %q", got)
	}
}

func TestAPIKeyInput_namesTheMember(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	at := func(when time.Time) *time.Time { return &when }
	for name, c := range map[string]struct {
		change func(*APIKeyInput)
		want   []string
	}{
		"good":    {func(*APIKeyInput) {}, nil},
		"no name": {func(n *APIKeyInput) { n.Name = "" }, []string{"/name is required"}},
		"environment": {
			func(n *APIKeyInput) { n.Environment = "prod" }, []string{"/environment must be one of live, test"},
		},
		"product": {
			func(n *APIKeyInput) { n.Product = "A" },
			[]string{
				"/product must be 2 to 63 of a-z, 0-9 and '-', beginning with a letter or digit",
			},
		},
		"a microsecond ahead": {func(n *APIKeyInput) { n.ExpiresAt = at(now.Add(time.Microsecond)) }, nil},
		"now": {
			func(n *APIKeyInput) { n.ExpiresAt = at(now) },
			[]string{"/expires_at must be in the future, and before the year 10000"},
		},
		"past": {
			func(n *APIKeyInput) { n.ExpiresAt = at(now.Add(-time.Hour)) },
			[]string{"/expires_at must be in the future, and before the year 10000"},
		},
		"last of 9999": {
			func(n *APIKeyInput) { n.ExpiresAt = at(time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)) }, nil,
		},
		"year 10000": {
			func(n *APIKeyInput) { n.ExpiresAt = at(time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)) },
			[]string{"/expires_at must be in the future, and before the year 10000"},
		},
	} {
		n := APIKeyInput{
			TenantID: AcmeID, Name: "k", Environment: apikey.Test, Product: "code-scanner", Scopes: []string{"a"},
		}
		c.change(&n)
		if got := violations(t, n.validate(now)); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// No message may hold what was sent: whatever a caller puts into a member by mistake, a key perhaps, would travel into
// logs.
func TestViolations_neverEchoTheInput(t *testing.T) {
	t.Parallel()
	const canary = "Canary-4711"
	bad := canary + "\x00" + strings.Repeat("x", 20_000) // breaks every rule for a text, but for being blank
	m := map[string]string{"name": bad}
	party := audit.Party{ID: bad, Name: bad, Href: bad, Type: bad, Fields: m}
	for name, c := range map[string]struct {
		err     error
		members int
	}{
		"tenant": {
			TenantInput{Slug: bad, Name: bad, Region: bad, ExternalID: bad, KeycloakOrgID: bad, Metadata: m}.validate(),
			6,
		},
		"API key": {
			APIKeyInput{
				Name: bad, Environment: apikey.Environment(bad), Product: bad, Scopes: []string{bad},
			}.validate(time.Now()),
			4,
		},
		"request": {CatalogRequestInput{Product: bad, Message: bad}.validate(), 2},
		"verify": {
			VerifyQuery{
				Key: bad, Product: bad, Environment: apikey.Environment(bad), Scopes: []string{bad, bad},
			}.validate(),
			4,
		},
		"event": {validateEvent(audit.Event{
			Action: bad, CRUD: audit.CRUD(bad), GroupName: bad, Actor: party, Target: party, SourceIP: bad,
			Description: bad, Fields: m,
			Component: bad, Version: bad, ExternalID: bad, Metadata: m, CorrelationID: bad,
			Created: time.Date(1, 1, 1, 1, 1, 1, 1, time.UTC),
		}), 23},
	} {
		found := violations(t, c.err)
		if len(found) != c.members {
			t.Errorf("%s: %d violations, want %d: %q", name, len(found), c.members, found)
		}
		for _, text := range append(found, c.err.Error()) {
			if strings.Contains(strings.ToLower(text), strings.ToLower(canary)) || strings.Contains(text, "xxxx") {
				t.Errorf("%s: %q holds the input", name, text)
			}
		}
	}
}
