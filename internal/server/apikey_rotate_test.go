package server

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/apikey"
	"github.com/breakpilot/tenant-registry/internal/registry"
)

// rotate gives a key a new secret.
func (c *client) rotate(id uuid.UUID, body any) secretBody {
	c.t.Helper()
	return as[secretBody](c.post(join("/v1/api-keys", id, "rotate"), body).want(http.StatusOK).wantHeader(
		"Cache-Control", "no-store",
	))
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

// useServer is a server on the same store, with the same clock, that notes uses of keys.
func useServer(api *client, uses *registry.UsageRecorder) *client {
	api.t.Helper()
	server := startServer(api.t, api.store, registry.Options{Now: api.clock.now, Usage: uses}, Config{})
	server.clock = api.clock
	return server
}

func TestAPIKeyRotate_replacesSecretWithOverlap(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		x := api.activeTenant("globex").ID
		uses := registry.NewUsageRecorder(api.store, registry.UsageRecorderOptions{})
		api = useServer(api, uses)
		old := api.key(x, object{"environment": "test", "expires_at": "2026-03-03T10:00:00Z"})
		api.clock.advance(time.Minute)
		got := api.rotate(old.ID, object{"overlap_seconds": 3600})
		want := old.keyBody
		want.Prefix, want.Previous = got.Key[:12], &previousBody{EndsAt: "2026-03-02T10:31:00.000000Z"}
		want.RotatedAt, want.UpdatedAt, want.Version =
			new("2026-03-02T09:31:00.000000Z"), "2026-03-02T09:31:00.000000Z", 2
		wantEqual(t, "the record", got.keyBody, want)
		if _, ok := apikey.Parse(got.Key); !ok || got.Key == old.Key || !strings.HasPrefix(got.Key, "bp_test_") {
			t.Errorf("the new secret is no key of the old one's environment")
		}
		v := api.wantSecret(registry.Valid, registry.PreviousSecret, old.Key)
		if *v.ValidUntil != want.Previous.EndsAt {
			t.Errorf("the old secret is good until %s, want %s", *v.ValidUntil, want.Previous.EndsAt)
		}
		if v := api.wantSecret(registry.Valid, registry.CurrentSecret, got.Key); *v.ValidUntil != *want.ExpiresAt {
			t.Errorf("the new secret is good until %s, want %s", *v.ValidUntil, *want.ExpiresAt)
		}
		if err := uses.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		want.LastUsedAt, want.Previous.LastUsedAt = &want.UpdatedAt, &want.UpdatedAt
		wantEqual(
			t, "the record after its use", as[keyBody](api.get(join("/v1/api-keys", old.ID)).want(http.StatusOK)), want,
		)
		wantEqual(t, "the list", api.keys(x), []keyBody{want})

		api.clock.advance(time.Hour - 3*time.Second)
		if v := api.wantSecret(registry.Valid, registry.PreviousSecret, old.Key); v.MaxAgeSeconds != 3 {
			t.Errorf(
				"three seconds before its end the verdict on the old secret may be cached for %d s", v.MaxAgeSeconds,
			)
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

func TestAPIKeyRotate_refusesBadInput(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		k := api.key(api.activeTenant("globex").ID, nil)
		target := join("/v1/api-keys", k.ID, "rotate")
		for _, overlap := range []string{
			`-1`, `2592001`, `31536000`, `0.5`, `1e3`, `99999999999999999999`, `"3600"`, `true`, `[]`, `{}`,
		} {
			r := jsonRequest(target, object{})
			r.body = `{"overlap_seconds":` + overlap + `}`
			api.send(r).wantProblem("invalid_request", "/overlap_seconds")
		}
		api.send(jsonRequest(target, object{"overlap": 1})).wantProblem("invalid_request", "/overlap")
		r := jsonRequest(target, nil)
		r.body = `{}`
		api.send(r).wantProblem("unsupported_media_type")
		api.post(join("/v1/api-keys", unknownID, "rotate"), nil).wantProblem("api_key_not_found")
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
