package registry_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/breakpilot/tenant-registry/internal/apikey"
	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/store/memory"
)

func TestVerify_answersForAProduct(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	acme := f.tenant("acme", registry.StatusActive)
	f.product("scanner")
	f.product("other")
	k, text := f.key(registry.APIKeyInput{
		TenantID: acme.ID, Product: "scanner", Scopes: []string{"a"}, ExpiresAt: at(time.Hour),
	})
	free, freeText := f.key(registry.APIKeyInput{TenantID: acme.ID})
	_, err := f.s.Grant(f.ctx, f.by, acme.ID, "scanner", registry.SourcePlan)
	f.must(err)
	events := len(f.log())
	verify := func(q registry.VerifyQuery) registry.Verdict {
		t.Helper()
		v, err := f.s.Verify(f.ctx, f.by, q, registry.ReadOptions{})
		f.must(err)
		return v
	}

	v := verify(registry.VerifyQuery{Key: text, Scopes: []string{"a"}, Environment: apikey.Live})
	if v.Code != registry.Valid || v.KeyID != k.ID || v.TenantID != acme.ID || v.TenantSlug != "acme" ||
		v.Entitlement.Product != "scanner" || *v.ValidUntil != *at(time.Hour) {
		t.Errorf("%+v", v)
	}
	if v := verify(registry.VerifyQuery{Key: freeText}); v.Code != registry.Valid || v.KeyID != free.ID ||
		v.Entitlement != nil || v.ValidUntil != nil {
		t.Errorf("a key without a product: %+v", v)
	}
	if v := verify(registry.VerifyQuery{Key: freeText, Product: "scanner"}); v.Code != registry.Valid ||
		v.Entitlement == nil {
		t.Errorf("a key without a product, for one: %+v", v)
	}
	for product, code := range map[string]registry.VerifyCode{
		"other": registry.NotEntitled, "unheard-of": registry.NotEntitled,
	} {
		if v := verify(registry.VerifyQuery{Key: freeText, Product: product}); v.Code != code {
			t.Errorf("for %s: %s, want %s", product, v.Code, code)
		}
	}
	v = verify(registry.VerifyQuery{Key: text, Product: "other"})
	if !reflect.DeepEqual(v, registry.Verdict{Code: registry.KeyNotFound}) {
		t.Errorf("for another product than the key's: %+v", v)
	}
	_, err = f.s.CancelTenant(f.ctx, f.by, acme.ID)
	f.must(err)
	if v := verify(registry.VerifyQuery{Key: freeText, Product: "scanner"}); v.Code != registry.TenantFrozen ||
		v.TenantStatus != registry.StatusFrozen {
		t.Errorf("frozen: %+v", v)
	}
	if n := len(f.log()) - events; n != 1 {
		t.Errorf("%d events, and only the cancellation is one", n)
	}
}

func TestVerify_expiresByTheClock(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	acme := f.tenant("acme", registry.StatusActive)
	_, text := f.key(registry.APIKeyInput{TenantID: acme.ID, ExpiresAt: at(time.Hour)})
	verify := func(q registry.VerifyQuery) registry.Verdict {
		t.Helper()
		v, err := f.s.Verify(f.ctx, f.by, q, registry.ReadOptions{})
		f.must(err)
		return v
	}
	f.sleep(time.Hour - time.Microsecond)
	if v := verify(registry.VerifyQuery{Key: text}); v.Code != registry.Valid || v.MaxAgeSeconds != 0 {
		t.Errorf("a microsecond before the end: %+v", v)
	}
	f.sleep(time.Microsecond)
	if v := verify(registry.VerifyQuery{Key: text}); v.Code != registry.KeyExpired {
		t.Errorf("at the end: %s", v.Code)
	}
}

