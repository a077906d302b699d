package registry_test

import (
	"testing"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

func TestTenant_unknownIsNotFound(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.tenant("acme", registry.StatusActive)
	for _, id := range []uuid.UUID{uuid.Nil, uuid.New()} {
		_, err := f.s.Tenant(f.ctx, f.by, id)
		f.refusal(err, registry.NotFound, registry.CodeTenantNotFound)
		_, err = f.s.ActivateTenant(f.ctx, f.by, id)
		f.refusal(err, registry.NotFound, registry.CodeTenantNotFound)
	}
	for _, slug := range []string{"", "acm", "acmee", "ACME", "acme\x00", "acme\xff", "www", "xn--acme", "../acme"} {
		_, err := f.s.TenantBySlug(f.ctx, f.by, slug, registry.ReadOptions{})
		f.refusal(err, registry.NotFound, registry.CodeTenantNotFound)
	}
}
