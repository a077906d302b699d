package registry_test

import (
	"reflect"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/audit"
	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/testkit"
)

func TestUpdateAPIKey_changesCountVersions(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	acme := f.tenant("acme", registry.StatusActive)
	k, text := f.key(registry.APIKeyInput{
		TenantID: acme.ID, Name: "old", Scopes: []string{"a"}, ExpiresAt: at(time.Hour),
	})
	f.sleep(time.Minute)
	events := len(f.log())
	update := func(c registry.APIKeyPatch) registry.APIKey {
		t.Helper()
		got, err := testkit.Value(f.s.UpdateAPIKey(f.ctx, f.by, k.ID, c))
		f.must(err)
		return got
	}
	for _, same := range []registry.APIKeyPatch{
		{}, {
			Name: registry.Set("old"), Scopes: registry.Set([]string{"a"}),
			ExpiresAt: registry.Set(new(at(time.Hour).Add(999))),
			Disabled:  registry.Set(false),
		},
	} {
		if got := update(same); !reflect.DeepEqual(got, k) {
			t.Errorf("%+v changes it to %+v", same, got)
		}
	}
	if n := len(f.log()) - events; n != 0 {
		t.Errorf("changing nothing left %d events", n)
	}
	want := k
	want.Name, want.Scopes, want.ExpiresAt, want.Disabled, want.UpdatedAt, want.Version =
		"new", []string{}, nil, true, *at(time.Minute), 2
	got := update(registry.APIKeyPatch{
		Name: registry.Set("new"), Scopes: registry.Set([]string{}), ExpiresAt: registry.Null[*time.Time](),
		Disabled: registry.Set(true),
	})
	stored, err := f.s.APIKey(f.ctx, f.by, k.ID)
	f.must(err)
	if !reflect.DeepEqual(got, want) || !reflect.DeepEqual(stored, want) {
		t.Errorf("changed %+v\nstored  %+v\nwant    %+v", got, stored, want)
	}
	f.fields(f.last(), map[string]string{
		"before.name": `"old"`, "after.name": `"new"`, "before.scopes": `["a"]`,
		"before.expires_at": `"2026-05-04T13:00:00.000000Z"`,
		"before.disabled":   "false", "after.disabled": "true",
	})
	if e := f.last(); e.Action != "api_key.update" || e.CRUD != audit.Update || len(f.log())-events != 1 {
		t.Errorf("%d events, the last %+v", len(f.log())-events, e)
	}
	f.verdicts([]string{text}, "DISABLED current")
	update(registry.APIKeyPatch{Disabled: registry.Set(false)})
	f.verdicts([]string{text}, "VALID current")
}

// A key that has expired can be changed with all of its members sent back as they are, but not to another time that has
// passed.
func TestUpdateAPIKey_unchangedExpiryIsNoFault(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	k, _ := f.key(registry.APIKeyInput{TenantID: f.tenant("acme", registry.StatusActive).ID, ExpiresAt: at(time.Hour)})
	f.sleep(2 * time.Hour)
	got, err := testkit.Value(f.s.UpdateAPIKey(f.ctx, f.by, k.ID, registry.APIKeyPatch{
		Name: registry.Set("another"), ExpiresAt: registry.Set(new(at(time.Hour).Add(999))),
	}))
	f.must(err)
	if got.Name != "another" || !got.ExpiresAt.Equal(*at(time.Hour)) || got.Version != 2 {
		t.Errorf("the key is %+v", got)
	}
	for _, past := range []*time.Time{at(time.Hour - time.Second), at(time.Hour + time.Second), at(2 * time.Hour)} {
		_, err := f.s.UpdateAPIKey(f.ctx, f.by, k.ID, registry.APIKeyPatch{ExpiresAt: registry.Set(past)})
		f.blames(f.refusal(err, registry.Invalid, registry.CodeInvalid), "/expires_at")
	}
}

func TestUpdateAPIKey_refusalsLeaveNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	acme := f.tenant("acme", registry.StatusActive)
	k, _ := f.key(registry.APIKeyInput{TenantID: acme.ID})
	events := len(f.log())
	for where, c := range map[string]registry.APIKeyPatch{
		"/name": {Name: registry.Set(" ")}, "/scopes/0": {Scopes: registry.Set([]string{"No"})},
		"/expires_at": {ExpiresAt: registry.Set(at(0))},
	} {
		_, err := f.s.UpdateAPIKey(f.ctx, f.by, k.ID, c)
		f.blames(f.refusal(err, registry.Invalid, registry.CodeInvalid), where)
	}
	for _, versions := range [][]int64{{}, {2}, {0, 3}} {
		_, err := f.s.UpdateAPIKey(f.ctx, expecting(f.by, versions...), k.ID, registry.APIKeyPatch{
			Name: registry.Set("new"),
		})
		f.refusal(err, registry.PreconditionFailed, registry.CodePrecondition)
	}
	_, err := f.s.UpdateAPIKey(f.ctx, f.by, uuid.New(), registry.APIKeyPatch{Name: registry.Set("new")})
	f.refusal(err, registry.NotFound, registry.CodeAPIKeyNotFound)
	if n := len(f.log()) - events; n != 0 {
		t.Errorf("refusals left %d events", n)
	}
	_, err = f.s.RevokeAPIKey(f.ctx, f.by, k.ID, "")
	f.must(err)
	for _, c := range []registry.APIKeyPatch{{}, {Name: registry.Set("new")}} {
		_, err = f.s.UpdateAPIKey(f.ctx, f.by, k.ID, c)
		f.refusal(err, registry.Conflict, registry.CodeAPIKeyRevoked)
	}
}
