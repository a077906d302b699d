package server

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/store/memory"
)

// TestContract_noticesBadAnswers is the control of every other test: an answer that departs from openapi.yaml in one
// thing is found out.
func TestContract_noticesBadAnswers(t *testing.T) {
	t.Parallel()
	api := newClient(t, memory.New(), registry.Options{})
	x := api.tenant("globex")
	read := request{method: http.MethodGet, target: join("/v1/tenants", x.ID)}
	missing := request{method: http.MethodGet, target: join("/v1/tenants", unknownID)}
	made := func(slug string) request { return jsonRequest("/v1/tenants", object{"slug": slug, "name": "Initech"}) }
	for name, c := range map[string]struct {
		request request
		change  func(*reply)
	}{
		"a status that is not documented": {read, func(r *reply) { r.status = http.StatusAccepted }},
		"a member that is gone":           {read, replace(`"region":null,`, ``)},
		"a member that is not documented": {read, replace(`"region":null`, `"region":null,"extra":1`)},
		"a member that is there twice":    {read, replace(`"region":null`, `"region":null,"region":null`)},
		"null where there must be a text": {read, replace(`"name":"The globex"`, `"name":null`)},
		"a value that is not in the enum": {read, replace(`"status":"trial"`, `"status":"new"`)},
		"a time in another form":          {read, replace(`.000000Z`, `Z`)},
		"an id in another form": {
			read, replace(x.ID.String(), strings.ReplaceAll(x.ID.String(), "-", "")),
		},
		"a body that is cut":                {read, func(r *reply) { r.body = r.body[:len(r.body)-1] }},
		"another media type":                {read, func(r *reply) { r.header.Set("Content-Type", "text/plain") }},
		"no Cache-Control":                  {read, func(r *reply) { r.header.Del("Cache-Control") }},
		"another Cache-Control":             {read, func(r *reply) { r.header.Set("Cache-Control", "public") }},
		"no ETag":                           {read, func(r *reply) { r.header.Del("Etag") }},
		"two ETags":                         {read, func(r *reply) { r.header.Add("Etag", r.header.Get("Etag")) }},
		"no request id":                     {read, func(r *reply) { r.header.Del("X-Request-Id") }},
		"a Location that is not documented": {read, func(r *reply) { r.header.Set("Location", "/v1/tenants/x") }},
		"a sniffable answer":                {read, func(r *reply) { r.header.Del("X-Content-Type-Options") }},
		"no Location":                       {made("one"), func(r *reply) { r.header.Del("Location") }},
		"a Location elsewhere": {
			made("two"), func(r *reply) { r.header.Set("Location", "https://example.org/") },
		},
		"a code that is not of this operation": {missing, replace(`tenant_not_found`, `product_not_found`)},
		"a title that is not of this code":     {missing, replace(`Tenant not found`, `Gone`)},
		"another request id":                   {missing, replace(`"request_id":"`, `"request_id":"x`)},
		"a body with 304":                      {read, func(r *reply) { r.status = http.StatusNotModified }},
	} {
		got := api.exchange(c.request)
		if err := theContract().checkReply(c.request, got); err != nil {
			t.Errorf("%s: the control is refused: %v", name, err)
		}
		before := fmt.Sprint(got.status, got.header, string(got.body))
		c.change(got)
		if before == fmt.Sprint(got.status, got.header, string(got.body)) {
			t.Errorf("%s: nothing was changed in %s", name, before)
		}
		if err := theContract().checkReply(c.request, got); err == nil {
			t.Errorf("%s goes unnoticed", name)
		}
	}
}

func replace(old, with string) func(*reply) {
	return func(r *reply) { r.body = []byte(strings.ReplaceAll(string(r.body), old, with)) }
}

func TestContract_noticesBadRequests(t *testing.T) {
	t.Parallel()
	for name, r := range map[string]request{
		"an unknown path":      {method: http.MethodGet, target: "/v1/nothing"},
		"an unknown method":    {method: http.MethodPut, target: "/v1/tenants"},
		"an unknown parameter": {method: http.MethodGet, target: "/v1/catalog?x=1"},
		"a limit of 101":       {method: http.MethodGet, target: "/v1/catalog?limit=101"},
		"no tenant_id":         {method: http.MethodGet, target: "/v1/entitlements"},
		"a tenant_id of another form": {
			method: http.MethodGet, target: "/v1/entitlements?tenant_id=00000000000000000000000000000001",
		},
		"an unknown member":  jsonRequest("/v1/tenants", object{"slug": "globex", "name": "x", "extra": 1}),
		"a missing member":   jsonRequest("/v1/tenants", object{"slug": "globex"}),
		"a reserved slug":    jsonRequest("/v1/tenants", object{"slug": "admin", "name": "x"}),
		"a slug in punycode": jsonRequest("/v1/tenants", object{"slug": "xn--abc", "name": "x"}),
		"a blank name":       jsonRequest("/v1/tenants", object{"slug": "globex", "name": " "}),
		"an address that is none": jsonRequest("/v1/audit", object{
			"action": "a", "crud": "c", "is_anonymous": true, "source_ip": "x",
		}),
		"no actor": jsonRequest("/v1/audit", object{"action": "a", "crud": "c"}),
		"no actor and not anonymous": jsonRequest("/v1/audit", object{
			"action": "a", "crud": "c", "is_anonymous": false,
		}),
		"an actor null":                jsonRequest("/v1/audit", object{"action": "a", "crud": "c", "actor": nil}),
		"a body where none is allowed": jsonRequest(join("/v1/tenants", unknownID, "activate"), object{}),
		"no body":                      {method: http.MethodPost, target: "/v1/tenants"},
	} {
		if theContract().checkRequest(r) == nil {
			t.Errorf("%s goes unnoticed", name)
		}
	}
}

