package registry_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/store/memory"
)

func TestVerify(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	acme := w.tenant("acme", registry.StatusActive)
	w.product("scanner")
	w.product("other")
	k, text := w.key(registry.NewAPIKey{TenantID: acme.ID, Product: "scanner", Scopes: []string{"a"}, ExpiresAt: at(time.Hour)})
	free, freeText := w.key(registry.NewAPIKey{TenantID: acme.ID})
	_, err := w.s.Grant(w.ctx, w.by, acme.ID, "scanner", registry.SourcePlan)
	w.must(err)
	events := len(w.log())
	verify := func(q registry.VerifyQuery) registry.Verdict {
		t.Helper()
		v, err := w.s.Verify(w.ctx, w.by, q)
		w.must(err)
		return v
	}

	v := verify(registry.VerifyQuery{Key: text, Scopes: []string{"a"}, Environment: registry.Live})
	if v.Code != registry.Valid || v.KeyID != k.ID || v.TenantID != acme.ID || v.TenantSlug != "acme" || v.Entitlement.Product != "scanner" || *v.ValidUntil != *at(time.Hour) {
		t.Errorf("%+v", v)
	}
	if v := verify(registry.VerifyQuery{Key: freeText}); v.Code != registry.Valid || v.KeyID != free.ID || v.Entitlement != nil || v.ValidUntil != nil {
		t.Errorf("a key without a product: %+v", v)
	}
	if v := verify(registry.VerifyQuery{Key: freeText, Product: "scanner"}); v.Code != registry.Valid || v.Entitlement == nil {
		t.Errorf("a key without a product, for one: %+v", v)
	}
	for product, code := range map[string]registry.VerifyCode{"other": registry.NotEntitled, "unheard-of": registry.NotEntitled} {
		if v := verify(registry.VerifyQuery{Key: freeText, Product: product}); v.Code != code {
			t.Errorf("for %s: %s, want %s", product, v.Code, code)
		}
	}
	if v := verify(registry.VerifyQuery{Key: text, Product: "other"}); !reflect.DeepEqual(v, registry.Verdict{Code: registry.KeyNotFound}) {
		t.Errorf("for another product than the key's: %+v", v)
	}
	_, err = w.s.CancelTenant(w.ctx, w.by, acme.ID)
	w.must(err)
	if v := verify(registry.VerifyQuery{Key: freeText, Product: "scanner"}); v.Code != registry.TenantFrozen || v.TenantStatus != registry.StatusFrozen {
		t.Errorf("frozen: %+v", v)
	}
	if n := len(w.log()) - events; n != 1 {
		t.Errorf("%d events, and only the cancellation is one", n)
	}
}

func TestVerify_byTheClock(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	acme := w.tenant("acme", registry.StatusActive)
	_, text := w.key(registry.NewAPIKey{TenantID: acme.ID, ExpiresAt: at(time.Hour)})
	verify := func(q registry.VerifyQuery) registry.Verdict {
		t.Helper()
		v, err := w.s.Verify(w.ctx, w.by, q)
		w.must(err)
		return v
	}
	w.sleep(time.Hour - time.Microsecond)
	if v := verify(registry.VerifyQuery{Key: text}); v.Code != registry.Valid || v.MaxAgeSeconds != 0 {
		t.Errorf("a microsecond before the end: %+v", v)
	}
	w.sleep(time.Microsecond)
	if v := verify(registry.VerifyQuery{Key: text}); v.Code != registry.KeyExpired {
		t.Errorf("at the end: %s", v.Code)
	}
}

