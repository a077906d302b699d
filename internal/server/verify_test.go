package server

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/apikey"
	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/timestamp"
)

// verify asks about a key; more are further members of the request.
func (c *client) verify(key string, more object) verdictBody {
	c.t.Helper()
	body := object{"key": key}
	for name, value := range more {
		body[name] = value
	}
	got := as[verdictBody](c.post("/v1/internal/api-keys/verify", body).want(http.StatusOK).wantHeader(
		"Cache-Control", "no-store",
	))
	if got.Valid != (got.Code == registry.Valid) {
		c.t.Errorf("valid is %t and the code %s", got.Valid, got.Code)
	}
	return got
}

// wantVerdict asserts the code of a verdict.
func (c *client) wantVerdict(code registry.VerifyCode, key string, more object) verdictBody {
	c.t.Helper()
	got := c.verify(key, more)
	if got.Code != code {
		c.t.Errorf("%v is %s, want %s", more, got.Code, code)
	}
	return got
}

// disable switches a key off.
func (c *client) disable(id uuid.UUID) {
	c.t.Helper()
	c.patch(id, object{"disabled": true})
}

func TestVerify_showsWhatAValidKeyMay(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		x := api.activeTenant("globex")
		api.product("product", nil)
		api.grant(x.ID, "product")
		k := api.key(x.ID, object{"scopes": []string{"a", "b"}, "environment": "test"})
		want := verdictBody{
			Valid: true, Code: "VALID", KeyID: &k.ID, Tenant: &verdictTenant{x.ID, "globex", registry.StatusActive},
			Environment: new(apikey.Test), Scopes: &[]string{"a", "b"}, Secret: new("current"), MaxAgeSeconds: 5,
		}
		wantEqual(t, "the verdict", api.verify(k.Key, nil), want)
		wantEqual(
			t, "the verdict for nulls", api.verify(k.Key, object{"product": nil, "scopes": nil, "environment": nil}),
			want,
		)
		wantEqual(
			t, "the verdict for empty members",
			api.verify(k.Key, object{"product": "", "scopes": []string{}, "environment": ""}), want,
		)
		want.Entitlement = new(api.entitled(x.ID)["product"])
		wantEqual(
			t, "the verdict for all of it",
			api.verify(k.Key, object{"product": "product", "scopes": []string{"b", "a"}, "environment": "test"}), want,
		)
	})
}

func TestVerify_unknownKeysShowNothing(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		k := api.key(api.activeTenant("globex").ID, nil)
		malformed := verdictBody{Code: "MALFORMED", MaxAgeSeconds: 5}
		for _, text := range []string{
			"", "x", k.Key[1:], k.Key + "0", k.Key[:56] + "!", strings.ToUpper(k.Key), " " + k.Key,
			"bp_prod" + k.Key[7:],
		} {
			wantEqual(t, "the verdict on "+text, api.verify(text, nil), malformed)
		}
		last := "0"
		if strings.HasSuffix(k.Key, last) {
			last = "1"
		}
		wantEqual(t, "the verdict on a typing error", api.verify(k.Key[:56]+last, nil), malformed)
		wantEqual(t, "the verdict on an unknown key", api.verify(unknownKey, nil), verdictBody{Code: "NOT_FOUND"})
	})
}

func TestVerify_boundKeysAreForTheirProduct(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		x := api.activeTenant("globex").ID
		for _, product := range []string{"own", "other"} {
			api.product(product, nil)
			api.grant(x, product)
		}
		k := api.key(x, object{"product": "own"})
		if got := api.wantVerdict("VALID", k.Key, nil); got.Entitlement == nil || got.Entitlement.Product != "own" {
			t.Errorf("a bound key is asked for its own product: %+v", got)
		}
		api.wantVerdict("VALID", k.Key, object{"product": "own", "environment": "live"})
		for _, more := range []object{{"product": "other"}, {"environment": "test"}, {"product": "unknown"}} {
			wantEqual(t, "the verdict for another", api.verify(k.Key, more), verdictBody{Code: "NOT_FOUND"})
		}
	})
}

// Each step takes away the reason that came first, so that the next one shows.
func TestVerify_hasOneOrderOfReasons(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		x := api.activeTenant("globex")
		api.product("product", nil)
		ask := object{"product": "product", "scopes": []string{"held", "not:held"}}
		expiring := object{"scopes": []string{"held"}, "expires_at": "2026-03-02T10:30:00Z"}
		revoked, disabled, expired := api.key(x.ID, expiring), api.key(x.ID, expiring), api.key(x.ID, expiring)
		frozen := api.key(x.ID, object{"scopes": []string{"held"}})
		api.wantVerdict("NOT_ENTITLED", frozen.Key, ask)
		api.wantVerdict("NOT_ENTITLED", frozen.Key, object{"product": "unknown"})
		api.grant(x.ID, "product")
		api.wantVerdict("INSUFFICIENT_SCOPE", frozen.Key, ask)
		api.wantVerdict("VALID", frozen.Key, object{"product": "product", "scopes": []string{"held"}})
		api.wantVerdict("INSUFFICIENT_SCOPE", frozen.Key, object{"scopes": []string{"hel"}})

		api.freeze(x.ID)
		if got := api.wantVerdict("TENANT_FROZEN", frozen.Key, ask); got.Tenant.Status != registry.StatusFrozen ||
			got.Entitlement != nil {
			t.Errorf("of a frozen tenant: %+v", got)
		}
		api.clock.advance(time.Hour)
		api.wantVerdict("EXPIRED", expired.Key, ask)
		api.disable(revoked.ID)
		api.disable(disabled.ID)
		api.wantVerdict("DISABLED", disabled.Key, ask)
		api.revoke(revoked.ID, "")
		if got := api.wantVerdict("REVOKED", revoked.Key, ask); *got.KeyID != revoked.ID || *got.Secret != "current" ||
			(*got.Scopes)[0] != "held" {
			t.Errorf("a revoked key is shown as %+v", got)
		}
		api.wantVerdict("NOT_FOUND", revoked.Key, object{"environment": "test"})
	})
}

