package server

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/go-json-experiment/json"

	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/server/web"
	"github.com/breakpilot/tenant-registry/internal/testkit"
)

// object is a JSON object that a test writes.
type object = map[string]any

// client calls one server over HTTP. Every answer is held to openapi.yaml, and so is every request but those that send
// makes.
type client struct {
	t        *testing.T
	http     *http.Client
	url      string
	dsn      string // of the database, on Postgres
	server   *Server
	store    registry.Store
	registry *registry.Service
	clock    *clock
	log      *testkit.Output // what the server logged
	trace    *trace          // the newest answers
	sent     *record         // every answer, if a test sets it
	canaries []string        // what no answer may hold
}

// record holds every answer of a server, for a search.
type record struct {
	mu      sync.Mutex
	replies []*reply
}

func (r *record) add(got *reply) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.replies = append(r.replies, got)
}

// showing lists the answers that show a text.
func (r *record) showing(text string) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var found []string
	for _, got := range r.replies {
		if got.shows(text) {
			found = append(found, got.String())
		}
	}
	return found
}

// trace holds the newest answers of a client, which are logged if its test fails.
type trace struct {
	mu     sync.Mutex
	newest []*reply
	total  int
}

const traceLength = 50

func newTrace(t *testing.T) *trace {
	tr := &trace{}
	t.Cleanup(func() {
		if t.Failed() {
			tr.log(t)
		}
	})
	return tr
}

func (tr *trace) add(got *reply) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.total++
	tr.newest = append(tr.newest, got)
	if len(tr.newest) == 2*traceLength {
		tr.newest = append(tr.newest[:0], tr.newest[traceLength:]...)
	}
}

func (tr *trace) log(t *testing.T) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	last := tr.newest[max(0, len(tr.newest)-traceLength):]
	for i, got := range last {
		t.Logf("answer %d of %d: %.200s → %d %.300s", tr.total-len(last)+i+1, tr.total, got.what, got.status, got.body)
	}
}

// in is the same client for a subtest.
func (c *client) in(t *testing.T) *client {
	same := *c
	same.t, same.trace = t, newTrace(t)
	return &same
}

// join joins segments, which need no escaping.
func join(segments ...any) string {
	text := make([]string, len(segments))
	for i, s := range segments {
		text[i] = fmt.Sprint(s)
	}
	return strings.Join(text, "/")
}

// request is one request as it goes over the wire.
type request struct {
	method string
	target string // the path and the query, sent as they are
	header http.Header
	body   string
}

// with is the same request with one header more.
func (r request) with(name string, values ...string) request {
	r.header = r.header.Clone()
	if r.header == nil {
		r.header = http.Header{}
	}
	r.header[http.CanonicalHeaderKey(name)] = values
	return r
}

func (c *client) get(target string) *reply {
	c.t.Helper()
	return c.call(request{method: http.MethodGet, target: target})
}

// post sends a body as JSON; nil is none.
func (c *client) post(target string, body any) *reply {
	c.t.Helper()
	return c.call(jsonRequest(target, body))
}

func jsonRequest(target string, body any) request {
	r := request{method: http.MethodPost, target: target}
	if body == nil {
		return r
	}
	text, err := json.Marshal(body, json.Deterministic(true))
	if err != nil {
		panic(err)
	}
	r.header = http.Header{"Content-Type": {"application/json"}}
	r.body = string(text)
	return r
}

func fetch(target string) request { return request{method: http.MethodGet, target: target} }

func remove(target string) request { return request{method: http.MethodDelete, target: target} }

func patchRequest(target string, body any) request {
	r := jsonRequest(target, body)
	r.method = http.MethodPatch
	return r
}

// call sends a request that openapi.yaml allows.
func (c *client) call(r request) *reply {
	c.t.Helper()
	if err := theContract().checkRequest(r); err != nil {
		c.t.Fatalf("%s %s %s: the request is not as openapi.yaml has it: %v", r.method, r.target, r.body, err)
	}
	return c.send(r)
}

