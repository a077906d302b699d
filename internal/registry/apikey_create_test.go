package registry_test

import (
	"crypto/sha256"
	"fmt"
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

func TestCreateAPIKey_storesAndRecords(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	acme := f.tenant("acme", registry.StatusActive)
	f.product("scanner")
	expires, scopes := time.Date(2027, 1, 1, 1, 0, 0, 1999, time.FixedZone("", 3600)), []string{"a:read"}
	k, text, err := testkit.Secret(f.s.CreateAPIKey(f.ctx, f.by, registry.APIKeyInput{
		TenantID: acme.ID, Name: "ci", Environment: apikey.Test, Product: "scanner", Scopes: scopes,
		ExpiresAt: &expires,
	}))
	f.must(err)
	want := registry.APIKey{
		ID: k.ID, TenantID: acme.ID, Name: "ci", Environment: apikey.Test, Product: "scanner",
		Scopes: []string{"a:read"},
		Prefix: text[:12], Hash: sha256.Sum256([]byte(text)),
		ExpiresAt: new(time.Date(2027, 1, 1, 0, 0, 0, 1000, time.UTC)),
		CreatedBy: "op-1", CreatedAt: noon, UpdatedAt: noon, Version: 1,
	}
	if !strings.HasPrefix(text, "bp_test_") || k.ID.Version() != 7 || !reflect.DeepEqual(k, want) {
		t.Errorf("made %+v\nwant %+v", k, want)
	}
	scopes[0], k.Scopes[0], *k.ExpiresAt = "changed", "changed", noon
	stored, err := f.keys(acme.ID)
	f.must(err)
	if len(stored) != 1 || !reflect.DeepEqual(stored[0], want) {
		t.Errorf("stored %+v\nwant %+v", stored, want)
	}
	e := f.last()
	if e.Action != "api_key.create" || e.CRUD != audit.Create || e.GroupID != acme.ID ||
		!reflect.DeepEqual(e.Target, audit.Party{ID: k.ID.String(), Name: text[:12], Type: "api_key"}) {
		t.Errorf("event %+v", e)
	}
	f.fields(e, map[string]string{
		"after.name": `"ci"`, "after.environment": `"test"`, "after.product": `"scanner"`, "after.scopes": `["a:read"]`,
		"after.expires_at": `"2027-01-01T00:00:00.000001Z"`,
	})

	least, text, err := testkit.Secret(f.s.CreateAPIKey(f.ctx, f.by, registry.APIKeyInput{
		TenantID: acme.ID, Name: "least",
	}))
	f.must(err)
	if least.Environment != apikey.Live || !strings.HasPrefix(text, "bp_live_") || least.Scopes == nil ||
		least.ExpiresAt != nil {
		t.Errorf("the least key is %+v", least)
	}
}

// The text of a key is in the result of its creation and nowhere else.
func TestCreateAPIKey_textIsStoredNowhere(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	acme := f.tenant("acme", registry.StatusActive)
	k, text := f.key(registry.APIKeyInput{TenantID: acme.ID})
	v, err := f.s.Verify(f.ctx, f.by, registry.VerifyQuery{Key: text}, registry.ReadOptions{})
	f.must(err)
	_, err = f.s.RevokeAPIKey(f.ctx, f.by, k.ID, "lost")
	f.must(err)
	all := f.dump(acme.ID) + fmt.Sprintf("%+v %+v", k, v)
	if !strings.Contains(all, text[:12]) {
		t.Fatal("not even the prefix is there, so this test looks in the wrong place")
	}
	if strings.Contains(all, text[:13]) || strings.Contains(all, text[20:]) {
		t.Error("more of the key than its first 12 characters is stored")
	}
}

func TestCreateAPIKey_refusalsLeaveNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	acme, frozen := f.tenant("acme", registry.StatusActive), f.tenant("cold", registry.StatusFrozen)
	events := len(f.log())
	_, _, err := testkit.Secret(f.s.CreateAPIKey(f.ctx, f.by, registry.APIKeyInput{TenantID: uuid.New(), Name: "k"}))
	f.blames(f.refusal(err, registry.NotFound, registry.CodeTenantNotFound), "/tenant_id")
	_, _, err = testkit.Secret(f.s.CreateAPIKey(f.ctx, f.by, registry.APIKeyInput{TenantID: frozen.ID, Name: "k"}))
	f.blames(f.refusal(err, registry.Conflict, registry.CodeTenantFrozen), "/tenant_id")
	k, text, err := testkit.Secret(f.s.CreateAPIKey(f.ctx, f.by, registry.APIKeyInput{
		TenantID: acme.ID, Name: "k", Product: "unheard-of",
	}))
	f.blames(f.refusal(err, registry.NotFound, registry.CodeProductNotFound), "/product")
	if text != "" || !reflect.DeepEqual(k, registry.APIKey{}) {
		t.Errorf("a refusal came with %+v and %q", k, text)
	}
	if len(f.log()) != events {
		t.Errorf("refusals left %d events", len(f.log())-events)
	}
}

// A key bound to a private product would disclose that the product exists.
func TestCreateAPIKey_privateProductIsUnknown(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	acme := f.tenant("acme", registry.StatusActive)
	f.product("secret", func(p *registry.Product) { p.Audience = registry.Private })
	create := func() error {
		_, _, err := testkit.Secret(f.s.CreateAPIKey(t.Context(), f.by, registry.APIKeyInput{
			TenantID: acme.ID, Name: "k", Product: "secret",
		}))
		return err
	}
	f.blames(f.refusal(create(), registry.NotFound, registry.CodeProductNotFound), "/product")
	if _, err := f.s.Grant(t.Context(), f.by, acme.ID, "secret", registry.SourceGrant); err != nil {
		t.Fatal(err)
	}
	f.must(create())
}

func TestCreateAPIKey_countIsBounded(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(o *registry.Options) { o.MaxKeys = 2 })
	acme, other := f.tenant("acme", registry.StatusActive), f.tenant("other", registry.StatusActive)
	first, _ := f.key(registry.APIKeyInput{TenantID: acme.ID})
	f.key(registry.APIKeyInput{TenantID: acme.ID, ExpiresAt: at(time.Minute)})
	f.sleep(time.Hour) // what has expired still counts
	_, _, err := testkit.Secret(f.s.CreateAPIKey(f.ctx, f.by, registry.APIKeyInput{TenantID: acme.ID, Name: "third"}))
	f.refusal(err, registry.Conflict, registry.CodeTooManyKeys)
	f.key(registry.APIKeyInput{TenantID: other.ID})
	_, err = f.s.RevokeAPIKey(f.ctx, f.by, first.ID, "")
	f.must(err)
	f.key(registry.APIKeyInput{TenantID: acme.ID})
}
