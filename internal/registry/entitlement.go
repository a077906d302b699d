package registry

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/audit"
)

// Source is by what a tenant is entitled to a product.
type Source string

// The sources of an entitlement, in the order in which their configuration wins.
const (
	SourceGrant   Source = "grant"
	SourcePlan    Source = "plan"
	SourceRequest Source = "request"
	SourceTrial   Source = "trial"
)

var sourceOrder = []Source{SourceGrant, SourcePlan, SourceRequest, SourceTrial}

// Limits bound what a tenant may use of a product, by name; nil means unlimited.
type Limits map[string]*int64

// Config is a product's configuration for a tenant: a JSON object.
type Config map[string]any

// Entitlement is one source by which a tenant may use a product for a time.
type Entitlement struct {
	ID        uuid.UUID
	TenantID  uuid.UUID
	Product   string
	Source    Source
	StartsAt  time.Time
	EndsAt    *time.Time // exclusive; nil means open-ended
	RevokedAt *time.Time
	Limits    Limits
	Config    Config
	RequestID *uuid.UUID // the request that led to it
	CreatedAt time.Time
	UpdatedAt time.Time
}

// EntitlementReader reads entitlements.
type EntitlementReader interface {
	// ListEntitlements returns every source of a tenant, by product key in byte order and then in the order of
	// creation; of an unknown tenant none.
	ListEntitlements(ctx context.Context, tenant uuid.UUID) ([]Entitlement, error)
	// ListTenantsOfProduct returns those of some tenants that have, or had, an entitlement to a product or a key bound
	// to it; in any order.
	ListTenantsOfProduct(ctx context.Context, product string, tenants []uuid.UUID) ([]uuid.UUID, error)
}

// EntitlementWriter writes entitlements.
type EntitlementWriter interface {
	// InsertEntitlement returns ErrTrialExists for a second trial of one tenant and product, ErrNoParent if the tenant,
	// the product or the request does not exist.
	InsertEntitlement(ctx context.Context, e Entitlement) error
}

// EntitlementState is where an entitlement stands at one instant; it is computed, never stored.
type EntitlementState string

// The states of an entitlement, the strongest first.
const (
	StateActive    EntitlementState = "active"    // live, and no trial
	StateTrialing  EntitlementState = "trialing"  // live, by a trial
	StateScheduled EntitlementState = "scheduled" // begins later
	StateExpired   EntitlementState = "expired"   // ended
	StateRevoked   EntitlementState = "revoked"
)

var stateOrder = []EntitlementState{StateActive, StateTrialing, StateScheduled, StateExpired, StateRevoked}

// StateAt is the state at an instant: it begins at StartsAt and has ended at EndsAt. What began when it was created has
// begun, and what was revoked is revoked, also on a machine whose clock is behind that of the one that wrote it.
func (e Entitlement) StateAt(now time.Time) EntitlementState {
	switch {
	case e.RevokedAt != nil:
		return StateRevoked
	case now.Before(e.StartsAt) && e.StartsAt.After(e.CreatedAt):
		return StateScheduled
	case e.EndsAt != nil && !now.Before(*e.EndsAt):
		return StateExpired
	case e.Source == SourceTrial:
		return StateTrialing
	}
	return StateActive
}

// live reports whether the entitlement counts at an instant.
func (e Entitlement) live(now time.Time) bool {
	state := e.StateAt(now)
	return state == StateActive || state == StateTrialing
}

// nextChange is the first instant after now at which the clock alone changes the state.
func (e *Entitlement) nextChange(now time.Time) *time.Time {
	switch state := e.StateAt(now); {
	case state == StateScheduled:
		return &e.StartsAt
	case state == StateActive, state == StateTrialing:
		return e.EndsAt
	}
	return nil
}

// Reason says in one word why a tenant is entitled or not.
type Reason string

// The reasons of an answer.
const (
	ReasonActive       Reason = "active"
	ReasonTrialing     Reason = "trialing"
	ReasonTenantFrozen Reason = "tenant_frozen"
	ReasonScheduled    Reason = "scheduled"
	ReasonExpired      Reason = "expired"
	ReasonRevoked      Reason = "revoked"
	ReasonNone         Reason = "no_entitlement"
)

