package registry_test

import (
	"testing"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

// A key bound to a private product would tell whoever asks that there is such a product.
func TestCreateAPIKey_productTheTenantMayNotKnow(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	acme := w.tenant("acme", registry.StatusActive)
	w.product("secret", func(p *registry.Product) { p.Audience = registry.Private })
	create := func() error {
		_, _, err := w.s.CreateAPIKey(t.Context(), w.by, registry.NewAPIKey{TenantID: acme.ID, Name: "k", Product: "secret"})
		return err
	}
	w.blames(w.refusal(create(), registry.NotFound, registry.CodeProductNotFound), "/product")
	if _, err := w.s.Grant(t.Context(), w.by, acme.ID, "secret", registry.SourceGrant); err != nil {
		t.Fatal(err)
	}
	w.must(create())
}

func TestTexts_joiners(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	acme := w.tenant("acme", registry.StatusActive)
	w.product("scanner")
	const joined = "for \U0001F469\u200d\U0001F4BB and می\u200cخواهم"
	_, _, err := w.s.RequestProduct(t.Context(), w.by, registry.ProductWish{TenantID: acme.ID, Product: "scanner", Message: joined})
	w.must(err)
	_, err = w.s.CreateTenant(t.Context(), w.by, registry.NewTenant{Slug: "globex", Name: joined})
	w.blames(w.refusal(err, registry.Invalid, registry.CodeInvalid), "/name")
}
