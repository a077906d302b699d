package registry

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/audit"
)

// TenantInput is what a caller says of a tenant to be created. Slug and Name are required.
type TenantInput struct {
	Slug, Name, Region, ExternalID, KeycloakOrgID string
	Metadata                                      map[string]string
}

func (in TenantInput) validate() error {
	var c checks
	if fault := slugFault(in.Slug); fault != "" {
		c.add("/slug", fault)
	}
	c.line("/name", in.Name, MaxName)
	c.optionalLine("/region", in.Region, maxMetadataKey)
	c.optionalLine("/external_id", in.ExternalID, MaxID)
	c.optionalLine("/keycloak_org_id", in.KeycloakOrgID, MaxID)
	c.metadata("/metadata", in.Metadata)
	return c.err()
}

// CreateTenant makes a tenant in state trial. It refuses a slug or keycloak_org_id that is taken.
func (s *Service) CreateTenant(ctx context.Context, by Caller, in TenantInput) (Result[Tenant], error) {
	return s.createTenant(ctx, by, newID(), in)
}

func (s *Service) createTenant(ctx context.Context, by Caller, id uuid.UUID, in TenantInput) (Result[Tenant], error) {
	if err := in.validate(); err != nil {
		return Result[Tenant]{}, err
	}
	if in.Metadata == nil {
		in.Metadata = map[string]string{}
	}
	command := tenantCommand(ctx, by, uuid.Nil, in)
	return changeIdempotent(ctx, s, by, command, func(tx Tx, now time.Time) (*outcome[Tenant], error) {
		t := Tenant{
			ID: id, Slug: in.Slug, Name: in.Name, Status: StatusTrial, Region: in.Region, ExternalID: in.ExternalID,
			KeycloakOrgID: in.KeycloakOrgID, Metadata: in.Metadata, Version: 1, CreatedAt: now, UpdatedAt: now,
		}
		if err := tx.InsertTenant(ctx, t); err != nil {
			return nil, refuse(err, map[error]*Error{
				ErrSlugTaken: conflict(CodeSlugTaken, "Another tenant has this slug.").in("/slug"),
				ErrOrgTaken:  conflict(CodeOrgTaken, "Another tenant has this keycloak_org_id.").in("/keycloak_org_id"),
			})
		}
		return changed(t, t.event("tenant.create", audit.Create, Tenant{}))
	})
}

// tenantCommand is a command whose result is a tenant.
func tenantCommand(ctx context.Context, by Caller, tenant uuid.UUID, command any) idempotent[Tenant] {
	return idempotent[Tenant]{tenant, command, func(tx Tx, id uuid.UUID) (Tenant, error) {
		return readTenant(ctx, tx, by, id)
	}}
}
