package server

import (
	"bytes"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/store/postgres/postgrestest"
)

// exportedTables are the tables that hold something of a tenant, each with what stands for its rows in an export.
var exportedTables = map[string]string{
	"tenants": `{"record":"tenant"`, "entitlements": `{"record":"entitlement"`,
	"catalog_requests": `{"record":"catalog_request"`, "api_keys": `{"record":"api_key"`,
	"audit_log": `"event":{"action":`,
}

// TestTenantExport_hasEveryTable asserts that an export has rows of every table of the schema that names a tenant, by a
// foreign key or by a column's name.
func TestTenantExport_hasEveryTable(t *testing.T) {
	conn, err := pgx.Connect(t.Context(), postgrestest.New(t))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	rows, _ := conn.Query(t.Context(), `
		SELECT DISTINCT c.relname FROM pg_class c
		LEFT JOIN pg_constraint k ON k.conrelid = c.oid AND k.contype = 'f' AND k.confrelid = 'tenants'::regclass
		LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname LIKE '%tenant%' AND NOT a.attisdropped
		WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
			AND (c.relname = 'tenants' OR k.oid IS NOT NULL OR a.attname IS NOT NULL)`)
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(tables) < 5 {
		t.Fatalf("the schema has the tables %q, %v", tables, err)
	}
	for _, table := range tables {
		if exportedTables[table] == "" {
			t.Errorf("the table %s names a tenant and is not in its export", table)
		}
	}
	eachStoreWith(t, registry.Options{}, func(t *testing.T, api *client) {
		insertStageProducts(api)
		s := newStage(api, registry.StatusActive)
		text := api.get(join("/v1/tenants", s.tenant, "export")).body
		for table, line := range exportedTables {
			if !bytes.Contains(text, []byte(line)) {
				t.Errorf("the export has nothing of %s", table)
			}
		}
	})
}
