package server

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/timestamp"
)

func (c *client) patch(id uuid.UUID, body any) keyBody {
	c.t.Helper()
	return as[keyBody](c.call(patchRequest(join("/v1/api-keys", id), body)).want(http.StatusOK))
}

func TestAPIKeyUpdate_changesGivenMembers(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		x := api.activeTenant("globex").ID
		k := api.key(x, object{"scopes": []string{"a"}, "expires_at": "2026-03-03T10:00:00Z"})
		api.clock.advance(time.Minute)
		before := len(api.events())
		wantEqual(t, "nothing changed", api.patch(k.ID, object{}), k.keyBody)
		wantEqual(
			t, "the same",
			api.patch(k.ID, object{"name": k.Name, "scopes": k.Scopes, "expires_at": k.ExpiresAt, "disabled": false}),
			k.keyBody,
		)
		if after := len(api.events()); after != before {
			t.Errorf("changing nothing left %d events", after-before)
		}
		want := k.keyBody
		want.Name, want.UpdatedAt, want.Version = "another", "2026-03-02T09:31:00.000000Z", 2
		wantEqual(t, "the name alone", api.patch(k.ID, object{"name": "another"}), want)
		want.ExpiresAt, want.Scopes, want.Disabled, want.Version = nil, []string{}, true, 3
		r := patchRequest(join("/v1/api-keys", k.ID), object{"expires_at": nil, "scopes": []string{}, "disabled": true})
		wantEqual(
			t, "the rest",
			as[keyBody](api.send(r.with("Content-Type", "application/merge-patch+json; charset=utf-8")).want(
				http.StatusOK,
			)),
			want,
		)
		api.wantVerdict(registry.KeyDisabled, k.Key, nil)
		wantEqual(t, "read", as[keyBody](api.get(join("/v1/api-keys", k.ID)).want(http.StatusOK)), want)
		want.Disabled, want.Version = false, 4
		wantEqual(t, "enabled", api.patch(k.ID, object{"disabled": false}), want)
		api.wantVerdict(registry.Valid, k.Key, nil)
		api.send(jsonRequest("/v1/api-keys", object{}).with(
			"Content-Type", "application/merge-patch+json",
		)).wantProblem("unsupported_media_type")
	})
}

func TestAPIKeyUpdate_refusesBadInput(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		k := api.key(api.activeTenant("globex").ID, nil)
		target := join("/v1/api-keys", k.ID)
		for where, body := range map[string]object{
			"/name": {"name": nil}, "/scopes": {"scopes": "a"}, "/scopes/1": {"scopes": []any{"a", 1}},
			"/disabled":   {"disabled": "true"},
			"/expires_at": {"expires_at": timestamp.Format(start)}, "/environment": {"environment": "test"},
			"/product": {"product": nil}, "/id": {"id": k.ID},
		} {
			api.send(patchRequest(target, body)).wantProblem("invalid_request", where)
		}
		api.call(patchRequest(join("/v1/api-keys", unknownID), object{
			"disabled": true,
		})).wantProblem("api_key_not_found")
		api.revoke(k.ID, "")
		for _, body := range []object{{}, {"disabled": true}} {
			api.call(patchRequest(target, body)).wantProblem("api_key_revoked")
		}
	})
}

