package server

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/getkin/kin-openapi/openapi3"
	"pgregory.net/rapid"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

// TestContract_whatSchemasAllowIsTaken sends whatever the schemas of openapi.yaml allow: none of it may be called
// invalid. What no schema can say (that an expiry lies in the future, which tenants there are, the length of an entry's
// name) the generator obeys.
func TestContract_whatSchemasAllowIsTaken(t *testing.T) {
	t.Parallel()
	for _, o := range theContract().operations {
		if !strings.HasPrefix(o.path, "/v1/") {
			continue
		}
		t.Run(o.op.OperationID, func(t *testing.T) {
			t.Parallel()
			api := exampleServer(t)
			rapid.Check(t, func(rt *rapid.T) {
				r := allowedRequest(rt, o)
				if err := theContract().checkRequest(r); err != nil {
					rt.Fatalf("the generator made %s %s: %v", r.target, r.body, err)
				}
				got := api.exchange(r)
				if err := theContract().checkReply(r, got); err != nil {
					rt.Errorf("%s %s → %d %s: %v", r.target, r.body, got.status, got.body, err)
				}
				if !slices.Contains([]int{200, 201, 204, 404, 409}, got.status) {
					rt.Errorf("%s %s → %d %s", r.target, r.body, got.status, got.body)
				}
			})
		})
	}
}

func allowedRequest(rt *rapid.T, o operation) request {
	q := newQuery(o.path)
	for _, parameters := range []openapi3.Parameters{o.item.Parameters, o.op.Parameters} {
		for _, ref := range parameters {
			p := ref.Value
			if p.In == openapi3.ParameterInHeader || p.Name == "cursor" ||
				(!p.Required && rapid.Bool().Draw(rt, "without "+p.Name)) {
				continue
			}
			value := fmt.Sprint(allowedValue(rt, p.Name, p.Schema.Value))
			if p.In == openapi3.ParameterInPath {
				q.path = strings.ReplaceAll(q.path, "{"+p.Name+"}", value)
			} else {
				q = q.set(p.Name, value)
			}
		}
	}
	if q.values.Has("wait") { // which only a tail takes, and which need not be long to be allowed
		q = q.set("order", "asc").set("wait", 0)
	}
	if q.values.Has("from_seq") { // where every chain can begin
		q = q.set("from_seq", 1)
	}
	var body any
	if hasBody(o) {
		body = allowedValue(rt, "body", bodySchema(o))
	}
	r := jsonRequest(q.String(), body)
	r.method = o.method
	return r
}

// allowedValue draws a value that a schema allows. The name tells it what the schema does not say.
func allowedValue(rt *rapid.T, name string, schema *openapi3.Schema) any {
	s := resolved(schema)
	if s.PermitsNull() && rapid.IntRange(0, 4).Draw(rt, name+" is null") == 0 {
		return nil
	}
	switch {
	case len(s.Enum) > 0:
		return rapid.SampledFrom(slices.DeleteFunc(slices.Clone(s.Enum), func(v any) bool {
			return v == nil
		})).Draw(rt, name)
	case s.Type.Is(openapi3.TypeInteger):
		return rapid.IntRange(int(*s.Min), int(*s.Max)).Draw(rt, name)
	case s.Type.Is(openapi3.TypeBoolean):
		return rapid.Bool().Draw(rt, name)
	case s.Type.Is(openapi3.TypeArray):
		counts := slices.DeleteFunc([]int{0, 1, 2, int(*s.MaxItems)}, func(n int) bool { return n < int(s.MinItems) })
		n := rapid.SampledFrom(counts).Draw(rt, name+" items")
		if s.Items.Value.Type.Is(openapi3.TypeObject) {
			items := make([]any, n)
			for i := range items {
				items[i] = allowedObject(rt, fmt.Sprint(name, i), s.Items.Value)
			}
			return items
		}
		item := rapid.Custom(func(rt *rapid.T) string { return allowedValue(rt, name, s.Items.Value).(string) })
		return rapid.SliceOfNDistinct(item, n, n, rapid.ID[string]).Draw(rt, name)
	case s.Type.Is(openapi3.TypeObject):
		return allowedObject(rt, name, s)
	}
	return allowedText(rt, name, s)
}

