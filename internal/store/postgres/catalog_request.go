package postgres

import (
	"context"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

const requestColumns = `
	r.id, r.tenant_id, r.product_key, r.status, coalesce(r.message, ''), r.requested_by, coalesce(r.decided_by, ''),
		r.decided_at,
	coalesce(r.decision_reason, ''), r.created_at, r.updated_at`

func scanRequest(row pgx.CollectableRow) (r registry.CatalogRequest, err error) {
	err = row.Scan(&r.ID, &r.TenantID, &r.Product, &r.Status, &r.Message, &r.RequestedBy, &r.DecidedBy, &r.DecidedAt,
		&r.DecisionReason, &r.CreatedAt, &r.UpdatedAt)
	return r, err
}

// GetCatalogRequest implements registry.CatalogReader.
func (r reader) GetCatalogRequest(ctx context.Context, id uuid.UUID) (registry.CatalogRequest, error) {
	const sql = `SELECT` + requestColumns + ` FROM catalog_requests r WHERE r.id = $1`
	return one(ctx, r, query{"read catalog request", sql, []any{id}}, scanRequest)
}

// ListPendingCatalogRequests implements registry.CatalogReader.
func (r reader) ListPendingCatalogRequests(ctx context.Context, tenant uuid.UUID) ([]registry.CatalogRequest, error) {
	const sql = `SELECT` + requestColumns + `
		FROM catalog_requests r WHERE r.tenant_id = $1 AND r.status = 'pending' ORDER BY r.product_key`
	return many(ctx, r, query{"list pending catalog requests", sql, []any{tenant}}, scanRequest)
}

// ListCatalogRequests implements registry.CatalogReader.
func (r reader) ListCatalogRequests(
	ctx context.Context, tenant, after uuid.UUID, limit int,
) ([]registry.CatalogRequest, error) {
	const sql = `SELECT` + requestColumns + `
		FROM catalog_requests r WHERE r.tenant_id = $1 AND r.id > $2 ORDER BY r.id LIMIT $3`
	return many(ctx, r, query{"list catalog requests", sql, []any{tenant, after, limit}}, scanRequest)
}

// InsertCatalogRequest implements registry.CatalogWriter.
func (t *tx) InsertCatalogRequest(ctx context.Context, r registry.CatalogRequest) error {
	const sql = `
		INSERT INTO catalog_requests (id, tenant_id, product_key, status, message, requested_by, decided_by, decided_at,
			decision_reason, created_at, updated_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`
	return change(ctx, t, query{"insert catalog request", sql, []any{
		r.ID, r.TenantID, r.Product, r.Status, textOrNull(r.Message), r.RequestedBy, textOrNull(r.DecidedBy),
		r.DecidedAt,
		textOrNull(r.DecisionReason), r.CreatedAt, r.UpdatedAt,
	}})
}
