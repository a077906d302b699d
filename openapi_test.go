// Package tenantregistry_test compares openapi.yaml with the code: its paths, callers and problems are those of the
// server, and the copies that the server embeds are current. The tests of internal/server compare requests and
// responses with it.
package tenantregistry_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/getkin/kin-openapi/openapi3"
	jsonx "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"go.yaml.in/yaml/v3"

	"github.com/breakpilot/tenant-registry/internal/server"
)

const specFile = "openapi.yaml"

var update = flag.Bool("update", false, "write the generated copies of openapi.yaml")

func load(t *testing.T) *openapi3.T {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromFile(specFile)
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func TestSpec_valid(t *testing.T) {
	t.Parallel()
	doc := load(t)
	if doc.OpenAPI != "3.0.3" {
		t.Errorf("openapi is %q, want 3.0.3", doc.OpenAPI)
	}
	if err := doc.Validate(t.Context(), openapi3.EnableExamplesValidation()); err != nil {
		t.Error(err)
	}
}

// TestSpec_routes asserts that every path of the document is a route of the server, and every route is in the document.
func TestSpec_routes(t *testing.T) {
	t.Parallel()
	var listed []string
	for path, item := range load(t).Paths.Map() {
		for method := range item.Operations() {
			listed = append(listed, method+" "+path)
		}
	}
	routes := server.Routes()
	for _, operation := range listed {
		if !slices.Contains(routes, operation) {
			t.Errorf("%s is in %s and no route of the server", operation, specFile)
		}
	}
	for _, route := range routes {
		if !slices.Contains(listed, route) {
			t.Errorf("%s is a route of the server and not in %s", route, specFile)
		}
	}
}

// eachOperation calls visit with "METHOD /path" and the operation.
func eachOperation(doc *openapi3.T, visit func(name string, op *openapi3.Operation)) {
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			visit(method+" "+path, op)
		}
	}
}

func TestSpec_operations(t *testing.T) {
	t.Parallel()
	seen := map[string]string{}
	doc := load(t)
	eachOperation(doc, func(name string, op *openapi3.Operation) {
		if op.OperationID == "" || op.Summary == "" || len(op.Tags) != 1 {
			t.Errorf("%s needs an operationId, a summary and one tag", name)
		}
		if other, twice := seen[op.OperationID]; twice {
			t.Errorf("%s and %s have one operationId", name, other)
		}
		seen[op.OperationID] = name
		if op.RequestBody != nil {
			checkBody(t, name, op.RequestBody.Value)
		}
		for status, response := range op.Responses.Map() {
			checkHeaders(t, name+" "+status, response.Value)
		}
	})
}

func checkBody(t *testing.T, name string, body *openapi3.RequestBody) {
	t.Helper()
	media := body.Content["application/json"]
	if media == nil || len(media.Examples) == 0 {
		t.Errorf("%s: the body must be JSON and have examples", name)
		return
	}
	optional := len(media.Schema.Value.Required) == 0 && strings.HasPrefix(name, "POST ")
	if body.Required == optional {
		t.Errorf("%s: the body must be required unless it is a POST without a required member", name)
	}
	if closed := media.Schema.Value.AdditionalProperties.Has; closed == nil || *closed {
		t.Errorf("%s: the body must have additionalProperties: false", name)
	}
}

// checkHeaders asserts that a response has the headers of every response.
func checkHeaders(t *testing.T, name string, response *openapi3.Response) {
	t.Helper()
	for header, always := range map[string]bool{"X-Request-Id": true, "Cache-Control": true, "X-Auth-Mode": false} {
		if h := response.Headers[header]; h == nil || h.Value.Required != always {
			t.Errorf("%s lacks the header %s, or its required is not that of every response", name, header)
		}
	}
}

// TestSpec_callers compares the roles, the security and the responses of each operation with the policy of its route.
func TestSpec_callers(t *testing.T) {
	t.Parallel()
	policies, doc := server.Policies(), load(t)
	bearer := doc.Components.SecuritySchemes["bearer"].Value
	if bearer.Type != "http" || bearer.Scheme != "bearer" || bearer.BearerFormat != "JWT" {
		t.Errorf("the security scheme is %+v", bearer)
	}
	described := 0
	eachOperation(doc, func(name string, op *openapi3.Operation) {
		described++
		var roles []string
		list, _ := op.Extensions["x-roles"].([]any)
		for _, role := range list {
			roles = append(roles, fmt.Sprint(role))
		}
		if len(roles) == 0 || !slices.Equal(roles, policies[name]) {
			t.Errorf("%s: x-roles is %q, the route table says %q", name, roles, policies[name])
		}
		checkSecurity(t, name, op, !slices.Equal(roles, []string{"anyone"}))
		changes := !strings.HasPrefix(name, "GET ") && !strings.HasSuffix(name, "/verify")
		checkOnBehalfOf(t, name, op, changes && slices.Contains(roles, "portal"))
	})
	if described != len(policies) {
		t.Errorf("%d operations are described, and %d routes have a policy", described, len(policies))
	}
}

