package registry

import (
	"context"
	"errors"
	"iter"
	"slices"

	"github.com/google/uuid"
)

// Entitlements returns a page of what a tenant has, by product key. A caller whose access is limited to a product sees
// that one only.
func (s *Service) Entitlements(
	ctx context.Context, by Caller, tenant uuid.UUID, r PageRequest,
) (Page[ProductEntitlement], error) {
	unknown := inParameter(notFound(CodeTenantNotFound, "tenant"), "tenant_id")
	if !by.Access.sees(tenant) {
		return Page[ProductEntitlement]{}, unknown
	}
	t, err := s.store.GetTenant(ctx, tenant)
	if errors.Is(err, ErrNotFound) {
		return Page[ProductEntitlement]{}, unknown
	}
	if err != nil {
		return Page[ProductEntitlement]{}, err
	}
	sources, err := s.store.ListEntitlements(ctx, tenant)
	if err != nil {
		return Page[ProductEntitlement]{}, err
	}
	if only := by.Access.product(tenant); only != "" {
		sources = slices.DeleteFunc(sources, func(e Entitlement) bool { return e.Product != only })
	}
	now := s.clock()
	items := []ProductEntitlement{}
	for of := range byProduct(sources) {
		items = append(items, evaluate(t.Status, of[0].Product, of, now))
	}
	return pageOf(r, items, func(p ProductEntitlement) string { return p.Product }), nil
}

// byProduct cuts a list that is ordered by product into the sources of each product.
func byProduct(sources []Entitlement) iter.Seq[[]Entitlement] {
	return func(yield func([]Entitlement) bool) {
		for len(sources) > 0 {
			end := slices.IndexFunc(sources, func(e Entitlement) bool { return e.Product != sources[0].Product })
			if end < 0 {
				end = len(sources)
			}
			if !yield(sources[:end:end]) {
				return
			}
			sources = sources[end:]
		}
	}
}
