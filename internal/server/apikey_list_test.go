package server

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/server/web"
)

// keys reads the records of a tenant's keys, newest first.
func (c *client) keys(tenant uuid.UUID) []keyBody {
	c.t.Helper()
	return as[web.Page[keyBody]](c.get("/v1/api-keys?limit=100&tenant_id=" + tenant.String()).want(http.StatusOK)).Items
}

func TestAPIKeyList_hasPagesOfOneTenant(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		x, y := api.tenant("globex").ID, api.tenant("initech").ID
		var ids []string
		for range 5 {
			ids = append(ids, api.key(x, nil).ID.String())
		}
		slices.Reverse(ids)
		other := api.key(y, nil)
		for limit := 1; limit <= 6; limit++ {
			got := pages(api, "/v1/api-keys?tenant_id="+x.String(), limit, func(k keyBody) string {
				return k.ID.String()
			})
			wantEqual(t, "the keys, page by page", got, ids)
		}
		wantEqual(t, "the other tenant's keys", api.keys(y), []keyBody{other.keyBody})
		api.get("/v1/api-keys?tenant_id="+unknownID.String()).wantProblem("tenant_not_found", "?tenant_id")
		api.send(request{method: http.MethodGet, target: "/v1/api-keys"}).wantProblem("invalid_request", "?tenant_id")
	})
}

func TestAPIKeyList_filters(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		x := api.activeTenant("globex").ID
		api.product("scanner", nil)
		uses := registry.NewUsageRecorder(api.store, registry.UsageRecorderOptions{})
		api = useServer(api, uses)
		names := map[uuid.UUID]string{}
		made := map[string]secretBody{}
		for _, k := range []struct {
			name string
			more object
		}{
			{"plain", nil}, {"test", object{"environment": "test"}}, {"bound", object{"product": "scanner"}},
			{"used", nil},
			{"short", object{"expires_at": "2026-03-02T09:40:00Z"}},
			{"long", object{"expires_at": "2026-03-03T09:40:00Z"}},
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
				got := pages(api, "/v1/api-keys?tenant_id="+x.String()+"&"+filters, limit, func(k keyBody) string {
					return names[k.ID]
				})
				wantEqual(t, filters, strings.Join(got, " "), want)
			}
		}
		for filter, name := range map[string]string{
			"state=on": "state", "state=": "state", "environment=prod": "environment", "product=NO": "product",
			"product=":               "product",
			"unused_since=yesterday": "unused_since", "unused_since=": "unused_since",
			"expires_before=2026-03-02": "expires_before", "name=x": "name",
		} {
			api.send(fetch("/v1/api-keys?tenant_id="+x.String()+"&"+filter)).wantProblem("invalid_request", "?"+name)
		}
		// Filters may change under a cursor, the tenant may not.
		first := as[web.Page[keyBody]](api.get("/v1/api-keys?limit=3&tenant_id=" + x.String()).want(http.StatusOK))
		rest := as[web.Page[keyBody]](
			api.get(
				"/v1/api-keys?state=active&tenant_id=" + x.String() + "&cursor=" + *first.NextCursor,
			).want(http.StatusOK),
		)
		if len(rest.Items) != 5 {
			t.Errorf("there are %d active keys behind the cursor, want 5", len(rest.Items))
		}
		api.get(
			"/v1/api-keys?tenant_id="+api.tenant("initech").ID.String()+"&cursor="+*first.NextCursor,
		).wantProblem("invalid_request", "?cursor")
	})
}
