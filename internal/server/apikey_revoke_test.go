package server

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/auth"
	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/server/web"
	"github.com/breakpilot/tenant-registry/internal/store/memory"
	"github.com/breakpilot/tenant-registry/internal/store/storetest/faultstore"
)

// revoke revokes a key.
func (c *client) revoke(id uuid.UUID, reason string) {
	c.t.Helper()
	q := newQuery(join("/v1/api-keys", id))
	if reason != "" {
		q = q.set("reason", reason)
	}
	if got := c.call(remove(q.String())).want(http.StatusNoContent); len(got.body) > 0 {
		c.t.Errorf("204 with a body: %s", got.body)
	}
}

func TestAPIKeyRevoke_isPermanent(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		x := api.activeTenant("globex").ID
		k, silent := api.key(x, nil).keyBody, api.key(x, nil).keyBody
		api.clock.advance(time.Minute)
		api.revoke(k.ID, "lost & found; 100 %\nsecond line")
		k.UpdatedAt, k.RevokedAt, k.RevokedBy =
			"2026-03-02T09:31:00.000000Z", new("2026-03-02T09:31:00.000000Z"), new("operator")
		k.RevokeReason, k.Version, silent.Version = new("lost & found; 100 %\nsecond line"), 2, 2
		api.freeze(x) // which still lets keys be revoked
		api.revoke(silent.ID, "")
		silent.UpdatedAt, silent.RevokedAt, silent.RevokedBy = k.UpdatedAt, k.RevokedAt, k.RevokedBy
		wantEqual(t, "the keys", api.keys(x), []keyBody{silent, k})

		before := len(api.events())
		api.clock.advance(time.Minute)
		api.revoke(k.ID, "again")
		wantEqual(t, "the keys after a second revocation", api.keys(x), []keyBody{silent, k})
		if after := len(api.events()); after != before {
			t.Errorf("revoking twice left %d events", 1+after-before)
		}
	})
}

func TestAPIKeyRevoke_refusesBadInput(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		k := api.key(api.tenant("globex").ID, nil)
		del := func(target string) *reply {
			t.Helper()
			return api.send(request{method: http.MethodDelete, target: target})
		}
		del(join("/v1/api-keys", unknownID)).wantProblem("api_key_not_found")
		del(join("/v1/api-keys", k.TenantID)).wantProblem("api_key_not_found")
		del("/v1/api-keys/"+k.Key).wantProblem("invalid_request", "?id")
		for _, reason := range []string{"", strings.Repeat("x", 2001), "a\x00b", "a\u202eb", "a\xffb"} {
			del(join("/v1/api-keys", k.ID)+"?reason="+url.QueryEscape(reason)).wantProblem("invalid_request", "?reason")
		}
		if got := api.keys(k.TenantID); got[0].RevokedAt != nil {
			t.Errorf("a refused request revoked the key")
		}
		api.revoke(k.ID, strings.Repeat("ä", 2000))
	})
}

