package registry_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

// verdict is what verify says of a key's text: the code and which secret it is.
func (w *world) verdict(text string) string {
	w.t.Helper()
	v, err := w.s.Verify(w.ctx, w.by, registry.VerifyQuery{Key: text})
	w.must(err)
	return strings.TrimSpace(string(v.Code) + " " + string(v.Secret))
}

// verdicts checks what verify says of several texts.
func (w *world) verdicts(texts []string, want ...string) {
	w.t.Helper()
	var got []string
	for _, text := range texts {
		got = append(got, w.verdict(text))
	}
	if !reflect.DeepEqual(got, want) {
		w.t.Errorf("verify says %q, want %q", got, want)
	}
}

func (w *world) rotate(id uuid.UUID, overlap time.Duration) (registry.APIKey, string) {
	w.t.Helper()
	k, text, err := w.s.RotateAPIKey(w.ctx, w.by, id, new(int64(overlap/time.Second)))
	w.must(err)
	return k, text
}

func TestRotateAPIKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	acme := w.tenant("acme", registry.StatusActive)
	before, first := w.key(registry.NewAPIKey{TenantID: acme.ID, Environment: registry.Test, Scopes: []string{"a"}, ExpiresAt: at(90 * 24 * time.Hour)})
	w.sleep(time.Hour)
	events := len(w.log())
	got, second, err := w.s.RotateAPIKey(w.ctx, w.by, before.ID, nil)
	w.must(err)
	want := before
	want.Hash, want.Prefix, want.PreviousHash, want.PreviousEndsAt = sha256.Sum256([]byte(second)), second[:12], before.Hash, at(25*time.Hour)
	want.RotatedAt, want.UpdatedAt, want.Version = at(time.Hour), *at(time.Hour), 2
	stored, err := w.s.APIKey(w.ctx, w.by, before.ID)
	w.must(err)
	if !reflect.DeepEqual(got, want) || !reflect.DeepEqual(stored, want) || !strings.HasPrefix(second, "bp_test_") || second == first {
		t.Errorf("rotated %+v\nstored  %+v\nwant    %+v", got, stored, want)
	}
	e := w.last()
	if n := len(w.log()) - events; n != 1 || e.Action != "api_key.rotate" || e.CRUD != registry.Update || e.Target.ID != before.ID.String() {
		t.Errorf("%d events, the last %+v", n, e)
	}
	w.fields(e, map[string]string{
		"before.prefix": `"` + first[:12] + `"`, "after.prefix": `"` + second[:12] + `"`, "after.previous_ends_at": `"2026-05-05T13:00:00.000000Z"`,
	})
	w.verdicts([]string{first, second}, "VALID previous", "VALID current")
	w.sleep(24*time.Hour - time.Microsecond)
	w.verdicts([]string{first, second}, "VALID previous", "VALID current")
	w.sleep(time.Microsecond)
	w.verdicts([]string{first, second}, "EXPIRED previous", "VALID current")
}

func TestRotateAPIKey_again(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	acme := w.tenant("acme", registry.StatusActive)
	k, first := w.key(registry.NewAPIKey{TenantID: acme.ID})
	_, lost := w.rotate(k.ID, time.Hour)
	w.sleep(time.Minute)
	again, second := w.rotate(k.ID, 48*time.Hour)
	if !again.PreviousEndsAt.Equal(*at(time.Hour)) || again.Version != 3 {
		t.Errorf("the previous secret ends at %s, and not when it was to", again.PreviousEndsAt)
	}
	w.verdicts([]string{first, lost, second}, "VALID previous", "NOT_FOUND", "VALID current")

	w.sleep(time.Hour) // the overlap has ended: the next rotation is the first of another
	_, third := w.rotate(k.ID, time.Hour)
	w.verdicts([]string{first, lost, second, third}, "NOT_FOUND", "NOT_FOUND", "VALID previous", "VALID current")

	ended, fourth := w.rotate(k.ID, 0)
	w.verdicts([]string{second, third, fourth}, "NOT_FOUND", "EXPIRED previous", "VALID current")
	if !ended.PreviousEndsAt.Equal(*ended.RotatedAt) {
		t.Errorf("with no overlap the old secret ends at %s, not at %s", ended.PreviousEndsAt, ended.RotatedAt)
	}
	_, fifth := w.rotate(k.ID, registry.MaxOverlap*time.Second)
	w.verdicts([]string{third, fourth, fifth}, "NOT_FOUND", "VALID previous", "VALID current")
	w.sleep(registry.MaxOverlap*time.Second - 1)
	w.verdicts([]string{fourth, fifth}, "VALID previous", "VALID current")
}

