package registry

import (
	"context"
	"slices"

	"github.com/google/uuid"
	"github.com/maypok86/otter/v2"

	"github.com/breakpilot/tenant-registry/internal/audit"
)

// maxProductTenants is how many pairs of a product and a tenant are remembered.
const maxProductTenants = 100_000

// productTenants remembers which tenants have, or had, something of a product. That never ends, so it is read one time.
type productTenants struct {
	pairs *otter.Cache[productTenant, struct{}]
}

type productTenant struct {
	product string
	tenant  uuid.UUID
}

func newProductTenants() productTenants {
	return productTenants{otter.Must(&otter.Options[productTenant, struct{}]{MaximumSize: maxProductTenants})}
}

// tenantsOf are the groups of events that have, or had, something of a product.
func (p productTenants) tenantsOf(
	ctx context.Context, from EntitlementReader, product string, events []audit.Event,
) (map[uuid.UUID]bool, error) {
	known, unknown := map[uuid.UUID]bool{}, []uuid.UUID{}
	if product == "" { // the caller is bound to none
		return known, nil
	}
	for _, e := range events {
		if _, is := p.pairs.GetIfPresent(productTenant{product, e.GroupID}); is {
			known[e.GroupID] = true
		} else if !slices.Contains(unknown, e.GroupID) {
			unknown = append(unknown, e.GroupID)
		}
	}
	if len(unknown) == 0 {
		return known, nil
	}
	found, err := from.ListTenantsOfProduct(ctx, product, unknown)
	for _, tenant := range found {
		known[tenant] = true
		p.pairs.Set(productTenant{product, tenant}, struct{}{})
	}
	return known, err
}