// TestAPIKeySelfRevoke_endsSecretAndDisclosesNothing asserts that the owner of a key can end it, and that the answer
// discloses nothing.
func TestAPIKeySelfRevoke_endsSecretAndDisclosesNothing(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		x := api.activeTenant("globex").ID
		server, who := guarded(api, Config{})
		old := api.key(x, nil)
		current := api.rotate(old.ID, nil)
		revoked := api.key(x, nil)
		api.revoke(revoked.ID, "")
		p := who.add(user("caller", auth.RoleOperator, ""))
		var answers []string
		for i, key := range []string{
			"", "no key", unknownKey, revoked.Key, " " + old.Key, old.Key + "é", strings.Repeat("x", 60_000), old.Key,
			old.Key, current.Key, current.Key,
		} {
			r := jsonRequest("/v1/api-keys/self-revoke", object{"key": key})
			for _, r := range []request{r, r.bearer("bad"), r.by(p)} {
				id := fmt.Sprintf("request-%02d", i)
				began := time.Now()
				got := server.call(r.with("X-Request-Id", id).with("X-On-Behalf-Of-Id", "x")).want(http.StatusNoContent)
				if waited := time.Since(began); waited < testPace {
					t.Errorf("%.10q is answered after %s", key, waited)
				}
				answers = append(answers, withoutID(got, id))
			}
			if key == old.Key {
				api.wantSecret(registry.KeyExpired, registry.PreviousSecret, old.Key)
				api.wantSecret(registry.Valid, registry.CurrentSecret, current.Key)
			}
		}
		for _, a := range answers {
			if a != answers[0] {
				t.Errorf("the answers differ:\n%s\n%s", answers[0], a)
			}
		}
		api.wantSecret(registry.KeyRevoked, registry.CurrentSecret, current.Key)
		got := as[keyBody](api.get(join("/v1/api-keys", old.ID)).want(http.StatusOK))
		if got.RevokedBy == nil || *got.RevokedBy != "self" || got.RevokeReason != nil || got.Version != 4 {
			t.Errorf("the key is %+v", got)
		}
		events := api.events()
		for i, secret := range []string{`"previous"`, `"current"`} {
			e := events[len(events)-2+i]
			if e.Action != "api_key.revoke" || !e.IsAnonymous || e.Actor != nil || e.SourceIP == nil ||
				*e.SourceIP != "127.0.0.1" || (*e.Fields)["secret"] != secret {
				t.Errorf("event %+v", e)
			}
		}
	})
}

// TestAPIKeySelfRevoke_isPaced asserts that answers come at whole multiples of the pace after the request, whatever the
// key was and however long the store took. Time is that of the test.
func TestAPIKeySelfRevoke_isPaced(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store, lag := memory.New(), time.Duration(0)
		slow := faultstore.New(store, func(call string) error {
			if call == "GetKeyFacts" { // the first that is asked
				time.Sleep(lag)
			}
			return nil
		})
		domain := registry.New(slow, registry.Options{})
		sample, err := registry.Seed(t.Context(), store, registry.Options{})
		if err != nil {
			t.Fatal(err)
		}
		config := Config{Registry: domain, Auth: everyoneIsOperator{}, Logger: slog.New(slog.DiscardHandler)}
		usual := New(config)
		config.SelfRevokePace = time.Second
		other := New(config)
		revoke := func(s *Server, key string) time.Duration {
			r := httptest.NewRequest(
				http.MethodPost, "/v1/api-keys/self-revoke", strings.NewReader(`{"key":"`+key+`"}`),
			)
			r.Header.Set("Content-Type", "application/json")
			w, began := httptest.NewRecorder(), time.Now()
			if s.ServeHTTP(w, r); w.Code != http.StatusNoContent {
				t.Errorf("%d %s", w.Code, w.Body)
			}
			return time.Since(began)
		}
		const ms = time.Millisecond
		for _, key := range []string{"no key", unknownKey, sample.LiveKey, sample.LiveKey} {
			for taken, want := range map[time.Duration]time.Duration{
				0: 100 * ms, 99 * ms: 100 * ms, 100 * ms: 200 * ms, 230 * ms: 300 * ms,
			} {
				if key == "no key" { // which needs no store
					want = 100 * ms
				}
				lag = taken
				if got := revoke(usual, key); got != want {
					t.Errorf("%.10s: a store that takes %s is answered after %s, want %s", key, taken, got, want)
				}
			}
		}
		lag = 0
		if got := revoke(other, unknownKey); got != time.Second {
			t.Errorf("at a pace of a second the answer comes after %s", got)
		}
	})
}

