package internal_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/store/memory"
	"github.com/breakpilot/tenant-registry/internal/store/postgres"
	"github.com/breakpilot/tenant-registry/internal/store/postgres/postgrestest"
	"github.com/breakpilot/tenant-registry/migrations"
)

func TestMain(m *testing.M) { os.Exit(postgrestest.Main(m)) }

// blocks returns the code blocks of the README in a language, in order.
func blocks(t *testing.T, language string) []string {
	t.Helper()
	fence := regexp.MustCompile("(?ms)^```" + language + "\n(.*?)^```$")
	var all []string
	for _, m := range fence.FindAllStringSubmatch(read(t, "../README.md"), -1) {
		all = append(all, m[1])
	}
	if len(all) == 0 {
		t.Fatalf("the README has no block of %s", language)
	}
	return all
}

// buffer keeps what a program prints while it runs.
type buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// shell is a script as somebody would paste it, in the folder of the project, that ends at the first command that fails. The server
// that it may start takes a free port.
func shell(script string) *exec.Cmd {
	cmd := exec.Command("sh", "-ec", script)
	cmd.Dir = ".."
	for _, variable := range os.Environ() {
		name, _, _ := strings.Cut(variable, "=")
		if !slices.Contains([]string{"APP_ENV", "DATABASE_URL", "MIGRATE_DATABASE_URL", "ADMIN_ADDR", "MAKEFLAGS", "MAKELEVEL", "MFLAGS"}, name) {
			cmd.Env = append(cmd.Env, variable)
		}
	}
	cmd.Env = append(cmd.Env, "ADDR=127.0.0.1:0", "DRAIN_DELAY=0s")
	return cmd
}

// start runs a script that ends in a server, until the test does, and returns what it printed when it listened, and where.
func start(t *testing.T, script string) (said, base string) {
	t.Helper()
	cmd, out, ended := shell(script), &buffer{}, make(chan struct{})
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // what make starts is to be ended with it
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(ended)
		_ = cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGINT) // as from the keyboard
		select {
		case <-ended:
		case <-time.After(20 * time.Second):
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			t.Error("the server does not end when it is interrupted")
		}
		if strings.Contains(out.String(), "goroutine ") {
			t.Errorf("there is a stack: %s", out)
		}
	})
	listens := regexp.MustCompile(`(?m)^  ready +(http://\S+)/readyz$`)
	over := time.After(4 * time.Minute) // it is compiled first
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if found := listens.FindStringSubmatch(out.String()); found != nil {
			return out.String(), found[1]
		}
		select {
		case <-tick.C:
		case <-ended:
			t.Fatalf("the script ended: %s", out)
		case <-over:
			t.Fatalf("the server does not say that it listens: %s", out)
		}
	}
}

// TestReadme_shell does what the README tells a newcomer to do, in its order: the blocks that start a server do so, and those
// that ask one ask the last that was started.
func TestReadme_shell(t *testing.T) {
	t.Parallel()
	empty := postgrestest.Empty(t)
	dsn := regexp.MustCompile(`postgres://\S+`)
	var base string
	for _, block := range blocks(t, "sh") {
		script := dsn.ReplaceAllString(block, "'"+empty+"'")
		switch {
		case strings.HasSuffix(block, "make dev\n"):
			var said string
			if said, base = start(t, script); strings.Contains(block, "DATABASE_URL") != strings.Contains(said, "postgres") {
				t.Errorf("%s\nstarts with\n%s", block, said)
			}
			checkAcme(t, base)
		case block == "make test\n":
			if out, err := shell("make --dry-run test").CombinedOutput(); err != nil || !strings.Contains(string(out), "go test") {
				t.Errorf("make test would do: %s (%v)", out, err)
			}
		default:
			checkAnswers(t, strings.ReplaceAll(script, "http://localhost:8090", base))
		}
	}
}

func checkAcme(t *testing.T, base string) {
	t.Helper()
	resp, err := http.Get(base + "/v1/tenants/by-slug/acme")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("acme is %s", resp.Status)
	}
}

