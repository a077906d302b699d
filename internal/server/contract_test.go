package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/go-json-experiment/json"

	"github.com/breakpilot/tenant-registry/internal/server/web"
)

// contract is openapi.yaml as the tests hold requests and answers to it.
type contract struct {
	doc        *openapi3.T
	operations []operation
	elsewhere  *openapi3.Operation // what is answered where no operation is

	mu   sync.Mutex
	seen map[string]bool // the answers that a test had, as answerNames writes them
	// unsaid are the words of the examples of problems that no test had yet, by code.
	unsaid map[string]map[string]bool
}

type operation struct {
	method, path string
	segments     []string // of path
	item         *openapi3.PathItem
	op           *openapi3.Operation
}

// theContract reads the copy of openapi.yaml that the server embeds, once.
var theContract = sync.OnceValue(func() *contract {
	doc, err := openapi3.NewLoader().LoadFromData(specYAML)
	if err != nil {
		panic(err)
	}
	c := &contract{doc: doc, seen: map[string]bool{}, elsewhere: &openapi3.Operation{Responses: openapi3.NewResponses(
		openapi3.WithStatus(http.StatusNotFound, doc.Components.Responses["NothingHere"]),
		openapi3.WithStatus(http.StatusMethodNotAllowed, doc.Components.Responses["MethodNotAllowed"]),
		openapi3.WithStatus(http.StatusUnauthorized, doc.Components.Responses["Unauthenticated"]),
		openapi3.WithStatus(http.StatusTooManyRequests, doc.Components.Responses["TooManyRequests"]),
		openapi3.WithStatus(http.StatusServiceUnavailable, doc.Components.Responses["Unavailable"]),
		openapi3.WithStatus(http.StatusInternalServerError, doc.Components.Responses["Internal"]),
	)}}
	c.unsaid = c.problemExamples()
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			c.operations = append(c.operations, operation{method, path, strings.Split(path, "/"), item, op})
		}
	}
	return c
})

// filterOptions know the formats that kin-openapi leaves unchecked, and refuse statuses and bodies that are not
// documented.
var filterOptions = &openapi3filter.Options{
	MultiError: true, IncludeResponseStatus: true, RejectWhenRequestBodyNotSpecified: true, SkipSettingDefaults: true,
	AuthenticationFunc:      openapi3filter.NoopAuthenticationFunc, // who may call is tried by tests of its own
	SchemaValidationOptions: formats,
}

var formats = []openapi3.SchemaValidationOption{
	format("uuid", func(s string) bool { _, ok := web.ParseUUID(s); return ok }),
	format("ipv4", func(s string) bool { a, err := netip.ParseAddr(s); return err == nil && a.Is4() }),
	format("ipv6", func(s string) bool {
		a, err := netip.ParseAddr(s)
		return err == nil && a.Is6() && a.Zone() == ""
	}),
}

func format(name string, valid func(string) bool) openapi3.SchemaValidationOption {
	return openapi3.WithStringFormatValidator(name, openapi3.NewCallbackValidator(func(s string) error {
		if valid(s) {
			return nil
		}
		return errors.New("is no " + name)
	}))
}

// find returns the operation that answers a method at a path, HEAD as GET, and its path parameters. The path is as it
// was sent, so that a parameter may hold anything but a slash.
func (c *contract) find(method, path string) (operation, map[string]string, bool) {
	if method == http.MethodHead {
		method = http.MethodGet
	}
	best, params, found := operation{}, map[string]string(nil), false
	segments := strings.Split(path, "/")
	for _, o := range c.operations { // a fixed segment comes before a parameter, whose brace is behind all letters
		if len(o.segments) != len(segments) || (best.path != "" && o.path > best.path) {
			continue
		}
		if got, ok := matchPath(o.segments, segments); ok && (o.path != best.path || o.method == method) {
			best, params, found = o, got, o.method == method
		}
	}
	if !found {
		return operation{}, nil, false
	}
	return best, params, true
}

func matchPath(template, got []string) (map[string]string, bool) {
	params := map[string]string{}
	for i, segment := range template {
		name, isParameter := strings.CutPrefix(segment, "{")
		switch {
		case isParameter && got[i] != "":
			params[strings.TrimSuffix(name, "}")] = got[i]
		case isParameter || segment != got[i]:
			return nil, false
		}
	}
	return params, true
}