// send sends a request that need not be valid. The answer must be.
func (c *client) send(r request) *reply {
	c.t.Helper()
	got := c.exchange(r)
	if err := theContract().checkReply(r, got); err != nil {
		c.t.Errorf("%s %.200s → %d %s: %v", r.method, r.target, got.status, got.body, err)
	}
	c.checkDiscreet(got)
	return got
}

// exchange sends the target byte for byte, which a URL that was parsed would not. A path that begins with two slashes
// would be taken for a host, so it is sent behind one.
func (c *client) exchange(r request) *reply {
	c.t.Helper()
	base, err := url.Parse(c.url)
	if err != nil {
		c.t.Fatal(err)
	}
	u := &url.URL{Scheme: base.Scheme, Host: base.Host}
	u.Opaque, u.RawQuery, u.ForceQuery = splitTarget(r.target)
	if strings.HasPrefix(u.Opaque, "//") {
		u.Opaque = "//" + base.Host + u.Opaque
	}
	req, err := http.NewRequestWithContext(c.t.Context(), r.method, c.url, strings.NewReader(r.body))
	if err != nil {
		c.t.Fatal(err)
	}
	req.URL, req.Header = u, r.header.Clone()
	if req.Header == nil {
		req.Header = http.Header{}
	}
	resp, err := c.http.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	got := &reply{t: c.t, what: r.method + " " + r.target, status: resp.StatusCode, header: resp.Header, body: body}
	got.closes = resp.Close
	c.trace.add(got)
	if c.sent != nil {
		c.sent.add(got)
	}
	return got
}

func splitTarget(target string) (path, query string, force bool) {
	path, query, found := strings.Cut(target, "?")
	return path, query, found && query == ""
}

// internals are what only the inside of the service would say.
var internals = []string{
	"SQLSTATE", "pgx", "postgres://", "goroutine ", "panic", ".go:", "internal/", "go-json", "jsontext",
}

// checkDiscreet asserts that an answer shows neither the inside of the service nor what was sent.
func (c *client) checkDiscreet(got *reply) {
	c.t.Helper()
	if got.status >= 400 && slices.ContainsFunc(internals, got.shows) {
		c.t.Errorf("the answer shows the inside: %s", got)
	}
	for _, canary := range c.canaries {
		if got.shows(canary) {
			c.t.Errorf("the answer shows %s: %s", canary, got)
		}
	}
}

// reply is an answer.
type reply struct {
	t      *testing.T
	what   string // the method and target that it answers
	status int
	header http.Header
	body   []byte
	closes bool // it says Connection: close, which the header does not show
}

// shows reports whether a text is in the header or in the body.
func (r *reply) shows(text string) bool {
	if bytes.Contains(r.body, []byte(text)) {
		return true
	}
	for name, values := range r.header {
		if strings.Contains(name, text) ||
			slices.ContainsFunc(values, func(v string) bool { return strings.Contains(v, text) }) {
			return true
		}
	}
	return false
}

// String is the whole answer.
func (r *reply) String() string {
	return fmt.Sprintf("%s → %d %v %s", r.what, r.status, r.header, r.body)
}

// want asserts the status.
func (r *reply) want(status int) *reply {
	r.t.Helper()
	if r.status != status {
		r.t.Fatalf("%s → %d %s, want %d", r.what, r.status, r.body, status)
	}
	return r
}

// wantHeader asserts one header.
func (r *reply) wantHeader(name, value string) *reply {
	r.t.Helper()
	if got := r.header.Values(name); !slices.Equal(got, []string{value}) {
		r.t.Errorf("%s → %s %q, want %q", r.what, name, got, value)
	}
	return r
}

// as decodes the body.
func as[T any](r *reply) T {
	r.t.Helper()
	var v T
	if err := json.Unmarshal(r.body, &v); err != nil {
		r.t.Fatalf("%s → %s: %v", r.what, r.body, err)
	}
	return v
}

