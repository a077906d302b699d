package server

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/auth"
	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/store/memory"
)

// rotate gives a key a new secret.
func (c *client) rotate(id uuid.UUID, body any) createdKeyBody {
	c.t.Helper()
	return as[createdKeyBody](c.post(join("/v1/api-keys", id, "rotate"), body).want(http.StatusOK).wantHeader("Cache-Control", "no-store"))
}

func (c *client) patch(id uuid.UUID, body any) keyBody {
	c.t.Helper()
	return as[keyBody](c.call(patch(join("/v1/api-keys", id), body)).want(http.StatusOK))
}

// wantSecret asserts the code of a verdict, and which secret it is about.
func (c *client) wantSecret(code registry.VerifyCode, secret registry.Secret, key string) verdictBody {
	c.t.Helper()
	v := c.wantVerdict(code, key, nil)
	if v.Secret == nil || *v.Secret != string(secret) {
		c.t.Errorf("the secret is %v, want %s", v.Secret, secret)
	}
	return v
}

func TestAPIKeys_rotate(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		x := api.activeTenant("globex").ID
		uses := registry.NewKeyUses(api.store, registry.KeyUsesOptions{})
		api = useServer(api, uses)
		old := api.key(x, object{"environment": "test", "expires_at": "2026-03-03T10:00:00Z"})
		api.clock.advance(time.Minute)
		got := api.rotate(old.ID, object{"overlap_seconds": 3600})
		want := old.keyBody
		want.Prefix, want.Previous = got.Key[:12], &previousBody{EndsAt: "2026-03-02T10:31:00.000000Z"}
		want.RotatedAt, want.UpdatedAt, want.Version = new("2026-03-02T09:31:00.000000Z"), "2026-03-02T09:31:00.000000Z", 2
		wantEqual(t, "the record", got.keyBody, want)
		if _, ok := registry.ParseKey(got.Key); !ok || got.Key == old.Key || !strings.HasPrefix(got.Key, "bp_test_") {
			t.Errorf("the new secret is no key of the old one's environment")
		}
		if v := api.wantSecret(registry.Valid, registry.PreviousSecret, old.Key); *v.ValidUntil != want.Previous.EndsAt {
			t.Errorf("the old secret is good until %s, want %s", *v.ValidUntil, want.Previous.EndsAt)
		}
		if v := api.wantSecret(registry.Valid, registry.CurrentSecret, got.Key); *v.ValidUntil != *want.ExpiresAt {
			t.Errorf("the new secret is good until %s, want %s", *v.ValidUntil, *want.ExpiresAt)
		}
		if err := uses.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		want.LastUsedAt, want.Previous.LastUsedAt = &want.UpdatedAt, &want.UpdatedAt
		wantEqual(t, "the record after its use", as[keyBody](api.get(join("/v1/api-keys", old.ID)).want(http.StatusOK)), want)
		wantEqual(t, "the list", api.keys(x), []keyBody{want})

		api.clock.advance(time.Hour - 3*time.Second)
		if v := api.wantSecret(registry.Valid, registry.PreviousSecret, old.Key); v.MaxAgeSeconds != 3 {
			t.Errorf("three seconds before its end the old secret may be kept for %d s", v.MaxAgeSeconds)
		}
		api.clock.advance(3 * time.Second)
		api.wantSecret(registry.KeyExpired, registry.PreviousSecret, old.Key)
		leaked := api.rotate(old.ID, nil)
		api.freeze(x)
		last := api.rotate(old.ID, object{"overlap_seconds": 0})
		api.wantVerdict(registry.KeyNotFound, got.Key, nil)
		api.wantSecret(registry.KeyExpired, registry.PreviousSecret, leaked.Key)
		api.wantSecret(registry.TenantFrozen, registry.CurrentSecret, last.Key)
	})
}

// useServer is a server on the same store, with the same clock, that notes uses of keys.
func useServer(api *client, uses *registry.KeyUses) *client {
	api.t.Helper()
	server := startServer(api.t, api.store, registry.Options{Now: api.clock.now, Uses: uses}, Config{})
	server.clock = api.clock
	return server
}