// ProductEntitlement is everything that a tenant has of one product, put together.
type ProductEntitlement struct {
	Product    string
	Entitled   bool // the answer: the tenant may use the product now
	Reason     Reason
	State      EntitlementState // the strongest of the sources, whatever the tenant's status; empty if there are none
	ValidUntil *time.Time       // the next instant at which the clock changes any of this; nil: never
	Limits     Limits           // of the live sources together: the larger wins, nil is unlimited; not to be changed
	Config     Config           // of the live sources together: by member, in the order of Source; not to be changed
	Sources    []Entitlement    // in the order of creation
	At         time.Time        // the instant for which all of this is said
}

// evaluate puts the sources of one tenant for one product together as of an instant. It is a pure function: the same
// sources give another answer at another time.
func evaluate(t TenantStatus, product string, sources []Entitlement, now time.Time) ProductEntitlement {
	p := ProductEntitlement{Product: product, Reason: ReasonNone, Sources: sources, At: now}
	live := make([]*Entitlement, 0, 4)
	for i := range sources {
		e := &sources[i]
		p.State = strongest(p.State, e.StateAt(now))
		p.ValidUntil = earliest(p.ValidUntil, e.nextChange(now))
		if e.live(now) {
			live = append(live, e)
		}
	}
	if p.State != "" {
		p.Reason = Reason(p.State)
	}
	if t == StatusFrozen {
		p.Reason = ReasonTenantFrozen
		live = nil
	}
	p.Entitled = len(live) > 0
	p.Limits, p.Config = union(live)
	return p
}

// union puts the limits and the configurations of live sources together. Those of a single one are shared, not copied.
func union(live []*Entitlement) (Limits, Config) {
	if len(live) == 1 && live[0].Limits != nil && live[0].Config != nil {
		return live[0].Limits, live[0].Config
	}
	slices.SortStableFunc(live, func(a, b *Entitlement) int {
		return cmp.Compare(slices.Index(sourceOrder, a.Source), slices.Index(sourceOrder, b.Source))
	})
	limits, config := Limits{}, Config{}
	for _, e := range live {
		limits.union(e.Limits)
		for name, value := range e.Config {
			if _, set := config[name]; !set {
				config[name] = value
			}
		}
	}
	return limits, config
}

func (l Limits) union(other Limits) {
	for name, value := range other {
		have, set := l[name]
		switch {
		case !set, value == nil:
			l[name] = value
		case have != nil && *value > *have:
			l[name] = value
		}
	}
}

func strongest(a, b EntitlementState) EntitlementState {
	if a == "" || slices.Index(stateOrder, b) < slices.Index(stateOrder, a) {
		return b
	}
	return a
}

func earliest(a, b *time.Time) *time.Time {
	if a == nil || (b != nil && b.Before(*a)) {
		return b
	}
	return a
}

// readEntitlement reads one entitlement of a tenant by its id. It is gone only if the tenant is.
func readEntitlement(ctx context.Context, from Reader, by Caller, tenant, id uuid.UUID) (Entitlement, error) {
	unknown := notFound(CodeTenantNotFound, "tenant").in("/tenant_id")
	if !by.Access.tenant(tenant) {
		return Entitlement{}, unknown
	}
	all, err := from.ListEntitlements(ctx, tenant)
	if err != nil {
		return Entitlement{}, err
	}
	i := slices.IndexFunc(all, func(e Entitlement) bool { return e.ID == id })
	if i < 0 {
		return Entitlement{}, unknown
	}
	return all[i], nil
}

func (e Entitlement) event(action string, crud audit.CRUD, t Tenant) audit.Event {
	return audit.Event{
		GroupID: t.ID, GroupName: t.Name, Action: action, CRUD: crud,
		Target: audit.Party{ID: e.ID.String(), Type: "entitlement"},
		Fields: diff(nil, map[string]any{
			"product": e.Product, "source": e.Source, "starts_at": e.StartsAt, "ends_at": e.EndsAt,
			"limits": e.Limits, "config": e.Config, "request_id": e.RequestID,
		}),
	}
}
