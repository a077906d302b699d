package registry_test

import (
	"context"
	"reflect"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

func TestCreateTenant(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	metadata := map[string]string{"team": "a & b"}
	made, err := w.s.CreateTenant(w.ctx, w.by, registry.NewTenant{
		Slug: "acme", Name: "Acme", Region: "eu", ExternalID: "crm-1", KeycloakOrgID: "org-1", Metadata: metadata,
	})
	w.must(err)
	want := registry.Tenant{
		ID: made.ID, Slug: "acme", Name: "Acme", Status: registry.StatusTrial, Region: "eu", ExternalID: "crm-1", KeycloakOrgID: "org-1",
		Metadata: map[string]string{"team": "a & b"}, Version: 1, CreatedAt: noon, UpdatedAt: noon,
	}
	if made.ID.Version() != 7 || !reflect.DeepEqual(made, want) {
		t.Errorf("made %+v\nwant %+v", made, want)
	}
	metadata["team"], made.Metadata["more"] = "changed", "by the caller"
	byID, err := w.s.Tenant(w.ctx, w.by, made.ID)
	w.must(err)
	bySlug, err := w.s.TenantBySlug(w.ctx, w.by, "acme")
	w.must(err)
	if !reflect.DeepEqual(byID, want) || !reflect.DeepEqual(bySlug, want) {
		t.Errorf("by id %+v\nby slug %+v\nwant %+v", byID, bySlug, want)
	}

	e := w.last()
	if e.Action != "tenant.create" || e.CRUD != registry.Create || e.GroupID != made.ID || e.GroupName != "Acme" ||
		!reflect.DeepEqual(e.Target, registry.Party{ID: made.ID.String(), Name: "acme", Type: "tenant"}) ||
		!reflect.DeepEqual(e.Actor, w.by.Actor) || e.SourceIP != "192.0.2.7" || e.CorrelationID != "req-1" ||
		e.Component != "tenant-registry" || e.Version != "v1.2.3" || e.Created != noon || e.Received != noon || e.EmitterID != "" {
		t.Errorf("event %+v", e)
	}
	w.fields(e, map[string]string{
		"after.slug": `"acme"`, "after.name": `"Acme"`, "after.status": `"trial"`, "after.region": `"eu"`, "after.external_id": `"crm-1"`,
		"after.keycloak_org_id": `"org-1"`, "after.metadata": `{"team":"a & b"}`,
	})
}

func TestCreateTenant_leastAndTaken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first, err := w.s.CreateTenant(w.ctx, w.by, registry.NewTenant{Slug: "one", Name: "One"})
	w.must(err)
	if first.Metadata == nil {
		t.Error("metadata that were left out are nil")
	}
	w.fields(w.last(), map[string]string{"after.slug": `"one"`, "after.name": `"One"`, "after.status": `"trial"`})

	// The external id is the caller's own, and an organisation that is not set is nobody's.
	for _, slug := range []string{"two", "three"} {
		_, err = w.s.CreateTenant(w.ctx, w.by, registry.NewTenant{Slug: slug, Name: "One", ExternalID: "same"})
		w.must(err)
	}
	_, err = w.s.CreateTenant(w.ctx, w.by, registry.NewTenant{Slug: "four", Name: "Four", KeycloakOrgID: "org"})
	w.must(err)
	events := len(w.log())
	_, err = w.s.CreateTenant(w.ctx, w.by, registry.NewTenant{Slug: "one", Name: "Other"})
	w.blames(w.refusal(err, registry.Conflict, registry.CodeSlugTaken), "/slug")
	_, err = w.s.CreateTenant(w.ctx, w.by, registry.NewTenant{Slug: "five", Name: "Five", KeycloakOrgID: "org"})
	w.blames(w.refusal(err, registry.Conflict, registry.CodeOrgTaken), "/keycloak_org_id")
	if _, err := w.s.TenantBySlug(w.ctx, w.by, "five"); err == nil {
		t.Error("a refused tenant is there")
	}
	if n := len(w.log()); n != events {
		t.Errorf("refusals left %d events", n-events)
	}
}

func TestTenant_unknown(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.tenant("acme", registry.StatusActive)
	for _, id := range []uuid.UUID{uuid.Nil, uuid.New()} {
		_, err := w.s.Tenant(w.ctx, w.by, id)
		w.refusal(err, registry.NotFound, registry.CodeTenantNotFound)
		_, err = w.s.ActivateTenant(w.ctx, w.by, id)
		w.refusal(err, registry.NotFound, registry.CodeTenantNotFound)
	}
	for _, slug := range []string{"", "acm", "acmee", "ACME", "acme\x00", "acme\xff", "www", "xn--acme", "../acme"} {
		_, err := w.s.TenantBySlug(w.ctx, w.by, slug)
		w.refusal(err, registry.NotFound, registry.CodeTenantNotFound)
	}
}

