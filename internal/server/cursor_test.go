package server

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/server/web"
	"github.com/breakpilot/tenant-registry/internal/store/memory"
)

// everyFlip calls try with each text that differs from s in one bit.
func everyFlip(s string, try func(flipped string)) {
	for i := range len(s) {
		for bit := range 8 {
			flipped := []byte(s)
			flipped[i] ^= 1 << bit
			try(string(flipped))
		}
	}
}

// lists have two pages each, for the tenants globex and initech. A cursor of one of them opens no other.
func lists(api *client) []string {
	api.t.Helper()
	all := []string{"/v1/catalog", "/v1/audit?order=desc", "/v1/audit?order=asc"}
	for _, key := range []string{"one", "two"} {
		api.product(key, nil)
	}
	for _, slug := range []string{"globex", "initech"} {
		x := api.activeTenant(slug).ID
		for _, product := range []string{"one", "two"} {
			api.grant(x, product)
			api.key(x, nil)
		}
		own := "tenant_id=" + x.String()
		all = append(
			all, "/v1/catalog?"+own, "/v1/entitlements?"+own, "/v1/api-keys?"+own, "/v1/audit?order=desc&"+own,
			"/v1/audit?order=asc&"+own,
		)
	}
	return all
}

// cursorOf reads one item of a list and returns the cursor behind it.
func cursorOf(api *client, list string) string {
	api.t.Helper()
	if strings.HasPrefix(list, "/v1/audit/export?") {
		return api.exported(list).trailer["next_cursor"].(string)
	}
	p := as[web.Page[object]](api.get(newQuery(list).set("limit", 1).String()).want(http.StatusOK))
	if p.NextCursor == nil || len(p.Items) != 1 {
		api.t.Fatalf("%s has no second page", list)
	}
	return *p.NextCursor
}

func TestCursor_isRefusedByOtherLists(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		all := lists(api)
		for _, from := range all {
			cursor := cursorOf(api, from)
			for _, to := range all {
				got := api.get(newQuery(to).set("cursor", cursor).String())
				if from == to {
					got.want(http.StatusOK)
				} else {
					got.wantProblem("invalid_request", "?cursor")
				}
			}
		}
	})
}

// Filters and the length of pages may change under a cursor: it is a place in the list, whatever of it is looked at.
func TestCursor_allowsOtherFilters(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		x := api.tenant("globex").ID
		own := object{"group": object{"id": x}}
		for _, action := range []string{"a.one", "b.two", "a.three", "b.four"} {
			api.report(action, own)
		}
		list := "/v1/audit?order=asc&tenant_id=" + x.String()
		second := newQuery(list).set("limit", 2)
		cursor := *as[web.Page[eventBody]](api.get(second.String()).want(http.StatusOK)).NextCursor
		q := newQuery(list).set("cursor", cursor).values.Encode()
		wantEqual(t, "behind the cursor", api.found(q), []string{"b.two", "a.three", "b.four"})
		wantEqual(t, "behind the cursor, with another filter", api.found(q+"&action=b.*"), []string{"b.two", "b.four"})
		wantEqual(t, "behind the cursor, with another limit", api.found(q+"&limit=1"), []string{"b.two"})
	})
}

// A cursor with a flipped bit is refused before any store is asked: the one here cannot answer.
func TestCursor_everyFlippedBitIsRefused(t *testing.T) {
	t.Parallel()
	api := newClient(t, memory.New(), registry.Options{})
	all := lists(api)
	broken := failing(api, func(string) error { return registry.ErrUnavailable })
	for _, kind := range []string{"order=asc&tenant_id", "api-keys"} {
		list := all[slices.IndexFunc(all, func(list string) bool { return strings.Contains(list, kind) })]
		cursor := cursorOf(api, list)
		broken.get(newQuery(list).set("cursor", cursor).String()).wantProblem("unavailable")
		everyFlip(cursor, func(flipped string) {
			r := request{method: http.MethodGet, target: list + "&cursor=" + url.QueryEscape(flipped)}
			got := broken.exchange(r)
			if err := theContract().checkReply(r, got); err != nil {
				t.Errorf("%q: %v", flipped, err)
			}
			got.wantProblem("invalid_request", "?cursor")
		})
	}
}

// A cursor is no secret, so a client may make one; it must not lead to a 5xx.
func TestCursor_forgedIsNoFault(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		x, hash := api.tenant("globex").ID.String(), "0123456789abcdef"
		for list, target := range map[string]string{
			"audit:false:all": "/v1/audit?", "audit:true:" + x: "/v1/audit?order=asc&tenant_id=" + x + "&",
		} {
			for _, position := range []string{
				"x", "-1", "0", "1", "1.", "1.5", "9223372036854775808." + hash, "1\x00." + hash, " 1." + hash,
			} {
				api.get(target+"cursor="+web.SealCursor(list, position)).wantProblem("invalid_request", "?cursor")
			}
			for _, position := range []string{"", "0.", placeAt(1, api.events()[0].ChainHash)} {
				api.get(target + "cursor=" + web.SealCursor(list, position)).want(http.StatusOK)
			}
			for _, position := range []string{"1." + hash, "2." + hash, "9223372036854775807." + hash} {
				api.get(target+"cursor="+web.SealCursor(list, position)).wantProblem("cursor_gone", "?cursor")
			}
		}
		for _, position := range []string{"x", strings.ReplaceAll(x, "-", "")} {
			api.get("/v1/api-keys?tenant_id="+x+"&cursor="+web.SealCursor(
				"api-keys:"+x, position,
			)).wantProblem("invalid_request", "?cursor")
		}
		for _, position := range []string{"", "\x00", "\xff\xfe", strings.Repeat("z", 600)} {
			api.get("/v1/catalog?cursor=" + web.SealCursor("catalog:all", position)).want(http.StatusOK)
			api.get("/v1/entitlements?tenant_id=" + x + "&cursor=" + web.SealCursor(
				"entitlements:"+x, position,
			)).want(http.StatusOK)
		}
	})
}
