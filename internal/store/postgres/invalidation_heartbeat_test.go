package postgres

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

// renewals records what a listener passes on.
type renewals struct{ sent []time.Time }

func (*renewals) Invalidate(registry.Invalidation) {}

func (*renewals) Flush() {}

func (r *renewals) Renew(sent time.Time) { r.sent = append(r.sent, sent) }

// TestHeartbeat_isOurOwn: only a heartbeat that this replica sent, and has not received yet, renews the lease, and from
// when it was sent.
func TestHeartbeat_isOurOwn(t *testing.T) {
	t.Parallel()
	var heard renewals
	l := &listener{
		to: &heard, log: slog.New(slog.DiscardHandler), timeout: time.Minute, sent: map[string]time.Time{},
	}
	before := time.Now()
	l.remember("own")
	l.remember("given up")
	l.forget("given up") // before its commit is cancelled
	after := time.Now()
	for _, payload := range []string{"beat forged", "beat given up", "beat ", "beat 9223372036854775807"} {
		if l.apply(t.Context(), payload) || len(heard.sent) > 0 {
			t.Errorf("%q renewed the lease", payload)
		}
	}
	if !l.apply(t.Context(), "beat own") || len(heard.sent) != 1 || heard.sent[0].Before(before) ||
		heard.sent[0].After(after) {
		t.Errorf("the own heartbeat renewed %v", heard.sent)
	}
	if l.apply(t.Context(), "beat own") {
		t.Error("the same heartbeat renewed twice")
	}
	l.timeout = -1
	l.remember("late")
	l.remember("later")
	if _, known := l.sent["late"]; known {
		t.Error("heartbeats that never come back pile up")
	}
}

// TestBackOff: a pooler that drops notifications does so until its settings change; a database that commits nothing may
// commit again at any time.
func TestBackOff(t *testing.T) {
	t.Parallel()
	const wait = 100 * time.Millisecond
	for err, want := range map[error]time.Duration{
		errNotReceived: poolerBackOff, errNotCommitted: wait, errors.New("the listening connection was lost"): wait,
	} {
		if got := backOff(err, wait); got != want {
			t.Errorf("after %v it waits %s, want %s", err, got, want)
		}
	}
}

// TestReason_certificate: a certificate that does not verify is named as the cause, with the setting to change.
func TestReason_certificate(t *testing.T) {
	t.Parallel()
	cause := x509.UnknownAuthorityError{}
	why, next := reason(fmt.Errorf("failed to connect: %w", &tls.CertificateVerificationError{Err: cause}))
	if why != cause.Error() || !strings.Contains(next, "sslrootcert") {
		t.Errorf("why: %s, next: %s", why, next)
	}
}