// step is one attempt to bring a tenant on.
type step struct {
	from    registry.TenantStatus
	do      func(*registry.Service, context.Context, registry.Caller, uuid.UUID) (registry.Tenant, error)
	action  string
	to      registry.TenantStatus
	allowed []registry.TenantStatus // what a refusal says; nil: it is none
}

// The whole matrix of states and steps.
func TestTransitions(t *testing.T) {
	t.Parallel()
	const trial, active, frozen = registry.StatusTrial, registry.StatusActive, registry.StatusFrozen
	activate, cancel := (*registry.Service).ActivateTenant, (*registry.Service).CancelTenant
	for _, c := range []step{
		{trial, activate, "tenant.activate", active, nil},
		{trial, cancel, "tenant.cancel", frozen, []registry.TenantStatus{active}},
		{active, activate, "tenant.activate", active, []registry.TenantStatus{frozen}},
		{active, cancel, "tenant.cancel", frozen, nil},
		{frozen, activate, "tenant.activate", active, []registry.TenantStatus{}},
		{frozen, cancel, "tenant.cancel", frozen, []registry.TenantStatus{}},
	} {
		t.Run(string(c.from)+" "+c.action, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			before := w.tenant("acme", c.from)
			events := len(w.log())
			w.sleep(time.Hour)
			after, err := c.do(w.s, w.ctx, w.by, before.ID)
			stored, readErr := w.s.Tenant(w.ctx, w.by, before.ID)
			w.must(readErr)
			if c.allowed != nil {
				c.refused(w, err)
				if !reflect.DeepEqual(stored, before) || len(w.log()) != events {
					t.Errorf("a refused step left %+v and %d events", stored, len(w.log())-events)
				}
				return
			}
			w.must(err)
			if want := c.done(before); !reflect.DeepEqual(after, want) || !reflect.DeepEqual(stored, want) {
				t.Errorf("answered %+v\nstored   %+v\nwant     %+v", after, stored, want)
			}
			if len(w.log()) != events+1 {
				t.Errorf("%d events", len(w.log())-events)
			}
			c.recorded(w)
		})
	}
}

func (c step) refused(w *world, err error) {
	w.t.Helper()
	e := w.refusal(err, registry.Conflict, registry.CodeInvalidTransition)
	if want := (map[string]any{"from": c.from, "to": c.to, "allowed": c.allowed}); !reflect.DeepEqual(e.Facts, want) {
		w.t.Errorf("facts %v, want %v", e.Facts, want)
	}
}

// done is what becomes of a tenant an hour after noon.
func (c step) done(t registry.Tenant) registry.Tenant {
	t.Status, t.Version, t.UpdatedAt = c.to, t.Version+1, *at(time.Hour)
	if c.to == registry.StatusActive {
		t.ActivatedAt = at(time.Hour)
	} else {
		t.FrozenAt = at(time.Hour)
	}
	return t
}

func (c step) recorded(w *world) {
	w.t.Helper()
	if e := w.last(); e.Action != c.action || e.CRUD != registry.Update {
		w.t.Errorf("event %+v", e)
	}
	moment := map[registry.TenantStatus]string{registry.StatusActive: "after.activated_at", registry.StatusFrozen: "after.frozen_at"}[c.to]
	w.fields(w.last(), map[string]string{
		"before.status": `"` + string(c.from) + `"`, "after.status": `"` + string(c.to) + `"`, moment: `"2026-05-04T13:00:00.000000Z"`,
	})
}

// The clock of a machine may stand in any zone and count nanoseconds; what is answered and stored is UTC in microseconds.
func TestTimes_areUTCInMicroseconds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.now = time.Date(2026, 1, 1, 0, 30, 0, 123_456_789, time.FixedZone("", 2*3600))
	want := time.Date(2025, 12, 31, 22, 30, 0, 123_456_000, time.UTC)
	made := w.tenant("acme", registry.StatusFrozen)
	for name, got := range map[string]time.Time{
		"created": made.CreatedAt, "updated": made.UpdatedAt, "activated": *made.ActivatedAt, "frozen": *made.FrozenAt,
		"event created": w.last().Created, "event received": w.last().Received,
	} {
		if got != want {
			t.Errorf("%s: %#v, want %#v", name, got, want)
		}
	}
}
