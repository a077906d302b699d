package memory

import (
	"context"
	"slices"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

// ListAPIKeys implements registry.APIKeyReader.
func (r reader) ListAPIKeys(ctx context.Context, q registry.APIKeyQuery) (registry.Page[registry.APIKey], error) {
	if err := (texts{q.Product, string(q.Environment), string(q.State)}).check(); err != nil {
		return registry.Page[registry.APIKey]{}, err
	}
	return read(ctx, r, func(own bool) (registry.Page[registry.APIKey], error) {
		page := registry.Page[registry.APIKey]{Items: []registry.APIKey{}}
		t := r.db.tenants[q.TenantID]
		if t == nil || q.Limit < 1 {
			return page, nil
		}
		older := t.keys.rows
		if q.Position != uuid.Nil {
			older = older[:t.keys.search(&registry.APIKey{ID: q.Position})]
		}
		examined, last := 0, uuid.Nil
		for _, k := range slices.Backward(older) {
			v := k.seen(own)
			if v == nil {
				continue
			}
			if q.MaxExamined > 0 && examined == q.MaxExamined {
				page.Next = last.String()
				break
			}
			examined, last = examined+1, v.ID
			if !q.Matches(*v) {
				continue
			}
			if len(page.Items) == q.Limit {
				page.Next = page.Items[q.Limit-1].ID.String()
				break
			}
			page.Items = append(page.Items, copyKey(*v))
		}
		return page, nil
	})
}

// CountAPIKeys implements registry.APIKeyReader.
func (r reader) CountAPIKeys(ctx context.Context, tenant uuid.UUID) (int, error) {
	return read(ctx, r, func(own bool) (int, error) {
		count := 0
		t := r.db.tenants[tenant]
		if t == nil {
			return count, nil
		}
		for _, k := range t.keys.rows {
			if v := k.seen(own); v != nil && v.RevokedAt == nil {
				count++
			}
		}
		return count, nil
	})
}
