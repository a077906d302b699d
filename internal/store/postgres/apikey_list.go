package postgres

import (
	"context"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

// ListAPIKeys implements registry.APIKeyReader. The order of the ids is that of creation.
func (r reader) ListAPIKeys(ctx context.Context, q registry.APIKeyQuery) (registry.Page[registry.APIKey], error) {
	page := registry.Page[registry.APIKey]{Items: []registry.APIKey{}}
	if q.Limit < 1 {
		return page, ctx.Err()
	}
	rows, err := examine(ctx, r, keysQuery(q), scanKey)
	if err != nil {
		return registry.Page[registry.APIKey]{}, err
	}
	for _, row := range rows {
		switch {
		case row.hit && len(page.Items) == q.Limit: // one more than the page has
			page.Next = page.Items[q.Limit-1].ID.String()
			return page, nil
		case row.hit:
			page.Items = append(page.Items, row.value)
		}
		if row.truncated {
			page.Next = row.value.ID.String()
		}
	}
	return page, nil
}

// keysQuery has the conditions that registry.APIKeyQuery.Matches states, and asks for one key more than the page has.
func keysQuery(q registry.APIKeyQuery) query {
	var s statement
	k := keyset{
		op: "list API keys", table: "api_keys k", columns: keyColumns, position: "k.id", descending: true,
		limit: q.Limit + 1, maxExamined: q.MaxExamined, scope: []string{s.condition("k.tenant_id = ?", q.TenantID)},
	}
	filter := func(text string, value any) { k.filters = append(k.filters, s.condition(text, value)) }
	if q.Position != uuid.Nil {
		k.scope = append(k.scope, s.condition("k.id < ?", q.Position))
	}
	if q.Product != "" {
		filter("k.product_key = ?", q.Product)
	}
	if q.Environment != "" {
		filter("k.environment = ?", q.Environment)
	}
	if q.State != "" {
		filter(`CASE WHEN k.revoked_at IS NOT NULL THEN 'revoked' WHEN k.disabled THEN 'disabled'
			WHEN k.expires_at <= `+s.value(q.Now)+` THEN 'expired' ELSE 'active' END = ?`, string(q.State))
	}
	if q.UnusedSince != nil {
		filter("k.created_at < ? AND (k.last_used_at IS NULL OR k.last_used_at < ?)", q.UnusedSince)
	}
	if q.ExpiresBefore != nil {
		filter("k.expires_at < ?", q.ExpiresBefore)
	}
	return k.query(&s)
}

// CountAPIKeys implements registry.APIKeyReader.
func (r reader) CountAPIKeys(ctx context.Context, tenant uuid.UUID) (int, error) {
	const sql = `SELECT count(*) FROM api_keys k WHERE k.tenant_id = $1 AND k.revoked_at IS NULL`
	return one(ctx, r, query{"count API keys", sql, []any{tenant}}, pgx.RowTo[int])
}
