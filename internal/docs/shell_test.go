package docs_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/breakpilot/tenant-registry/internal/store/postgres/postgrestest"
	"github.com/breakpilot/tenant-registry/migrations"
)

// TestBlocks_shell does what the README and the pages tell a newcomer to do, in their order: the blocks that start a
// server do so, and those that call one call the last that was started.
func TestBlocks_shell(t *testing.T) {
	t.Parallel()
	empty := postgrestest.Empty(t)
	dsn := regexp.MustCompile(`postgres://\S+`)
	var base string
	for _, block := range blocks(t, "sh") {
		script := dsn.ReplaceAllString(block, "'"+empty+"'")
		switch {
		case strings.HasSuffix(block, "make dev\n"):
			var said string
			said, base = start(t, script)
			if strings.Contains(block, "DATABASE_URL") != strings.Contains(said, "postgres") {
				t.Errorf("%s\nstarts with\n%s", block, said)
			}
			get(t, base+"/v1/tenants/by-slug/acme", nil)
		case block == "make test\n":
			if out, err := shell("make --dry-run test").CombinedOutput(); err != nil ||
				!strings.Contains(string(out), "go test") {
				t.Errorf("make test would do: %s (%v)", out, err)
			}
		default:
			checkResponses(t, strings.ReplaceAll(script, "http://localhost:8090", base))
		}
	}
}

// get reads a URL that must answer 200, as JSON into a value unless that is nil.
func get(t *testing.T, url string, into any) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	decode(t, resp, http.StatusOK, into)
}

// post sends JSON, and decodes the response, which must have this status.
func post(t *testing.T, url, body string, status int, into any) {
	t.Helper()
	resp, err := http.Post(url, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	decode(t, resp, status, into)
}

func decode(t *testing.T, resp *http.Response, status int, into any) {
	t.Helper()
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != status {
		t.Fatalf("%s %s: %s %s (%v)", resp.Request.Method, resp.Request.URL, resp.Status, text, err)
	}
	if into == nil {
		return
	}
	if err := json.Unmarshal(text, into); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
}

// checkResponses runs a script that prints responses of the API, of which one is about acme and one about a valid key.
func checkResponses(t *testing.T, script string) {
	t.Helper()
	var stderr strings.Builder
	cmd := shell(script)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s\n%v: %s %s", script, err, out, &stderr)
	}
	var responses, acme, valid int
	for d := json.NewDecoder(bytes.NewReader(out)); ; responses++ {
		var response struct {
			Slug  string
			Valid *bool
			Items []any
		}
		if err := d.Decode(&response); err == io.EOF {
			break
		} else if err != nil {
			t.Fatalf("%s\nprints %s: %v", script, out, err)
		}
		switch {
		case response.Slug == "acme":
			acme++
		case response.Valid != nil && *response.Valid:
			valid++
		case len(response.Items) == 0:
			t.Errorf("a response is empty: %s", out)
		}
	}
	if calls := strings.Count(script, "curl "); responses < calls-1 || acme != 1 || valid != 1 {
		t.Errorf("%d commands print %d responses, %d of them acme, %d a valid key:\n%s",
			calls, responses, acme, valid, out)
	}
}

// TestBlocks_sql adds the product to a database, and finds it in the catalogue of a server there.
func TestBlocks_sql(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.New(t)
	exec := execIn(t, dsn)
	for _, block := range blocks(t, "sql") {
		exec(block)
	}
	var catalog struct {
		Items []struct {
			Key           string          `json:"key"`
			Audience      string          `json:"audience"`
			Requestable   bool            `json:"requestable"`
			TrialDays     int             `json:"trial_days"`
			DefaultLimits map[string]*int `json:"default_limits"`
			DefaultConfig map[string]any  `json:"default_config"`
		}
	}
	get(t, serve(t, "DATABASE_URL='"+dsn+"'")+"/v1/catalog", &catalog)
	if len(catalog.Items) != 1 {
		t.Fatalf("the catalogue is %+v", catalog)
	}
	p := catalog.Items[0]
	seats, has := p.DefaultLimits["projects"]
	if p.Key != "insights-plus" || p.Audience != "public" || !p.Requestable || p.TrialDays != 14 ||
		len(p.DefaultConfig) != 0 ||
		len(p.DefaultLimits) != 2 || *p.DefaultLimits["seats"] != 10 || !has || seats != nil {
		t.Errorf("the product is %+v", p)
	}
}

// execIn returns a function that runs statements in a database.
func execIn(t *testing.T, dsn string) func(sql string, args ...any) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return func(sql string, args ...any) {
		t.Helper()
		if _, err := conn.Exec(t.Context(), sql, args...); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
}

// TestPages_migrateExitCodes brings the built cmd/migrate to each code of the table, and to what the text around it
// promises.
func TestPages_migrateExitCodes(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.Empty(t)
	exec := execIn(t, dsn)
	program := built(t, migrateProgram)
	seen := map[string]bool{}
	want := func(code int, says string, env, args string) {
		t.Helper()
		cmd := shell("exec " + program + " " + args)
		cmd.Env = append(cmd.Env, strings.Fields("DATABASE_URL="+dsn+" "+env)...)
		out, _ := cmd.CombinedOutput()
		got := cmd.ProcessState.ExitCode()
		seen[fmt.Sprint(got)] = true
		if got != code || !strings.Contains(string(out), says) {
			t.Errorf("%s migrate %s: exit %d, %s; want %d and %q", env, args, got, out, code, says)
		}
	}
	want(0, "", "", "up")
	want(0, "", "", "up")
	want(0, "", "", "version")
	want(1, "refused", "DATABASE_URL=postgres://127.0.0.1:1/d", "up")
	want(1, "dev", "APP_ENV=prod", "down")
	want(1, "dev", "APP_ENV=stage", "down")
	want(1, "dev", "APP_ENV=prod", "down-all")
	want(1, "dev", "APP_ENV=stage", "down-all")
	want(2, "usage", "", "sideways")
	want(2, "MIGRATE_LOCK_WAIT", "MIGRATE_LOCK_WAIT=soon", "up")
	exec(`UPDATE schema_migrations SET dirty = true`)
	want(3, "force", "", "up")
	want(3, "force", "", "version")
	exec(`UPDATE schema_migrations SET dirty = false, version = $1`, migrations.Latest()+1)
	want(0, "", "", "up")
	exec(`UPDATE schema_migrations SET version = $1`, migrations.Latest())
	want(0, "", "APP_ENV=dev", "down-all")

	listed := map[string]bool{}
	for _, row := range table(t, page("operations"), "Migrations") {
		listed[row[0]] = true
	}
	if fmt.Sprint(listed) != fmt.Sprint(seen) {
		t.Errorf("the page lists the exit codes %v, seen were %v", listed, seen)
	}
}
