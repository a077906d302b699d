package main

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/breakpilot/tenant-registry/internal/migrate"
	"github.com/breakpilot/tenant-registry/internal/store/postgres/postgrestest"
	"github.com/breakpilot/tenant-registry/migrations"
)

// becomesReady waits until /readyz says so and names the store and this version of the schema.
func (p *program) becomesReady(t *testing.T, version uint) {
	t.Helper()
	eventually(t, patience, func() error {
		r, err := p.try("GET", "/readyz", "")
		if err != nil {
			return err
		}
		if r.status != http.StatusOK || r.member("store") != "postgres" ||
			r.member("schema_version") != float64(version) || r.member("writes") != "available" {
			return fmt.Errorf("/readyz answers %d %s", r.status, r.text)
		}
		return nil
	})
}

// becomesUnready waits until /readyz is 503 with a sentence that says this. It must be quick to say so, too.
func (p *program) becomesUnready(t *testing.T, says string) {
	t.Helper()
	eventually(t, patience, func() error {
		start := time.Now()
		r, err := p.try("GET", "/readyz", "")
		if err != nil {
			return err
		}
		if took := time.Since(start); took > time.Second {
			t.Errorf("/readyz took %s", took)
		}
		detail, _ := r.member("detail").(string)
		if r.status != http.StatusServiceUnavailable || r.member("code") != "not_ready" ||
			!strings.Contains(detail, says) {
			return fmt.Errorf("/readyz answers %d %s, want 503 with %q", r.status, r.text, says)
		}
		if got := r.header.Get("Content-Type"); got != "application/problem+json" || r.header.Get("Retry-After") == "" {
			t.Errorf("/readyz is %s, Retry-After %q", got, r.header.Get("Retry-After"))
		}
		return nil
	})
	p.get(t, "/healthz")
}

// losesWrites waits until /readyz is 200, and says that changes are unavailable for this reason.
func (p *program) losesWrites(t *testing.T, reason string) {
	t.Helper()
	eventually(t, patience, func() error {
		r, err := p.try("GET", "/readyz", "")
		if err != nil {
			return err
		}
		if r.status != http.StatusOK || r.member("writes") != "unavailable" || r.member("writes_reason") != reason {
			return fmt.Errorf("/readyz answers %d %s, want 200 with %q", r.status, r.text, reason)
		}
		return nil
	})
}

// TestReadiness puts one server through every fault that /readyz reports, and through the end of each.
func TestReadiness(t *testing.T) {
	t.Parallel()
	direct := postgrestest.New(t)
	dsn, network := proxied(t, direct)
	conn := connect(t, direct)
	latest := migrations.Latest()
	p := launch(t, "DATABASE_URL="+dsn)
	for _, fault := range []struct {
		name         string
		breaks, ends func()
		says         string
	}{
		{"dirty", func() {
			runSQL(t, conn, `UPDATE schema_migrations SET dirty = true`)
		}, func() {
			runSQL(t, conn, `UPDATE schema_migrations SET dirty = false`)
		}, "did not end"},
		{"too old", func() {
			runSQL(t, conn, `UPDATE schema_migrations SET version = $1`, latest-1)
		}, func() {
			runSQL(t, conn, `UPDATE schema_migrations SET version = $1`, latest)
		}, fmt.Sprintf("the schema is at version %d, this program needs %d", latest-1, latest)},
		{"unreachable", network.Cut, network.Heal, "cannot be reached"},
		{"mute", network.Blackhole, network.Heal, "cannot be reached"},
	} {
		t.Log(fault.name)
		p.becomesReady(t, latest)
		slug := strings.ReplaceAll(fault.name, " ", "-")
		p.call(t, http.StatusCreated, "POST", "/v1/tenants", `{"slug":"`+slug+`","name":"A"}`)
		fault.breaks()
		p.becomesUnready(t, fault.says)
		fault.ends()
	}
	p.becomesReady(t, latest)
	if n := len(p.get(t, "/v1/audit").items()); n != 4 {
		t.Errorf("there are %d events of 4 changes", n)
	}
}

// TestReadiness_missingSchema asserts that the server waits for a database that is not migrated yet.
func TestReadiness_missingSchema(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.Empty(t)
	p := launch(t, "DATABASE_URL="+dsn)
	p.becomesUnready(t, "run the migrations")
	r := p.call(t, http.StatusServiceUnavailable, "GET", "/v1/catalog", "")
	if r.header.Get("Retry-After") == "" {
		t.Errorf("without a schema the catalogue is 503 without Retry-After: %s", r.text)
	}
	if _, err := (migrate.Schema{DSN: dsn, Files: migrations.FS}).Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.becomesReady(t, migrations.Latest())
	p.get(t, "/v1/catalog")
}

// TestReadiness_newerSchema asserts that a server works on a newer schema, as after a rollback of the deployment.
func TestReadiness_newerSchema(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.New(t)
	conn := connect(t, dsn)
	newer := migrations.Latest() + 1
	runSQL(t, conn, `UPDATE schema_migrations SET version = $1`, newer)
	runSQL(t, conn, `ALTER TABLE tenants ADD COLUMN invented text NOT NULL DEFAULT 'x'`)
	p := launch(t, "DATABASE_URL="+dsn)
	p.becomesReady(t, newer)
	p.call(t, http.StatusCreated, "POST", "/v1/tenants", `{"slug":"globex","name":"Globex"}`)
	p.get(t, "/v1/tenants/by-slug/globex")
}

// TestReadOnly asserts that while the database is read-only, reads are answered and changes are 503.
func TestReadOnly(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.New(t)
	conn := connect(t, dsn)
	database := databaseName(t, conn)
	p := launch(t, "DATABASE_URL="+dsn)
	create := func(slug string) reply {
		r, err := p.try("POST", "/v1/tenants", `{"slug":"`+slug+`","name":"A"}`)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	if r := create("before"); r.status != http.StatusCreated {
		t.Fatalf("before the fault a tenant is %s", r.text)
	}
	runSQL(t, conn, `ALTER DATABASE `+database+` SET default_transaction_read_only = on`)
	disconnect(t, conn)
	p.losesWrites(t, "the database is read-only")
	// A session that was about to begin when the setting changed may still write: then the next attempt counts.
	want := []string{"after", "before"}
	attempt := 0
	eventually(t, patience, func() error {
		attempt++
		slug := fmt.Sprintf("during-%d", attempt)
		r := create(slug)
		switch {
		case r.status == http.StatusCreated:
			want = append(want, slug)
			return errors.New("a session writes to the read-only database")
		case r.status != http.StatusServiceUnavailable || r.header.Get("Retry-After") == "":
			t.Errorf("on a read-only database a tenant is %d %s", r.status, r.text)
		}
		return nil
	})
	p.get(t, "/v1/tenants/by-slug/before")
	runSQL(t, conn, `ALTER DATABASE `+database+` RESET default_transaction_read_only`)
	p.becomesReady(t, migrations.Latest())
	eventually(t, patience, func() error {
		if r := create("after"); r.status != http.StatusCreated {
			return fmt.Errorf("%d %s", r.status, r.text)
		}
		return nil
	})
	var there []string
	rows, err := conn.Query(t.Context(), `SELECT slug FROM tenants`)
	if err == nil {
		there, err = pgx.CollectRows(rows, pgx.RowTo[string])
	}
	slices.Sort(want)
	slices.Sort(there)
	if err != nil || !slices.Equal(there, want) {
		t.Errorf("the tenants are %v, want %v (%v)", there, want, err)
	}
}
