package postgres

import (
	"context"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

// KeyFactsSQL answers look-ups, given as a list of hashes and one of products, with a row for each entitlement, or one
// without. It is one statement, so that all it answers is of one instant.
const KeyFactsSQL = `SELECT q.n,` + keyColumns + `,` + tenantColumns + `,` + entitlementColumns + `
	FROM unnest($1::bytea[], $2::text[]) WITH ORDINALITY AS q (hash, product, n)
	CROSS JOIN LATERAL (
		SELECT * FROM api_keys WHERE hash = q.hash UNION ALL SELECT * FROM api_keys WHERE previous_hash = q.hash
			LIMIT 1) AS k
	JOIN tenants t ON t.id = k.tenant_id
	LEFT JOIN entitlements e ON e.tenant_id = k.tenant_id AND e.product_key = coalesce(nullif(q.product, ''),
		k.product_key)
	ORDER BY q.n, e.id`

// GetKeyFacts implements registry.APIKeyReader.
func (r reader) GetKeyFacts(
	ctx context.Context, lookups []registry.KeyLookup,
) (map[registry.KeyLookup]registry.KeyFacts, error) {
	hashes, products := make([][]byte, len(lookups)), make([]string, len(lookups))
	for i, lookup := range lookups {
		hashes[i], products[i] = lookup.Hash[:], lookup.Product
	}
	rows, err := many(ctx, r, query{"read key facts", KeyFactsSQL, []any{hashes, products}}, scanFacts)
	if err != nil {
		return nil, err
	}
	found := make(map[registry.KeyLookup]registry.KeyFacts, len(lookups))
	for len(rows) > 0 {
		first := rows[0]
		owner := &registry.KeyOwner{Tenant: first.tenant, Entitlements: []registry.Entitlement{}}
		for ; len(rows) > 0 && rows[0].n == first.n; rows = rows[1:] {
			owner.Entitlements = append(owner.Entitlements, rows[0].sources...)
		}
		lookup := lookups[first.n-1]
		found[lookup] = first.key.Facts(lookup.Hash, owner)
	}
	return found, nil
}

// factsRow is a row of KeyFactsSQL.
type factsRow struct {
	n       int
	key     registry.APIKey
	tenant  registry.Tenant
	sources []registry.Entitlement // one or none
}

func scanFacts(row pgx.CollectableRow) (got factsRow, err error) {
	var (
		k keyRow
		t tenantRow
		e entitlementRow
	)
	if err := row.Scan(slices.Concat([]any{&got.n}, k.targets(), t.targets(), e.targets())...); err != nil {
		return got, err
	}
	if got.key, err = k.value(); err != nil {
		return got, err
	}
	if got.tenant, err = t.value(); err != nil || e.id == nil {
		return got, err
	}
	entitlement, err := e.value()
	got.sources = []registry.Entitlement{entitlement}
	return got, err
}