// checkSecurity asserts that an operation requires a token unless it is for anyone, and has the responses that follow.
func checkSecurity(t *testing.T, name string, op *openapi3.Operation, closed bool) {
	t.Helper()
	switch {
	case op.Security == nil:
		t.Errorf("%s has no security", name)
		return
	case closed && (len(*op.Security) != 1 || len((*op.Security)[0]) != 1 || (*op.Security)[0]["bearer"] == nil):
		t.Errorf("%s must require a bearer token and nothing else: %v", name, *op.Security)
	case !closed && len(*op.Security) != 0:
		t.Errorf("%s is for anyone and requires %v", name, *op.Security)
	}
	headers := map[int]string{401: "WWW-Authenticate", 403: "", 429: "Retry-After", 503: "Retry-After"}
	for status, header := range headers {
		response := op.Responses.Status(status)
		limited := status == 429 && strings.HasPrefix(name, "POST ") // per address, without a credential
		if (response != nil) != (closed || limited) && (status != 503 || closed) {
			t.Errorf("%s: has %d: %t; requires a token: %t", name, status, response != nil, closed)
		}
		if response != nil && header != "" && response.Value.Headers[header] == nil {
			t.Errorf("%s %d lacks the header %s", name, status, header)
		}
	}
}

// checkOnBehalfOf asserts that an operation has the headers that name the party a portal acts for, if they are wanted.
func checkOnBehalfOf(t *testing.T, name string, op *openapi3.Operation, wanted bool) {
	t.Helper()
	for _, header := range []string{"X-On-Behalf-Of-Id", "X-On-Behalf-Of-Name"} {
		p := op.Parameters.GetByInAndName(openapi3.ParameterInHeader, header)
		if (p != nil) != wanted || (p != nil && p.Required) {
			t.Errorf("%s: has %s: %t, want %t", name, header, p != nil, wanted)
		}
	}
}

// TestSpec_problems asserts that the document and the server have the same codes, and that each response has only codes
// of its status, in x-problem-codes, in its description and in its examples.
func TestSpec_problems(t *testing.T) {
	t.Parallel()
	doc, codes := load(t), server.Problems()
	var enum []string
	for _, code := range doc.Components.Schemas["ProblemCode"].Value.Enum {
		enum = append(enum, code.(string))
	}
	if got, want := slices.Sorted(slices.Values(enum)), slices.Sorted(maps.Keys(codes)); !slices.Equal(got, want) {
		t.Errorf("ProblemCode is\n%q, the server has\n%q", got, want)
	}
	for name, response := range doc.Components.Responses {
		for _, code := range problemCodes(t, response.Value) {
			if codes[code] == 0 {
				t.Errorf("responses/%s lists the unknown code %q", name, code)
			}
		}
	}
	eachOperation(doc, func(name string, op *openapi3.Operation) {
		for status, response := range op.Responses.Map() {
			checkProblem(t, name+" "+status, status, response.Value)
		}
	})
	checkProblem(t, "responses/MethodNotAllowed", "405", doc.Components.Responses["MethodNotAllowed"].Value)
}

func problemCodes(t *testing.T, response *openapi3.Response) []string {
	t.Helper()
	list, _ := response.Extensions["x-problem-codes"].([]any)
	codes := make([]string, len(list))
	for i, code := range list {
		codes[i] = code.(string)
	}
	return codes
}

func checkProblem(t *testing.T, name, status string, response *openapi3.Response) {
	t.Helper()
	listed := problemCodes(t, response)
	media := response.Content["application/problem+json"]
	if (media == nil) != (status < "400") || (len(listed) == 0) != (media == nil) {
		t.Errorf("%s: responses from 400 on, and only they, must be problems with x-problem-codes", name)
		return
	}
	for _, code := range listed {
		if got := strconv.Itoa(server.Problems()[code]); got != status {
			t.Errorf("%s lists %s, whose status is %s", name, code, got)
		}
		if !strings.Contains(*response.Description, "`"+code+"`") {
			t.Errorf("%s: the description does not name %s", name, code)
		}
	}
	if media == nil {
		return
	}
	for key, example := range media.Examples {
		got := example.Value.Value.(map[string]any)
		found := fmt.Sprintf("%v %v %v", got["code"], got["type"], got["status"])
		if want := key + " /problems/" + key + " " + status; found != want || !slices.Contains(listed, key) {
			t.Errorf("%s: the example %s has the code, type and status %s", name, key, found)
		}
	}
}

