package registry

import (
	"context"
	"time"

	"github.com/google/uuid"
)

const tenantExportPage = 100 // rows that are in memory at a time

// TenantExport is everything that is stored of one tenant, about to be written: its record, what it has and asked for,
// its keys' records and its chain, whose end was fixed when the export began. Rows that change meanwhile are read as
// they are then. It takes a share, and must be closed.
type TenantExport struct {
	Tenant Tenant
	At     time.Time // when it began
	Chain  *Export
	s      *Service
}

// ExportTenant begins an export of a tenant, which is recorded as an export of its chain.
func (s *Service) ExportTenant(ctx context.Context, by Caller, id uuid.UUID, head bool) (*TenantExport, error) {
	reading, cancel := context.WithTimeout(ctx, s.callTimeout)
	defer cancel()
	t, err := readTenant(reading, s.store, by, id)
	if err != nil {
		return nil, err
	}
	chain, err := s.Export(ctx, by, ExportRequest{GroupID: &id, Format: "tenant", Head: head})
	if err != nil {
		return nil, err
	}
	return &TenantExport{Tenant: t, At: s.clock(), Chain: chain, s: s}, nil
}

// Close gives back what the export has taken of the share.
func (x *TenantExport) Close() { x.Chain.Close() }

// Entitlements are all sources of the tenant.
func (x *TenantExport) Entitlements(ctx context.Context) ([]Entitlement, error) {
	ctx, cancel := context.WithTimeout(ctx, x.s.callTimeout)
	defer cancel()
	return x.s.store.ListEntitlements(ctx, x.Tenant.ID)
}

// CatalogRequests calls visit with each request of the tenant, in the order of their ids.
func (x *TenantExport) CatalogRequests(ctx context.Context, visit func(CatalogRequest) error) error {
	after := uuid.Nil
	return x.pages(ctx, func(ctx context.Context) (int, error) {
		page, err := x.s.store.ListCatalogRequests(ctx, x.Tenant.ID, after, tenantExportPage)
		for _, r := range page {
			if err := visit(r); err != nil {
				return 0, err
			}
			after = r.ID
		}
		return len(page), err
	})
}

// APIKeys calls visit with the record of each key of the tenant, revoked ones included, the newest first.
func (x *TenantExport) APIKeys(ctx context.Context, visit func(APIKey) error) error {
	q := APIKeyQuery{PageRequest: PageRequest{Limit: tenantExportPage}, TenantID: x.Tenant.ID, Now: x.At}
	return x.pages(ctx, func(ctx context.Context) (int, error) {
		found, err := x.s.store.ListAPIKeys(ctx, q)
		for _, k := range found.Items {
			if err := visit(k); err != nil {
				return 0, err
			}
			q.Position = k.ID
		}
		return len(found.Items), err
	})
}

// pages calls page, each time with the time of one call, until one is not full.
func (x *TenantExport) pages(ctx context.Context, page func(ctx context.Context) (int, error)) error {
	for {
		reading, cancel := context.WithTimeout(ctx, x.s.callTimeout)
		n, err := page(reading)
		cancel()
		if err != nil || n < tenantExportPage {
			return err
		}
	}
}