func TestRotateAPIKey_whenWasTheOldOneUsed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	acme := w.tenant("acme", registry.StatusActive)
	k, _ := w.key(registry.NewAPIKey{TenantID: acme.ID})
	use := func(hash registry.Hash, d time.Duration) {
		w.tx(func(tx registry.Tx) error {
			return tx.TouchAPIKeys(w.ctx, []registry.KeyUse{{ID: k.ID, Hash: hash, At: *at(d)}})
		})
	}
	check := func(what string, k registry.APIKey, last, previous *time.Time) {
		t.Helper()
		if !reflect.DeepEqual(k.LastUsedAt, last) || !reflect.DeepEqual(k.PreviousUsedAt, previous) {
			t.Errorf("%s: used %v, by the previous secret %v; want %v, %v", what, k.LastUsedAt, k.PreviousUsedAt, last, previous)
		}
	}
	one, _ := w.rotate(k.ID, 0)
	check("never used", one, nil, nil)
	use(one.Hash, time.Minute)
	two, _ := w.rotate(k.ID, time.Hour)
	check("used", two, at(time.Minute), at(time.Minute))
	use(two.PreviousHash, 2*time.Minute)
	three, _ := w.rotate(k.ID, time.Hour) // replaces the current one only
	check("the previous one goes on", three, at(2*time.Minute), at(2*time.Minute))
	four, _ := w.rotate(k.ID, 0)
	check("it is not known", four, at(2*time.Minute), nil)
}

func TestRotateAPIKey_edges(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	acme := w.tenant("acme", registry.StatusActive)
	k, _ := w.key(registry.NewAPIKey{TenantID: acme.ID})
	for _, overlap := range []int64{-1, registry.MaxOverlap + 1, 365 * 24 * 3600, 1<<63 - 1, -1 << 63} {
		_, text, err := w.s.RotateAPIKey(w.ctx, w.by, k.ID, &overlap)
		w.blames(w.refusal(err, registry.Invalid, registry.CodeInvalid), "/overlap_seconds")
		if text != "" {
			t.Error("a refusal came with a secret")
		}
	}
	_, _, err := w.s.RotateAPIKey(w.ctx, w.by, uuid.New(), nil)
	w.refusal(err, registry.NotFound, registry.CodeAPIKeyNotFound)
	_, err = w.s.CancelTenant(w.ctx, w.by, acme.ID)
	w.must(err)
	_, frozen := w.rotate(k.ID, 0)
	w.verdicts([]string{frozen}, "TENANT_FROZEN current")
	_, err = w.s.RevokeAPIKey(w.ctx, w.by, k.ID, "")
	w.must(err)
	_, text, err := w.s.RotateAPIKey(w.ctx, w.by, k.ID, nil)
	w.refusal(err, registry.Conflict, registry.CodeAPIKeyRevoked)
	if text != "" {
		t.Error("a refusal came with a secret")
	}
}

func TestUpdateAPIKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	acme := w.tenant("acme", registry.StatusActive)
	k, text := w.key(registry.NewAPIKey{TenantID: acme.ID, Name: "old", Scopes: []string{"a"}, ExpiresAt: at(time.Hour)})
	w.sleep(time.Minute)
	events := len(w.log())
	update := func(c registry.KeyChange) registry.APIKey {
		t.Helper()
		got, err := w.s.UpdateAPIKey(w.ctx, w.by, k.ID, c)
		w.must(err)
		return got
	}
	for _, same := range []registry.KeyChange{
		{}, {IfVersion: []int64{7, 1}}, {Name: new("old"), Scopes: []string{"a"}, ExpiresAt: new(at(time.Hour).Add(999)), Disabled: new(false)},
	} {
		if got := update(same); !reflect.DeepEqual(got, k) {
			t.Errorf("%+v changes it to %+v", same, got)
		}
	}
	if n := len(w.log()) - events; n != 0 {
		t.Errorf("changing nothing left %d events", n)
	}
	want := k
	want.Name, want.Scopes, want.ExpiresAt, want.Disabled, want.UpdatedAt, want.Version = "new", []string{}, nil, true, *at(time.Minute), 2
	got := update(registry.KeyChange{Name: new("new"), Scopes: []string{}, NoExpiry: true, Disabled: new(true), IfVersion: []int64{1}})
	stored, err := w.s.APIKey(w.ctx, w.by, k.ID)
	w.must(err)
	if !reflect.DeepEqual(got, want) || !reflect.DeepEqual(stored, want) {
		t.Errorf("changed %+v\nstored  %+v\nwant    %+v", got, stored, want)
	}
	w.fields(w.last(), map[string]string{
		"before.name": `"old"`, "after.name": `"new"`, "before.scopes": `["a"]`, "before.expires_at": `"2026-05-04T13:00:00.000000Z"`,
		"before.disabled": "false", "after.disabled": "true",
	})
	if e := w.last(); e.Action != "api_key.update" || e.CRUD != registry.Update || len(w.log())-events != 1 {
		t.Errorf("%d events, the last %+v", len(w.log())-events, e)
	}
	w.verdicts([]string{text}, "DISABLED current")
	update(registry.KeyChange{Disabled: new(false)})
	w.verdicts([]string{text}, "VALID current")
}

