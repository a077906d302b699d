package main

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/breakpilot/tenant-registry/internal/store/postgres/postgrestest"
	"github.com/breakpilot/tenant-registry/internal/testkit"
)

// canary is a password; it must be printed nowhere.
const canary = "c4n4ry-p4ssw0rd"

// runHere runs the program in this process, with an environment that holds only what is named. It is for commands that
// end by themselves.
func runHere(t *testing.T, env []string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errOut testkit.Output
	environ := append([]string{"ADDR=127.0.0.1:0", "DRAIN_DELAY=0s"}, env...)
	slices.Reverse(environ) // the last one counts
	code = run(t.Context(), args, environ, &out, &errOut)
	return code, out.String(), errOut.String()
}

// refused runs a command that must end with this code and one sentence on standard error that matches says.
func refused(t *testing.T, code int, says string, env []string, args ...string) {
	t.Helper()
	got, stdout, stderr := runHere(t, env, args...)
	if got != code {
		t.Errorf("%v: exit %d, want %d", args, got, code)
	}
	if !regexp.MustCompile(`^tenant-registry: [^\n]*` + says + `[^\n]*\n$`).MatchString(stderr) {
		t.Errorf("%v prints %q, want one sentence with %q", args, stderr, says)
	}
	if stdout != "" || strings.Contains(stderr, canary) {
		t.Errorf("%v prints %q", args, stdout+stderr)
	}
}