// checkRequest says what openapi.yaml has against a request.
func (c *contract) checkRequest(r request) error {
	path, query, _ := strings.Cut(r.target, "?")
	o, params, found := c.find(r.method, path)
	if !found {
		return errors.New("there is no such operation")
	}
	input, err := c.input(r, o)
	if err != nil {
		return err
	}
	input.PathParams = params
	values, err := url.ParseQuery(query)
	if err != nil {
		return err
	}
	for name := range values { // which the filter lets pass
		if o.op.Parameters.GetByInAndName(openapi3.ParameterInQuery, name) == nil {
			return fmt.Errorf("there is no parameter %q", name)
		}
	}
	return openapi3filter.ValidateRequest(context.Background(), input)
}

func (c *contract) input(r request, o operation) (*openapi3filter.RequestValidationInput, error) {
	_, query, _ := strings.Cut(r.target, "?")
	req, err := http.NewRequest(r.method, "http://localhost"+o.path, strings.NewReader(r.body))
	if err != nil {
		return nil, err
	}
	req.URL.RawQuery = query
	req.Header = r.header.Clone()
	if req.Header == nil {
		req.Header = http.Header{}
	}
	return &openapi3filter.RequestValidationInput{Request: req, Options: filterOptions, Route: &routers.Route{
		Spec: c.doc, Path: o.path, PathItem: o.item, Method: o.method, Operation: o.op,
	}}, nil
}

// checkReply says what openapi.yaml has against an answer, and remembers that there was such an answer.
func (c *contract) checkReply(r request, got *reply) error {
	path, _, _ := strings.Cut(r.target, "?")
	o, _, found := c.find(r.method, path)
	if !found {
		o = operation{method: "ANY", path: "elsewhere", item: &openapi3.PathItem{}, op: c.elsewhere}
	}
	ref := o.op.Responses.Status(got.status)
	if ref == nil {
		return fmt.Errorf("status %d is not documented", got.status)
	}
	err := errors.Join(checkHeaders(ref.Value, got), c.checkBody(r, o, ref.Value, got))
	code, problemErr := checkProblem(r, ref.Value, got)
	if err = errors.Join(err, problemErr); err != nil {
		return err
	}
	name := answerName(o, strconv.Itoa(got.status), code)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen[name] = true
	if words := c.unsaid[code]; len(words) > 0 {
		delete(words, saying(got.body))
	}
	return nil
}

// promised are the headers that an answer has if and only if openapi.yaml says so; it may say that one is not always
// there.
var promised = []string{
	"X-Request-Id", "X-Auth-Mode", "Cache-Control", "Vary", "Etag", "Location", "Retry-After", "Allow",
	"Www-Authenticate", "Content-Disposition", "Next-Cursor",
}

func checkHeaders(response *openapi3.Response, got *reply) error {
	documented := map[string]*openapi3.Header{}
	for name, ref := range response.Headers {
		documented[http.CanonicalHeaderKey(name)] = ref.Value
	}
	var faults []error
	for _, name := range promised {
		values, want := got.header.Values(name), documented[name]
		switch {
		case want == nil && len(values) > 0:
			faults = append(faults, fmt.Errorf("the header %s is not documented", name))
		case want != nil && len(values) == 0 && !want.Required:
		case want != nil && len(values) != 1:
			faults = append(faults, fmt.Errorf("the header %s is there %d times", name, len(values)))
		case want != nil:
			faults = append(faults, want.Schema.Value.VisitJSON(headerValue(want, values[0])))
		}
	}
	if got.header.Get("X-Content-Type-Options") != "nosniff" {
		faults = append(faults, errors.New("the answer may be sniffed"))
	}
	return errors.Join(faults...)
}

func headerValue(h *openapi3.Header, text string) any {
	if n, err := strconv.ParseFloat(text, 64); err == nil && h.Schema.Value.Type.Is(openapi3.TypeInteger) {
		return n
	}
	return text
}

func (c *contract) checkBody(r request, o operation, response *openapi3.Response, got *reply) error {
	if r.method == http.MethodHead || len(response.Content) == 0 {
		if len(got.body) > 0 {
			return errors.New("there must be no body")
		}
		return nil
	}
	if media := got.header.Get("Content-Type"); response.Content.Get(media) != nil &&
		(bytes.Equal(got.body, specYAML) || bytes.Equal(got.body, specJSON)) {
		return nil // the document itself, which is long
	}
	if media := got.header.Get("Content-Type"); response.Content.Get(media) != nil &&
		!strings.Contains(media, "json") || media == "application/x-ndjson" {
		return checkText(response, got)
	}
	input, err := c.input(r, o)
	if err != nil { // a method that is no token
		return err
	}
	answer := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: input, Status: got.status, Header: got.header, Options: filterOptions,
	}
	answer.SetBodyBytes(got.body)
	if err := openapi3filter.ValidateResponse(context.Background(), answer); err != nil {
		return err
	}
	var value any
	// refuses a member that is there twice, which the filter does not
	if err := json.Unmarshal(got.body, &value); err != nil {
		return err
	}
	schema := response.Content.Get(got.header.Get("Content-Type")).Schema.Value
	if extra := undocumented("", value, schema); len(extra) > 0 {
		return fmt.Errorf("these members are not documented: %q", extra)
	}
	return nil
}