func TestAPIKeys_rotateRefused(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		k := api.key(api.activeTenant("globex").ID, nil)
		target := join("/v1/api-keys", k.ID, "rotate")
		for _, overlap := range []string{`-1`, `2592001`, `31536000`, `0.5`, `1e3`, `99999999999999999999`, `"3600"`, `true`, `[]`, `{}`} {
			r := jsonRequest(target, object{})
			r.body = `{"overlap_seconds":` + overlap + `}`
			api.send(r).wantProblem("invalid_request", "/overlap_seconds")
		}
		api.send(jsonRequest(target, object{"overlap": 1})).wantProblem("invalid_request", "/overlap")
		r := jsonRequest(target, nil)
		r.body = `{}`
		api.send(r).wantProblem("unsupported_media_type")
		api.post(join("/v1/api-keys", nobody, "rotate"), nil).wantProblem("api_key_not_found")
		api.send(jsonRequest("/v1/api-keys/1/rotate", nil)).wantProblem("invalid_request", "?id")
		if got := as[keyBody](api.get(join("/v1/api-keys", k.ID)).want(http.StatusOK)); got.Version != 1 {
			t.Errorf("refusals changed the key: %+v", got)
		}
		api.rotate(k.ID, object{})
		api.rotate(k.ID, object{"overlap_seconds": nil})
		api.revoke(k.ID, "")
		api.post(target, nil).wantProblem("api_key_revoked")
	})
}

func TestAPIKeys_patch(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		x := api.activeTenant("globex").ID
		k := api.key(x, object{"scopes": []string{"a"}, "expires_at": "2026-03-03T10:00:00Z"})
		api.clock.advance(time.Minute)
		before := len(api.events())
		wantEqual(t, "nothing changed", api.patch(k.ID, object{}), k.keyBody)
		wantEqual(t, "the same", api.patch(k.ID, object{"name": k.Name, "scopes": k.Scopes, "expires_at": k.ExpiresAt, "disabled": false}), k.keyBody)
		if after := len(api.events()); after != before {
			t.Errorf("changing nothing left %d events", after-before)
		}
		want := k.keyBody
		want.Name, want.UpdatedAt, want.Version = "another", "2026-03-02T09:31:00.000000Z", 2
		wantEqual(t, "the name alone", api.patch(k.ID, object{"name": "another"}), want)
		want.ExpiresAt, want.Scopes, want.Disabled, want.Version = nil, []string{}, true, 3
		r := patch(join("/v1/api-keys", k.ID), object{"expires_at": nil, "scopes": []string{}, "disabled": true})
		wantEqual(t, "the rest", as[keyBody](api.send(r.with("Content-Type", "application/merge-patch+json; charset=utf-8")).want(http.StatusOK)), want)
		api.wantVerdict(registry.KeyDisabled, k.Key, nil)
		wantEqual(t, "read", as[keyBody](api.get(join("/v1/api-keys", k.ID)).want(http.StatusOK)), want)
		want.Disabled, want.Version = false, 4
		wantEqual(t, "enabled", api.patch(k.ID, object{"disabled": false}), want)
		api.wantVerdict(registry.Valid, k.Key, nil)
		api.send(jsonRequest("/v1/api-keys", object{}).with("Content-Type", "application/merge-patch+json")).wantProblem("unsupported_media_type")
	})
}

func TestAPIKeys_patchRefused(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		k := api.key(api.activeTenant("globex").ID, nil)
		target := join("/v1/api-keys", k.ID)
		for where, body := range map[string]object{
			"/name": {"name": nil}, "/scopes": {"scopes": "a"}, "/scopes/1": {"scopes": []any{"a", 1}}, "/disabled": {"disabled": "true"},
			"/expires_at": {"expires_at": registry.FormatTime(start)}, "/environment": {"environment": "test"}, "/product": {"product": nil}, "/id": {"id": k.ID},
		} {
			api.send(patch(target, body)).wantProblem("invalid_request", where)
		}
		api.call(patch(join("/v1/api-keys", nobody), object{"disabled": true})).wantProblem("api_key_not_found")
		api.revoke(k.ID, "")
		for _, body := range []object{{}, {"disabled": true}} {
			api.call(patch(target, body)).wantProblem("api_key_revoked")
		}
	})
}