// TestExitCodes asserts that a process ends with what run returns.
func TestExitCodes(t *testing.T) {
	t.Parallel()
	for code, env := range map[int][]string{1: {unreachableDSN}, 2: {"APP_ENV=banana"}} {
		p := start(t, env)
		if got := p.exit(t); got != code || !strings.HasPrefix(p.stderr.String(), "tenant-registry: ") {
			t.Errorf("%v: exit %d, want %d: %s", env, got, code, &p.stderr)
		}
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	taken := launch(t)
	address := strings.TrimPrefix(taken.URL, "http://")
	network := testkit.NewProxy(t, "127.0.0.1:1")
	network.Blackhole()
	mute := "postgres://u:" + canary + "@" + network.Addr() + "/d"
	for name, tc := range map[string]struct {
		code int
		says string
		env  []string
	}{
		"no database": {
			2, `DATABASE_URL: must be set when APP_ENV is stage`,
			[]string{"APP_ENV=stage", "KEYCLOAK_ISSUER=https://id.example.org/r"},
		},
		"unknown environment": {2, `APP_ENV: must be one of dev, stage, prod`, []string{"APP_ENV=banana"}},
		"bad address":         {2, `ADDR: must be HOST:PORT or :PORT`, []string{"ADDR=8090"}},
		"bad setting":         {2, `DRAIN_DELAY: must be a duration from 0s to 1m`, []string{"DRAIN_DELAY=1h"}},
		"bad telemetry": {
			2, `OTEL_EXPORTER_OTLP_ENDPOINT must be a URL`, []string{"OTEL_EXPORTER_OTLP_ENDPOINT=collector:4318"},
		},
		"taken port": {
			1, regexp.QuoteMeta(address) + ` is taken: .*set ADDR`, []string{"ADDR=" + address},
		},
		"taken admin port": {
			1, `ADMIN_ADDR: .*` + regexp.QuoteMeta(address) + ` is taken`, []string{"ADMIN_ADDR=" + address},
		},
		"no such address": {1, `cannot listen on 192\.0\.2\.1:0, set ADDR`, []string{"ADDR=192.0.2.1:0"}},
		"no database at the address": {
			1, `127\.0\.0\.1:1 cannot be reached as user "u" .*refused.*: start it, or correct the host`,
			[]string{"DATABASE_URL=postgres://u:" + canary + "@127.0.0.1:1/d"},
		},
		"a database that is mute": {
			1, `cannot be reached as user "u" .*: start it, or correct the host`, []string{"DATABASE_URL=" + mute},
		},
		"a DSN that is none": {2, `DATABASE_URL: must be a Postgres DSN`, []string{"DATABASE_URL=" + canary}},
		"a DSN that is broken": {
			2, `DATABASE_URL: the DSN of the database cannot be understood`,
			[]string{"DATABASE_URL=postgres://u:" + canary + "@h:x:y/d"},
		},
		"a DSN with a bracket": {
			2, `DATABASE_URL: the DSN of the database cannot be understood`,
			[]string{"DATABASE_URL=postgres://u:" + canary + "@[bad"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			refused(t, tc.code, tc.says, tc.env)
		})
	}
}

func TestRefusals_database(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.Empty(t)
	name := databaseName(t, connect(t, dsn))
	refused(t, 2, `DATABASE_DIRECT_URL: the DSN of the database cannot be understood`,
		[]string{"DATABASE_URL=" + postgrestest.New(t), "DATABASE_DIRECT_URL=postgres://u:" + canary + "@[bad"})
	refused(t, 1, `cannot be reached .*: create the database, or correct its name`, []string{
		"DATABASE_URL=" + strings.Replace(dsn, name, "nowhere", 1),
	})
}

func TestUsage(t *testing.T) {
	t.Parallel()
	for _, args := range []string{"sideways", "serve now", "healthcheck a b", "seed x"} {
		code, stdout, stderr := runHere(t, nil, strings.Fields(args)...)
		if code != 2 || !strings.HasPrefix(stderr, "usage: ") || stdout != "" {
			t.Errorf("%s: exit %d, %q", args, code, stderr)
		}
	}
	for _, args := range []string{"help", "-h", "--help"} {
		code, stdout, stderr := runHere(t, nil, args)
		if code != 0 || !strings.HasPrefix(stdout, "usage: ") || stderr != "" {
			t.Errorf("%s: exit %d, %q", args, code, stdout)
		}
	}
}

func TestHealthcheck(t *testing.T) {
	t.Parallel()
	p := launch(t, "DRAIN_DELAY=1m")
	env := []string{"ADDR=" + strings.TrimPrefix(p.URL, "http://")}
	for _, args := range [][]string{{"healthcheck"}, {"healthcheck", "/readyz"}} {
		if code, stdout, stderr := runHere(t, env, args...); code != 0 || stdout+stderr != "" {
			t.Errorf("%v: exit %d, %q", args, code, stdout+stderr)
		}
	}
	refused(t, 1, `/nowhere answers 404`, env, "healthcheck", "/nowhere")
	refused(t, 2, `ADDR: must be`, []string{"ADDR=8090"}, "healthcheck")

	p.signal(t, syscall.SIGTERM)
	eventually(t, patience, func() error {
		if r, err := p.try("GET", "/readyz", ""); err != nil || r.status != http.StatusServiceUnavailable {
			return errors.New("the server is not draining")
		}
		return nil
	})
	refused(t, 1, `/readyz answers 503`, env, "healthcheck", "/readyz")
	p.signal(t, syscall.SIGTERM)
	if code := p.exit(t); code == 0 {
		t.Error("a second signal ends the server with 0")
	}
	refused(t, 1, `refused`, env, "healthcheck")
}

// TestSettings asserts that settings have their effect.
func TestSettings(t *testing.T) {
	t.Parallel()
	quiet := launch(t, "LOG_LEVEL=error", "MAX_KEYS_PER_TENANT=1")
	usual := launch(t)
	loud := launch(t, "LOG_LEVEL=debug", "LOG_FORMAT=json")
	for _, p := range []*program{quiet, usual, loud} {
		p.get(t, "/readyz")
		p.get(t, "/v1/catalog")
	}
	for _, want := range []struct {
		p     *program
		lines string
	}{
		{
			usual,
			`^time=\S+ level=WARN msg="AUTH_MODE=dev[^\n]*\n` +
				`time=\S+ level=INFO msg=request method=GET route="GET /v1/catalog" status=200 [^\n]*request_id=\S+\n$`,
		},
		{loud, `^\{[^\n]*AUTH_MODE=dev[^\n]*\}\n\{[^\n]*"GET /readyz"[^\n]*\}\n\{[^\n]*"GET /v1/catalog"[^\n]*\}\n$`},
	} {
		eventually(t, patience, func() error { // a line is written after its answer
			if got := want.p.stderr.String(); !regexp.MustCompile(want.lines).MatchString(got) {
				return fmt.Errorf("the log is %q, want %s", got, want.lines)
			}
			return nil
		})
	}
	if got := quiet.stderr.String(); got != "" {
		t.Errorf("at the level error the log is %q", got)
	}
	another := `{"tenant_id":"` + acme + `","name":"another"}`
	if r := quiet.call(t, http.StatusConflict, "POST", "/v1/api-keys", another); r.member("code") != "too_many_keys" {
		t.Errorf("a key too many is %s", r.text)
	}
	usual.call(t, http.StatusCreated, "POST", "/v1/api-keys", another)
}

var tables = []string{"tenants", "products", "entitlements", "catalog_requests", "api_keys", "audit_log"}

// count counts the rows of tables.
func count(t *testing.T, conn *pgx.Conn, tables ...string) (total int) {
	t.Helper()
	for _, table := range tables {
		var n int
		if err := conn.QueryRow(t.Context(), `SELECT count(*) FROM `+table).Scan(&n); err != nil {
			t.Fatal(err)
		}
		total += n
	}
	return total
}

func TestSeed(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.New(t)
	conn := connect(t, dsn)
	env := []string{"DATABASE_URL=" + dsn}
	p := start(t, env, "seed")
	said := regexp.MustCompile(`^tenant +acme ` + acme + `\nAPI key +(` + keyText.String() + `)\n$`)
	if code := p.exit(t); code != 0 || !said.MatchString(p.stdout.String()) {
		t.Fatalf("seed: exit %d, %q, %q", code, &p.stdout, &p.stderr)
	}
	seeded := count(t, conn, tables...)
	refused(t, 1, `has the tenant acme already; nothing was changed`, env, "seed")
	if after := count(t, conn, tables...); after != seeded || seeded < 30 {
		t.Errorf("the second seed made %d rows of %d", after, seeded)
	}

	s := launch(t, env...)
	checkSample(t, s)
	key := said.FindStringSubmatch(p.stdout.String())[1]
	if r := s.call(t, 200, "POST", verifyPath, `{"key":"`+key+`"}`); r.member("code") != "VALID" {
		t.Errorf("the key that seed printed is %s", r.text)
	}
}

func TestSeed_refused(t *testing.T) {
	t.Parallel()
	refused(t, 2, `seed needs APP_ENV=dev and DATABASE_URL`, nil, "seed")
	refused(t, 1, `cannot be reached`, []string{"DATABASE_URL=postgres://u:" + canary + "@127.0.0.1:1/d"}, "seed")
	refused(t, 2, `DATABASE_URL: the DSN`, []string{"DATABASE_URL=postgres://u:" + canary + "@[bad"}, "seed")
	refused(t, 1, `make migrate-up`, []string{"DATABASE_URL=" + postgrestest.Empty(t)}, "seed")
}

func TestSeed_failsHalfway(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.New(t)
	conn := connect(t, dsn)
	runSQL(t, conn, `ALTER TABLE api_keys ADD CHECK (false)`)
	refused(t, 1, `sample data is incomplete: empty the database`, []string{"DATABASE_URL=" + dsn}, "seed")
	if rows := count(t, conn, "tenants"); rows != 1 {
		t.Errorf("there are %d tenants, so that the seed did not fail halfway", rows)
	}
}
