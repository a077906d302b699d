package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

const productColumns = `
	p.key, p.name, p.description, p.audience, p.requestable, coalesce(p.trial_days, 0), p.default_limits,
		p.default_config,
	p.available_from, p.available_until, p.created_at, p.updated_at`

// productRow scans the productColumns.
type productRow struct {
	product        registry.Product
	limits, config []byte
}

func scanProductRow(row pgx.CollectableRow) (r productRow, err error) {
	p := &r.product
	err = row.Scan(&p.Key, &p.Name, &p.Description, &p.Audience, &p.Requestable, &p.TrialDays, &r.limits, &r.config,
		&p.AvailableFrom, &p.AvailableUntil, &p.CreatedAt, &p.UpdatedAt)
	return r, err
}

func (r productRow) value() (p registry.Product, err error) {
	p = r.product
	if p.DefaultLimits, err = parse[registry.Limits](r.limits); err != nil {
		return p, err
	}
	p.DefaultConfig, err = parse[registry.Config](r.config)
	return p, err
}

func scanProduct(row pgx.CollectableRow) (registry.Product, error) {
	r, err := scanProductRow(row)
	if err != nil {
		return r.product, err
	}
	return r.value()
}

// GetProduct implements registry.CatalogReader.
func (r reader) GetProduct(ctx context.Context, key string) (registry.Product, error) {
	const sql = `SELECT` + productColumns + ` FROM products p WHERE p.key = $1`
	return one(ctx, r, query{"read product", sql, []any{key}}, scanProduct)
}

// ListProducts implements registry.CatalogReader. A product that cannot be read is left out, and logged: it must not
// take the catalogue with it.
func (r reader) ListProducts(ctx context.Context) ([]registry.Product, error) {
	const sql = `SELECT` + productColumns + ` FROM products p ORDER BY p.key`
	rows, err := many(ctx, r, query{"list products", sql, nil}, scanProductRow)
	if err != nil {
		return nil, err
	}
	products := make([]registry.Product, 0, len(rows))
	for _, row := range rows {
		p, err := row.value()
		if err != nil {
			r.logUnreadable(ctx, "products", row.product.Key, err)
			continue
		}
		products = append(products, p)
	}
	return products, nil
}

// InsertProduct implements registry.CatalogWriter.
func (t *tx) InsertProduct(ctx context.Context, p registry.Product) error {
	const sql = `
		INSERT INTO products (key, name, description, audience, requestable, trial_days, default_limits, default_config,
			available_from, available_until, created_at, updated_at)
		VALUES ($1, $2, $3, $4, $5, nullif($6, 0), $7, $8, $9, $10, $11, $12)`
	return change(ctx, t, query{"insert product", sql, []any{
		p.Key, p.Name, p.Description, p.Audience, p.Requestable, p.TrialDays, jsonDocument{p.DefaultLimits},
		jsonDocument{p.DefaultConfig},
		p.AvailableFrom, p.AvailableUntil, p.CreatedAt, p.UpdatedAt,
	}})
}