// TestSpec_lines asserts that the document can be read without scrolling to the side; patterns and URLs are exempt.
func TestSpec_lines(t *testing.T) {
	t.Parallel()
	for i, line := range strings.Split(text(t), "\n") {
		exempt := strings.Contains(line, "pattern:") || strings.Contains(line, "://")
		if columns := utf8.RuneCountInString(line); columns > 120 && !exempt {
			t.Errorf("%s:%d has %d columns, 120 at most", specFile, i+1, columns)
		}
	}
}

var (
	dialect = regexp.MustCompile(
		`(?i)\b(whoever|(no|some|any|every)body|mends?|for ever|tells? whether|shelf|touch\w*|kept)\b`)
	// dialectPart matches the parts of names for which the field has others.
	dialectPart = regexp.MustCompile(
		`(?i)^(once|print|tell|touched|keeping|shelf|mend|whoever|nobody|somebody|wish|alike)$`)
	namePart = regexp.MustCompile(`[A-Z]+[a-z0-9]*|[a-z0-9]+`)
)

// TestSpec_words keeps words out of the document for which the field has others: out of its texts, and out of the names
// of its schemas, members, parameters and operations.
func TestSpec_words(t *testing.T) {
	t.Parallel()
	words := strings.Join(strings.Fields(text(t)), " ")
	for _, at := range dialect.FindAllStringIndex(words, -1) {
		around := words[max(0, at[0]-40):min(len(words), at[1]+40)]
		t.Errorf("%s says %q: …%s…", specFile, words[at[0]:at[1]], around)
	}
	var doc any
	if err := yaml.Unmarshal([]byte(text(t)), &doc); err != nil {
		t.Fatal(err)
	}
	eachName(doc, func(name string) {
		for _, part := range namePart.FindAllString(name, -1) {
			if dialectPart.MatchString(part) {
				t.Errorf("the name %s has the word %s", name, part)
			}
		}
	})
}

// eachName calls visit with the name of every member, and the values of the members name and operationId.
func eachName(node any, visit func(string)) {
	switch n := node.(type) {
	case map[string]any:
		for key, value := range n {
			visit(key)
			if named, is := value.(string); is && (key == "name" || key == "operationId") {
				visit(named)
			}
			eachName(value, visit)
		}
	case []any:
		for _, value := range n {
			eachName(value, visit)
		}
	}
}

// TestSpec_generatedNames asserts that a client can be generated: the type that a generator makes of an inline enum or
// object, whose name is that of its schema and its member, is not named like a schema.
func TestSpec_generatedNames(t *testing.T) {
	t.Parallel()
	schemas, taken := load(t).Components.Schemas, map[string]bool{}
	for name := range schemas {
		taken[strings.ToLower(name)] = true
	}
	inline := 0
	var check func(name string, schema *openapi3.Schema)
	check = func(name string, schema *openapi3.Schema) {
		for member, ref := range schema.Properties {
			if ref.Ref != "" {
				continue
			}
			generated := name + strings.ReplaceAll(member, "_", "")
			if named := len(ref.Value.Enum) > 0 || len(ref.Value.Properties) > 0 || len(ref.Value.AllOf) > 0; named {
				inline++
				if taken[strings.ToLower(generated)] {
					t.Errorf("a generator would name the member %s of %s like the schema %s", member, name, generated)
				}
			}
			check(generated, ref.Value)
		}
		for _, part := range schema.AllOf {
			if part.Ref == "" {
				check(name, part.Value)
			}
		}
	}
	for name, ref := range schemas {
		check(name, ref.Value)
	}
	if inline == 0 {
		t.Error("no member was checked")
	}
}

// text is the document as it is written.
func text(t *testing.T) string {
	t.Helper()
	out, err := os.ReadFile(specFile)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// TestGenerated asserts that the copies in internal/server, which it embeds, are current. With -update it writes them.
func TestGenerated(t *testing.T) {
	t.Parallel()
	spec := []byte(text(t))
	for path, want := range map[string][]byte{
		"internal/server/openapi.yaml": spec,
		"internal/server/openapi.json": asJSON(t, spec),
	} {
		if *update {
			if err := os.WriteFile(path, want, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is not current: run make generate", path)
		}
		if strings.HasSuffix(path, ".json") && !json.Valid(got) {
			t.Errorf("%s is not JSON", path)
		}
	}
}

// asJSON writes a YAML document as JSON, the members of each object in the order of their names.
func asJSON(t *testing.T, spec []byte) []byte {
	t.Helper()
	var doc map[string]any
	if err := yaml.Unmarshal(spec, &doc); err != nil {
		t.Fatal(err)
	}
	out, err := jsonx.Marshal(doc, jsonx.Deterministic(true), jsontext.WithIndent(" "))
	if err != nil {
		t.Fatal(err)
	}
	return append(out, '\n')
}
