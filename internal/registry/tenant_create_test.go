package registry_test

import (
	"reflect"
	"testing"

	"github.com/breakpilot/tenant-registry/internal/audit"
	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/testkit"
)

func TestCreateTenant_storesAndRecords(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	metadata := map[string]string{"team": "a & b"}
	made, err := testkit.Value(f.s.CreateTenant(f.ctx, f.by, registry.TenantInput{
		Slug: "acme", Name: "Acme", Region: "eu", ExternalID: "crm-1", KeycloakOrgID: "org-1", Metadata: metadata,
	}))
	f.must(err)
	want := registry.Tenant{
		ID: made.ID, Slug: "acme", Name: "Acme", Status: registry.StatusTrial, Region: "eu", ExternalID: "crm-1",
		KeycloakOrgID: "org-1",
		Metadata:      map[string]string{"team": "a & b"}, Version: 1, CreatedAt: noon, UpdatedAt: noon,
	}
	if made.ID.Version() != 7 || !reflect.DeepEqual(made, want) {
		t.Errorf("made %+v\nwant %+v", made, want)
	}
	metadata["team"], made.Metadata["more"] = "changed", "by the caller"
	byID, err := f.s.Tenant(f.ctx, f.by, made.ID)
	f.must(err)
	bySlug, err := f.s.TenantBySlug(f.ctx, f.by, "acme", registry.ReadOptions{})
	f.must(err)
	if !reflect.DeepEqual(byID, want) || !reflect.DeepEqual(bySlug, want) {
		t.Errorf("by id %+v\nby slug %+v\nwant %+v", byID, bySlug, want)
	}

	e := f.last()
	if e.Action != "tenant.create" || e.CRUD != audit.Create || e.GroupID != made.ID || e.GroupName != "Acme" ||
		!reflect.DeepEqual(e.Target, audit.Party{ID: made.ID.String(), Name: "acme", Type: "tenant"}) ||
		!reflect.DeepEqual(e.Actor, audit.Party{ID: "op-1", Name: "operator", Type: "operator"}) ||
		e.SourceIP != "" || e.CorrelationID != "req-1" ||
		e.Component != "tenant-registry" || e.Version != "v1.2.3" || e.Created != noon || e.Received != noon ||
		e.Emitter.ID != "" {
		t.Errorf("event %+v", e)
	}
	f.fields(e, map[string]string{
		"after.slug": `"acme"`, "after.name": `"Acme"`, "after.status": `"trial"`, "after.region": `"eu"`,
		"after.external_id":     `"crm-1"`,
		"after.keycloak_org_id": `"org-1"`, "after.metadata": `{"team":"a & b"}`,
	})
}

func TestCreateTenant_uniqueValuesAreTaken(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	first, err := testkit.Value(f.s.CreateTenant(f.ctx, f.by, registry.TenantInput{Slug: "one", Name: "One"}))
	f.must(err)
	if first.Metadata == nil {
		t.Error("metadata that were left out are nil")
	}
	f.fields(f.last(), map[string]string{"after.slug": `"one"`, "after.name": `"One"`, "after.status": `"trial"`})

	// The external id is the caller's own and not unique, and neither is an organisation that is not set.
	for _, slug := range []string{"two", "three"} {
		_, err = f.s.CreateTenant(f.ctx, f.by, registry.TenantInput{Slug: slug, Name: "One", ExternalID: "same"})
		f.must(err)
	}
	_, err = f.s.CreateTenant(f.ctx, f.by, registry.TenantInput{Slug: "four", Name: "Four", KeycloakOrgID: "org"})
	f.must(err)
	events := len(f.log())
	_, err = f.s.CreateTenant(f.ctx, f.by, registry.TenantInput{Slug: "one", Name: "Other"})
	f.blames(f.refusal(err, registry.Conflict, registry.CodeSlugTaken), "/slug")
	_, err = f.s.CreateTenant(f.ctx, f.by, registry.TenantInput{Slug: "five", Name: "Five", KeycloakOrgID: "org"})
	f.blames(f.refusal(err, registry.Conflict, registry.CodeOrgTaken), "/keycloak_org_id")
	if _, err := f.s.TenantBySlug(f.ctx, f.by, "five", registry.ReadOptions{}); err == nil {
		t.Error("a refused tenant is there")
	}
	if n := len(f.log()); n != events {
		t.Errorf("refusals left %d events", n-events)
	}
}