// problem is an answer of 400 and above.
type problem struct {
	Code           string `json:"code"`
	Status         int    `json:"status"`
	Title          string `json:"title"`
	Detail         string `json:"detail"`
	RequestID      string `json:"request_id"`
	From           string
	To             string
	Allowed        []string
	TrialStartedAt string `json:"trial_started_at"`
	TrialEndsAt    string `json:"trial_ends_at"`
	Share          string `json:"share"`
	Errors         []struct {
		Pointer   *string `json:"pointer"`
		Parameter string  `json:"parameter"`
		Message   string  `json:"message"`
	} `json:"errors"`
}

// places lists what the problem says is at fault, each as a pointer or, for a parameter, "?name".
func (p problem) places() []string {
	list := []string{}
	for _, e := range p.Errors {
		if e.Pointer != nil {
			list = append(list, *e.Pointer)
		} else {
			list = append(list, "?"+e.Parameter)
		}
	}
	slices.Sort(list)
	return list
}

// wantProblem asserts the code, and the status that belongs to it, and, if any are given, exactly which places it
// names.
func (r *reply) wantProblem(code string, places ...string) problem {
	r.t.Helper()
	r.want(problems[code].Status)
	var p problem
	if err := json.Unmarshal(r.body, &p, json.MatchCaseInsensitiveNames(true)); err != nil {
		r.t.Fatalf("%s → %s: %v", r.what, r.body, err)
	}
	slices.Sort(places)
	if p.Code != code || (len(places) > 0 && !slices.Equal(p.places(), places)) {
		r.t.Fatalf("%s → %s, want code %s naming %q", r.what, r.body, code, places)
	}
	return p
}

// wantEqual compares two values by their JSON, which is what clients see.
func wantEqual(t *testing.T, what string, got, want any) {
	t.Helper()
	g, err := json.Marshal(got, json.Deterministic(true))
	if err != nil {
		t.Fatal(err)
	}
	w, err := json.Marshal(want, json.Deterministic(true))
	if err != nil {
		t.Fatal(err)
	}
	if string(g) != string(w) {
		t.Errorf("%s is\n%s\nwant\n%s", what, g, w)
	}
}

// target is a path with a query, which is put together step by step.
type target struct {
	path   string
	values url.Values
}

func newQuery(text string) target {
	path, query, _ := strings.Cut(text, "?")
	values, err := url.ParseQuery(query)
	if err != nil {
		panic(err)
	}
	return target{path, values}
}

// set returns the target with one parameter more, or another value of it.
func (q target) set(name string, value any) target {
	values := maps.Clone(q.values)
	values.Set(name, fmt.Sprint(value))
	return target{q.path, values}
}

func (q target) String() string {
	if len(q.values) == 0 {
		return q.path
	}
	return q.path + "?" + q.values.Encode()
}

// refusal is a body, and how it is refused.
type refusal struct {
	body        object
	code, place string
}

// refused posts bodies that are refused, and asserts that they leave nothing behind.
func refused(api *client, target string, list []refusal) {
	api.t.Helper()
	before := len(api.events())
	for _, r := range list {
		api.send(jsonRequest(target, r.body)).wantProblem(r.code, r.place)
	}
	if after := len(api.events()); after != before {
		api.t.Errorf("%d refused requests left %d events", len(list), after-before)
	}
}

// pages reads a whole list page by page and returns what name says of each item.
func pages[T any](api *client, target string, limit int, name func(T) string) []string {
	api.t.Helper()
	found := []string{}
	for q := newQuery(target).set("limit", limit); ; {
		p := as[web.Page[T]](api.get(q.String()).want(http.StatusOK))
		for _, item := range p.Items {
			found = append(found, name(item))
		}
		if p.NextCursor == nil {
			return found
		}
		if len(p.Items) != limit {
			api.t.Fatalf("%s has %d items and a next page", q, len(p.Items))
		}
		q = q.set("cursor", *p.NextCursor)
	}
}

// rolesOf are those that may call a route.
func rolesOf(r request) []string {
	path, _, _ := strings.Cut(r.target, "?")
	o, _, _ := theContract().find(r.method, path)
	return Policies()[o.method+" "+o.path]
}

// at is a target with something more in its query, byte for byte.
func at(target, more string) string {
	if strings.Contains(target, "?") {
		return target + "&" + more
	}
	return target + "?" + more
}
