package registry

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/audit"
	"github.com/breakpilot/tenant-registry/internal/violation"
)

// transition is one arrow of the tenant's state machine.
type transition struct {
	action string
	to     TenantStatus
	from   []TenantStatus
}

var (
	activate   = transition{"tenant.activate", StatusActive, []TenantStatus{StatusTrial}}
	cancel     = transition{"tenant.cancel", StatusFrozen, []TenantStatus{StatusTrial, StatusActive}}
	freeze     = transition{"tenant.freeze", StatusFrozen, []TenantStatus{StatusTrial, StatusActive}}
	reactivate = transition{"tenant.reactivate", StatusActive, []TenantStatus{StatusFrozen}}

	transitions = []transition{activate, cancel, freeze, reactivate}
)

// allowedFrom lists the states that a tenant in state from can be brought to.
func allowedFrom(from TenantStatus) []TenantStatus {
	allowed := []TenantStatus{}
	for _, t := range transitions {
		if slices.Contains(t.from, from) && !slices.Contains(allowed, t.to) {
			allowed = append(allowed, t.to)
		}
	}
	return allowed
}

// ActivateTenant brings a tenant from trial to active.
func (s *Service) ActivateTenant(ctx context.Context, by Caller, id uuid.UUID) (Result[Tenant], error) {
	return s.transitionTenant(ctx, by, id, activate, "")
}

// CancelTenant brings a tenant from trial or active to frozen: from then on it is entitled to nothing and its keys are
// refused.
func (s *Service) CancelTenant(ctx context.Context, by Caller, id uuid.UUID) (Result[Tenant], error) {
	return s.transitionTenant(ctx, by, id, cancel, "")
}

// TenantFreeze is why an operator freezes a tenant. Reason is required, and recorded in the event.
type TenantFreeze struct{ Reason string }

func (in TenantFreeze) validate() error {
	var c checks
	if in.Reason == "" {
		c.add("/reason", violation.Required)
	}
	c.text("/reason", in.Reason, MaxText)
	return c.err()
}

// FreezeTenant is CancelTenant by an operator, with a reason.
func (s *Service) FreezeTenant(ctx context.Context, by Caller, id uuid.UUID, in TenantFreeze) (Result[Tenant], error) {
	if err := in.validate(); err != nil {
		return Result[Tenant]{}, err
	}
	return s.transitionTenant(ctx, by, id, freeze, in.Reason)
}

// ReactivateTenant brings a tenant from frozen to active: its keys and entitlements are what they were, but for what
// ended meanwhile.
func (s *Service) ReactivateTenant(ctx context.Context, by Caller, id uuid.UUID) (Result[Tenant], error) {
	return s.transitionTenant(ctx, by, id, reactivate, "")
}

func (s *Service) transitionTenant(
	ctx context.Context, by Caller, id uuid.UUID, step transition, reason string,
) (Result[Tenant], error) {
	command := tenantCommand(ctx, by, id, []any{id, reason})
	return changeIdempotent(ctx, s, by, command, func(tx Tx, now time.Time) (*outcome[Tenant], error) {
		before, err := lockTenant(ctx, tx, by, id)
		if err != nil {
			return nil, err
		}
		if err := by.expectVersion(before.Version, "tenant"); err != nil {
			return nil, err
		}
		if !slices.Contains(step.from, before.Status) {
			return nil, invalidTransition(before.Status, step.to)
		}
		after := step.apply(before, later(now, before.UpdatedAt))
		if err := tx.UpdateTenant(ctx, after); err != nil {
			return nil, err
		}
		e := after.event(step.action, audit.Update, before)
		setField(e.Fields, "reason", reason)
		return changed(after, e)
	})
}

// apply is the tenant in its new state.
func (step transition) apply(t Tenant, now time.Time) Tenant {
	t.Status, t.Version, t.UpdatedAt = step.to, t.Version+1, now
	switch step.to {
	case StatusActive:
		if t.FrozenAt = nil; t.ActivatedAt == nil {
			t.ActivatedAt = &now
		}
	case StatusFrozen:
		t.FrozenAt = &now
	}
	return t
}

func invalidTransition(from, to TenantStatus) *Error {
	e := conflict(CodeInvalidTransition, "A tenant that is %s cannot become %s.", from, to)
	e.Facts = map[string]any{"from": from, "to": to, "allowed": allowedFrom(from)}
	return e
}
