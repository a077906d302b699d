package registry

import (
	"errors"
	"fmt"

	"github.com/breakpilot/tenant-registry/internal/violation"
)

// What a Store answers, wrapped or bare; compare with errors.Is. Everything else a Store returns is a fault of its own.
var (
	// ErrNotFound: the row asked for does not exist.
	ErrNotFound = errors.New("not found")
	// ErrNoParent: a row names a tenant, product or request that does not exist.
	ErrNoParent = errors.New("referenced row does not exist")
	// ErrDuplicate: a row with this id, product key or secret hash exists.
	ErrDuplicate = errors.New("row exists already")
	// ErrSlugTaken: another tenant has this slug.
	ErrSlugTaken = errors.New("slug is taken")
	// ErrOrgTaken: another tenant has this keycloak_org_id.
	ErrOrgTaken = errors.New("keycloak_org_id is taken")
	// ErrTrialExists: this tenant has had its trial of this product.
	ErrTrialExists = errors.New("trial exists")
	// ErrRequestPending: this tenant has an open request for this product.
	ErrRequestPending = errors.New("request is pending")
	// ErrIdempotencyKeyUsed: an event with this idempotency key and ordinal exists.
	ErrIdempotencyKeyUsed = errors.New("idempotency key is used")
	// ErrUnavailable: the store cannot answer now (unreachable, read-only, out of connections, too slow). After a
	// failed commit the outcome is unknown; only the caller may repeat it.
	ErrUnavailable = errors.New("store is unavailable")
	// ErrTxDoomed: an earlier statement of this transaction failed, so nothing of it can be committed.
	ErrTxDoomed = errors.New("transaction failed earlier")
)

// UnreadyError is what Ping returns of a store that answers and still must not be used: read-only, or with a schema
// that is missing, dirty or too old. It is an ErrUnavailable.
type UnreadyError struct {
	Reason string // one sentence with the next step, fit to be shown to any client
}

// Error is the reason.
func (e *UnreadyError) Error() string { return e.Reason }

// Is makes it an ErrUnavailable.
func (e *UnreadyError) Is(target error) bool { return target == ErrUnavailable }

// Kind says what sort of refusal an Error is; the edge maps it to a status.
type Kind int

// The kinds of refusal.
const (
	Invalid            Kind = iota + 1 // the input breaks a rule, whatever the state
	NotFound                           // the object does not exist for this caller
	Conflict                           // the input is fine, the state does not allow it
	Forbidden                          // the caller may not do this, whatever the object
	Mismatch                           // the request contradicts an earlier one
	PreconditionFailed                 // the object is not in the version that the caller means to change
	Gone                               // what the input refers to was there, and is no longer
)

// Stable codes of refusals, in snake_case; clients branch on them, so they are never renamed.
const (
	CodeInvalid           = "invalid_request"
	CodeForbidden         = "forbidden"
	CodeTenantNotFound    = "tenant_not_found"
	CodeProductNotFound   = "product_not_found"
	CodeAPIKeyNotFound    = "api_key_not_found"
	CodeEventNotFound     = "audit_event_not_found"
	CodeSlugTaken         = "slug_taken"
	CodeOrgTaken          = "keycloak_org_id_taken"
	CodeProductExists     = "product_exists"
	CodeInvalidTransition = "invalid_transition"
	CodeTenantFrozen      = "tenant_frozen"
	CodeTrialUsed         = "trial_used"
	CodeNoTrial           = "no_trial"
	CodeAlreadyEntitled   = "already_entitled"
	CodeNotRequestable    = "not_requestable"
	CodeTooManyKeys       = "too_many_keys"
	CodeAPIKeyRevoked     = "api_key_revoked"
	CodePrecondition      = "precondition_failed"
	CodeNoCheckpoints     = "no_checkpoints"
	CodeTenantNotDeleted  = "tenant_not_deleted"
	CodeErased            = "erased"
	CodeCursorGone        = "cursor_gone"

	CodeIdempotencyMismatch = "idempotency_mismatch"
)

// Error is a refusal that may be shown to the caller in full: it holds no value of the input and nothing of the store.
type Error struct {
	Kind   Kind
	Code   string // one of the Code constants
	Detail string // one sentence for a person
	// which members, for Invalid; for NotFound the member that named the object, if one did
	Violations []violation.Violation
	Facts      map[string]any // what else a client can act on, by member name (from, to, allowed, …)
}

// Error is the code and the sentence.
func (e *Error) Error() string { return e.Code + ": " + e.Detail }

func notFound(code, what string) *Error {
	return &Error{Kind: NotFound, Code: code, Detail: "There is no such " + what + "."}
}

func conflict(code, format string, args ...any) *Error {
	return &Error{Kind: Conflict, Code: code, Detail: fmt.Sprintf(format, args...)}
}

// in names the member of the body through which a missing object was asked for.
func (e *Error) in(pointer string) *Error {
	named := *e
	named.Violations = []violation.Violation{{Pointer: pointer, Message: e.Detail}}
	return &named
}

// refuse turns a Store's answer into the refusal it means, if it is one of those given, and returns any other error as
// it is.
func refuse(err error, meanings map[error]*Error) error {
	for is, means := range meanings {
		if errors.Is(err, is) {
			return means
		}
	}
	return err
}

// inParameter names the query parameter through which a missing object was asked for.
func inParameter(err error, name string) error {
	var refusal *Error
	if !errors.As(err, &refusal) || refusal.Kind != NotFound {
		return err
	}
	named := *refusal
	named.Violations = []violation.Violation{{Parameter: name, Message: refusal.Detail}}
	return &named
}
