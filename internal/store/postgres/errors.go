package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

// The SQLSTATEs that are handled.
const (
	uniqueViolation     = "23505"
	foreignKeyViolation = "23503"
	readOnlyTransaction = "25006"
	idleInTransaction   = "25P03"
	transactionTimeout  = "25P04"
	serialization       = "40001"
	deadlock            = "40P01"
	undefinedTable      = "42P01"
	undefinedColumn     = "42703"
	undefinedFunction   = "42883"
	lockNotAvailable    = "55P03"
	queryCanceled       = "57014"
	adminShutdown       = "57P01"
	crashShutdown       = "57P02"
	cannotConnectNow    = "57P03"
	protocolViolation   = "08P01"
	diskFull            = "53100"
	tooManyConnections  = "53300"
	stalePlan           = "0A000" // "cached plan must not change result type": SQL changed a column's type
)

// unique maps unique constraints to the error that a violation means; that of any other constraint is
// registry.ErrDuplicate.
var unique = map[string]error{
	"tenants_slug_key":             registry.ErrSlugTaken,
	"tenants_keycloak_org_id_key":  registry.ErrOrgTaken,
	"entitlements_trial_key":       registry.ErrTrialExists,
	"catalog_requests_pending_key": registry.ErrRequestPending,
	"audit_log_idempotency_key":    registry.ErrIdempotencyKeyUsed,
}

// failure is what the Store returns for an error of pgx: wrapped with the name of the call, and with the sentinel that
// it means.
func failure(op string, err error) error {
	switch means := meaning(err); {
	case err == nil:
		return nil
	case means == nil:
		return fmt.Errorf("postgres: %s: %w", op, err)
	default:
		return fmt.Errorf("postgres: %s: %w: %w", op, means, err)
	}
}

// meaning is the registry's error for one of pgx, or nil if there is none: then it is a fault of this program or of its
// input.
func meaning(err error) error {
	var pgErr *pgconn.PgError
	switch {
	case err == nil, errors.Is(err, registry.ErrUnavailable): // it has its meaning
		return nil
	case errors.Is(err, pgx.ErrNoRows):
		return registry.ErrNotFound
	case errors.As(err, &pgErr):
		return meaningOf(pgErr)
	case isCutOff(err):
		return registry.ErrUnavailable
	}
	return nil
}

func meaningOf(e *pgconn.PgError) error {
	switch e.Code {
	case uniqueViolation:
		if means, known := unique[e.ConstraintName]; known {
			return means
		}
		return registry.ErrDuplicate
	case foreignKeyViolation:
		return registry.ErrNoParent
	case readOnlyTransaction,
		idleInTransaction,
		transactionTimeout,
		serialization,
		deadlock,
		undefinedTable,
		undefinedFunction,
		stalePlan,
		lockNotAvailable,
		queryCanceled:
		return registry.ErrUnavailable
	}
	for _, class := range []string{"08", "53", "57P"} { // the connection; out of something; the operator intervenes
		if strings.HasPrefix(e.Code, class) {
			return registry.ErrUnavailable
		}
	}
	return nil
}

// isCutOff reports whether the server did not answer: the connection broke, or the deadline passed.
func isCutOff(err error) bool {
	var network net.Error
	if errors.As(err, &network) {
		return true
	}
	for _, is := range []error{
		io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, pgconn.ErrConnClosed, context.Canceled, context.DeadlineExceeded,
	} {
		if errors.Is(err, is) {
			return true
		}
	}
	return false
}

// isLost reports whether the connection had broken, which says nothing about the next one.
func isLost(err error) bool {
	if err == nil || errors.Is(err, registry.ErrUnavailable) {
		return false // there was no connection at all
	}
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) {
		return strings.HasPrefix(pgErr.Code, "57P")
	}
	var network net.Error
	timeout := errors.As(err, &network) && network.Timeout()
	return isCutOff(err) && !timeout && !errors.Is(err, context.Canceled)
}

// isContention reports whether the server gave up a transaction in favour of another one, or because a statement was
// prepared before SQL changed a column, so that it may succeed the next time.
func isContention(err error) bool { return hasCode(err, serialization, deadlock, stalePlan) }

// isReadOnly reports whether the server takes no writes, on any connection.
func isReadOnly(err error) bool { return hasCode(err, readOnlyTransaction) }

func hasCode(err error, codes ...string) bool {
	var pgErr *pgconn.PgError
	if !errors.As(err, &pgErr) {
		return false
	}
	for _, code := range codes {
		if pgErr.Code == code {
			return true
		}
	}
	return false
}