// Garbage costs no look-up, a key that nobody made costs one, and what the store cannot answer is no verdict.
func TestVerify_readsOfTheStore(t *testing.T) {
	t.Parallel()
	store := &watched{Store: memory.New()}
	w := worldOn(t, store)
	acme := w.tenant("acme", registry.StatusActive)
	_, text := w.key(registry.NewAPIKey{TenantID: acme.ID})
	for _, garbage := range []string{"", "x", text[1:], text + "x", text[:len(text)-1] + "!", strings.ToUpper(text), strings.Repeat("x", 10<<20)} {
		v, err := w.s.Verify(w.ctx, w.by, registry.VerifyQuery{Key: garbage})
		if err != nil || !reflect.DeepEqual(v, registry.Verdict{Code: registry.Malformed, MaxAgeSeconds: registry.MaxAge}) {
			t.Errorf("%.20q: %+v, %v", garbage, v, err)
		}
	}
	if store.lookups != 0 {
		t.Errorf("garbage cost %d look-ups", store.lookups)
	}
	unknown := "bp_test_" + strings.Repeat("0", 43) + "0R30v6"
	v, err := w.s.Verify(w.ctx, w.by, registry.VerifyQuery{Key: unknown})
	if err != nil || !reflect.DeepEqual(v, registry.Verdict{Code: registry.KeyNotFound}) || store.lookups != 1 {
		t.Errorf("%+v, %v, %d look-ups", v, err, store.lookups)
	}
	store.down = registry.ErrUnavailable
	v, err = w.s.Verify(w.ctx, w.by, registry.VerifyQuery{Key: text})
	if !errors.Is(err, registry.ErrUnavailable) || !reflect.DeepEqual(v, registry.Verdict{}) {
		t.Errorf("without a store: %+v, %v", v, err)
	}
}

func TestVerify_invalidQuery(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for where, q := range map[string]registry.VerifyQuery{
		"/product": {Product: "No"}, "/environment": {Environment: "prod"}, "/scopes/1": {Scopes: []string{"a", ""}},
		"/scopes": {Scopes: make([]string, 33)},
	} {
		v, err := w.s.Verify(w.ctx, w.by, q)
		w.blames(w.refusal(err, registry.Invalid, registry.CodeInvalid), where)
		if !reflect.DeepEqual(v, registry.Verdict{}) {
			t.Errorf("%s: an error and %+v", where, v)
		}
	}
}

// A product may ask about itself, and who is bound to none about nothing.
func TestVerify_caller(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	acme := w.tenant("acme", registry.StatusActive)
	w.product("scanner")
	w.product("other")
	_, text := w.key(registry.NewAPIKey{TenantID: acme.ID})
	_, foreign := w.key(registry.NewAPIKey{TenantID: acme.ID, Product: "other"})
	for _, product := range []string{"scanner", "other"} {
		_, err := w.s.Grant(w.ctx, w.by, acme.ID, product, registry.SourcePlan)
		w.must(err)
	}
	scanner := registry.Caller{Scope: registry.Scope{Product: "scanner"}}
	for _, q := range []registry.VerifyQuery{{Key: text}, {Key: text, Product: "scanner"}} {
		if v, err := w.s.Verify(w.ctx, scanner, q); err != nil || v.Code != registry.Valid || v.Entitlement == nil || v.Entitlement.Product != "scanner" {
			t.Errorf("%+v: %+v, %v", q, v, err)
		}
	}
	if v, err := w.s.Verify(w.ctx, scanner, registry.VerifyQuery{Key: foreign}); err != nil || v.Code != registry.KeyNotFound {
		t.Errorf("a key of another product: %+v, %v", v, err)
	}
	_, err := w.s.Verify(w.ctx, scanner, registry.VerifyQuery{Key: text, Product: "other"})
	w.refusal(err, registry.Forbidden, registry.CodeForbidden)
	for _, scope := range []registry.Scope{{}, {Tenant: acme.ID}} {
		for _, product := range []string{"", "scanner"} {
			_, err = w.s.Verify(w.ctx, registry.Caller{Scope: scope}, registry.VerifyQuery{Key: text, Product: product})
			w.refusal(err, registry.Forbidden, registry.CodeForbidden)
		}
	}
}