func allowedObject(rt *rapid.T, name string, s *openapi3.Schema) object {
	body := object{}
	for _, member := range slices.Sorted(maps.Keys(s.Properties)) {
		if slices.Contains(s.Required, member) || rapid.Bool().Draw(rt, "with "+member) {
			body[member] = allowedValue(rt, member, s.Properties[member].Value)
		}
	}
	if len(s.AnyOf) > 0 && body["actor"] == nil { // the one rule about two members
		body["is_anonymous"] = true
	}
	if subjects, is := body["subjects"].([]string); is && slices.ContainsFunc(subjects, func(subject string) bool {
		return subject == "*" || strings.Contains(body["reason"].(string), subject)
	}) { // the rules that all are erased alone, and that the reason names no one
		body["subjects"], body["reason"] = subjects[:1], "-"
	}
	if entry := s.AdditionalProperties.Schema; entry != nil {
		for i := range rapid.IntRange(0, 3).Draw(rt, name+" entries") {
			body[fmt.Sprint("näme ", i)] = allowedValue(rt, name, entry.Value)
		}
	}
	return body
}

var codepoint = regexp.MustCompile(`\\u([0-9A-F]{4})`)

func allowedText(rt *rapid.T, name string, s *openapi3.Schema) string {
	switch {
	case s.Format == "uuid" && name == "id":
		return rapid.SampledFrom([]string{
			registry.AcmeID.String(), exampleTenantID.String(), exampleKeyID.String(), exampleEventID.String(),
		}).
			Filter(func(id string) bool {
				return id != exampleKeyID.String() && id != exampleEventID.String()
			}).Draw(rt, name)
	case s.Format == "uuid":
		return rapid.SampledFrom([]string{
			registry.AcmeID.String(), strings.ToUpper(exampleTenantID.String()), unknownID.String(),
		}).Draw(rt, name)
	case s.Format == "date-time":
		zone := time.FixedZone("", 60*rapid.IntRange(-14*60, 14*60).Draw(rt, "zone"))
		return time.Unix(
			rapid.Int64Range(4e9, 2e11).Draw(rt, name), rapid.Int64Range(0, 999_999_999).Draw(rt, "nanoseconds"),
		).In(zone).Format(time.RFC3339Nano)
	case len(s.AnyOf) > 0:
		return rapid.SampledFrom([]string{
			"", "192.0.2.1", "0.0.0.0", "::", "2001:DB8::1", "::ffff:192.0.2.1", "1:2:3:4:5:6:7:8",
		}).Draw(rt, name)
	}
	allowed := func(text string) bool {
		return utf8.ValidString(text) && s.VisitJSON(text, formats...) == nil && !strings.ContainsFunc(text, beyond)
	}
	text := matching(s.Pattern).Filter(allowed).Draw(rt, name)
	// which together would be more than an event may have
	lengthy := slices.Contains([]string{"fields", "href", "description"}, name)
	if s.MaxLength != nil && text != "" && !lengthy && rapid.IntRange(0, 3).Draw(rt, name+" is long") == 0 {
		runes := []rune(strings.Repeat(text, int(*s.MaxLength)))
		if long := string(runes[:*s.MaxLength]); allowed(long) {
			return long
		}
	}
	return text
}

// matching draws texts that match a pattern of openapi.yaml. Its generator is made once: that takes longer than to draw
// from it.
func matching(pattern string) *rapid.Generator[string] {
	known, ok := generators.Load(pattern)
	if !ok {
		known, _ = generators.LoadOrStore(pattern, rapid.StringMatching(codepoint.ReplaceAllString(pattern, `\x{$1}`)))
	}
	return known.(*rapid.Generator[string])
}

var generators sync.Map // *rapid.Generator[string] by the pattern

// beyond are the characters without a shape that lie outside of the basic plane, where the patterns of openapi.yaml do
// not reach.
func beyond(r rune) bool { return r > 0xFFFF && unicode.Is(unicode.Cf, r) }