func TestAPIKeySelfRevoke_refusesBadInput(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		server, _ := guarded(api, Config{})
		for _, body := range []string{
			`{"key":1}`, `{"key":["x"]}`, `{"key":{}}`, `{"key":null}`, `{}`, `{"key":true}`,
		} {
			r := jsonRequest("/v1/api-keys/self-revoke", object{})
			r.body = body
			server.send(r).wantProblem("invalid_request", "/key")
		}
		server.send(jsonRequest("/v1/api-keys/self-revoke", object{
			"key": "x", "reason": "y",
		})).wantProblem("invalid_request", "/reason")
		server.send(jsonRequest("/v1/api-keys/self-revoke", nil)).wantProblem("unsupported_media_type")
		server.send(withHugeKey("/v1/api-keys/self-revoke")).wantProblem("body_too_large")
	})
}

// TestAPIKeySelfRevoke_isLimitedByAddress asserts that self-revocations are limited by address, and that other
// addresses are not affected.
func TestAPIKeySelfRevoke_isLimitedByAddress(t *testing.T) {
	t.Parallel()
	server, _ := guarded(newClient(t, memory.New(), registry.Options{}), Config{RateLimit: 1000, TrustedProxies: 1})
	from := func(address string) request {
		r := jsonRequest("/v1/api-keys/self-revoke", object{})
		r.body = `{}` // counts as well, and is answered at once
		return r.with("X-Forwarded-For", address)
	}
	exhaust(server, from("198.51.100.7"))
	server.send(from("203.0.113.9, 198.51.100.7")).wantProblem("too_many_requests")
	server.send(from("198.51.100.8")).wantProblem("invalid_request", "/key")
	l := newRateLimits(1)
	for range selfRevokeBurst {
		if l.selfRevokes.Take("192.0.2.1") > 0 {
			t.Fatal("the table is full before its time")
		}
	}
	if l.selfRevokes.Take("192.0.2.1") == 0 || l.selfRevokes.Take("192.0.2.2") > 0 ||
		newRateLimits(0).selfRevokes.Take("192.0.2.1") > 0 {
		t.Error("who is counted is not the address, or the limit cannot be turned off")
	}
	for range 2 * selfRevokeBurst {
		l.selfRevokes.Take(web.Network("2001:db8:1:2::1"))
	}
	if l.selfRevokes.Take(web.Network("2001:db8:1:2::2")) == 0 ||
		l.selfRevokes.Take(web.Network("2001:db8:1:3::1")) > 0 {
		t.Error("of IPv6 it is not the /64 that counts")
	}
}

// TestAPIKeySelfRevoke_limitsGuessesOnly asserts that a caller that revokes keys is not limited, however many they are,
// and that one that presents what ends nothing is: from then on for real keys, too, so that 429 tells nothing of a
// text.
func TestAPIKeySelfRevoke_limitsGuessesOnly(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		x := api.activeTenant("globex").ID
		server, _ := guarded(api, Config{RateLimit: 1000})
		present := func(key string) *reply {
			return server.call(jsonRequest("/v1/api-keys/self-revoke", object{"key": key}))
		}
		var ended string
		for range 2 * selfRevokeBurst {
			ended = api.key(x, nil).Key
			present(ended).want(http.StatusNoContent)
		}
		for name, guess := range map[string]string{"no key": "no key", "unknown": unknownKey, "ended": ended} {
			server, _ := guarded(api, Config{RateLimit: 1000})
			refused := false
			for range 10 * selfRevokeBurst {
				if refused = server.call(
					jsonRequest("/v1/api-keys/self-revoke", object{"key": guess}),
				).status == http.StatusTooManyRequests; refused {
					break
				}
			}
			real := api.key(x, nil)
			r := jsonRequest("/v1/api-keys/self-revoke", object{"key": real.Key})
			if got := server.call(r); !refused || got.status != http.StatusTooManyRequests {
				t.Errorf("%s: a guess is refused: %t, a key afterwards is %d", name, refused, got.status)
			}
			api.wantVerdict(registry.Valid, real.Key, nil)
		}
	})
}
