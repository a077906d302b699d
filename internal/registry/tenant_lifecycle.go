package registry

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/audit"
)

// transition is one arrow of the tenant's state machine.
type transition struct {
	action string
	to     TenantStatus
	from   []TenantStatus
}

var (
	activate = transition{"tenant.activate", StatusActive, []TenantStatus{StatusTrial}}
	cancel   = transition{"tenant.cancel", StatusFrozen, []TenantStatus{StatusActive}}

	transitions = []transition{activate, cancel}
)

// allowedFrom lists the states that a tenant in state from can be brought to.
func allowedFrom(from TenantStatus) []TenantStatus {
	allowed := []TenantStatus{}
	for _, t := range transitions {
		if slices.Contains(t.from, from) {
			allowed = append(allowed, t.to)
		}
	}
	return allowed
}

// ActivateTenant brings a tenant from trial to active.
func (s *Service) ActivateTenant(ctx context.Context, by Caller, id uuid.UUID) (Result[Tenant], error) {
	return s.transitionTenant(ctx, by, id, activate)
}

// CancelTenant brings a tenant from active to frozen: from then on it is entitled to nothing and its keys are refused.
func (s *Service) CancelTenant(ctx context.Context, by Caller, id uuid.UUID) (Result[Tenant], error) {
	return s.transitionTenant(ctx, by, id, cancel)
}

func (s *Service) transitionTenant(
	ctx context.Context, by Caller, id uuid.UUID, step transition,
) (Result[Tenant], error) {
	command := tenantCommand(ctx, by, id, id)
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
		after := before
		now = later(now, before.UpdatedAt)
		after.Status, after.Version, after.UpdatedAt = step.to, before.Version+1, now
		switch step.to {
		case StatusActive:
			after.ActivatedAt = &now
		case StatusFrozen:
			after.FrozenAt = &now
		}
		if err := tx.UpdateTenant(ctx, after); err != nil {
			return nil, err
		}
		return changed(after, after.event(step.action, audit.Update, before))
	})
}

func invalidTransition(from, to TenantStatus) *Error {
	e := conflict(CodeInvalidTransition, "A tenant that is %s cannot become %s.", from, to)
	e.Facts = map[string]any{"from": from, "to": to, "allowed": allowedFrom(from)}
	return e
}