// checkText looks at a body that is not one JSON document: the tests of its route do the rest.
func checkText(response *openapi3.Response, got *reply) error {
	media, mayBeEmpty := response.Content.Get(got.header.Get("Content-Type")), got.header.Get("Next-Cursor") != ""
	if media == nil || !media.Schema.Value.Type.Is(openapi3.TypeString) || !utf8.Valid(got.body) ||
		len(got.body) == 0 && !mayBeEmpty {
		return fmt.Errorf("the body is not the text that is documented, as %s", got.header.Get("Content-Type"))
	}
	return nil
}

// undocumented lists the members of an answer that its schema does not name. Clients must live with such members, so
// the schema allows them; we must not send them.
func undocumented(at string, value any, schema *openapi3.Schema) []string {
	var extra []string
	switch value := value.(type) {
	case []any:
		for i, item := range value {
			extra = append(extra, undocumented(fmt.Sprintf("%s/%d", at, i), item, schema.Items.Value)...)
		}
	case map[string]any:
		properties := allProperties(schema)
		for name, item := range value {
			if property := properties[name]; property != nil {
				extra = append(extra, undocumented(at+"/"+name, item, property)...)
			} else if len(properties) > 0 {
				extra = append(extra, at+"/"+name)
			}
		}
	}
	return extra
}

func allProperties(schema *openapi3.Schema) map[string]*openapi3.Schema {
	all := map[string]*openapi3.Schema{}
	for name, property := range schema.Properties {
		all[name] = only(property.Value)
	}
	for _, part := range schema.AllOf {
		maps.Copy(all, allProperties(part.Value))
	}
	return all
}

// only is the one schema that a description was put around.
func only(schema *openapi3.Schema) *openapi3.Schema {
	if len(schema.AllOf) == 1 && len(schema.Properties) == 0 {
		return schema.AllOf[0].Value
	}
	return schema
}

// checkProblem holds a problem to the response's x-problem-codes and to the server's table, and returns its code; empty
// if it is none.
func checkProblem(r request, response *openapi3.Response, got *reply) (string, error) {
	codes := problemCodes(response)
	if len(codes) == 0 {
		return "", nil
	}
	if r.method == http.MethodHead {
		return codes[0], nil
	}
	var p problem
	if err := json.Unmarshal(got.body, &p, json.MatchCaseInsensitiveNames(true)); err != nil {
		return "", err
	}
	kind := problems[p.Code]
	switch {
	case !slices.Contains(codes, p.Code):
		return "", fmt.Errorf("the code %q is not among %q", p.Code, codes)
	case p.Status != got.status || kind.Status != got.status || p.Title != kind.Title:
		return "", fmt.Errorf("status and title are not those of %s", p.Code)
	case p.RequestID != got.header.Get("X-Request-Id"):
		return "", fmt.Errorf("request_id is %q, X-Request-Id is %q", p.RequestID, got.header.Get("X-Request-Id"))
	}
	return p.Code, nil
}

func problemCodes(response *openapi3.Response) []string {
	list, _ := response.Extensions["x-problem-codes"].([]any)
	codes := make([]string, len(list))
	for i, code := range list {
		codes[i] = code.(string)
	}
	return codes
}

func answerName(o operation, status, code string) string {
	return strings.TrimSpace(o.method + " " + o.path + " " + status + " " + code)
}

// unanswered lists the answers that openapi.yaml promises and no test had.
func (c *contract) unanswered() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var missing []string
	for _, o := range c.operations {
		for status, ref := range o.op.Responses.Map() {
			codes := problemCodes(ref.Value)
			if len(codes) == 0 {
				codes = []string{""}
			}
			for _, code := range codes {
				if name := answerName(o, status, code); !c.seen[name] {
					missing = append(missing, name)
				}
			}
		}
	}
	for _, words := range c.unsaid {
		missing = slices.AppendSeq(missing, maps.Keys(words))
	}
	slices.Sort(missing)
	return slices.Compact(missing)
}
