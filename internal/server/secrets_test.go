package server

import (
	"encoding/hex"
	"net/http"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

// TestSecrets_areInOneAnswerOnly sends a key to everything that takes one, well formed and malformed, and then searches
// for it: its text is in the one answer that created it and nowhere else.
func TestSecrets_areInOneAnswerOnly(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		api.sent = &record{}
		x := api.activeTenant("globex").ID
		made := api.post("/v1/api-keys", object{"tenant_id": x, "name": "a key", "scopes": []string{"a"}}).
			want(http.StatusCreated).wantHeader("Cache-Control", "no-store")
		key := as[secretBody](made)
		secret := key.Key[len(key.Prefix):]
		if found := api.sent.showing(secret); len(found) != 1 || !strings.Contains(found[0], `"key":"`+key.Key+`"`) {
			t.Fatalf("the key's text is in %d answers", len(found))
		}
		rotated := api.rotate(key.ID, nil)
		rotatedSecret := rotated.Key[len(rotated.Prefix):]
		if found := api.sent.showing(rotatedSecret); len(found) != 1 ||
			!strings.Contains(found[0], `"key":"`+rotated.Key+`"`) {
			t.Fatalf("the new text is in %d answers", len(found))
		}
		secrets := []string{secret, rotatedSecret}
		api.canaries = secrets

		broken := failing(api, func(string) error { return registry.ErrUnavailable })
		panicking := startServer(t, api.store, registry.Options{}, inject(func() { panic("broken") }))
		broken.canaries, panicking.canaries = api.canaries, api.canaries
		for _, c := range []*client{api, broken, panicking} {
			spendKey(c, key)
			spendKey(c, rotated)
		}
		for _, k := range []secretBody{key, rotated} {
			api.send(jsonRequest("/v1/api-keys/self-revoke", object{"key": k.Key}).bearer(k.Key))
			broken.send(jsonRequest("/v1/api-keys/self-revoke", object{"key": k.Key}))
			panicking.send(jsonRequest("/v1/api-keys/self-revoke", object{"key": k.Key}))
		}
		api.verify(key.Key, object{"scopes": []string{"b"}})
		api.keys(x)
		api.events()
		api.revoke(key.ID, "no longer needed")
		api.verify(key.Key, nil)
		for _, c := range []*client{api, broken, panicking} {
			for _, secret := range secrets {
				if log := c.log.String(); strings.Contains(log, secret) {
					t.Errorf("the log has the key: %s", log)
				}
			}
		}
		if api.dsn != "" {
			rows := dump(t, api.dsn)
			for _, form := range []string{
				secret, hex.EncodeToString([]byte(secret)), rotatedSecret, hex.EncodeToString([]byte(rotatedSecret)),
			} {
				if strings.Contains(rows, form) {
					t.Errorf("the database has the key: %s", rows)
				}
			}
			if !strings.Contains(rows, key.ID.String()) {
				t.Error("the dump does not even have the key's record")
			}
		}
	})
}

// spendKey sends a key in every place where a client could put it.
func spendKey(c *client, key secretBody) {
	c.t.Helper()
	c.send(jsonRequest("/v1/internal/api-keys/verify", object{"key": key.Key}))
	c.send(jsonRequest("/v1/internal/api-keys/verify", object{"key": key.Key, "product": key.Key}))
	c.send(jsonRequest("/v1/internal/api-keys/verify", object{"key": []string{key.Key}}))
	c.send(jsonRequest("/v1/internal/api-keys/verify", key.Key))
	c.send(jsonRequest("/v1/api-keys", object{"tenant_id": key.Key, "name": 1}))
	c.send(jsonRequest(join("/v1/api-keys", key.ID, "rotate"), object{"overlap_seconds": key.Key}))
	c.send(
		patchRequest(join("/v1/api-keys", key.ID), object{
			"name": 1, "expires_at": key.Key, "scopes": []string{key.Key},
		}).with("If-Match", key.Key),
	)
	c.send(patchRequest(join("/v1/api-keys", key.ID), object{"scopes": []string{key.Key}}))
	c.send(jsonRequest("/v1/api-keys/self-revoke", object{"key": []string{key.Key}}))
	for _, target := range []string{
		"/v1/api-keys/" + key.Key, "/v1/" + key.Key, "/v1/tenants/by-slug/" + key.Key, "/v1/api-keys?key=" + key.Key,
		"/v1/api-keys?tenant_id=" + key.Key,
	} {
		for _, method := range []string{http.MethodGet, http.MethodDelete} {
			c.send(request{method: method, target: target})
		}
	}
	c.send(request{method: http.MethodGet, target: "/v1/nothing"}.with("X-Request-Id", key.Key))
	c.send(request{method: http.MethodGet, target: "/healthz"}.with("Authorization", "Bearer "+key.Key))
	c.send(request{method: "BP" + key.Key[8:], target: "/v1/api-keys"})
}

// dump is every row of every table, as Postgres writes it.
func dump(t *testing.T, dsn string) string {
	t.Helper()
	ctx := t.Context()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	names := selectText(t, conn, `SELECT format('%I.%I', table_schema, table_name) FROM information_schema.tables
		WHERE table_type = 'BASE TABLE' AND table_schema NOT IN ('pg_catalog', 'information_schema')`)
	if len(names) < 6 {
		t.Fatalf("the database has the tables %q", names)
	}
	var all strings.Builder
	for _, name := range names {
		for _, row := range selectText(t, conn, "SELECT t::text FROM "+name+" t") {
			all.WriteString(name + " " + row + "\n")
		}
	}
	return all.String()
}

func selectText(t *testing.T, conn *pgx.Conn, sql string) []string {
	t.Helper()
	rows, err := conn.Query(t.Context(), sql)
	if err != nil {
		t.Fatal(err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return list
}