// checkAnswers runs a script that prints answers of the API, of which one is about acme and one about a key that is good.
func checkAnswers(t *testing.T, script string) {
	t.Helper()
	var stderr strings.Builder
	cmd := shell(script)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s\n%v: %s %s", script, err, out, &stderr)
	}
	var answers, acme, valid int
	for d := json.NewDecoder(bytes.NewReader(out)); ; answers++ {
		var answer struct {
			Slug  string
			Valid *bool
			Items []any
		}
		if err := d.Decode(&answer); err == io.EOF {
			break
		} else if err != nil {
			t.Fatalf("%s\nprints %s: %v", script, out, err)
		}
		switch {
		case answer.Slug == "acme":
			acme++
		case answer.Valid != nil && *answer.Valid:
			valid++
		case len(answer.Items) == 0:
			t.Errorf("an answer says nothing: %s", out)
		}
	}
	if asked := strings.Count(script, "curl "); answers < asked-1 || acme != 1 || valid != 1 {
		t.Errorf("%d commands print %d answers, %d of them acme, %d a good key:\n%s", asked, answers, acme, valid, out)
	}
}

func TestReadme_sql(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.New(t)
	exec := execIn(t, dsn)
	for _, block := range blocks(t, "sql") {
		exec(block)
	}
	store, err := postgres.Open(t.Context(), postgres.Config{DSN: dsn, SchemaVersion: migrations.Latest()})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	products, err := store.Products(t.Context())
	if err != nil || len(products) != 1 || products[0].Audience != registry.Public || products[0].TrialDays != 14 || len(products[0].DefaultLimits) != 2 {
		t.Errorf("the catalogue is %+v (%v)", products, err)
	}
}

// execIn runs statements in a database.
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

