package registry_test

import (
	"testing"
	"time"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

// The clock of a machine may stand in any zone and count nanoseconds; what is answered and stored is UTC in
// microseconds.
func TestService_timesAreUTCInMicroseconds(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.now = time.Date(2026, 1, 1, 0, 30, 0, 123_456_789, time.FixedZone("", 2*3600))
	want := time.Date(2025, 12, 31, 22, 30, 0, 123_456_000, time.UTC)
	made := f.tenant("acme", registry.StatusFrozen)
	for name, got := range map[string]time.Time{
		"created": made.CreatedAt, "updated": made.UpdatedAt, "activated": *made.ActivatedAt, "frozen": *made.FrozenAt,
		"event created": f.last().Created, "event received": f.last().Received,
	} {
		if got != want {
			t.Errorf("%s: %#v, want %#v", name, got, want)
		}
	}
}
