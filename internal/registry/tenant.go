package registry

import (
	"context"
	"errors"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
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

// NewTenant is what a caller says of a tenant to be created. Slug and Name are required.
type NewTenant struct {
	Slug, Name, Region, ExternalID, KeycloakOrgID string
	Metadata                                      map[string]string
}

var slugPattern = regexp.MustCompile(`^[a-z0-9](?:[a-z0-9-]*[a-z0-9])$`)

// Slugs that would shadow a host or a path of the platform.
var reservedSlugs = []string{
	"admin", "api", "app", "assets", "auth", "billing", "by-slug", "cdn", "console", "dashboard", "docs", "internal",
	"localhost", "login", "logout", "mail", "portal", "public", "root", "signup", "static", "status", "support", "system", "www",
}

// ValidSlug tells whether s could be the slug of a tenant: 3 to 63 of a-z, 0-9 and '-', no dash at either end, no punycode,
// not reserved.
func ValidSlug(s string) bool { return slugFault(s) == "" }

func slugFault(s string) string {
	switch {
	case s == "":
		return "is required"
	case len(s) < 3 || len(s) > 63 || !slugPattern.MatchString(s):
		return "must be 3 to 63 of a-z, 0-9 and '-', with no '-' at either end"
	case strings.HasPrefix(s, "xn--"):
		return "must not begin with xn--"
	case slices.Contains(reservedSlugs, s):
		return "is reserved"
	}
	return ""
}

func (n NewTenant) validate() error {
	var c checks
	if fault := slugFault(n.Slug); fault != "" {
		c.add("/slug", "%s", fault)
	}
	c.line("/name", n.Name, MaxName)
	c.optionalLine("/region", n.Region, maxMetadataKey)
	c.optionalLine("/external_id", n.ExternalID, MaxID)
	c.optionalLine("/keycloak_org_id", n.KeycloakOrgID, MaxID)
	c.metadata("/metadata", n.Metadata)
	return c.err()
}

// CreateTenant makes a tenant in state trial. It refuses a slug or keycloak_org_id that is taken.
func (s *Service) CreateTenant(ctx context.Context, by Caller, n NewTenant) (Tenant, error) {
	return s.createTenant(ctx, by, newID(), n)
}

func (s *Service) createTenant(ctx context.Context, by Caller, id uuid.UUID, n NewTenant) (Tenant, error) {
	if err := n.validate(); err != nil {
		return Tenant{}, err
	}
	if n.Metadata == nil {
		n.Metadata = map[string]string{}
	}
	return changeOnce(ctx, s, by, onceTenant(ctx, by, n), func(tx Tx, now time.Time) (Tenant, AuditEvent, error) {
		t := Tenant{
			ID: id, Slug: n.Slug, Name: n.Name, Status: StatusTrial, Region: n.Region, ExternalID: n.ExternalID,
			KeycloakOrgID: n.KeycloakOrgID, Metadata: n.Metadata, Version: 1, CreatedAt: now, UpdatedAt: now,
		}
		err := refuse(tx.InsertTenant(ctx, t), map[error]*Error{
			ErrSlugTaken: conflict(CodeSlugTaken, "Another tenant has this slug.").in("/slug"),
			ErrOrgTaken:  conflict(CodeOrgTaken, "Another tenant has this keycloak_org_id.").in("/keycloak_org_id"),
		})
		return t, t.event("tenant.create", Create, Tenant{}), err
	})
}

// onceTenant is a command whose result is a tenant.
func onceTenant(ctx context.Context, by Caller, command any) once[Tenant] {
	return once[Tenant]{command, func(tx Tx, id uuid.UUID) (Tenant, error) { return readTenant(ctx, tx, by, id) }}
}

// Tenant reads a tenant by its id.
func (s *Service) Tenant(ctx context.Context, by Caller, id uuid.UUID) (Tenant, error) {
	return readTenant(ctx, s.store, by, id)
}

func readTenant(ctx context.Context, from Reader, by Caller, id uuid.UUID) (Tenant, error) {
	if !by.Scope.tenant(id) {
		return Tenant{}, notFound(CodeTenantNotFound, "tenant")
	}
	t, err := from.Tenant(ctx, id)
	return t, refuse(err, map[error]*Error{ErrNotFound: notFound(CodeTenantNotFound, "tenant")})
}

// TenantBySlug reads a tenant by its slug; a text that cannot be a slug is nobody's.
func (s *Service) TenantBySlug(ctx context.Context, by Caller, slug string) (Tenant, error) {
	if !ValidSlug(slug) {
		return Tenant{}, notFound(CodeTenantNotFound, "tenant")
	}
	t, err := s.store.TenantBySlug(ctx, slug)
	if err == nil && !by.Scope.tenant(t.ID) {
		err = ErrNotFound
	}
	if err != nil {
		return Tenant{}, refuse(err, map[error]*Error{ErrNotFound: notFound(CodeTenantNotFound, "tenant")})
	}
	return t, nil
}

// OwnTenant finds the tenant that a user belongs to: the one whose keycloak_org_id is the id of the user's organisation; in
// development the one of a slug. An alias is never taken for a slug.
func (s *Service) OwnTenant(ctx context.Context, organization, devSlug string) (id uuid.UUID, found bool, err error) {
	var t Tenant
	switch {
	case organization != "":
		t, err = s.store.TenantByOrg(ctx, organization)
	case ValidSlug(devSlug):
		t, err = s.store.TenantBySlug(ctx, devSlug)
	default:
		return uuid.Nil, false, nil
	}
	if errors.Is(err, ErrNotFound) {
		return uuid.Nil, false, nil
	}
	return t.ID, err == nil, err
}

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
func (s *Service) ActivateTenant(ctx context.Context, by Caller, id uuid.UUID) (Tenant, error) {
	return s.move(ctx, by, id, activate)
}

// CancelTenant brings a tenant from active to frozen: from then on it is entitled to nothing and its keys are refused.
func (s *Service) CancelTenant(ctx context.Context, by Caller, id uuid.UUID) (Tenant, error) {
	return s.move(ctx, by, id, cancel)
}

func (s *Service) move(ctx context.Context, by Caller, id uuid.UUID, step transition) (Tenant, error) {
	return changeOnce(ctx, s, by, onceTenant(ctx, by, id), func(tx Tx, now time.Time) (Tenant, AuditEvent, error) {
		before, err := lockTenant(ctx, tx, by, id)
		if err != nil {
			return Tenant{}, AuditEvent{}, err
		}
		if !slices.Contains(step.from, before.Status) {
			return Tenant{}, AuditEvent{}, invalidTransition(before.Status, step.to)
		}
		after := before
		after.Status, after.Version, after.UpdatedAt = step.to, before.Version+1, now
		switch step.to {
		case StatusActive:
			after.ActivatedAt = &now
		case StatusFrozen:
			after.FrozenAt = &now
		}
		return after, after.event(step.action, Update, before), tx.UpdateTenant(ctx, after)
	})
}

func invalidTransition(from, to TenantStatus) *Error {
	e := conflict(CodeInvalidTransition, "A tenant that is %s cannot become %s.", from, to)
	e.Facts = map[string]any{"from": from, "to": to, "allowed": allowedFrom(from)}
	return e
}

// lockTenant locks the tenant's row, which comes before anything else that a transaction does for a tenant.
func lockTenant(ctx context.Context, tx Tx, by Caller, id uuid.UUID) (Tenant, error) {
	if !by.Scope.tenant(id) {
		return Tenant{}, notFound(CodeTenantNotFound, "tenant")
	}
	t, err := tx.LockTenant(ctx, id)
	return t, refuse(err, map[error]*Error{ErrNotFound: notFound(CodeTenantNotFound, "tenant")})
}

// lockLivingTenant is lockTenant for a tenant that a body names and that must not be frozen.
func lockLivingTenant(ctx context.Context, tx Tx, by Caller, id uuid.UUID) (Tenant, error) {
	t, err := lockTenant(ctx, tx, by, id)
	var refusal *Error
	if errors.As(err, &refusal) {
		return t, refusal.in("/tenant_id")
	}
	if err != nil {
		return t, err
	}
	if t.Status == StatusFrozen {
		return t, conflict(CodeTenantFrozen, "The tenant is frozen: it takes no new keys, requests or trials.").in("/tenant_id")
	}
	return t, nil
}

// event tells what became of a tenant that was before.
func (t Tenant) event(action string, crud CRUD, before Tenant) AuditEvent {
	return AuditEvent{
		GroupID: t.ID, GroupName: t.Name, Action: action, CRUD: crud,
		Target: Party{ID: t.ID.String(), Name: t.Slug, Type: "tenant"},
		Fields: diff(before.members(), t.members()),
	}
}

func (t Tenant) members() map[string]any {
	return map[string]any{
		"slug": t.Slug, "name": t.Name, "status": t.Status, "region": t.Region, "external_id": t.ExternalID,
		"keycloak_org_id": t.KeycloakOrgID, "metadata": t.Metadata, "activated_at": t.ActivatedAt, "frozen_at": t.FrozenAt,
	}
}