// TestReadme_exitCodes brings the built cmd/migrate to each code of the README's table, and to what the text around it promises.
func TestReadme_exitCodes(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.Empty(t)
	exec := execIn(t, dsn)
	binary := filepath.Join(t.TempDir(), "migrate")
	if out, err := shell("go build -o " + binary + " ./cmd/migrate").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	seen := map[string]bool{}
	want := func(code int, says string, env, args string) {
		t.Helper()
		cmd := shell("exec " + binary + " " + args)
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
	want(1, "production", "APP_ENV=prod", "down")
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
	for _, row := range table(t, "Migrations") {
		listed[row[0]] = true
	}
	if fmt.Sprint(listed) != fmt.Sprint(seen) {
		t.Errorf("the README lists the exit codes %v, seen were %v", listed, seen)
	}
}

// quoted is the first group of an expression that must be found in the README, whose lines are joined for it.
func quoted(t *testing.T, expression string) string {
	t.Helper()
	text := strings.Join(strings.Fields(read(t, "../README.md")), " ")
	found := regexp.MustCompile(expression).FindStringSubmatch(text)
	if found == nil {
		t.Fatalf("the README no longer says %q", expression)
	}
	return found[1]
}

func TestReadme_keys(t *testing.T) {
	t.Parallel()
	keys := regexp.MustCompile(quoted(t, "API keys\\*{0,2} match `([^`]+)`"))
	s := registry.New(memory.New(), registry.Options{})
	by := registry.Caller{Scope: registry.Everything, Actor: registry.Party{ID: "u1"}}
	tenant, err := s.CreateTenant(t.Context(), by, registry.NewTenant{Slug: "acme", Name: "Acme"})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 200 {
		env := []registry.Environment{registry.Live, registry.Test}[i%2]
		k, text, err := s.CreateAPIKey(t.Context(), by, registry.NewAPIKey{TenantID: tenant.ID, Name: "k", Environment: env})
		if err != nil {
			t.Fatal(err)
		}
		if hash, ok := registry.ParseKey(text); !keys.MatchString(text) || !ok || hash != k.Hash || !strings.HasPrefix(text, "bp_"+string(env)) {
			t.Errorf("the key %q is not as the README says", text)
		}
		for _, other := range []string{text + "0", text[:len(text)-1], "x" + text, strings.ToUpper(text), text + "\n"} {
			if keys.MatchString(other) {
				t.Errorf("the README's expression takes %q", other)
			}
		}
		other := byte('0')
		if text[20] == other {
			other = '1'
		}
		if _, ok := registry.ParseKey(text[:20] + string(other) + text[21:]); ok {
			t.Errorf("a typing error in %q is not seen", text)
		}
	}
}

func TestReadme_facts(t *testing.T) {
	t.Parallel()
	codes := []registry.VerifyCode{
		registry.Malformed, registry.KeyNotFound, registry.KeyRevoked, registry.KeyDisabled, registry.KeyExpired, registry.TenantFrozen,
		registry.NotEntitled, registry.InsufficientScope, registry.Valid,
	}
	var listed []registry.VerifyCode
	for _, word := range regexp.MustCompile("`([A-Z_]+)`").FindAllStringSubmatch(quoted(t, "Verify answers 200 with a `code`, the first that applies of (.*?)\\. A"), -1) {
		listed = append(listed, registry.VerifyCode(word[1]))
	}
	if !slices.Equal(codes, listed) {
		t.Errorf("the README lists %q, the code has %q", listed, codes)
	}
	if registry.MaxAge != 5 || quoted(t, "for `max_age_seconds`, at most (\\w+)") != "five" {
		t.Errorf("a verdict may be kept for %d seconds", registry.MaxAge)
	}
	if tenant := quoted(t, "seeded with the tenant `acme` \\(id `([^`]+)`\\)"); tenant != registry.AcmeID.String() {
		t.Errorf("acme is %s", registry.AcmeID)
	}
	if version := quoted(t, `You need Go ([0-9.]+) or later`); !strings.Contains(read(t, "../go.mod"), "\ngo "+version) {
		t.Errorf("go.mod wants another Go than %s", version)
	}
	if mode := quoted(t, "set `(default_query_exec_mode=\\w+)`"); mode != "" {
		if _, err := pgx.ParseConfig("postgres://h/d?" + mode); err != nil {
			t.Error(err)
		}
	}
	for _, row := range table(t, "Observability") {
		for _, name := range regexp.MustCompile("`([A-Z_]+)`").FindAllStringSubmatch(row[0], -1) {
			general := regexp.MustCompile(`_(TRACES|METRICS|LOGS)_ENDPOINT`).ReplaceAllString(name[1], "_{signal}_ENDPOINT")
			if !strings.Contains(read(t, "telemetry/settings.go"), general+" ") {
				t.Errorf("telemetry knows nothing of %s", name[1])
			}
		}
	}
}

// TestLinks holds that what the documents point to is there.
func TestLinks(t *testing.T) {
	t.Parallel()
	for _, document := range []string{"README.md", "CONTRIBUTING.md"} {
		text := read(t, "../"+document)
		for _, m := range regexp.MustCompile(`\]\(#([^)]+)\)`).FindAllStringSubmatch(text, -1) {
			if !strings.Contains(strings.ToLower(text), "\n## "+strings.ReplaceAll(m[1], "-", " ")+"\n") {
				t.Errorf("%s links to its section %s, which is not there", document, m[1])
			}
		}
		for _, m := range regexp.MustCompile(`\]\(([^):#]+)\)`).FindAllStringSubmatch(text, -1) {
			if _, err := os.Stat("../" + m[1]); err != nil {
				t.Errorf("%s links to %s, which is not there", document, m[1])
			}
		}
		for _, m := range regexp.MustCompile("`((?:internal|cmd|migrations)/[a-z/_.]+)`").FindAllStringSubmatch(text, -1) {
			if _, err := os.Stat("../" + m[1]); err != nil {
				t.Errorf("%s speaks of %s, which is not there", document, m[1])
			}
		}
	}
}
