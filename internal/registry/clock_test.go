package registry_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/store/memory"
	"github.com/breakpilot/tenant-registry/internal/testkit"
)

// replicas are two services on one store, of which the second has a clock that is half a minute behind.
func replicas(t *testing.T) (ahead, behind *fixture) {
	t.Helper()
	store := memory.New()
	ahead, behind = fixtureOn(t, store), fixtureOn(t, store)
	behind.sleep(-30 * time.Second)
	return ahead, behind
}

// What an action ended has ended on every replica, whatever was changed since by one whose clock is behind.
func TestClocks_endedSecretStaysEnded(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(f *fixture, k registry.APIKey, old string){
		"rotation without overlap": func(f *fixture, k registry.APIKey, _ string) { f.rotate(k.ID, 0) },
		"self-revoked": func(f *fixture, k registry.APIKey, old string) {
			f.rotate(k.ID, time.Hour)
			f.must(second(f.s.SelfRevoke(f.ctx, f.by, old)))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ahead, behind := replicas(t)
			k, old := ahead.key(registry.APIKeyInput{TenantID: ahead.tenant("acme", registry.StatusActive).ID})
			end(ahead, k, old)
			behind.verdicts([]string{old}, "EXPIRED previous")
			patch := registry.APIKeyPatch{Name: registry.Optional[string]{Present: true, Value: "another"}}
			patched, err := testkit.Value(behind.s.UpdateAPIKey(behind.ctx, behind.by, k.ID, patch))
			behind.must(err)
			behind.verdicts([]string{old}, "EXPIRED previous")
			if patched.UpdatedAt.Before(noon) {
				t.Errorf("updated_at went back to %s", patched.UpdatedAt)
			}
		})
	}
}

// The times of a row never go backwards.
func TestClocks_timesNeverGoBackwards(t *testing.T) {
	t.Parallel()
	ahead, behind := replicas(t)
	acme := ahead.tenant("acme", registry.StatusTrial)
	active, err := testkit.Value(behind.s.ActivateTenant(behind.ctx, behind.by, acme.ID))
	behind.must(err)
	frozen, err := testkit.Value(behind.s.CancelTenant(behind.ctx, behind.by, acme.ID))
	behind.must(err)
	other := ahead.tenant("globex", registry.StatusActive)
	k, _ := ahead.key(registry.APIKeyInput{TenantID: other.ID})
	rotated, _ := behind.rotate(k.ID, 0)
	revoked, err := testkit.Value(behind.s.RevokeAPIKey(behind.ctx, behind.by, k.ID, ""))
	behind.must(err)
	for what, at := range map[string]time.Time{
		"activated": *active.ActivatedAt, "tenant updated": active.UpdatedAt, "frozen": *frozen.FrozenAt,
		"rotated": *rotated.RotatedAt, "key updated": rotated.UpdatedAt, "revoked": *revoked.RevokedAt,
	} {
		if at.Before(noon) {
			t.Errorf("%s at %s, before the row was written", what, at)
		}
	}
}

// A source that began when it was created counts on every replica; a scheduled one begins by the clock.
func TestClocks_sourceThatBeginsAtOnce(t *testing.T) {
	t.Parallel()
	ahead, behind := replicas(t)
	acme := ahead.tenant("acme", registry.StatusActive)
	ahead.product("widgets")
	granted, err := testkit.Value(ahead.s.Grant(ahead.ctx, ahead.by, acme.ID, "widgets", registry.SourceGrant))
	ahead.must(err)
	if state := granted.StateAt(noon.Add(-30 * time.Second)); state != registry.StateActive {
		t.Errorf("on a replica whose clock is behind the grant is %s", state)
	}
	granted.StartsAt = noon.Add(time.Hour)
	if state := granted.StateAt(noon); state != registry.StateScheduled {
		t.Errorf("a grant that begins later is %s", state)
	}
	_, text := ahead.key(registry.APIKeyInput{TenantID: acme.ID})
	asked := registry.VerifyQuery{Key: text, Product: "widgets"}
	v, err := behind.s.Verify(behind.ctx, behind.by, asked, registry.ReadOptions{})
	behind.must(err)
	if !v.Valid() {
		t.Errorf("on a replica whose clock is behind the key is %s", v.Code)
	}
}

// The request that comes first waits for no longer than its own context, and its events are not placed when it has
// gone.
func TestAppender_firstIsAnsweredInItsTime(t *testing.T) {
	t.Parallel()
	s := newGated()
	f := fixtureOn(t, s)
	gate := make(chan struct{})
	s.gate = gate
	ctx, cancel := context.WithCancel(f.ctx)
	answered := make(chan error, 1)
	go func() {
		_, err := f.s.RecordEvent(ctx, f.by, reported(uuid.Nil))
		answered <- err
	}()
	<-s.started // its transaction waits
	cancel()
	if err := <-answered; !errors.Is(err, registry.ErrUnavailable) {
		t.Errorf("the first is answered %v", err)
	}
	s.mu.Lock()
	s.gate = nil
	s.mu.Unlock()
	close(gate)
	_, err := f.s.RecordEvent(f.ctx, f.by, reported(uuid.Nil))
	f.must(err)
	if n := len(f.log()); n != 1 {
		t.Errorf("%d events, and one caller had gone", n)
	}
}
