package registry

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/audit"
	"github.com/breakpilot/tenant-registry/internal/timestamp"
)

// DefaultTrialDays is how long a trial runs unless the product says otherwise.
const DefaultTrialDays = 14

// StartTrial grants a tenant its one trial of a product, from now on and for the product's trial days.
func (s *Service) StartTrial(ctx context.Context, by Caller, in CatalogRequestInput) (Result[Entitlement], error) {
	if err := in.validate(); err != nil {
		return Result[Entitlement]{}, err
	}
	command := idempotent[Entitlement]{in.TenantID, in, func(tx Tx, id uuid.UUID) (Entitlement, error) {
		return readEntitlement(ctx, tx, by, in.TenantID, id)
	}}
	return changeIdempotent(ctx, s, by, command, func(tx Tx, now time.Time) (*outcome[Entitlement], error) {
		t, p, has, err := lockForRequest(ctx, tx, by, in, now)
		if err != nil {
			return nil, err
		}
		if refusal := p.trialRefusal(has, now); refusal != nil {
			return nil, refusal
		}
		e := p.grant(t.ID, SourceTrial, now)
		ends := now.Add(time.Duration(p.TrialDays) * 24 * time.Hour)
		e.EndsAt = &ends
		if err := tx.InsertEntitlement(ctx, e); err != nil {
			return nil, err
		}
		event := e.event("entitlement.create", audit.Create, t)
		if in.Message != "" {
			setField(event.Fields, "message", in.Message)
		}
		return changed(e, event)
	})
}

// trialRefusal is why a tenant may not start a trial, or nil.
func (p Product) trialRefusal(has standing, now time.Time) *Error {
	switch {
	case has.trial != nil:
		e := conflict(CodeTrialUsed, "The tenant has had its trial of this product.").in("/product")
		e.Facts = map[string]any{
			"trial_started_at": timestamp.Format(has.trial.StartsAt),
			"trial_ends_at":    timestamp.Format(*has.trial.EndsAt),
		}
		return e
	case has.granted:
		return conflict(CodeAlreadyEntitled, "The tenant is entitled to this product.").in("/product")
	case p.TrialDays == 0 || p.Audience == Private || !p.available(now):
		return conflict(CodeNoTrial, "This product has no self-serve trial.").in("/product")
	}
	return nil
}
