package registry_test

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/audit"
	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/testkit"
)

func TestRevokeAPIKey_isPermanent(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	acme := f.tenant("acme", registry.StatusActive)
	k, text := f.key(registry.APIKeyInput{TenantID: acme.ID})
	f.sleep(time.Hour)
	events := len(f.log())
	revoked, err := testkit.Value(f.s.RevokeAPIKey(f.ctx, f.by, k.ID, "the laptop\nwas lost"))
	f.must(err)
	want := k
	want.RevokedAt, want.RevokedBy, want.RevokeReason, want.UpdatedAt =
		at(time.Hour), "op-1", "the laptop\nwas lost", *at(time.Hour)
	want.Version++
	if !reflect.DeepEqual(revoked, want) {
		t.Errorf("revoked %+v\nwant    %+v", revoked, want)
	}
	f.fields(f.last(), map[string]string{
		"after.revoked_at": `"2026-05-04T13:00:00.000000Z"`, "after.revoke_reason": `"the laptop\nwas lost"`,
	})
	if v, err := f.s.Verify(f.ctx, f.by, registry.VerifyQuery{Key: text}, registry.ReadOptions{}); err != nil ||
		v.Code != registry.KeyRevoked {
		t.Errorf("verify says %s (%v)", v.Code, err)
	}

	f.sleep(time.Hour)
	f.by.Actor.ID = "op-2"
	again, err := testkit.Value(f.s.RevokeAPIKey(f.ctx, f.by, k.ID, "another reason"))
	f.must(err)
	if !reflect.DeepEqual(again, want) {
		t.Errorf("the second time it is %+v\nwant %+v", again, want)
	}
	if n := len(f.log()) - events; n != 1 || f.last().Action != "api_key.revoke" || f.last().CRUD != audit.Delete {
		t.Errorf("revoking twice left %d events, the last %s", n, f.last().Action)
	}
}

func TestRevokeAPIKey_reasonIsValidated(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	acme := f.tenant("acme", registry.StatusActive)
	k, _ := f.key(registry.APIKeyInput{TenantID: acme.ID})
	_, err := f.s.RevokeAPIKey(f.ctx, f.by, uuid.New(), "")
	f.refusal(err, registry.NotFound, registry.CodeAPIKeyNotFound)
	for _, reason := range []string{
		strings.Repeat("x", 2001), "\x00", "\xff", "a\u202eb", strings.Repeat("\x00", 2001),
	} {
		_, err = f.s.RevokeAPIKey(f.ctx, f.by, k.ID, reason)
		f.blames(f.refusal(err, registry.Invalid, registry.CodeInvalid), "reason")
	}
	_, err = f.s.CancelTenant(f.ctx, f.by, acme.ID)
	f.must(err)
	// A frozen tenant's keys can be revoked, and the longest reason fits into the event.
	revoked, err := testkit.Value(f.s.RevokeAPIKey(f.ctx, f.by, k.ID, strings.Repeat("ä", 2000)))
	f.must(err)
	if revoked.RevokedAt == nil || !strings.HasPrefix(f.last().Fields["after.revoke_reason"], "sha256:") {
		t.Errorf("%+v leaves %v", revoked, f.last().Fields)
	}
}

func TestSelfRevoke_endsTheSecretShown(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	acme := f.tenant("acme", registry.StatusActive)
	k, first := f.key(registry.APIKeyInput{TenantID: acme.ID})
	_, second := f.rotate(k.ID, time.Hour)
	f.sleep(time.Minute)
	events := len(f.log())
	revoke := func(text string, left int) {
		t.Helper()
		before := len(f.log())
		for i := range 2 { // a repeat leaves nothing more
			ended, err := f.s.SelfRevoke(
				f.ctx, registry.Caller{Actor: audit.Party{ID: "liar"}, SourceIP: "192.0.2.66", RequestID: "req-9"},
				text,
			)
			f.must(err)
			if want := i == 0 && len(f.log()) > before; ended != want {
				t.Errorf("call %d with %.60q ended a secret: %t, want %t", i, text, ended, want)
			}
		}
		if n := len(f.log()) - events; n != left {
			t.Errorf("there are %d events, want %d", n, left)
		}
	}
	for _, nothing := range []string{
		"", "no key", first[:56], strings.Repeat("x", 10<<20), first + " ",
		"bp_test_00000000000000000000000000000000000000000000R30v6",
	} {
		revoke(nothing, 0)
	}
	f.verdicts([]string{first, second}, "VALID previous", "VALID current")
	revoke(first, 1)
	f.verdicts([]string{first, second}, "EXPIRED previous", "VALID current")
	e := f.last()
	f.fields(e, map[string]string{
		"secret": `"previous"`, "before.previous_ends_at": `"2026-05-04T13:00:00.000000Z"`,
		"after.previous_ends_at": `"2026-05-04T12:01:00.000000Z"`,
	})
	if e.Action != "api_key.revoke" || !e.IsAnonymous || !reflect.DeepEqual(e.Actor, audit.Party{}) ||
		e.SourceIP != "192.0.2.66" || e.CorrelationID != "req-9" {
		t.Errorf("event %+v", e)
	}
	_, err := f.s.CancelTenant(f.ctx, f.by, acme.ID) // keys of a frozen tenant leak as well
	f.must(err)
	revoke(second, 3)
	f.verdicts([]string{first, second}, "REVOKED previous", "REVOKED current")
	e = f.last()
	f.fields(e, map[string]string{"secret": `"current"`, "after.revoked_at": `"2026-05-04T12:01:00.000000Z"`})
	got, err := f.s.APIKey(f.ctx, f.by, k.ID)
	f.must(err)
	if e.Action != "api_key.revoke" || e.CRUD != audit.Delete || !e.IsAnonymous || got.RevokedBy != "self" ||
		got.Version != 4 {
		t.Errorf("event %+v of %+v", e, got)
	}
	revoke(first, 3)
}

// What cannot be a key asks no store.
func TestSelfRevoke_malformedTextReachesNoStore(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ended, cancel := context.WithCancel(f.ctx)
	cancel()
	good := "bp_test_00000000000000000000000000000000000000000000R30v6"
	if _, err := f.s.SelfRevoke(ended, f.by, good); !errors.Is(err, context.Canceled) {
		t.Fatalf("a key that there might be: %v", err)
	}
	for _, garbage := range []string{
		"", "x", good[:56] + "7", good + " ", "bp_prod" + good[7:], strings.ToUpper(good), "ключ",
	} {
		if _, err := f.s.SelfRevoke(ended, f.by, garbage); err != nil {
			t.Errorf("%q asks the store: %v", garbage, err)
		}
	}
}
