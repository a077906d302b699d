package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

func violation(code, constraint string) error {
	return &pgconn.PgError{Code: code, ConstraintName: constraint}
}

// failures are errors of pgx and what they mean; nil: nothing to the registry.
var failures = []struct{ err, means error }{
	{pgx.ErrNoRows, registry.ErrNotFound},
	{violation("23505", "tenants_slug_key"), registry.ErrSlugTaken},
	{violation("23505", "tenants_keycloak_org_id_key"), registry.ErrOrgTaken},
	{violation("23505", "entitlements_trial_key"), registry.ErrTrialExists},
	{violation("23505", "catalog_requests_pending_key"), registry.ErrRequestPending},
	{violation("23505", "tenants_pkey"), registry.ErrDuplicate},
	{violation("23505", "api_keys_hash_key"), registry.ErrDuplicate},
	{violation("23505", "audit_log_group_id_seq_key"), registry.ErrDuplicate},
	{violation("23505", "audit_log_places"), registry.ErrDuplicate},
	{violation("23503", "api_keys_tenant_id_fkey"), registry.ErrNoParent},
	{violation("23514", "tenants_slug_check"), nil},
	{violation("23502", ""), nil},
	{violation("22021", ""), nil},
	{violation("22P05", ""), nil},
	{violation("22003", ""), nil},
	{violation("54001", ""), nil},
	{violation("42501", ""), nil},
	{violation("XX000", ""), nil},
	{violation("25006", ""), registry.ErrUnavailable},
	{violation("25P03", ""), registry.ErrUnavailable},
	{violation("40001", ""), registry.ErrUnavailable},
	{violation("40P01", ""), registry.ErrUnavailable},
	{violation("42P01", ""), registry.ErrUnavailable},
	{violation("42883", ""), registry.ErrUnavailable},
	{violation("53300", ""), registry.ErrUnavailable},
	{violation("55P03", ""), registry.ErrUnavailable},
	{violation("57014", ""), registry.ErrUnavailable},
	{violation("57P01", ""), registry.ErrUnavailable},
	{violation("57P02", ""), registry.ErrUnavailable},
	{violation("57P03", ""), registry.ErrUnavailable},
	{violation("08006", ""), registry.ErrUnavailable},
	{io.EOF, registry.ErrUnavailable},
	{io.ErrUnexpectedEOF, registry.ErrUnavailable},
	{pgconn.ErrConnClosed, registry.ErrUnavailable},
	{&net.OpError{Op: "read", Err: os.NewSyscallError("read", syscall.ECONNRESET)}, registry.ErrUnavailable},
	{context.DeadlineExceeded, registry.ErrUnavailable},
	{context.Canceled, registry.ErrUnavailable},
	{errors.New("cannot encode"), nil},
}

func TestFailure(t *testing.T) {
	t.Parallel()
	for _, c := range failures {
		err := failure("do", fmt.Errorf("deeper: %w", c.err))
		if !errors.Is(err, c.err) {
			t.Errorf("%v: the cause is lost: %v", c.err, err)
		}
		all := []error{
			registry.ErrNotFound, registry.ErrNoParent, registry.ErrDuplicate, registry.ErrSlugTaken,
			registry.ErrOrgTaken,
			registry.ErrTrialExists, registry.ErrRequestPending, registry.ErrUnavailable, registry.ErrTxDoomed,
		}
		for _, sentinel := range all {
			if errors.Is(err, sentinel) != (sentinel == c.means) {
				t.Errorf("%v: %v", c.err, err)
			}
		}
	}
	if failure("do", nil) != nil {
		t.Error("nothing is a failure")
	}
}

func TestCloseOnDemotion(t *testing.T) {
	t.Parallel()
	stays := closeOnDemotion(func(*pgconn.PgConn, *pgconn.PgError) bool { return true })
	for code, want := range map[string]bool{
		"25006": false, "57P01": false, "57P02": false, "57P03": false, "57014": true, "23505": true,
	} {
		if stays(nil, &pgconn.PgError{Code: code}) != want {
			t.Errorf("%s leaves the connection open: %v, want %v", code, !want, want)
		}
	}
	if closeOnDemotion(
		func(*pgconn.PgConn, *pgconn.PgError) bool { return false },
	)(nil, &pgconn.PgError{Code: "23505"}) {
		t.Error("a connection that pgx closes stays open")
	}
}
