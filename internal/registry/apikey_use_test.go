package registry_test

import (
	"crypto/sha256"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

func TestCreateAPIKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	acme := w.tenant("acme", registry.StatusActive)
	w.product("scanner")
	expires, scopes := time.Date(2027, 1, 1, 1, 0, 0, 1999, time.FixedZone("", 3600)), []string{"a:read"}
	k, text, err := w.s.CreateAPIKey(w.ctx, w.by, registry.NewAPIKey{
		TenantID: acme.ID, Name: "ci", Environment: registry.Test, Product: "scanner", Scopes: scopes, ExpiresAt: &expires,
	})
	w.must(err)
	want := registry.APIKey{
		ID: k.ID, TenantID: acme.ID, Name: "ci", Environment: registry.Test, Product: "scanner", Scopes: []string{"a:read"},
		Prefix: text[:12], Hash: sha256.Sum256([]byte(text)), ExpiresAt: new(time.Date(2027, 1, 1, 0, 0, 0, 1000, time.UTC)),
		CreatedBy: "op-1", CreatedAt: noon, UpdatedAt: noon, Version: 1,
	}
	if !strings.HasPrefix(text, "bp_test_") || k.ID.Version() != 7 || !reflect.DeepEqual(k, want) {
		t.Errorf("made %+v\nwant %+v", k, want)
	}
	scopes[0], k.Scopes[0], *k.ExpiresAt = "changed", "changed", noon
	stored, err := w.keys(acme.ID)
	w.must(err)
	if len(stored) != 1 || !reflect.DeepEqual(stored[0], want) {
		t.Errorf("stored %+v\nwant %+v", stored, want)
	}
	e := w.last()
	if e.Action != "api_key.create" || e.CRUD != registry.Create || e.GroupID != acme.ID ||
		!reflect.DeepEqual(e.Target, registry.Party{ID: k.ID.String(), Name: text[:12], Type: "api_key"}) {
		t.Errorf("event %+v", e)
	}
	w.fields(e, map[string]string{
		"after.name": `"ci"`, "after.environment": `"test"`, "after.product": `"scanner"`, "after.scopes": `["a:read"]`, "after.expires_at": `"2027-01-01T00:00:00.000001Z"`,
	})

	least, text, err := w.s.CreateAPIKey(w.ctx, w.by, registry.NewAPIKey{TenantID: acme.ID, Name: "least"})
	w.must(err)
	if least.Environment != registry.Live || !strings.HasPrefix(text, "bp_live_") || least.Scopes == nil || least.ExpiresAt != nil {
		t.Errorf("the least key is %+v", least)
	}
}

// The text of a key is in the answer to its creation and nowhere else.
func TestAPIKey_textIsNowhere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	acme := w.tenant("acme", registry.StatusActive)
	k, text := w.key(registry.NewAPIKey{TenantID: acme.ID})
	v, err := w.s.Verify(w.ctx, w.by, registry.VerifyQuery{Key: text})
	w.must(err)
	_, err = w.s.RevokeAPIKey(w.ctx, w.by, k.ID, "lost")
	w.must(err)
	all := w.dump(acme.ID) + fmt.Sprintf("%+v %+v", k, v)
	if !strings.Contains(all, text[:12]) {
		t.Fatal("not even the prefix is there, so this test looks in the wrong place")
	}
	if strings.Contains(all, text[:13]) || strings.Contains(all, text[20:]) {
		t.Error("more of the key than its first 12 characters was kept")
	}
}

func TestCreateAPIKey_refused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	acme, frozen := w.tenant("acme", registry.StatusActive), w.tenant("cold", registry.StatusFrozen)
	events := len(w.log())
	_, _, err := w.s.CreateAPIKey(w.ctx, w.by, registry.NewAPIKey{TenantID: uuid.New(), Name: "k"})
	w.blames(w.refusal(err, registry.NotFound, registry.CodeTenantNotFound), "/tenant_id")
	_, _, err = w.s.CreateAPIKey(w.ctx, w.by, registry.NewAPIKey{TenantID: frozen.ID, Name: "k"})
	w.blames(w.refusal(err, registry.Conflict, registry.CodeTenantFrozen), "/tenant_id")
	k, text, err := w.s.CreateAPIKey(w.ctx, w.by, registry.NewAPIKey{TenantID: acme.ID, Name: "k", Product: "unheard-of"})
	w.blames(w.refusal(err, registry.NotFound, registry.CodeProductNotFound), "/product")
	if text != "" || !reflect.DeepEqual(k, registry.APIKey{}) {
		t.Errorf("a refusal came with %+v and %q", k, text)
	}
	if len(w.log()) != events {
		t.Errorf("refusals left %d events", len(w.log())-events)
	}
}

