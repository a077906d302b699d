package postgres

import (
	"context"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

const productColumns = `
	p.key, p.name, p.description, p.audience, p.requestable, coalesce(p.trial_days, 0), p.default_limits, p.default_config,
	p.available_from, p.available_until, p.created_at, p.updated_at`

func scanProduct(row pgx.CollectableRow) (p registry.Product, err error) {
	var limits, config []byte
	err = row.Scan(&p.Key, &p.Name, &p.Description, &p.Audience, &p.Requestable, &p.TrialDays, &limits, &config,
		&p.AvailableFrom, &p.AvailableUntil, &p.CreatedAt, &p.UpdatedAt)
	if err != nil {
		return p, err
	}
	if p.DefaultLimits, err = parse[registry.Limits](limits); err != nil {
		return p, err
	}
	p.DefaultConfig, err = parse[registry.Config](config)
	return p, err
}

// Product implements registry.CatalogReader.
func (r reader) Product(ctx context.Context, key string) (registry.Product, error) {
	const sql = `SELECT` + productColumns + ` FROM products p WHERE p.key = $1`
	return one(ctx, r, query{"read product", sql, []any{key}}, scanProduct)
}

// Products implements registry.CatalogReader.
func (r reader) Products(ctx context.Context) ([]registry.Product, error) {
	const sql = `SELECT` + productColumns + ` FROM products p ORDER BY p.key`
	return many(ctx, r, query{"list products", sql, nil}, scanProduct)
}

// InsertProduct implements registry.CatalogWriter.
func (t *tx) InsertProduct(ctx context.Context, p registry.Product) error {
	const sql = `
		INSERT INTO products (key, name, description, audience, requestable, trial_days, default_limits, default_config,
			available_from, available_until, created_at, updated_at)
		VALUES ($1, $2, $3, $4, $5, nullif($6, 0), $7, $8, $9, $10, $11, $12)`
	return change(ctx, t, query{"insert product", sql, []any{
		p.Key, p.Name, p.Description, p.Audience, p.Requestable, p.TrialDays, document{p.DefaultLimits}, document{p.DefaultConfig},
		p.AvailableFrom, p.AvailableUntil, p.CreatedAt, p.UpdatedAt,
	}})
}

const requestColumns = `
	r.id, r.tenant_id, r.product_key, r.status, coalesce(r.message, ''), r.requested_by, coalesce(r.decided_by, ''), r.decided_at,
	coalesce(r.decision_reason, ''), r.created_at, r.updated_at`

func scanRequest(row pgx.CollectableRow) (r registry.CatalogRequest, err error) {
	err = row.Scan(&r.ID, &r.TenantID, &r.Product, &r.Status, &r.Message, &r.RequestedBy, &r.DecidedBy, &r.DecidedAt,
		&r.DecisionReason, &r.CreatedAt, &r.UpdatedAt)
	return r, err
}

// Request implements registry.CatalogReader.
func (r reader) Request(ctx context.Context, id uuid.UUID) (registry.CatalogRequest, error) {
	const sql = `SELECT` + requestColumns + ` FROM catalog_requests r WHERE r.id = $1`
	return one(ctx, r, query{"read request", sql, []any{id}}, scanRequest)
}

// PendingRequests implements registry.CatalogReader.
func (r reader) PendingRequests(ctx context.Context, tenant uuid.UUID) ([]registry.CatalogRequest, error) {
	const sql = `SELECT` + requestColumns + `
		FROM catalog_requests r WHERE r.tenant_id = $1 AND r.status = 'pending' ORDER BY r.product_key`
	return many(ctx, r, query{"list pending requests", sql, []any{tenant}}, scanRequest)
}

// InsertRequest implements registry.CatalogWriter.
func (t *tx) InsertRequest(ctx context.Context, r registry.CatalogRequest) error {
	const sql = `
		INSERT INTO catalog_requests (id, tenant_id, product_key, status, message, requested_by, decided_by, decided_at,
			decision_reason, created_at, updated_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`
	return change(ctx, t, query{"insert request", sql, []any{
		r.ID, r.TenantID, r.Product, r.Status, textOrNull(r.Message), r.RequestedBy, textOrNull(r.DecidedBy), r.DecidedAt,
		textOrNull(r.DecisionReason), r.CreatedAt, r.UpdatedAt,
	}})
}