// A malformed key costs no look-up, an unknown one costs one, and a store that fails is no verdict.
func TestVerify_malformedKeyCostsNoLookup(t *testing.T) {
	t.Parallel()
	store := &watched{Store: memory.New()}
	f := fixtureOn(t, store)
	acme := f.tenant("acme", registry.StatusActive)
	_, text := f.key(registry.APIKeyInput{TenantID: acme.ID})
	for _, malformed := range []string{
		"", "x", text[1:], text + "x", text[:len(text)-1] + "!", strings.ToUpper(text), strings.Repeat("x", 10<<20),
	} {
		v, err := f.s.Verify(f.ctx, f.by, registry.VerifyQuery{Key: malformed}, registry.ReadOptions{})
		if err != nil ||
			!reflect.DeepEqual(v, registry.Verdict{Code: registry.Malformed, MaxAgeSeconds: registry.MaxAge}) {
			t.Errorf("%.20q: %+v, %v", malformed, v, err)
		}
	}
	if store.lookups != 0 {
		t.Errorf("malformed cost %d look-ups", store.lookups)
	}
	unknown := "bp_test_" + strings.Repeat("0", 43) + "0R30v6"
	v, err := f.s.Verify(f.ctx, f.by, registry.VerifyQuery{Key: unknown}, registry.ReadOptions{})
	if err != nil || !reflect.DeepEqual(v, registry.Verdict{Code: registry.KeyNotFound}) || store.lookups != 1 {
		t.Errorf("%+v, %v, %d look-ups", v, err, store.lookups)
	}
	store.down = registry.ErrUnavailable
	v, err = f.s.Verify(f.ctx, f.by, registry.VerifyQuery{Key: text}, registry.ReadOptions{})
	if !errors.Is(err, registry.ErrUnavailable) || !reflect.DeepEqual(v, registry.Verdict{}) {
		t.Errorf("without a store: %+v, %v", v, err)
	}
}

func TestVerify_invalidQueryIsRefused(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for where, q := range map[string]registry.VerifyQuery{
		"/product": {Product: "No"}, "/environment": {Environment: "prod"}, "/scopes/1": {Scopes: []string{"a", ""}},
		"/scopes": {Scopes: make([]string, 33)},
	} {
		v, err := f.s.Verify(f.ctx, f.by, q, registry.ReadOptions{})
		f.blames(f.refusal(err, registry.Invalid, registry.CodeInvalid), where)
		if !reflect.DeepEqual(v, registry.Verdict{}) {
			t.Errorf("%s: an error and %+v", where, v)
		}
	}
}

// A product verifies keys for itself, and a caller that is bound to none verifies none.
func TestVerify_productVerifiesItsOwnKeys(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	acme := f.tenant("acme", registry.StatusActive)
	f.product("scanner")
	f.product("other")
	_, text := f.key(registry.APIKeyInput{TenantID: acme.ID})
	_, foreign := f.key(registry.APIKeyInput{TenantID: acme.ID, Product: "other"})
	for _, product := range []string{"scanner", "other"} {
		_, err := f.s.Grant(f.ctx, f.by, acme.ID, product, registry.SourcePlan)
		f.must(err)
	}
	scanner := registry.Caller{Access: registry.Access{Product: "scanner"}}
	for _, q := range []registry.VerifyQuery{{Key: text}, {Key: text, Product: "scanner"}} {
		if v, err := f.s.Verify(f.ctx, scanner, q, registry.ReadOptions{}); err != nil || v.Code != registry.Valid ||
			v.Entitlement == nil || v.Entitlement.Product != "scanner" {
			t.Errorf("%+v: %+v, %v", q, v, err)
		}
	}
	if v, err := f.s.Verify(f.ctx, scanner, registry.VerifyQuery{Key: foreign}, registry.ReadOptions{}); err != nil ||
		v.Code != registry.KeyNotFound {
		t.Errorf("a key of another product: %+v, %v", v, err)
	}
	_, err := f.s.Verify(f.ctx, scanner, registry.VerifyQuery{Key: text, Product: "other"}, registry.ReadOptions{})
	f.refusal(err, registry.Forbidden, registry.CodeForbidden)
	for _, access := range []registry.Access{{}, {Tenant: acme.ID}} {
		for _, product := range []string{"", "scanner"} {
			_, err = f.s.Verify(
				f.ctx, registry.Caller{Access: access}, registry.VerifyQuery{Key: text, Product: product},
				registry.ReadOptions{},
			)
			f.refusal(err, registry.Forbidden, registry.CodeForbidden)
		}
	}
}
