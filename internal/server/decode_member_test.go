package server

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
)

// member is one member of a body, wherever it stands in it.
type member struct {
	at     []string // the names that lead to it
	schema *openapi3.Schema
	must   bool // it may not be null
}

func (m member) pointer() string { return "/" + strings.Join(m.at, "/") }

// membersOf lists the members that a schema allows, with one item of each array and one entry of each map.
func membersOf(schema *openapi3.Schema, at ...string) []member {
	var all []member
	add := func(name string, s *openapi3.Schema) {
		s = resolved(s)
		m := member{append(slices.Clone(at), name), s, !s.PermitsNull()}
		all = append(append(all, m), membersOf(s, m.at...)...)
	}
	for _, name := range slices.Sorted(maps.Keys(schema.Properties)) {
		add(name, schema.Properties[name].Value)
	}
	if schema.Items != nil {
		add("0", schema.Items.Value)
	}
	if schema.AdditionalProperties.Schema != nil {
		add("entry", schema.AdditionalProperties.Schema.Value)
	}
	return all
}

// resolved is a schema with what an allOf of one part says.
func resolved(s *openapi3.Schema) *openapi3.Schema {
	if len(s.AllOf) != 1 {
		return s
	}
	same := *s.AllOf[0].Value
	same.Nullable = same.Nullable || s.Nullable
	if s.MaxLength != nil {
		same.MaxLength = s.MaxLength
	}
	return &same
}

// put is a copy of a body with a value at one place; what leads there is made if it is not there.
func put(body any, at []string, value any) any {
	if len(at) == 0 {
		return value
	}
	if at[0] == "0" {
		return []any{put(firstOf(body), at[1:], value)}
	}
	inner, _ := body.(map[string]any)
	same := maps.Clone(inner)
	if same == nil {
		same = object{}
	}
	same[at[0]] = put(inner[at[0]], at[1:], value)
	return same
}

func firstOf(body any) any {
	if list, ok := body.([]any); ok && len(list) > 0 {
		return list[0]
	}
	return nil
}

// wrongTypes are values that the schema's type does not allow.
func wrongTypes(m member) map[string]any {
	all := map[string]any{
		openapi3.TypeString: canary, openapi3.TypeNumber: 31415926535897, openapi3.TypeBoolean: true,
		openapi3.TypeArray: []any{canary}, openapi3.TypeObject: object{"k": canary},
	}
	for _, own := range m.schema.Type.Slice() {
		delete(all, own)
	}
	if m.schema.Type.Is(openapi3.TypeInteger) {
		delete(all, openapi3.TypeNumber)
	}
	if m.must {
		all["null"] = nil
	}
	return all
}

// brokenRules are values of the right type that the schema does not allow.
func brokenRules(m member) map[string]any {
	all, s := map[string]any{}, m.schema
	if s.Type.Is(openapi3.TypeString) {
		if s.MaxLength != nil {
			all["too long"] = strings.Repeat("x", int(*s.MaxLength)) + canary
		}
		if s.MinLength > 0 || len(s.Enum) > 0 && m.must {
			all["empty"] = ""
		}
		if (s.Pattern != "" && s.Pattern != `^[^\u0000]*$`) || len(s.Enum) > 0 || s.Format != "" || len(s.AnyOf) > 0 {
			all["against the rule"] = canary + "\u202e"
		}
		all["with NUL"] = canary + "\x00"
	}
	if s.Type.Is(openapi3.TypeInteger) {
		all["a fraction"], all["too small"], all["too large"], all["beyond 64 bits"] =
			*s.Min+0.5, *s.Min-1, *s.Max+1, 1e30
	}
	if s.Type.Is(openapi3.TypeObject) && s.MaxProps != nil {
		many := object{}
		for i := range *s.MaxProps + 1 {
			many[fmt.Sprint("k", i)] = canary
		}
		all["too many entries"] = many
	}
	if s.Type.Is(openapi3.TypeArray) && s.MaxItems != nil {
		var many []any
		for i := range *s.MaxItems + 1 {
			if s.Items.Value.Type.Is(openapi3.TypeObject) {
				many = append(many, object{})
				continue
			}
			many = append(many, fmt.Sprint(canary, i))
		}
		all["too many items"] = many
	}
	return all
}

func TestBody_badMembersAreNamed(t *testing.T) {
	eachOperation(t, hasBody, func(t *testing.T, api *client, o operation) {
		for _, m := range membersOf(bodySchema(o)) {
			for kind, values := range map[string]map[string]any{"of type": wrongTypes(m), "that is": brokenRules(m)} {
				for name, value := range values {
					t.Run(m.pointer()+" "+kind+" "+name, func(t *testing.T) {
						body := put(goodBody(o), m.at, value)
						api.in(t).send(withText(o, string(mustJSON(body)))).wantProblem("invalid_request", m.pointer())
					})
				}
			}
		}
	})
}

// Each member of each object is there twice, and under a name in other letters.
func TestBody_memberNamesAreExact(t *testing.T) {
	eachOperation(t, hasBody, func(t *testing.T, api *client, o operation) {
		good := goodBody(o)
		for _, m := range membersOf(bodySchema(o)) {
			value, there := lookUp(good, m.at)
			if !there || m.at[len(m.at)-1] == "0" {
				continue
			}
			name := m.at[len(m.at)-1]
			parent := m.at[:len(m.at)-1]
			twice := func(again string) string {
				marked := put(good, append(slices.Clone(parent), "MARK"), "MARK")
				return strings.Replace(
					string(mustJSON(marked)), `"MARK":"MARK"`, string(mustJSON(again))+":"+string(mustJSON(value)), 1,
				)
			}
			t.Run(m.pointer(), func(t *testing.T) {
				api := api.in(t)
				api.canaries = nil
				api.send(withText(o, twice(name))).wantProblem("malformed_body", m.pointer())
				other := append(slices.Clone(parent), strings.ToUpper(name))
				if parentOf(bodySchema(o), parent).AdditionalProperties.Schema == nil { // any name is fine in a map
					api.send(withText(o, twice(strings.ToUpper(name)))).wantProblem(
						"invalid_request", member{at: other}.pointer(),
					)
				}
			})
		}
	})
}

func parentOf(schema *openapi3.Schema, at []string) *openapi3.Schema {
	for _, name := range at {
		if name == "0" {
			schema = resolved(schema.Items.Value)
			continue
		}
		schema = resolved(schema.Properties[name].Value)
	}
	return schema
}

func lookUp(body any, at []string) (any, bool) {
	for _, name := range at {
		if first := firstOf(body); name == "0" && first != nil {
			body = first
			continue
		}
		inner, ok := body.(map[string]any)
		if !ok {
			return nil, false
		}
		if body, ok = inner[name]; !ok {
			return nil, false
		}
	}
	return body, true
}