func TestUpdateAPIKey_refused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	acme := w.tenant("acme", registry.StatusActive)
	k, _ := w.key(registry.NewAPIKey{TenantID: acme.ID})
	events := len(w.log())
	for where, c := range map[string]registry.KeyChange{
		"/name": {Name: new(" ")}, "/scopes/0": {Scopes: []string{"No"}}, "/expires_at": {ExpiresAt: at(0)},
	} {
		_, err := w.s.UpdateAPIKey(w.ctx, w.by, k.ID, c)
		w.blames(w.refusal(err, registry.Invalid, registry.CodeInvalid), where)
	}
	for _, versions := range [][]int64{{}, {2}, {0, 3}} {
		_, err := w.s.UpdateAPIKey(w.ctx, w.by, k.ID, registry.KeyChange{Name: new("new"), IfVersion: versions})
		w.refusal(err, registry.Outdated, registry.CodePrecondition)
	}
	_, err := w.s.UpdateAPIKey(w.ctx, w.by, uuid.New(), registry.KeyChange{Name: new("new")})
	w.refusal(err, registry.NotFound, registry.CodeAPIKeyNotFound)
	if n := len(w.log()) - events; n != 0 {
		t.Errorf("refusals left %d events", n)
	}
	_, err = w.s.RevokeAPIKey(w.ctx, w.by, k.ID, "")
	w.must(err)
	for _, c := range []registry.KeyChange{{}, {Name: new("new")}} {
		_, err = w.s.UpdateAPIKey(w.ctx, w.by, k.ID, c)
		w.refusal(err, registry.Conflict, registry.CodeAPIKeyRevoked)
	}
}

func TestSelfRevoke(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	acme := w.tenant("acme", registry.StatusActive)
	k, first := w.key(registry.NewAPIKey{TenantID: acme.ID})
	_, second := w.rotate(k.ID, time.Hour)
	w.sleep(time.Minute)
	events := len(w.log())
	revoke := func(text string, left int) {
		t.Helper()
		for range 2 { // a repeat leaves nothing more
			w.must(w.s.SelfRevoke(w.ctx, registry.Caller{Actor: registry.Party{ID: "liar"}, SourceIP: "192.0.2.66", RequestID: "req-9"}, text))
		}
		if n := len(w.log()) - events; n != left {
			t.Errorf("there are %d events, want %d", n, left)
		}
	}
	for _, nothing := range []string{"", "no key", first[:56], strings.Repeat("x", 10<<20), first + " ", "bp_test_00000000000000000000000000000000000000000000R30v6"} {
		revoke(nothing, 0)
	}
	w.verdicts([]string{first, second}, "VALID previous", "VALID current")
	revoke(first, 1)
	w.verdicts([]string{first, second}, "EXPIRED previous", "VALID current")
	e := w.last()
	w.fields(e, map[string]string{
		"secret": `"previous"`, "before.previous_ends_at": `"2026-05-04T13:00:00.000000Z"`, "after.previous_ends_at": `"2026-05-04T12:01:00.000000Z"`,
	})
	if e.Action != "api_key.revoke" || !e.IsAnonymous || !reflect.DeepEqual(e.Actor, registry.Party{}) || e.SourceIP != "192.0.2.66" || e.CorrelationID != "req-9" {
		t.Errorf("event %+v", e)
	}
	_, err := w.s.CancelTenant(w.ctx, w.by, acme.ID) // keys of a frozen tenant leak as well
	w.must(err)
	revoke(second, 3)
	w.verdicts([]string{first, second}, "REVOKED previous", "REVOKED current")
	e = w.last()
	w.fields(e, map[string]string{"secret": `"current"`, "after.revoked_at": `"2026-05-04T12:01:00.000000Z"`})
	got, err := w.s.APIKey(w.ctx, w.by, k.ID)
	w.must(err)
	if e.Action != "api_key.revoke" || e.CRUD != registry.Delete || !e.IsAnonymous || got.RevokedBy != "self" || got.Version != 4 {
		t.Errorf("event %+v of %+v", e, got)
	}
	revoke(first, 3)
}

// What cannot be a key asks no store.
func TestSelfRevoke_garbageReachesNoStore(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ended, cancel := context.WithCancel(w.ctx)
	cancel()
	good := "bp_test_00000000000000000000000000000000000000000000R30v6"
	if err := w.s.SelfRevoke(ended, w.by, good); !errors.Is(err, context.Canceled) {
		t.Fatalf("a key that there might be: %v", err)
	}
	for _, garbage := range []string{"", "x", good[:56] + "7", good + " ", "bp_prod" + good[7:], strings.ToUpper(good), "ключ"} {
		if err := w.s.SelfRevoke(ended, w.by, garbage); err != nil {
			t.Errorf("%q asks the store: %v", garbage, err)
		}
	}
}