func TestAPIKeys_ifMatch(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		x := api.activeTenant("globex").ID
		k, other := api.key(x, nil), api.key(x, nil)
		target := join("/v1/api-keys", k.ID)
		tag := api.get(target).want(http.StatusOK).header.Get("ETag")
		if tag != fmt.Sprintf(`"%s-1"`, k.ID) {
			t.Errorf("the entity tag is %s", tag)
		}
		api.call(fetch(target).with("If-None-Match", tag)).want(http.StatusNotModified)
		for _, stale := range [][]string{
			{""}, {`"x"`}, {"W/" + tag}, {strings.Trim(tag, `"`)}, {fmt.Sprintf(`"%s-2"`, k.ID)}, {fmt.Sprintf(`"%s-01"`, k.ID)}, {fmt.Sprintf(`"%s-1"`, other.ID)},
			{fmt.Sprintf(`"%s-1x"`, k.ID)}, {`"` + tag + `"`}, {`"x", W/` + tag, `"y"`},
		} {
			api.send(patch(target, object{"name": "late"}).with("If-Match", stale...)).wantProblem("precondition_failed")
		}
		r := patch(target, object{"name": "in time"})
		now := api.call(r.with("If-Match", `"x", `+tag)).want(http.StatusOK).header.Get("ETag")
		if now == tag {
			t.Error("the change left the entity tag as it was")
		}
		api.call(fetch(target).with("If-None-Match", tag)).want(http.StatusOK)
		api.call(r.with("If-Match", tag)).wantProblem("precondition_failed")
		api.call(patch(target, object{"name": "again"}).with("If-Match", "*")).want(http.StatusOK)
		if got := as[keyBody](api.get(target).want(http.StatusOK)); got.Name != "again" || got.Version != 3 {
			t.Errorf("the key is %+v", got)
		}
	})
}

func TestAPIKeys_filters(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		x := api.activeTenant("globex").ID
		api.product("scanner", nil)
		uses := registry.NewKeyUses(api.store, registry.KeyUsesOptions{})
		api = useServer(api, uses)
		names := map[uuid.UUID]string{}
		made := map[string]createdKeyBody{}
		for _, k := range []struct {
			name string
			more object
		}{
			{"plain", nil}, {"test", object{"environment": "test"}}, {"bound", object{"product": "scanner"}}, {"used", nil},
			{"short", object{"expires_at": "2026-03-02T09:40:00Z"}}, {"long", object{"expires_at": "2026-03-03T09:40:00Z"}},
			{"off", object{"expires_at": "2026-03-02T09:40:00Z"}}, {"gone", object{"product": "scanner"}},
		} {
			made[k.name] = api.key(x, k.more)
			names[made[k.name].ID] = k.name
		}
		api.patch(made["off"].ID, object{"disabled": true})
		api.patch(made["gone"].ID, object{"disabled": true})
		api.revoke(made["gone"].ID, "")
		api.clock.advance(20 * time.Minute)
		api.wantVerdict(registry.Valid, made["used"].Key, nil)
		if err := uses.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		api.clock.advance(time.Minute)
		api.key(x, nil) // too new to be unused
		names[api.keys(x)[0].ID] = "new"
		for filters, want := range map[string]string{
			"":              "new gone off long short used bound test plain",
			"state=active":  "new long used bound test plain",
			"state=expired": "short", "state=disabled": "off", "state=revoked": "gone",
			"environment=test": "test", "environment=live&state=active": "new long used bound plain",
			"product=scanner": "gone bound", "product=scanner&state=active": "bound", "product=other": "",
			"expires_before=2026-03-02T09:40:00Z": "", "expires_before=2026-03-02T10:40:00.000001%2B01:00": "off short",
			"expires_before=2027-01-01T00:00:00Z&state=active":             "long",
			"unused_since=2026-03-02T09:45:00Z":                            "gone off long short bound test plain",
			"unused_since=2026-03-02T09:50:00Z&state=active":               "long bound test plain",
			"unused_since=2026-03-02T09:50:00.000001Z&environment=live":    "gone off long short used bound plain",
			"unused_since=2026-03-02T09:30:00Z":                            "",
			"unused_since=2026-03-02T09:45:00Z&state=active&product=other": "",
		} {
			for _, limit := range []int{1, 2, 50} {
				got := pages(api, "/v1/api-keys?tenant_id="+x.String()+"&"+filters, limit, func(k keyBody) string { return names[k.ID] })
				wantEqual(t, filters, strings.Join(got, " "), want)
			}
		}
		for filter, name := range map[string]string{
			"state=on": "state", "state=": "state", "environment=prod": "environment", "product=NO": "product", "product=": "product",
			"unused_since=yesterday": "unused_since", "unused_since=": "unused_since", "expires_before=2026-03-02": "expires_before", "name=x": "name",
		} {
			api.send(fetch("/v1/api-keys?tenant_id="+x.String()+"&"+filter)).wantProblem("invalid_request", "?"+name)
		}
		// Filters may change under a cursor, the tenant may not.
		first := as[page[keyBody]](api.get("/v1/api-keys?limit=3&tenant_id=" + x.String()).want(http.StatusOK))
		rest := as[page[keyBody]](api.get("/v1/api-keys?state=active&tenant_id=" + x.String() + "&cursor=" + *first.NextCursor).want(http.StatusOK))
		if len(rest.Items) != 5 {
			t.Errorf("there are %d active keys behind the cursor, want 5", len(rest.Items))
		}
		api.get("/v1/api-keys?tenant_id="+api.tenant("initech").ID.String()+"&cursor="+*first.NextCursor).wantProblem("invalid_request", "?cursor")
	})
}

