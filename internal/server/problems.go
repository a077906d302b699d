package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/server/web"
	"github.com/breakpilot/tenant-registry/internal/share"
)

// The codes of problems that this package answers with, besides those of web and registry.
const (
	codeUnauthenticated = "unauthenticated"
	codeNotReady        = "not_ready"
	codeOverloaded      = "overloaded"
)

// problems is every code that an answer of this service can carry; /problems/<code> shows what is fixed for it.
var problems = map[string]web.ProblemType{
	web.CodeInvalidRequest: {Status: http.StatusBadRequest, Title: "Invalid request",
		Remedy: "Fix the members or parameters that errors names; the OpenAPI document says what is allowed."},
	web.CodeMalformedBody: {Status: http.StatusBadRequest, Title: "Malformed body",
		Remedy: "Send one JSON object in UTF-8 without duplicate members, of at most 64 KiB and 32 levels."},
	codeUnauthenticated: {Status: http.StatusUnauthorized, Title: "Unauthenticated",
		Remedy: "Send Authorization: Bearer with an access token for this service."},
	registry.CodeForbidden: {Status: http.StatusForbidden, Title: "Forbidden",
		Remedy: "Ask an administrator for what detail names."},
	web.CodeNotFound: {Status: http.StatusNotFound, Title: "Not found",
		Remedy: "Look the path up in the OpenAPI document."},
	registry.CodeTenantNotFound: {Status: http.StatusNotFound, Title: "Tenant not found",
		Remedy: "Check the tenant's id or slug."},
	registry.CodeProductNotFound: {Status: http.StatusNotFound, Title: "Product not found",
		Remedy: "Check the product's key against GET /v1/catalog."},
	registry.CodeAPIKeyNotFound: {Status: http.StatusNotFound, Title: "API key not found",
		Remedy: "Check the key's id; it is not the key itself."},
	registry.CodeEventNotFound: {Status: http.StatusNotFound, Title: "Audit event not found",
		Remedy: "Check the event's id."},
	registry.CodeNoCheckpoints: {Status: http.StatusNotFound, Title: "No checkpoints",
		Remedy: "Set AUDIT_SIGNING_KEY; tenant-registry audit keygen makes a key."},
	web.CodeMethodNotAllowed: {Status: http.StatusMethodNotAllowed, Title: "Method not allowed",
		Remedy: "Use one of the methods that Allow names."},
	registry.CodeSlugTaken: {Status: http.StatusConflict, Title: "Slug taken",
		Remedy: "Choose another slug; a tenant keeps its slug for as long as it exists."},
	registry.CodeOrgTaken: {Status: http.StatusConflict, Title: "Organisation taken",
		Remedy: "One Keycloak organisation belongs to one tenant."},
	registry.CodeProductExists: {Status: http.StatusConflict, Title: "Product exists",
		Remedy: "Choose another key."},
	registry.CodeInvalidTransition: {Status: http.StatusConflict, Title: "Invalid transition",
		Remedy: "Bring the tenant to one of the states that allowed names. If it names none, the state is final: " +
			"create another tenant."},
	registry.CodeTenantFrozen: {Status: http.StatusConflict, Title: "Tenant frozen",
		Remedy: "A frozen tenant takes nothing new; its keys can still be revoked."},
	registry.CodeTrialUsed: {Status: http.StatusConflict, Title: "Trial used",
		Remedy: "A tenant has one trial of a product, permanently. It can be requested if the catalogue says so."},
	registry.CodeNoTrial: {Status: http.StatusConflict, Title: "No trial",
		Remedy: "This product has no self-serve trial."},
	registry.CodeAlreadyEntitled: {Status: http.StatusConflict, Title: "Already entitled",
		Remedy: "Nothing to do: GET /v1/entitlements shows by what."},
	registry.CodeNotRequestable: {Status: http.StatusConflict, Title: "Not requestable",
		Remedy: "This product cannot be requested now."},
	registry.CodeTooManyKeys: {Status: http.StatusConflict, Title: "Too many keys",
		Remedy: "Revoke keys that are no longer used."},
	registry.CodeAPIKeyRevoked: {Status: http.StatusConflict, Title: "API key revoked",
		Remedy: "A revoked key stays as it is. Create another one."},
	registry.CodePrecondition: {Status: http.StatusPreconditionFailed, Title: "Precondition failed",
		Remedy: "Read the object again, and send the ETag of the version to change, or no If-Match."},
	registry.CodeIdempotencyMismatch: {Status: http.StatusUnprocessableEntity, Title: "Idempotency key used",
		Remedy: "Make a new Idempotency-Key for every command; repeat one only with the same method, path and body."},
	registry.CodeTenantNotDeleted: {Status: http.StatusConflict, Title: "Tenant not deleted",
		Remedy: "Name the subjects to erase; all of a chain is erased only after its tenant was deleted."},
	registry.CodeErased: {Status: http.StatusConflict, Title: "Erased",
		Remedy: "The first request had its effect. Read the objects that it made; do not send it again."},
	registry.CodeCursorGone: {Status: http.StatusGone, Title: "Cursor gone",
		Remedy: "Begin without a cursor, and drop what was read: the log was restored from a backup, or pruned."},
	web.CodeBodyTooLarge: {Status: http.StatusRequestEntityTooLarge, Title: "Body too large",
		Remedy: "Send at most 64 KiB, or 2 MiB of events at once."},
	web.CodeUnsupportedMediaType: {Status: http.StatusUnsupportedMediaType, Title: "Unsupported media type",
		Remedy: "Send Content-Type: application/json (a PATCH also application/merge-patch+json), in UTF-8 and not " +
			"compressed."},
	web.CodeTooManyRequests: {Status: http.StatusTooManyRequests, Title: "Too many requests",
		Remedy: "Nothing was done: wait as long as Retry-After says. A member share names what is used up, if it is " +
			"not the rate limit."},
	web.CodeInternal: {Status: http.StatusInternalServerError, Title: "Internal error",
		Remedy: "This is our fault; report the request id."},
	web.CodeUnavailable: {Status: http.StatusServiceUnavailable, Title: "Unavailable",
		Remedy: "Wait as long as Retry-After says, and send the request again. Whether a change was made is unknown, " +
			"unless detail says that it was not."},
	codeOverloaded: {Status: http.StatusServiceUnavailable, Title: "Overloaded",
		Remedy: "What all callers share is taken. Nothing was done: wait as long as Retry-After says, and send the " +
			"request again."},
	codeNotReady: {Status: http.StatusServiceUnavailable, Title: "Not ready",
		Remedy: "Send no traffic here until /readyz answers 200."},
}

