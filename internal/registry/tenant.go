package registry

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/audit"
)

// TenantStatus is where a tenant stands in its life.
type TenantStatus string

// The states of a tenant.
const (
	StatusTrial  TenantStatus = "trial"
	StatusActive TenantStatus = "active"
	StatusFrozen TenantStatus = "frozen"
)

// Tenant is one customer organisation. Empty strings and nil times are unset.
type Tenant struct {
	ID            uuid.UUID
	Slug          string // unique, a DNS label
	Name          string
	Status        TenantStatus
	Region        string
	ExternalID    string // the caller's own id for this tenant; not unique
	KeycloakOrgID string // unique when set
	Metadata      map[string]string
	Version       int64 // 1 at creation, one more with every change
	CreatedAt     time.Time
	UpdatedAt     time.Time
	ActivatedAt   *time.Time
	FrozenAt      *time.Time
}

// TenantReader reads tenants.
type TenantReader interface {
	// GetTenant returns ErrNotFound if there is no tenant with this id.
	GetTenant(ctx context.Context, id uuid.UUID) (Tenant, error)
	// GetTenantsBySlug returns, as of one instant, the tenants that have these slugs. It costs little more than one
	// look-up.
	GetTenantsBySlug(ctx context.Context, slugs []string) (map[string]Tenant, error)
	// GetTenantByKeycloakOrg returns ErrNotFound if no tenant has this keycloak_org_id; none has the empty one.
	GetTenantByKeycloakOrg(ctx context.Context, org string) (Tenant, error)
}

// TenantWriter writes tenants.
type TenantWriter interface {
	// LockTenant reads a tenant and keeps other transactions from locking or changing it until this one ends; a rival
	// waits and then sees what this one committed. ErrNotFound if there is none.
	LockTenant(ctx context.Context, id uuid.UUID) (Tenant, error)
	// LockTenantsShared keeps tenants from being deleted until this transaction ends; others may change them meanwhile.
	// The result has the tenants that exist: true if the lock is held. With skipLocked it waits for no other
	// transaction, and a tenant whose lock another transaction holds against this is false.
	LockTenantsShared(ctx context.Context, ids []uuid.UUID, skipLocked bool) (map[uuid.UUID]bool, error)
	// InsertTenant returns ErrDuplicate, ErrSlugTaken or ErrOrgTaken if a unique value is taken.
	InsertTenant(ctx context.Context, t Tenant) error
	// UpdateTenant replaces what can change (status, name, region, external id, metadata, version, updated_at,
	// activated_at, frozen_at) of the tenant with this id, and returns ErrNotFound if there is none. The slug and
	// keycloak_org_id stay.
	UpdateTenant(ctx context.Context, t Tenant) error
}

// Tenant reads a tenant by its id.
func (s *Service) Tenant(ctx context.Context, by Caller, id uuid.UUID) (Tenant, error) {
	return readTenant(ctx, s.store, by, id)
}

func readTenant(ctx context.Context, from Reader, by Caller, id uuid.UUID) (Tenant, error) {
	if !by.Access.tenant(id) {
		return Tenant{}, notFound(CodeTenantNotFound, "tenant")
	}
	t, err := from.GetTenant(ctx, id)
	return t, refuse(err, map[error]*Error{ErrNotFound: notFound(CodeTenantNotFound, "tenant")})
}

// TenantBySlug reads a tenant by its slug. A text that cannot be a slug is not found.
func (s *Service) TenantBySlug(ctx context.Context, by Caller, slug string, o ReadOptions) (Tenant, error) {
	if !ValidSlug(slug) || !by.Access.slug(slug) {
		return Tenant{}, notFound(CodeTenantNotFound, "tenant")
	}
	t, err := s.lookup.TenantBySlug(ctx, slug, o)
	if err == nil && !by.Access.tenant(t.ID) {
		err = ErrNotFound
	}
	if err != nil {
		return Tenant{}, refuse(err, map[error]*Error{ErrNotFound: notFound(CodeTenantNotFound, "tenant")})
	}
	return t, nil
}

// OwnTenant finds the tenant that a user belongs to: the one whose keycloak_org_id is the id of the user's
// organisation; in development the one with a slug. An organisation's alias is never used as a slug. It is cached as
// TenantBySlug is.
func (s *Service) OwnTenant(ctx context.Context, organization, devSlug string) (t Tenant, found bool, err error) {
	switch {
	case organization != "":
		t, err = s.lookup.TenantByKeycloakOrg(ctx, organization, ReadOptions{})
	case ValidSlug(devSlug):
		t, err = s.lookup.TenantBySlug(ctx, devSlug, ReadOptions{})
	default:
		return Tenant{}, false, nil
	}
	if errors.Is(err, ErrNotFound) {
		return Tenant{}, false, nil
	}
	return t, err == nil, err
}

// lockTenant locks the tenant's row, which comes before anything else that a transaction does for a tenant.
func lockTenant(ctx context.Context, tx Tx, by Caller, id uuid.UUID) (Tenant, error) {
	if !by.Access.tenant(id) {
		return Tenant{}, notFound(CodeTenantNotFound, "tenant")
	}
	t, err := tx.LockTenant(ctx, id)
	return t, refuse(err, map[error]*Error{ErrNotFound: notFound(CodeTenantNotFound, "tenant")})
}

// lockUnfrozenTenant is lockTenant for a tenant that a body names and that must not be frozen.
func lockUnfrozenTenant(ctx context.Context, tx Tx, by Caller, id uuid.UUID) (Tenant, error) {
	t, err := lockTenant(ctx, tx, by, id)
	var refusal *Error
	if errors.As(err, &refusal) {
		return t, refusal.in("/tenant_id")
	}
	if err != nil {
		return t, err
	}
	if t.Status == StatusFrozen {
		return t, conflict(
			CodeTenantFrozen, "The tenant is frozen: it takes no new keys, requests or trials.",
		).in("/tenant_id")
	}
	return t, nil
}

// event is the event of a change from before to t.
func (t Tenant) event(action string, crud audit.CRUD, before Tenant) audit.Event {
	return audit.Event{
		GroupID: t.ID, GroupName: t.Name, Action: action, CRUD: crud,
		Target: audit.Party{ID: t.ID.String(), Name: t.Slug, Type: "tenant"},
		Fields: diff(before.members(), t.members()),
	}
}

func (t Tenant) members() map[string]any {
	return map[string]any{
		"slug": t.Slug, "name": t.Name, "status": t.Status, "region": t.Region, "external_id": t.ExternalID,
		"keycloak_org_id": t.KeycloakOrgID, "metadata": t.Metadata, "activated_at": t.ActivatedAt,
		"frozen_at": t.FrozenAt,
	}
}
