package web

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/breakpilot/tenant-registry/internal/violation"
)

// The codes of the problems that this package answers with.
const (
	CodeInvalidRequest       = "invalid_request"
	CodeMalformedBody        = "malformed_body"
	CodeBodyTooLarge         = "body_too_large"
	CodeUnsupportedMediaType = "unsupported_media_type"
	CodeNotFound             = "not_found"
	CodeMethodNotAllowed     = "method_not_allowed"
	CodeTooManyRequests      = "too_many_requests"
	CodeInternal             = "internal"
	CodeUnavailable          = "unavailable"
)

// ProblemType is what is fixed for a problem's code.
type ProblemType struct {
	Status int
	Title  string
	Remedy string // what the caller can do
}

// Problem is a refusal that the caller is told in full (RFC 9457), with maxViolations at most. It holds no value of the
// input.
type Problem struct {
	Code       string // one of Responder.Problems
	Detail     string // one sentence for a person
	Violations []violation.Violation
	Members    map[string]any // further members of the document, by name
	RetryAfter time.Duration  // with 429 and 503, rounded up to whole seconds; 0: defaultRetryAfter
}

// maxViolations bounds what an answer grows to for what was sent.
const maxViolations = 20

// defaultRetryAfter is how long a caller waits if nothing says for how long.
const defaultRetryAfter = 2 * time.Second

// NewProblem makes a problem.
func NewProblem(code, detail string, violations ...violation.Violation) *Problem {
	return &Problem{Code: code, Detail: detail, Violations: violations}
}

// Invalid is the problem of a request that breaks rules.
func Invalid(violations ...violation.Violation) *Problem {
	return NewProblem(CodeInvalidRequest, "The request breaks a rule; errors says which.", violations...)
}

// TooManyRequests is the problem of a caller over its rate limit, for as long as a RateLimiter says.
func TooManyRequests(wait time.Duration) *Problem {
	return &Problem{Code: CodeTooManyRequests, Detail: "Rate limit exceeded.", RetryAfter: wait}
}

// internalError tells nothing of what went wrong inside.
func internalError() *Problem {
	return NewProblem(
		CodeInternal, "The request could not be carried out; the log has the reason under this request id.",
	)
}

// Error is the code and the sentence.
func (p *Problem) Error() string { return p.Code + ": " + p.Detail }

// WriteError answers an error: a problem in full, anything else as Translate says.
func (rs *Responder) WriteError(w http.ResponseWriter, r *http.Request, err error) {
	var problem *Problem
	if !errors.As(err, &problem) {
		problem = rs.translate(r, err)
	}
	rs.WriteProblem(w, r, problem)
}

// translate logs an error that is not the caller's doing, and returns the problem that stands for it.
func (rs *Responder) translate(r *http.Request, err error) *Problem {
	problem, info := rs.Translate(err), Info(r)
	switch {
	case problem == nil:
		rs.Log.ErrorContext(info.Context, "request failed", "error", err, "route", info.Route, "request_id", info.ID)
		return internalError()
	case problem.Code == CodeUnavailable:
		rs.Log.WarnContext(info.Context, "store unavailable", "error", err, "route", info.Route, "request_id", info.ID)
	}
	return problem
}

// WriteProblem writes a problem as problem+json.
func (rs *Responder) WriteProblem(w http.ResponseWriter, r *http.Request, p *Problem) {
	kind := rs.Problems[p.Code]
	violations, detail := []violationBody{}, p.Detail
	for _, v := range p.Violations[:min(len(p.Violations), maxViolations)] {
		violations = append(violations, rs.showViolation(v))
	}
	if all := len(p.Violations); all > maxViolations {
		detail += fmt.Sprintf(" The first %d of %d are listed.", maxViolations, all)
	}
	body := map[string]any{
		"type": "/problems/" + p.Code, "title": kind.Title, "status": kind.Status, "detail": detail,
		"code": p.Code, "request_id": Info(r).ID,
	}
	maps.Copy(body, p.Members)
	body["errors"] = violations
	text, err := json.Marshal(body, json.Deterministic(true))
	if err != nil { // members are strings, times and lists of strings
		panic(err)
	}
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Length", strconv.Itoa(len(text)))
	switch kind.Status {
	case http.StatusUnauthorized:
		h.Set("WWW-Authenticate", challenge(rs.Realm, r.Header))
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		h.Set("Retry-After", p.retryAfter())
	}
	w.WriteHeader(kind.Status)
	_, _ = w.Write(text)
}

// retryAfter is the header of that name: whole seconds, at least one.
func (p *Problem) retryAfter() string {
	wait := cmp.Or(p.RetryAfter, defaultRetryAfter)
	return strconv.FormatInt(max(1, int64((wait+time.Second-1)/time.Second)), 10)
}

// challenge is the WWW-Authenticate of a refusal. By RFC 6750 it has an error only if the request has a token.
func challenge(realm string, h http.Header) string {
	text := `Bearer realm="` + realm + `"`
	for _, header := range h["Authorization"] {
		scheme, token, _ := strings.Cut(header, " ")
		if strings.EqualFold(scheme, "Bearer") && strings.TrimSpace(token) != "" {
			return text + `, error="invalid_token"`
		}
	}
	return text
}

// violationBody names a member by its pointer, which is empty for the whole document, or a parameter by its name.
type violationBody struct {
	Pointer   *string `json:"pointer,omitzero"`
	Parameter string  `json:"parameter,omitzero"`
	Message   string  `json:"message"`
}

// secretName stands for the name of a member or parameter that may hold a secret.
const secretName = "(not shown)"

func (rs *Responder) isSecret(text string) bool { return rs.IsSecret != nil && rs.IsSecret(text) }

func (rs *Responder) showViolation(v violation.Violation) violationBody {
	if rs.isSecret(v.Parameter) {
		v.Parameter = secretName
	}
	if rs.isSecret(v.Pointer) {
		v.Pointer = "/" + secretName
	}
	if v.Parameter != "" {
		return violationBody{Parameter: v.Parameter, Message: v.Message}
	}
	return violationBody{Pointer: &v.Pointer, Message: v.Message}
}
