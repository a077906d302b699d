package registry_test

import (
	"slices"
	"testing"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

func TestAPIKeys_pagesAreTheWholeList(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	acme, empty := f.tenant("acme", registry.StatusActive), f.tenant("empty", registry.StatusFrozen)
	var want []uuid.UUID
	for range 5 {
		k, _ := f.key(registry.APIKeyInput{TenantID: acme.ID})
		want = append([]uuid.UUID{k.ID}, want...)
	}
	for limit := 1; limit <= 6; limit++ {
		var got []uuid.UUID
		cursor := ""
		for range 10 {
			page, err := f.s.APIKeys(f.ctx, f.by, registry.APIKeyQuery{
				TenantID: acme.ID, PageRequest: registry.PageRequest{Cursor: cursor, Limit: limit},
			})
			f.must(err)
			if len(page.Items) > limit || (page.Next != "" && len(page.Items) < limit) {
				t.Fatalf("%d keys of %d, and the next page is %q", len(page.Items), limit, page.Next)
			}
			for _, k := range page.Items {
				got = append(got, k.ID)
			}
			if cursor = page.Next; cursor == "" {
				break
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("pages of %d: %v, want %v", limit, got, want)
		}
	}
	if keys, err := f.keys(empty.ID); err != nil || keys == nil || len(keys) > 0 {
		t.Errorf("a tenant without keys: %v, %v", keys, err)
	}
	_, err := f.keys(uuid.New())
	f.blames(f.refusal(err, registry.NotFound, registry.CodeTenantNotFound), "tenant_id")
}