// The patterns of openapi.yaml say of each character of the basic plane what the domain says; they can name no others.
func TestContract_patternsAgreeWithTheDomain(t *testing.T) {
	t.Parallel()
	domain := registry.New(memory.New(), registry.Options{})
	valid := func(_ any, err error) bool {
		var refusal *registry.Error
		if !errors.As(err, &refusal) {
			t.Fatalf("a text is taken for a tenant that does not exist: %v", err)
		}
		return refusal.Kind != registry.Invalid
	}
	validLine := func(s string) bool {
		return valid(domain.CreateAPIKey(t.Context(), operatorCaller, registry.APIKeyInput{
			TenantID: unknownID, Name: s,
		}))
	}
	validText := func(s string) bool {
		return valid(domain.StartTrial(t.Context(), operatorCaller, registry.CatalogRequestInput{
			TenantID: unknownID, Product: "product", Message: s,
		}))
	}
	lines, texts := map[string]bool{}, map[string]bool{} // the patterns, and whether they allow the empty text
	for _, o := range theContract().operations {
		if !hasBody(o) {
			continue
		}
		for _, m := range membersOf(bodySchema(o)) {
			switch {
			case !strings.Contains(m.schema.Pattern, `\u202E`): // a rule of another kind
			case strings.Contains(m.schema.Pattern, `\u000B`): // line breaks are allowed
				texts[m.schema.Pattern] = true
			default:
				lines[m.schema.Pattern] = m.schema.MinLength == 0
			}
		}
	}
	if len(lines) != 2 || len(texts) != 1 {
		t.Fatalf(
			"there are %d patterns of lines and %d of texts, want one of lines that may be empty, one of lines that "+
				"may not, and one of texts",
			len(lines), len(texts),
		)
	}
	checkCharacters(t, lines, validLine)
	checkCharacters(t, texts, validText)
}

// checkCharacters compares patterns with what the domain says of each character, alone and within a word.
func checkCharacters(t *testing.T, patterns map[string]bool, valid func(string) bool) {
	t.Helper()
	compiled := map[*regexp.Regexp]bool{}
	for source, mayBeEmpty := range patterns {
		pattern := regexp.MustCompile(codepoint.ReplaceAllString(source, `\x{$1}`))
		compiled[pattern] = mayBeEmpty
		if pattern.MatchString("") != mayBeEmpty {
			t.Errorf("%s: the empty text: %t", source, !mayBeEmpty)
		}
	}
	for r := range rune(0x10000) {
		// surrogates, and most of the ideographs
		if 0xD800 <= r && r < 0xE000 || 0x3100 < r && r < 0xD800 && r%251 != 0 {
			continue
		}
		for _, s := range []string{"a" + string(r) + "a", string(r)} {
			want := valid(s)
			for pattern := range compiled {
				if pattern.MatchString(s) != want {
					t.Errorf("%s says %t of %U in %q, the domain %t", pattern, !want, r, s, want)
				}
			}
		}
	}
}

// The names that openapi.yaml says are reserved are.
func TestContract_reservedNamesAreReserved(t *testing.T) {
	t.Parallel()
	api := newClient(t, memory.New(), registry.Options{})
	x := api.tenant("globex").ID
	body := func(target string) *openapi3.Schema {
		o, _, _ := theContract().find(http.MethodPost, target)
		return bodySchema(o)
	}
	slugs := body("/v1/tenants").Properties["slug"].Value.Not.Value.AnyOf[1].Value.Enum
	if len(slugs) == 0 {
		t.Error("no slug is reserved")
	}
	for _, slug := range slugs {
		api.send(jsonRequest("/v1/tenants", object{"slug": slug, "name": "x"})).wantProblem("invalid_request", "/slug")
	}
	for _, target := range []string{"/v1/catalog/request", "/v1/api-keys", "/v1/internal/api-keys/verify"} {
		keys := body(target).Properties["product"].Value.Not.Value.Enum
		if len(keys) == 0 {
			t.Errorf("at %s no key of a product is reserved", target)
		}
		for _, key := range keys {
			api.send(jsonRequest(
				target, withRequired(body(target), x.String(), key),
			)).wantProblem("invalid_request", "/product")
		}
	}
}

// withRequired is a body that has what a schema requires, and a product.
func withRequired(schema *openapi3.Schema, tenant string, product any) object {
	all := object{"tenant_id": tenant, "name": "x", "key": unknownKey}
	body := object{}
	for _, name := range schema.Required {
		body[name] = all[name]
	}
	body["product"] = product
	return body
}

// TestContract_parametersAreThoseOfTheRoutes asserts that openapi.yaml has the query parameters of each line of the
// route table, and no others.
func TestContract_parametersAreThoseOfTheRoutes(t *testing.T) {
	t.Parallel()
	for _, rt := range routes {
		o, _, found := theContract().find(rt.Method, strings.TrimSuffix(rt.Path, "{$}"))
		if !found {
			t.Errorf("%s %s is in no operation", rt.Method, rt.Path)
			continue
		}
		var listed []string
		for _, ref := range o.op.Parameters {
			if ref.Value.In == openapi3.ParameterInQuery {
				listed = append(listed, ref.Value.Name)
			}
		}
		if want := rt.Query; !slices.Equal(listed, want) {
			t.Errorf("%s %s has the parameters %q, openapi.yaml %q", rt.Method, rt.Path, want, listed)
		}
	}
}
