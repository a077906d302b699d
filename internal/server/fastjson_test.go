package server

import (
	"crypto/sha256"
	"fmt"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/breakpilot/tenant-registry/internal/apikey"
	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/server/web"
)

// wantAppended asserts that a body appends what the general encoder writes.
func wantAppended(t *rapid.T, body web.Appender) {
	t.Helper()
	want, err := json.Marshal(body.General(), json.Deterministic(true))
	if err != nil {
		t.Fatal(err)
	}
	got, err := web.Encode(body)
	if err != nil || string(got) != string(want) {
		t.Errorf("appended %s\nencoded  %s\n%v", got, want, err)
	}
}

// What values are drawn from: many plain ones, and those that need care.
var (
	someText = rapid.OneOf(rapid.StringMatching(`[a-z0-9 :._-]{0,12}`), rapid.String(), rapid.SampledFrom([]string{
		"", `"`, `\`, "a\"b", "<&>", "\n\t\x00\x1f\x7f", "é", "\u2028\u2029", "🔑", "\ufffd", "~", " ",
	}))
	someTime = rapid.Custom(func(t *rapid.T) time.Time {
		return time.UnixMicro(rapid.Int64Range(-62135596800_000000, 253402300799_999999).Draw(t, "µs")).
			In(time.FixedZone("", rapid.IntRange(-50000, 50000).Draw(t, "offset")))
	})
	someID = rapid.Custom(func(t *rapid.T) uuid.UUID {
		return uuid.UUID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id"))
	})
	someLimits = rapid.Custom(func(t *rapid.T) registry.Limits {
		return rapid.MapOf(someText, rapid.Ptr(rapid.Int64(), true)).Draw(t, "limits")
	})
	someSetting = rapid.OneOf(
		rapid.Just[any](nil), someText.AsAny(), rapid.Bool().AsAny(), rapid.Float64Range(-1e300, 1e300).AsAny(),
		rapid.Map(rapid.Int32(), func(n int32) float64 { return float64(n) }).AsAny(),
		rapid.SliceOf(someText.AsAny()).AsAny(), rapid.MapOf(someText, someText.AsAny()).AsAny(),
		rapid.SampledFrom([]float64{0, 1 << 53, -1 << 53, 1e21, 1e-7, 0.5}).AsAny(),
	)
	someConfig = rapid.Custom(func(t *rapid.T) registry.Config {
		return rapid.MapOf(someText, someSetting).Draw(t, "config")
	})
	someSource = rapid.Custom(func(t *rapid.T) registry.Entitlement {
		return registry.Entitlement{
			ID: someID.Draw(t, "id"), TenantID: someID.Draw(t, "tenant"), Product: someText.Draw(t, "product"),
			Source: registry.Source(someText.Draw(t, "source")), StartsAt: someTime.Draw(t, "starts"),
			EndsAt:    rapid.Ptr(someTime, true).Draw(t, "ends"),
			RevokedAt: rapid.Ptr(someTime, true).Draw(t, "revoked"), Limits: someLimits.Draw(t, "limits"),
			Config:    someConfig.Draw(t, "config"),
			RequestID: rapid.Ptr(someID, true).Draw(t, "request"), CreatedAt: someTime.Draw(t, "created"),
			UpdatedAt: someTime.Draw(t, "updated"),
		}
	})
	someEntitlement = rapid.Custom(func(t *rapid.T) registry.ProductEntitlement {
		return registry.ProductEntitlement{
			Product: someText.Draw(t, "product"), Entitled: rapid.Bool().Draw(t, "entitled"),
			Reason:     registry.Reason(someText.Draw(t, "reason")),
			State:      registry.EntitlementState(someText.Draw(t, "state")),
			ValidUntil: rapid.Ptr(someTime, true).Draw(t, "until"),
			Limits:     someLimits.Draw(t, "limits"), Config: someConfig.Draw(t, "config"),
			Sources: rapid.SliceOfN(someSource, 0, 3).Draw(t, "sources"), At: someTime.Draw(t, "at"),
		}
	})
)

func TestFastJSON_writesVerdictsLikeTheEncoder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		v := registry.Verdict{
			Code:  registry.VerifyCode(rapid.SampledFrom([]string{"VALID", "NOT_FOUND", `"`}).Draw(t, "code")),
			KeyID: rapid.OneOf(someID, rapid.Just(uuid.Nil)).Draw(t, "key"), TenantID: someID.Draw(t, "tenant"),
			TenantSlug:   someText.Draw(t, "slug"),
			TenantStatus: registry.TenantStatus(someText.Draw(t, "status")),
			Environment:  apikey.Environment(someText.Draw(t, "environment")),
			Scopes:       rapid.SliceOf(someText).Draw(t, "scopes"),
			Entitlement:  rapid.Ptr(someEntitlement, true).Draw(t, "entitlement"),
			Secret: rapid.SampledFrom([]registry.Secret{
				registry.CurrentSecret, registry.PreviousSecret,
			}).Draw(t, "secret"),
			ValidUntil: rapid.Ptr(someTime, true).Draw(t, "until"), MaxAgeSeconds: rapid.IntRange(0, 5).Draw(t, "age"),
		}
		wantAppended(t, (*shownVerdict)(&v))
	})
}

func TestFastJSON_writesTenantsLikeTheEncoder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		one := registry.Tenant{
			ID: someID.Draw(t, "id"), Slug: someText.Draw(t, "slug"), Name: someText.Draw(t, "name"),
			Status: registry.TenantStatus(someText.Draw(t, "status")),
			Region: someText.Draw(t, "region"), ExternalID: someText.Draw(t, "external"),
			KeycloakOrgID: someText.Draw(t, "org"),
			Metadata:      rapid.MapOf(someText, someText).Draw(t, "metadata"),
			Version:       rapid.Int64().Draw(t, "version"),
			CreatedAt:     someTime.Draw(t, "created"), UpdatedAt: someTime.Draw(t, "updated"),
			ActivatedAt: rapid.Ptr(someTime, true).Draw(t, "activated"),
			FrozenAt:    rapid.Ptr(someTime, true).Draw(t, "frozen"),
		}
		wantAppended(t, (*shownTenant)(&one))
		shown := []byte(one.Name)
		sum := sha256.Sum256(shown)
		want := fmt.Sprintf(`"%s-%d-%x"`, one.ID, one.Version, sum[:4])
		if got := (web.Entity{ID: one.ID, Version: one.Version}).ETag(shown); got != want {
			t.Errorf("the entity tag is %s, want %s", got, want)
		}
	})
}