// Problems lists the codes that an answer can carry, each with its status.
func Problems() map[string]int {
	statuses := make(map[string]int, len(problems))
	for code, kind := range problems {
		statuses[code] = kind.Status
	}
	return statuses
}

// shareProblem is 429 if the caller, or its tenant, has all that it may have of a share, and 503 if all callers
// together have.
func shareProblem(r *share.Refusal) *web.Problem {
	p := web.NewProblem(web.CodeTooManyRequests, fmt.Sprintf("Share %s: the %s has all it may have.", r.Share, r.Level))
	if r.Level == share.All {
		p = web.NewProblem(codeOverloaded, fmt.Sprintf("Share %s: all of it is taken.", r.Share))
	}
	p.RetryAfter, p.Members = r.RetryAfter, map[string]any{"share": r.Share}
	return p
}

// translate returns the problem that stands for an error of a use case; nil: it is internal.
func translate(err error) *web.Problem {
	var refusal *registry.Error
	var full *share.Refusal
	switch {
	case errors.As(err, &full):
		return shareProblem(full)
	case errors.As(err, &refusal):
		return &web.Problem{
			Code: refusal.Code, Detail: refusal.Detail, Violations: refusal.Violations, Members: refusal.Facts,
		}
	case errors.Is(err, registry.ErrUnavailable),
		errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return web.NewProblem(web.CodeUnavailable, "The store cannot answer now.")
	}
	return nil
}