func TestCreateAPIKey_atMost(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *registry.Options) { o.MaxKeys = 2 })
	acme, other := w.tenant("acme", registry.StatusActive), w.tenant("other", registry.StatusActive)
	first, _ := w.key(registry.NewAPIKey{TenantID: acme.ID})
	w.key(registry.NewAPIKey{TenantID: acme.ID, ExpiresAt: at(time.Minute)})
	w.sleep(time.Hour) // what has expired still counts
	_, _, err := w.s.CreateAPIKey(w.ctx, w.by, registry.NewAPIKey{TenantID: acme.ID, Name: "third"})
	w.refusal(err, registry.Conflict, registry.CodeTooManyKeys)
	w.key(registry.NewAPIKey{TenantID: other.ID})
	_, err = w.s.RevokeAPIKey(w.ctx, w.by, first.ID, "")
	w.must(err)
	w.key(registry.NewAPIKey{TenantID: acme.ID})
}

func TestRevokeAPIKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	acme := w.tenant("acme", registry.StatusActive)
	k, text := w.key(registry.NewAPIKey{TenantID: acme.ID})
	w.sleep(time.Hour)
	events := len(w.log())
	revoked, err := w.s.RevokeAPIKey(w.ctx, w.by, k.ID, "the laptop\nwas lost")
	w.must(err)
	want := k
	want.RevokedAt, want.RevokedBy, want.RevokeReason, want.UpdatedAt = at(time.Hour), "op-1", "the laptop\nwas lost", *at(time.Hour)
	want.Version++
	if !reflect.DeepEqual(revoked, want) {
		t.Errorf("revoked %+v\nwant    %+v", revoked, want)
	}
	w.fields(w.last(), map[string]string{"after.revoked_at": `"2026-05-04T13:00:00.000000Z"`, "after.revoke_reason": `"the laptop\nwas lost"`})
	if v, err := w.s.Verify(w.ctx, w.by, registry.VerifyQuery{Key: text}); err != nil || v.Code != registry.KeyRevoked {
		t.Errorf("verify says %s (%v)", v.Code, err)
	}

	w.sleep(time.Hour)
	w.by.Actor.ID = "op-2"
	again, err := w.s.RevokeAPIKey(w.ctx, w.by, k.ID, "another reason")
	w.must(err)
	if !reflect.DeepEqual(again, want) {
		t.Errorf("the second time it is %+v\nwant %+v", again, want)
	}
	if n := len(w.log()) - events; n != 1 || w.last().Action != "api_key.revoke" || w.last().CRUD != registry.Delete {
		t.Errorf("revoking twice left %d events, the last %s", n, w.last().Action)
	}
}

func TestRevokeAPIKey_edges(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	acme := w.tenant("acme", registry.StatusActive)
	k, _ := w.key(registry.NewAPIKey{TenantID: acme.ID})
	_, err := w.s.RevokeAPIKey(w.ctx, w.by, uuid.New(), "")
	w.refusal(err, registry.NotFound, registry.CodeAPIKeyNotFound)
	for _, reason := range []string{strings.Repeat("x", 2001), "\x00", "\xff", "a\u202eb", strings.Repeat("\x00", 2001)} {
		_, err = w.s.RevokeAPIKey(w.ctx, w.by, k.ID, reason)
		w.blames(w.refusal(err, registry.Invalid, registry.CodeInvalid), "reason")
	}
	_, err = w.s.CancelTenant(w.ctx, w.by, acme.ID)
	w.must(err)
	// A frozen tenant's keys can be revoked, and the longest reason fits into the event.
	revoked, err := w.s.RevokeAPIKey(w.ctx, w.by, k.ID, strings.Repeat("ä", 2000))
	w.must(err)
	if revoked.RevokedAt == nil || !strings.HasPrefix(w.last().Fields["after.revoke_reason"], "sha256:") {
		t.Errorf("%+v leaves %v", revoked, w.last().Fields)
	}
}

// keys are the newest ten keys of a tenant.
func (w *world) keys(tenant uuid.UUID) ([]registry.APIKey, error) {
	page, err := w.s.APIKeys(w.ctx, w.by, registry.KeyQuery{TenantID: tenant, Limit: 10})
	return page.Keys, err
}

func TestAPIKeys_pages(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	acme, empty := w.tenant("acme", registry.StatusActive), w.tenant("empty", registry.StatusFrozen)
	var want []uuid.UUID
	for range 5 {
		k, _ := w.key(registry.NewAPIKey{TenantID: acme.ID})
		want = append([]uuid.UUID{k.ID}, want...)
	}
	for limit := 1; limit <= 6; limit++ {
		var got []uuid.UUID
		before := uuid.Nil
		for range 10 {
			page, err := w.s.APIKeys(w.ctx, w.by, registry.KeyQuery{TenantID: acme.ID, Before: before, Limit: limit})
			w.must(err)
			if len(page.Keys) > limit || (page.Next != uuid.Nil && len(page.Keys) < limit) {
				t.Fatalf("%d keys of %d, and the next are before %s", len(page.Keys), limit, page.Next)
			}
			for _, k := range page.Keys {
				got = append(got, k.ID)
			}
			if before = page.Next; before == uuid.Nil {
				break
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("pages of %d: %v, want %v", limit, got, want)
		}
	}
	if keys, err := w.keys(empty.ID); err != nil || keys == nil || len(keys) > 0 {
		t.Errorf("a tenant without keys: %v, %v", keys, err)
	}
	_, err := w.keys(uuid.New())
	w.blames(w.refusal(err, registry.NotFound, registry.CodeTenantNotFound), "tenant_id")
}
