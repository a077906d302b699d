// Package tenantregistry_test holds openapi.yaml to the code: what the document says of paths and problems is what the server has,
// and the copies that the server embeds are current. That requests and answers keep to it is checked where they are made, in
// internal/server.
package tenantregistry_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

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
	if optional := len(media.Schema.Value.Required) == 0 && strings.HasPrefix(name, "POST "); body.Required == optional {
		t.Errorf("%s: the body must be required unless it is a POST without a required member", name)
	}
	if closed := media.Schema.Value.AdditionalProperties.Has; closed == nil || *closed {
		t.Errorf("%s: the body must have additionalProperties: false", name)
	}
}

// checkHeaders asserts that a response names the headers that every answer has.
func checkHeaders(t *testing.T, name string, response *openapi3.Response) {
	t.Helper()
	for header, always := range map[string]bool{"X-Request-Id": true, "Cache-Control": true, "X-Auth-Mode": false} {
		if h := response.Headers[header]; h == nil || h.Value.Required != always {
			t.Errorf("%s lacks the header %s, or does not say whether it is always there", name, header)
		}
	}
}

// TestSpec_callers holds who may call an operation to the policy of its route, and its answers to what follows from that.
func TestSpec_callers(t *testing.T) {
	t.Parallel()
	policies, doc := server.Policies(), load(t)
	if bearer := doc.Components.SecuritySchemes["bearer"].Value; bearer.Type != "http" || bearer.Scheme != "bearer" || bearer.BearerFormat != "JWT" {
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
		checkClaims(t, name, op, slices.Contains(roles, "portal") && !strings.HasPrefix(name, "GET ") && !strings.HasSuffix(name, "/verify"))
	})
	if described != len(policies) {
		t.Errorf("%d operations are described, and %d routes have a policy", described, len(policies))
	}
}

// checkSecurity asserts that an operation asks for a token if it is not for anyone, and has the answers of those that do.
func checkSecurity(t *testing.T, name string, op *openapi3.Operation, closed bool) {
	t.Helper()
	switch {
	case op.Security == nil:
		t.Errorf("%s does not say whether it asks for a token", name)
		return
	case closed && (len(*op.Security) != 1 || len((*op.Security)[0]) != 1 || (*op.Security)[0]["bearer"] == nil):
		t.Errorf("%s must ask for a bearer token, and nothing else will do: %v", name, *op.Security)
	case !closed && len(*op.Security) != 0:
		t.Errorf("%s is for anyone and asks for %v", name, *op.Security)
	}
	for status, header := range map[int]string{401: "WWW-Authenticate", 403: "", 429: "Retry-After", 503: "Retry-After"} {
		response := op.Responses.Status(status)
		limited := status == 429 && strings.HasPrefix(name, "POST ") // by address, where nobody says who they are
		if (response != nil) != (closed || limited) && (status != 503 || closed) {
			t.Errorf("%s: answers %d: %t; asks for a token: %t", name, status, response != nil, closed)
		}
		if response != nil && header != "" && response.Value.Headers[header] == nil {
			t.Errorf("%s %d lacks the header %s", name, status, header)
		}
	}
}

// checkClaims asserts that what a portal says of whom it acts for is described where it counts, and only there.
func checkClaims(t *testing.T, name string, op *openapi3.Operation, wanted bool) {
	t.Helper()
	for _, header := range []string{"X-On-Behalf-Of-Id", "X-On-Behalf-Of-Name"} {
		if p := op.Parameters.GetByInAndName(openapi3.ParameterInHeader, header); (p != nil) != wanted || (p != nil && p.Required) {
			t.Errorf("%s: takes %s: %t, want %t", name, header, p != nil, wanted)
		}
	}
}

// TestSpec_problems asserts that the document and the server have the same codes, and that each answer lists only codes of its status,
// in x-problem-codes, in its description and in its examples.
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
				t.Errorf("responses/%s lists the code %q, which is none", name, code)
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
		t.Errorf("%s: answers from 400 on, and only they, are problems with x-problem-codes", name)
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
		if got["code"] != key || got["type"] != "/problems/"+key || fmt.Sprint(got["status"]) != status || !slices.Contains(listed, key) {
			t.Errorf("%s: the example %s is of code %v, type %v, status %v", name, key, got["code"], got["type"], got["status"])
		}
	}
}

// TestGenerated asserts that the copies in internal/server, which it embeds, are current. With -update it writes them.
func TestGenerated(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(specFile)
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string][]byte{
		"internal/server/openapi.yaml": text,
		"internal/server/openapi.json": asJSON(t, text),
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
			t.Errorf("%s is no JSON", path)
		}
	}
}

// asJSON writes a YAML document as JSON, the members of each object in the order of their names.
func asJSON(t *testing.T, text []byte) []byte {
	t.Helper()
	var doc map[string]any
	if err := yaml.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	out, err := jsonx.Marshal(doc, jsonx.Deterministic(true), jsontext.WithIndent(" "))
	if err != nil {
		t.Fatal(err)
	}
	return append(out, '\n')
}
