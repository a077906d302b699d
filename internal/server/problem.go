package server

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"strconv"

	"github.com/go-json-experiment/json"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

// problemKind is what is fixed for a code: /problems/<code> shows it.
type problemKind struct {
	Status int
	Title  string
	Help   string // what to do about it
}

// problems is every code that an answer of this service can carry.
var problems = map[string]problemKind{
	"invalid_request":        {400, "Invalid request", "Mend the members or parameters that errors names; the OpenAPI document says what is allowed."},
	"malformed_body":         {400, "Malformed body", "Send one JSON object in UTF-8 without duplicate members, of at most 64 KiB and 32 levels."},
	"unauthenticated":        {401, "Unauthenticated", "Send Authorization: Bearer with an access token for this service."},
	"forbidden":              {403, "Forbidden", "Ask for the role that this call needs."},
	"not_found":              {404, "Not found", "Look the path up in the OpenAPI document."},
	"tenant_not_found":       {404, "Tenant not found", "Check the tenant's id or slug."},
	"product_not_found":      {404, "Product not found", "Check the product's key against GET /v1/catalog."},
	"api_key_not_found":      {404, "API key not found", "Check the key's id; it is not the key itself."},
	"audit_event_not_found":  {404, "Audit event not found", "Check the event's id."},
	"no_checkpoints":         {404, "No checkpoints", "Set AUDIT_SIGNING_KEY; tenant-registry audit keygen makes a key."},
	"method_not_allowed":     {405, "Method not allowed", "Use one of the methods that Allow names."},
	"slug_taken":             {409, "Slug taken", "Choose another slug; a tenant keeps its slug for as long as it exists."},
	"keycloak_org_id_taken":  {409, "Organisation taken", "One Keycloak organisation belongs to one tenant."},
	"product_exists":         {409, "Product exists", "Choose another key."},
	"invalid_transition":     {409, "Invalid transition", "Bring the tenant to one of the states that allowed names."},
	"tenant_frozen":          {409, "Tenant frozen", "A frozen tenant takes nothing new; its keys can still be revoked."},
	"trial_used":             {409, "Trial used", "A tenant has one trial of a product, for ever. It can be requested if the catalogue says so."},
	"no_trial":               {409, "No trial", "This product has no self-serve trial."},
	"already_entitled":       {409, "Already entitled", "Nothing to do: GET /v1/entitlements shows by what."},
	"not_requestable":        {409, "Not requestable", "This product cannot be asked for now."},
	"too_many_keys":          {409, "Too many keys", "Revoke keys that are no longer used."},
	"api_key_revoked":        {409, "API key revoked", "A revoked key stays as it is. Create another one."},
	"precondition_failed":    {412, "Precondition failed", "Read the object again, and send the ETag of what you mean to change, or no If-Match."},
	"idempotency_mismatch":   {422, "Idempotency key used", "Make a new Idempotency-Key for every command, and repeat one only with the same method, path and body."},
	"body_too_large":         {413, "Body too large", "Send at most 64 KiB, or 2 MiB of events at once."},
	"unsupported_media_type": {415, "Unsupported media type", "Send Content-Type: application/json, in UTF-8 and not compressed."},
	"too_many_requests":      {429, "Too many requests", "Wait as long as Retry-After says."},
	"internal":               {500, "Internal error", "This is our fault; report the request id."},
	"unavailable":            {503, "Unavailable", "Wait as long as Retry-After says, and ask again. Whether a change was made is not known."},
	"not_ready":              {503, "Not ready", "Send no traffic here until /readyz answers 200."},
}

// Problems lists the codes that an answer can carry, each with its status.
func Problems() map[string]int {
	statuses := make(map[string]int, len(problems))
	for code, kind := range problems {
		statuses[code] = kind.Status
	}
	return statuses
}

// edgeProblem is a refusal that the edge itself decides. The code must be one of problems.
func edgeProblem(code, detail string, violations ...registry.Violation) *registry.Error {
	return &registry.Error{Code: code, Detail: detail, Violations: violations}
}

func invalid(violations ...registry.Violation) *registry.Error {
	return edgeProblem("invalid_request", "The request breaks a rule; errors says which.", violations...)
}

// writeError answers an error: a refusal in full, anything else with no word of what went wrong inside.
func (s *Server) writeError(w http.ResponseWriter, r *http.Request, err error) {
	var refusal *registry.Error
	x := exchangeOf(r)
	switch {
	case errors.As(err, &refusal):
	case errors.Is(err, registry.ErrUnavailable), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		s.log.WarnContext(x.ctx, "store unavailable", "error", err, "route", x.route, "request_id", x.requestID)
		refusal = edgeProblem("unavailable", "The store cannot answer now.")
	default:
		s.log.ErrorContext(x.ctx, "request failed", "error", err, "route", x.route, "request_id", x.requestID)
		refusal = edgeProblem("internal", "The request could not be carried out; the log has the reason under this request id.")
	}
	s.writeProblem(w, r, refusal)
}

// writeProblem writes a refusal as problem+json (RFC 9457). Its facts become members of their own.
func (s *Server) writeProblem(w http.ResponseWriter, r *http.Request, refusal *registry.Error) {
	kind := problems[refusal.Code]
	body := map[string]any{
		"type": "/problems/" + refusal.Code, "title": kind.Title, "status": kind.Status, "detail": refusal.Detail,
		"code": refusal.Code, "request_id": exchangeOf(r).requestID,
	}
	maps.Copy(body, refusal.Facts)
	list := []violationBody{}
	for _, v := range refusal.Violations {
		list = append(list, bodyOf(v))
	}
	body["errors"] = list
	text, err := json.Marshal(body, json.Deterministic(true))
	if err != nil { // facts are strings, times and lists of strings
		panic(err)
	}
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Length", strconv.Itoa(len(text)))
	switch kind.Status {
	case http.StatusUnauthorized:
		h.Set("WWW-Authenticate", `Bearer realm="tenant-registry"`)
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		h.Set("Retry-After", "2")
	}
	w.WriteHeader(kind.Status)
	_, _ = w.Write(text)
}

// violationBody names a member by its pointer, which is empty for the whole document, or a parameter by its name.
type violationBody struct {
	Pointer   *string `json:"pointer,omitzero"`
	Parameter string  `json:"parameter,omitzero"`
	Message   string  `json:"message"`
}

func bodyOf(v registry.Violation) violationBody {
	if v.Parameter != "" {
		return violationBody{Parameter: v.Parameter, Message: v.Message}
	}
	return violationBody{Pointer: &v.Pointer, Message: v.Message}
}