func TestAPIKeyUpdate_holdsToIfMatch(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		x := api.activeTenant("globex").ID
		k, other := api.key(x, nil), api.key(x, nil)
		target := join("/v1/api-keys", k.ID)
		tag := api.get(target).want(http.StatusOK).header.Get("ETag")
		hash := strings.TrimPrefix(strings.Trim(tag, `"`), k.ID.String()+"-1-")
		if len(hash) != 8 {
			t.Errorf("the entity tag is %s", tag)
		}
		api.call(fetch(target).with("If-None-Match", tag)).want(http.StatusNotModified)
		for _, stale := range [][]string{
			{""}, {`"x"`}, {"W/" + tag}, {strings.Trim(tag, `"`)},
			{fmt.Sprintf(`"%s-2-%s"`, k.ID, hash)},
			{fmt.Sprintf(`"%s-01-%s"`, k.ID, hash)},
			{fmt.Sprintf(`"%s-1-%s"`, other.ID, hash)},
			{fmt.Sprintf(`"%s-1-%sx"`, k.ID, hash)}, {fmt.Sprintf(`"%s-1"`, k.ID)},
			{`"` + tag + `"`}, {`"x", W/` + tag, `"y"`},
		} {
			api.send(patchRequest(target, object{"name": "late"}).with(
				"If-Match", stale...,
			)).wantProblem("precondition_failed")
		}
		r := patchRequest(target, object{"name": "in time"})
		now := api.call(r.with("If-Match", `"x", `+tag)).want(http.StatusOK).header.Get("ETag")
		if now == tag {
			t.Error("the change left the entity tag as it was")
		}
		api.call(fetch(target).with("If-None-Match", tag)).want(http.StatusOK)
		api.call(r.with("If-Match", tag)).wantProblem("precondition_failed")
		api.call(patchRequest(target, object{"name": "again"}).with("If-Match", "*")).want(http.StatusOK)
		if got := as[keyBody](api.get(target).want(http.StatusOK)); got.Name != "again" || got.Version != 3 {
			t.Errorf("the key is %+v", got)
		}
	})
}

// An empty text is unset, as null is, also where the text would be a time or an id; and what was read can be sent back
// after its time has passed.
func TestAPIKeyUpdate_emptyAndUnchangedExpiry(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		x := api.activeTenant("globex").ID
		created := as[secretBody](api.send(jsonRequest("/v1/api-keys", object{
			"tenant_id": x, "name": "k", "expires_at": "", "product": "", "environment": "",
		})).want(http.StatusCreated))
		if created.ExpiresAt != nil || created.Product != nil || created.Environment != "live" {
			t.Errorf("the key is %+v", created)
		}
		k := as[keyBody](api.send(patchRequest(join("/v1/api-keys", created.ID), object{
			"expires_at": "2026-03-02t10:00:00z", // which the document's validator does not take
		})).want(http.StatusOK))
		if k.ExpiresAt == nil || *k.ExpiresAt != "2026-03-02T10:00:00.000000Z" {
			t.Errorf("the key is %+v", k)
		}
		api.clock.advance(24 * time.Hour)
		k = api.patch(k.ID, object{"name": "renamed", "scopes": k.Scopes, "expires_at": k.ExpiresAt, "disabled": false})
		if k.Name != "renamed" || k.Version != 3 {
			t.Errorf("the key is %+v", k)
		}
		target := join("/v1/api-keys", k.ID)
		api.send(patchRequest(target, object{"expires_at": "2026-03-02T10:00:01Z"})).wantProblem(
			"invalid_request", "/expires_at",
		)
		got := as[keyBody](api.send(patchRequest(target, object{"expires_at": ""})).want(http.StatusOK))
		if got.ExpiresAt != nil || got.Version != 4 {
			t.Errorf("the key is %+v", got)
		}
		api.send(patchRequest(target, object{"name": ""})).wantProblem("invalid_request", "/name")
		api.send(jsonRequest("/v1/audit", object{
			"action": "a.b", "crud": "c", "is_anonymous": true, "created": "", "fields": object{"x": ""},
			"metadata": object{"x": ""},
		})).want(http.StatusCreated)
		e := api.newest()
		if e.Created != e.Received || (*e.Fields)["x"] != "" || len(*e.Fields) != 1 || len(*e.Metadata) != 1 {
			t.Errorf("the event is %+v", e)
		}
		api.send(jsonRequest("/v1/audit", object{
			"action": "a.b", "crud": "c", "is_anonymous": true, "group": object{"id": ""},
		})).wantProblem("invalid_request", "/group/id") // which would otherwise be an event of the platform
	})
}