func TestVerify_isExactInTime(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		x := api.activeTenant("globex").ID
		api.product("product", withTrial)
		api.post("/v1/catalog/trial-request", about(x, "product")).want(http.StatusCreated)
		ends := start.Add(14 * 24 * time.Hour)
		k := api.key(x, object{"expires_at": timestamp.Format(ends.Add(time.Second))})
		ask := object{"product": "product"}
		for _, step := range []struct {
			at     time.Time
			code   registry.VerifyCode
			maxAge int
			until  string
		}{
			{start, "VALID", 5, timestamp.Format(ends)},
			{ends.Add(-5 * time.Second), "VALID", 5, timestamp.Format(ends)},
			{ends.Add(-4999 * time.Millisecond), "VALID", 4, timestamp.Format(ends)},
			{ends.Add(-time.Microsecond), "VALID", 0, timestamp.Format(ends)},
			{ends, "NOT_ENTITLED", 1, timestamp.Format(ends.Add(time.Second))},
			{ends.Add(time.Second - time.Microsecond), "NOT_ENTITLED", 0, timestamp.Format(ends.Add(time.Second))},
			{ends.Add(time.Second), "EXPIRED", 5, "never"},
		} {
			api.clock.advance(step.at.Sub(api.clock.now()))
			got := api.verify(k.Key, ask)
			until := "never"
			if got.ValidUntil != nil {
				until = *got.ValidUntil
			}
			if got.Code != step.code || got.MaxAgeSeconds != step.maxAge || until != step.until {
				t.Errorf(
					"at %s: %s for %d s until %s, want %s for %d s until %s", step.at, got.Code, got.MaxAgeSeconds,
					until, step.code, step.maxAge, step.until,
				)
			}
		}
	})
}

func TestVerify_refusesBadInput(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		with := func(name string, value any) object { return object{"key": unknownKey, name: value} }
		refused(api, "/v1/internal/api-keys/verify", []refusal{
			{object{}, "invalid_request", "/key"},
			{object{"key": nil}, "invalid_request", "/key"},
			{with("product", "No Key"), "invalid_request", "/product"},
			{with("environment", "prod"), "invalid_request", "/environment"},
			{with("scopes", []string{"No"}), "invalid_request", "/scopes/0"},
		})
	})
}

// TestVerify_anyTextIsAnswered asserts that whatever is presented as a key is a verdict or a problem.
func TestVerify_anyTextIsAnswered(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		x := api.activeTenant("globex").ID
		k := api.key(x, object{"environment": "test", "scopes": []string{"a"}})
		for _, bad := range []string{
			"", " ", k.Key + " ", " " + k.Key, strings.Replace(k.Key, "t", " ", 1), k.Key + "\n",
			"bp_live_" + k.Key[8:], strings.ToUpper(k.Key), k.Key[:56], k.Key + k.Key,
			"ключ", k.Key[:50] + "ééé" + k.Key[56:], "\u202e" + k.Key, strings.Repeat("é", 28) + "x",
			"bp_test_" + strings.Repeat("_", 49),
		} {
			if v := api.verify(bad, nil); v.Code != registry.Malformed || v.KeyID != nil {
				t.Errorf("%q is %+v", bad, v)
			}
		}
		api.send(withHugeKey("/v1/internal/api-keys/verify")).wantProblem("body_too_large")
		api.wantVerdict(registry.KeyNotFound, k.Key, object{"environment": "live"})
		for _, scopes := range []any{"a", []any{1}, []any{nil}, []any{[]string{"a"}}, object{"a": true}, 1, true} {
			got := api.send(jsonRequest("/v1/internal/api-keys/verify", object{"key": k.Key, "scopes": scopes}))
			if p := got.wantProblem("invalid_request"); len(p.Errors) != 1 {
				t.Errorf("scopes %v: %+v", scopes, p)
			}
		}
		api.wantVerdict(registry.Valid, k.Key, object{"environment": "test", "scopes": []string{"a"}})
	})
}

// withHugeKey is a body of 10 MiB.
func withHugeKey(target string) request {
	r := jsonRequest(target, object{})
	r.body = `{"key":"` + strings.Repeat("x", 10<<20) + `"}`
	return r
}