// TestSelfRevoke asserts that whoever holds a key can end it, and that the answer tells nothing.
func TestSelfRevoke(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		x := api.activeTenant("globex").ID
		server, who := guarded(api, Config{})
		old := api.key(x, nil)
		current := api.rotate(old.ID, nil)
		revoked := api.key(x, nil)
		api.revoke(revoked.ID, "")
		p := who.add(user("somebody", auth.RoleOperator, ""))
		var answers []string
		for i, key := range []string{"", "no key", unknownKey, revoked.Key, " " + old.Key, old.Key + "é", strings.Repeat("x", 60_000), old.Key, old.Key, current.Key, current.Key} {
			r := jsonRequest("/v1/api-keys/self-revoke", object{"key": key})
			for _, r := range []request{r, r.bearer("bad"), r.by(p)} {
				id := fmt.Sprintf("request-%02d", i)
				began := time.Now()
				got := server.call(r.with("X-Request-Id", id).with("X-On-Behalf-Of-Id", "x")).want(http.StatusNoContent)
				if waited := time.Since(began); waited < selfRevokePace {
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
			if e.Action != "api_key.revoke" || !e.IsAnonymous || e.Actor != nil || e.SourceIP == nil || *e.SourceIP != "127.0.0.1" || (*e.Fields)["secret"] != secret {
				t.Errorf("event %+v", e)
			}
		}
	})
}

func TestSelfRevoke_refused(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		server, _ := guarded(api, Config{})
		for _, body := range []string{`{"key":1}`, `{"key":["x"]}`, `{"key":{}}`, `{"key":null}`, `{}`, `{"key":true}`} {
			r := jsonRequest("/v1/api-keys/self-revoke", object{})
			r.body = body
			server.send(r).wantProblem("invalid_request", "/key")
		}
		server.send(jsonRequest("/v1/api-keys/self-revoke", object{"key": "x", "reason": "y"})).wantProblem("invalid_request", "/reason")
		server.send(jsonRequest("/v1/api-keys/self-revoke", nil)).wantProblem("unsupported_media_type")
		server.send(jsonRequest("/v1/api-keys/self-revoke", object{"key": strings.Repeat("x", 10<<20)})).wantProblem("body_too_large")
	})
}

// TestSelfRevoke_limited asserts that an address may end so many keys, and that this keeps nobody else from it.
func TestSelfRevoke_limited(t *testing.T) {
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
	l := newLimits(1)
	for range holderBurst {
		if !l.holder("192.0.2.1") {
			t.Fatal("the table is full before its time")
		}
	}
	if l.holder("192.0.2.1") || !l.holder("192.0.2.2") || !newLimits(0).holder("192.0.2.1") {
		t.Error("who is counted is not the address, or the limit cannot be turned off")
	}
	for range 2 * holderBurst {
		l.holder("2001:db8:1:2::1")
	}
	if l.holder("2001:db8:1:2::2") || !l.holder("2001:db8:1:3::1") {
		t.Error("of IPv6 it is not the /64 that counts")
	}
}

// TestBadInput_keys asserts that whatever is presented as a key is a verdict or a problem.
func TestBadInput_keys(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		x := api.activeTenant("globex").ID
		k := api.key(x, object{"environment": "test", "scopes": []string{"a"}})
		for _, bad := range []string{
			"", " ", k.Key + " ", " " + k.Key, strings.Replace(k.Key, "t", " ", 1), k.Key + "\n", "bp_live_" + k.Key[8:], strings.ToUpper(k.Key), k.Key[:56], k.Key + k.Key,
			"ключ", k.Key[:50] + "ééé" + k.Key[56:], "\u202e" + k.Key, strings.Repeat("é", 28) + "x", "bp_test_" + strings.Repeat("_", 49),
		} {
			if v := api.verify(bad, nil); v.Code != registry.Malformed || v.KeyID != nil {
				t.Errorf("%q is %+v", bad, v)
			}
		}
		api.send(jsonRequest("/v1/internal/api-keys/verify", object{"key": strings.Repeat("x", 10<<20)})).wantProblem("body_too_large")
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
