package registry_test

import (
	"context"
	"reflect"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/audit"
	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/testkit"
)

// step is one attempt to bring a tenant on.
type step struct {
	from registry.TenantStatus
	do   func(*registry.Service, context.Context, registry.Caller, uuid.UUID) (
		registry.Result[registry.Tenant], error,
	)
	action  string
	to      registry.TenantStatus
	allowed []registry.TenantStatus // what a refusal says; nil: it is none
}

// The whole matrix of states and steps.
func TestTransitions_followTheStateMachine(t *testing.T) {
	t.Parallel()
	const trial, active, frozen = registry.StatusTrial, registry.StatusActive, registry.StatusFrozen
	activate, cancel := (*registry.Service).ActivateTenant, (*registry.Service).CancelTenant
	reactivate, freeze := (*registry.Service).ReactivateTenant, freezeForATest
	fromTrial, fromActive, fromFrozen := []registry.TenantStatus{active, frozen}, []registry.TenantStatus{frozen},
		[]registry.TenantStatus{active}
	for _, c := range []step{
		{trial, activate, "tenant.activate", active, nil},
		{trial, cancel, "tenant.cancel", frozen, nil},
		{trial, freeze, "tenant.freeze", frozen, nil},
		{trial, reactivate, "tenant.reactivate", active, fromTrial},
		{active, activate, "tenant.activate", active, fromActive},
		{active, cancel, "tenant.cancel", frozen, nil},
		{active, freeze, "tenant.freeze", frozen, nil},
		{active, reactivate, "tenant.reactivate", active, fromActive},
		{frozen, activate, "tenant.activate", active, fromFrozen},
		{frozen, cancel, "tenant.cancel", frozen, fromFrozen},
		{frozen, freeze, "tenant.freeze", frozen, fromFrozen},
		{frozen, reactivate, "tenant.reactivate", active, nil},
	} {
		t.Run(string(c.from)+" "+c.action, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			before := f.tenant("acme", c.from)
			events := len(f.log())
			f.sleep(time.Hour)
			after, err := testkit.Value(c.do(f.s, f.ctx, f.by, before.ID))
			stored, readErr := f.s.Tenant(f.ctx, f.by, before.ID)
			f.must(readErr)
			if c.allowed != nil {
				c.refused(f, err)
				if !reflect.DeepEqual(stored, before) || len(f.log()) != events {
					t.Errorf("a refused step left %+v and %d events", stored, len(f.log())-events)
				}
				return
			}
			f.must(err)
			if want := c.done(before); !reflect.DeepEqual(after, want) || !reflect.DeepEqual(stored, want) {
				t.Errorf("answered %+v\nstored   %+v\nwant     %+v", after, stored, want)
			}
			if len(f.log()) != events+1 {
				t.Errorf("%d events", len(f.log())-events)
			}
			c.recorded(f)
		})
	}
}

func freezeForATest(
	s *registry.Service, ctx context.Context, by registry.Caller, id uuid.UUID,
) (registry.Result[registry.Tenant], error) {
	return s.FreezeTenant(ctx, by, id, registry.TenantFreeze{Reason: "overdue"})
}

func (c step) refused(f *fixture, err error) {
	f.t.Helper()
	e := f.refusal(err, registry.Conflict, registry.CodeInvalidTransition)
	if want := (map[string]any{"from": c.from, "to": c.to, "allowed": c.allowed}); !reflect.DeepEqual(e.Facts, want) {
		f.t.Errorf("facts %v, want %v", e.Facts, want)
	}
}

// done is what becomes of a tenant an hour after noon.
func (c step) done(t registry.Tenant) registry.Tenant {
	t.Status, t.Version, t.UpdatedAt = c.to, t.Version+1, *at(time.Hour)
	switch {
	case c.to == registry.StatusFrozen:
		t.FrozenAt = at(time.Hour)
	case c.from == registry.StatusTrial:
		t.ActivatedAt = at(time.Hour)
	default:
		t.FrozenAt = nil
	}
	return t
}

func (c step) recorded(f *fixture) {
	f.t.Helper()
	if e := f.last(); e.Action != c.action || e.CRUD != audit.Update {
		f.t.Errorf("event %+v", e)
	}
	want := map[string]string{
		"before.status": `"` + string(c.from) + `"`, "after.status": `"` + string(c.to) + `"`,
	}
	switch moment := `"2026-05-04T13:00:00.000000Z"`; {
	case c.to == registry.StatusFrozen:
		want["after.frozen_at"] = moment
	case c.from == registry.StatusTrial:
		want["after.activated_at"] = moment
	default:
		want["before.frozen_at"] = f.last().Fields["before.frozen_at"]
	}
	if c.action == "tenant.freeze" {
		want["reason"] = `"overdue"`
	}
	f.fields(f.last(), want)
}
