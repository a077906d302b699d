package registry_test

import (
	"crypto/sha256"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/apikey"
	"github.com/breakpilot/tenant-registry/internal/audit"
	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/testkit"
)

func TestRotateAPIKey_previousSecretIsValidForADay(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	acme := f.tenant("acme", registry.StatusActive)
	before, first := f.key(registry.APIKeyInput{
		TenantID: acme.ID, Environment: apikey.Test, Scopes: []string{"a"}, ExpiresAt: at(90 * 24 * time.Hour),
	})
	f.sleep(time.Hour)
	events := len(f.log())
	got, second, err := testkit.Secret(f.s.RotateAPIKey(f.ctx, f.by, before.ID, nil))
	f.must(err)
	want := before
	want.Hash, want.Prefix, want.PreviousHash, want.PreviousEndsAt =
		sha256.Sum256([]byte(second)), second[:12], before.Hash, at(25*time.Hour)
	want.RotatedAt, want.UpdatedAt, want.Version = at(time.Hour), *at(time.Hour), 2
	stored, err := f.s.APIKey(f.ctx, f.by, before.ID)
	f.must(err)
	if !reflect.DeepEqual(got, want) || !reflect.DeepEqual(stored, want) || !strings.HasPrefix(second, "bp_test_") ||
		second == first {
		t.Errorf("rotated %+v\nstored  %+v\nwant    %+v", got, stored, want)
	}
	e := f.last()
	if n := len(f.log()) - events; n != 1 || e.Action != "api_key.rotate" || e.CRUD != audit.Update ||
		e.Target.ID != before.ID.String() {
		t.Errorf("%d events, the last %+v", n, e)
	}
	f.fields(e, map[string]string{
		"before.prefix": `"` + first[:12] + `"`, "after.prefix": `"` + second[:12] + `"`,
		"after.previous_ends_at": `"2026-05-05T13:00:00.000000Z"`,
	})
	f.verdicts([]string{first, second}, "VALID previous", "VALID current")
	f.sleep(24*time.Hour - time.Microsecond)
	f.verdicts([]string{first, second}, "VALID previous", "VALID current")
	f.sleep(time.Microsecond)
	f.verdicts([]string{first, second}, "EXPIRED previous", "VALID current")
}

func TestRotateAPIKey_overlapKeepsItsEnd(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	acme := f.tenant("acme", registry.StatusActive)
	k, first := f.key(registry.APIKeyInput{TenantID: acme.ID})
	_, lost := f.rotate(k.ID, time.Hour)
	f.sleep(time.Minute)
	again, second := f.rotate(k.ID, 48*time.Hour)
	if !again.PreviousEndsAt.Equal(*at(time.Hour)) || again.Version != 3 {
		t.Errorf("the previous secret ends at %s, and not when it was to", again.PreviousEndsAt)
	}
	f.verdicts([]string{first, lost, second}, "VALID previous", "NOT_FOUND", "VALID current")

	f.sleep(time.Hour) // the overlap has ended: the next rotation is the first of another
	_, third := f.rotate(k.ID, time.Hour)
	f.verdicts([]string{first, lost, second, third}, "NOT_FOUND", "NOT_FOUND", "VALID previous", "VALID current")

	ended, fourth := f.rotate(k.ID, 0)
	f.verdicts([]string{second, third, fourth}, "NOT_FOUND", "EXPIRED previous", "VALID current")
	if !ended.PreviousEndsAt.Equal(*ended.RotatedAt) {
		t.Errorf("with no overlap the old secret ends at %s, not at %s", ended.PreviousEndsAt, ended.RotatedAt)
	}
	_, fifth := f.rotate(k.ID, registry.MaxOverlap*time.Second)
	f.verdicts([]string{third, fourth, fifth}, "NOT_FOUND", "VALID previous", "VALID current")
	f.sleep(registry.MaxOverlap*time.Second - 1)
	f.verdicts([]string{fourth, fifth}, "VALID previous", "VALID current")
}

func TestRotateAPIKey_previousUsedAtIsCarriedOver(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	acme := f.tenant("acme", registry.StatusActive)
	k, _ := f.key(registry.APIKeyInput{TenantID: acme.ID})
	use := func(hash apikey.Hash, d time.Duration) {
		f.tx(func(tx registry.Tx) error {
			return tx.UpdateAPIKeyUsage(f.ctx, []registry.APIKeyUse{{ID: k.ID, Hash: hash, At: *at(d)}})
		})
	}
	check := func(what string, k registry.APIKey, last, previous *time.Time) {
		t.Helper()
		if !reflect.DeepEqual(k.LastUsedAt, last) || !reflect.DeepEqual(k.PreviousUsedAt, previous) {
			t.Errorf(
				"%s: used %v, by the previous secret %v; want %v, %v", what, k.LastUsedAt, k.PreviousUsedAt, last,
				previous,
			)
		}
	}
	one, _ := f.rotate(k.ID, 0)
	check("never used", one, nil, nil)
	use(one.Hash, time.Minute)
	two, _ := f.rotate(k.ID, time.Hour)
	check("used", two, at(time.Minute), at(time.Minute))
	use(two.PreviousHash, 2*time.Minute)
	three, _ := f.rotate(k.ID, time.Hour) // replaces the current one only
	check("the previous one goes on", three, at(2*time.Minute), at(2*time.Minute))
	four, _ := f.rotate(k.ID, 0)
	check("it is not known", four, at(2*time.Minute), nil)
}

func TestRotateAPIKey_overlapIsBounded(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	acme := f.tenant("acme", registry.StatusActive)
	k, _ := f.key(registry.APIKeyInput{TenantID: acme.ID})
	for _, overlap := range []int64{-1, registry.MaxOverlap + 1, 365 * 24 * 3600, 1<<63 - 1, -1 << 63} {
		_, text, err := testkit.Secret(f.s.RotateAPIKey(f.ctx, f.by, k.ID, &overlap))
		f.blames(f.refusal(err, registry.Invalid, registry.CodeInvalid), "/overlap_seconds")
		if text != "" {
			t.Error("a refusal came with a secret")
		}
	}
	_, _, err := testkit.Secret(f.s.RotateAPIKey(f.ctx, f.by, uuid.New(), nil))
	f.refusal(err, registry.NotFound, registry.CodeAPIKeyNotFound)
	_, err = f.s.CancelTenant(f.ctx, f.by, acme.ID)
	f.must(err)
	_, frozen := f.rotate(k.ID, 0)
	f.verdicts([]string{frozen}, "TENANT_FROZEN current")
	_, err = f.s.RevokeAPIKey(f.ctx, f.by, k.ID, "")
	f.must(err)
	_, text, err := testkit.Secret(f.s.RotateAPIKey(f.ctx, f.by, k.ID, nil))
	f.refusal(err, registry.Conflict, registry.CodeAPIKeyRevoked)
	if text != "" {
		t.Error("a refusal came with a secret")
	}
}
