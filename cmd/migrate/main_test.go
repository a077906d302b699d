package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/breakpilot/tenant-registry/internal/migrate"
	"github.com/breakpilot/tenant-registry/internal/store/postgres/postgrestest"
	"github.com/breakpilot/tenant-registry/internal/testkit"
	"github.com/breakpilot/tenant-registry/migrations"
)

const canary = "c4n4ry-p4ssw0rd"

var binary string // the path of the program, built once

// The program is built without the race detector, with which a process takes long to start, and these tests start many.
func TestMain(m *testing.M) {
	folder, err := os.MkdirTemp("", "migrate-test-")
	if err != nil {
		panic(err)
	}
	binary = filepath.Join(folder, "migrate")
	if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		panic(fmt.Sprintf("%v: %s", err, out))
	}
	code := postgrestest.Main(m)
	os.RemoveAll(folder)
	os.Exit(code)
}

// program is the program with nothing in its environment but what is named.
func program(env []string, args ...string) *exec.Cmd {
	cmd := exec.Command(binary, args...)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH")}, env...)
	return cmd
}

// finish returns the exit code and both outputs.
func finish(t *testing.T, cmd *exec.Cmd) (code int, out, errOut string) {
	t.Helper()
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()
}

// want runs a command and checks what it exits with and, by patterns, what it prints.
func want(t *testing.T, cmd *exec.Cmd, code int, stdout, stderr string) (errOut string) {
	t.Helper()
	gotCode, gotOut, gotErr := finish(t, cmd)
	outcome{gotCode, gotOut, gotErr}.check(t, cmd.Args[1:], outcome{code, stdout, stderr})
	return gotErr
}

// wantHere is want for a command that runs in this process, with an environment that holds only what is named.
func wantHere(t *testing.T, env, args []string, code int, stdout, stderr string) {
	t.Helper()
	values := map[string]string{}
	for _, variable := range env {
		name, value, _ := strings.Cut(variable, "=")
		values[name] = value
	}
	var out, errOut strings.Builder
	getenv := func(name string) string { return values[name] }
	gotCode := run(t.Context(), append([]string{binary}, args...), getenv, &out, &errOut)
	outcome{gotCode, out.String(), errOut.String()}.check(t, args, outcome{code, stdout, stderr})
}

// outcome is what a command exits with and prints; what is wanted of the outputs are patterns.
type outcome struct {
	code           int
	stdout, stderr string
}

func (o outcome) check(t *testing.T, args []string, want outcome) {
	t.Helper()
	if o.code != want.code || !regexp.MustCompile(`^(?:`+want.stdout+`)$`).MatchString(o.stdout) ||
		!regexp.MustCompile(`^(?:`+want.stderr+`)$`).MatchString(o.stderr) {
		t.Errorf("%v: %+v, want %+v", args, o, want)
	}
	if strings.Contains(o.stdout+o.stderr, canary) {
		t.Errorf("%v prints the password: %+v", args, o)
	}
}

func TestUsage(t *testing.T) {
	t.Parallel()
	for _, args := range []string{
		"", "sideways", "up now", "down 1", "force", "force x", "force -1", "force 1 2", "create", "create a b",
		"version -v", "grants", "grants app", "grants --app", "grants --app= --auditor=x", "grants --app=x y",
		"grants --app=x --owner=y",
	} {
		wantHere(t, nil, strings.Fields(args), exitUsage, "", `migrate: [^\n]+\n\n(?s:usage: .+)`)
	}
	wantHere(t, []string{"MIGRATE_LOCK_WAIT=soon"}, []string{"up"}, exitUsage, "",
		`migrate: MIGRATE_LOCK_WAIT [^\n]+\n\n(?s:usage: .+)`)
	for _, help := range []string{"help", "-h", "--help"} {
		want(t, program(nil, help), exitOK, `(?s:usage: .+MIGRATE_DATABASE_URL.+)`, "")
	}
}

func TestFailuresAreOneSentence(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		code int
		env  []string
		says string
	}{
		"no DSN": {exitUsage, nil, `DATABASE_URL is not set`},
		"no server there": {
			exitFailure, []string{"DATABASE_URL=postgres://u:" + canary + "@127.0.0.1:1/d"},
			`cannot connect to Postgres at 127\.0\.0\.1:1: connection refused; put DATABASE_URL right`,
		},
		"broken DSN": {
			exitUsage, []string{"DATABASE_URL=" + canary + " " + canary}, `DATABASE_URL: the DSN cannot be read`,
		},
		"broken direct": {
			exitUsage, []string{"MIGRATE_DATABASE_URL=postgres://u:" + canary + "@[bad"},
			`MIGRATE_DATABASE_URL: the DSN cannot be read`,
		},
		"unknown stage": {
			exitUsage, []string{"DATABASE_URL=postgres://127.0.0.1:1/d", "APP_ENV=production"},
			`APP_ENV: must be one of dev, stage, prod`,
		},
		"not verified": {
			exitUsage, []string{"DATABASE_URL=postgres://u:" + canary + "@db.invalid/d", "APP_ENV=prod"},
			`DATABASE_URL: the connection to db\.invalid:5432 is not verified: add sslmode=verify-full, or set DB_TLS`,
		},
		"not verified, and allowed": {
			exitFailure,
			[]string{
				"DATABASE_URL=postgres://u:" + canary + "@127.0.0.1:1,127.0.0.2:1/d", "APP_ENV=stage",
				"DB_TLS=insecure",
			},
			`(cannot connect to Postgres|is for APP_ENV dev)`,
		},
		"missing file": {
			exitUsage, []string{"MIGRATE_DATABASE_URL_FILE=/nowhere/at/all"},
			`MIGRATE_DATABASE_URL_FILE: cannot be read`,
		},
		"direct DSN win": {
			exitFailure,
			[]string{"DATABASE_URL=postgres://127.0.0.1:1/d", "MIGRATE_DATABASE_URL=postgres://127.0.0.1:2/d"},
			`127\.0\.0\.1:2: .*put MIGRATE_DATABASE_URL right`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, command := range []string{"up", "down", "down-all", "version", "force 1", "grants --app=x"} {
				wantHere(t, test.env, strings.Fields(command), test.code, "", `migrate: [^\n]*`+test.says+`[^\n]*\n`)
			}
		})
	}
}

func TestCommands(t *testing.T) {
	t.Parallel()
	db := []string{"DATABASE_URL=" + withPassword(postgrestest.Empty(t))}
	latest := migrations.Latest()
	at := func(format string, args ...any) string { return fmt.Sprintf(format, args...) + "\n" }

	want(t, program(db, "version"), exitOK, "0\n", "")
	want(t, program(db, "up"), exitOK, at(`schema is at version %d \(was 0\)`, latest), "")
	want(t, program(db, "up"), exitOK, at("schema is at version %d; nothing to do", latest), "")
	want(t, program(db, "version"), exitOK, at("%d", latest), "")
	want(t, program(db, "down"), exitOK, at(`schema is at version %d \(was %d\)`, latest-1, latest), "")
	want(t, program(db, "up"), exitOK, at(`schema is at version %d \(was %d\)`, latest, latest-1), "")
	for _, env := range []string{"stage", "prod"} {
		want(t, program(append(db, "APP_ENV="+env), "down-all"), exitFailure, "",
			`migrate: refused: [^\n]*APP_ENV[^\n]*\n`)
		want(t, program(append(db, "APP_ENV="+env), "down"), exitFailure, "",
			`migrate: refused: [^\n]*only go forward[^\n]*\n`)
	}
	want(t, program(db, "version"), exitOK, at("%d", latest), "")
	want(t, program(append(db, "APP_ENV=dev"), "down-all"), exitOK, at(`schema is at version 0 \(was %d\)`, latest), "")
}

func TestGrants(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.New(t)
	db := []string{"DATABASE_URL=" + dsn}
	roles := [2]string{}
	for i := range roles {
		roles[i] = "role_" + strings.ToLower(rand.Text())
		query(t, connect(t, dsn), `CREATE ROLE `+roles[i])
		t.Cleanup(func() {
			conn, err := pgx.Connect(context.Background(), dsn)
			if err == nil {
				_, err = conn.Exec(context.Background(), `DROP OWNED BY `+roles[i]+`; DROP ROLE `+roles[i])
				conn.Close(context.Background())
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	want(t, program(db, "grants", "--app=no-one"), exitFailure, "", `migrate: there is no role "no-one": [^\n]+\n`)
	const app, others = `the role "%s" has the privileges of the server, and no other\n`,
		`only roles with CONNECT of their own may connect to the database\n`
	want(t, program(db, "grants", "--app="+roles[0]), exitOK, fmt.Sprintf(app, roles[0])+others, "")
	want(t, program(db, "grants", "--app", roles[0], "--auditor", roles[1]), exitOK, fmt.Sprintf(app, roles[0])+
		fmt.Sprintf(`the role "%s" may read the audit log, and nothing else\n`, roles[1])+others, "")
}

func TestCreate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	create := func(name string) *exec.Cmd {
		cmd := program(nil, "create", name)
		cmd.Dir = dir
		return cmd
	}
	want(t, create("add_team_table"), exitFailure, "", `migrate: there is no folder migrations here[^\n]*\n`)
	if err := os.Mkdir(filepath.Join(dir, "migrations"), 0o755); err != nil {
		t.Fatal(err)
	}
	want(t, create("Add-Team"), exitUsage, "", `migrate: the name of a migration [^\n]*\n`)
	want(t, create("add_team_table"), exitOK,
		`created migrations/000001_add_team_table\.up\.sql\ncreated migrations/000001_add_team_table\.down\.sql\n`, "")
}

func TestFiveAtOnce(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.Empty(t)
	var wg sync.WaitGroup
	for range 5 {
		wg.Go(func() {
			want(t, program([]string{"DATABASE_URL=" + dsn}, "up"), exitOK,
				fmt.Sprintf(`schema is at version %d(; nothing to do| \(was 0\))\n`, migrations.Latest()), "")
		})
	}
	wg.Wait()
	want(t, program([]string{"DATABASE_URL=" + dsn}, "version"), exitOK, fmt.Sprintln(migrations.Latest()), "")
}

func TestNewerSchemaIsLeftAlone(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.New(t)
	query(t, connect(t, dsn), `UPDATE schema_migrations SET version = 999`)
	want(t, program([]string{"DATABASE_URL=" + dsn}, "up"), exitOK,
		`schema is at version 999, newer than the \d+ this build knows; nothing to do\n`, "")
	want(t, program([]string{"DATABASE_URL=" + dsn}, "version"), exitOK, "999\n", "")
}

func TestLockWait_isBounded(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.Empty(t)
	query(t, connect(t, dsn), `SELECT pg_advisory_lock($1)`, migrate.LockKey)
	env := []string{"DATABASE_URL=" + dsn, "MIGRATE_LOCK_WAIT=200ms"}
	want(t, program(env, "up"), exitFailure, "", `migrate: another migration is under way [^\n]+200ms[^\n]+\n`)
}

func TestReadOnlyDatabase(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.New(t)
	says := `migrate: the database is read-only at [^\n]+: point %s at the primary, or make it writable\n`
	readOnly := dsn + "&default_transaction_read_only=on"
	if !strings.Contains(dsn, "?") {
		readOnly = dsn + "?default_transaction_read_only=on"
	}
	for _, variable := range []string{"DATABASE_URL", "MIGRATE_DATABASE_URL"} {
		want(t, program([]string{variable + "=" + readOnly}, "up"), exitFailure, "", fmt.Sprintf(says, variable))
		want(t, program([]string{variable + "=" + dsn}, "up"), exitOK, `schema is at .+\n`, "") // the control
	}
}

// TestForceOfCleanSchema asserts that forcing a clean schema prints its version, and nothing of a dirty one.
func TestForceOfCleanSchema(t *testing.T) {
	t.Parallel()
	env := []string{"DATABASE_URL=" + postgrestest.New(t)}
	want(t, program(env, "force", fmt.Sprint(migrations.Latest())), exitOK, `schema is at version \d+; nothing to do\n`,
		"")
}

// TestFailedFile_fixedAsPrinted asserts that the commands printed for a file that failed fix the schema when the
// obstacle is gone.
func TestFailedFile_fixedAsPrinted(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.Empty(t)
	conn := connect(t, dsn)
	query(t, conn, `CREATE TYPE tenant_status AS ENUM ('in the way')`)
	env := []string{"DATABASE_URL=" + withPassword(dsn)}
	want(t, program(env, "up"), exitDirty, "",
		`migrate: the schema is dirty at version 1: .*rolled back.*`+
			`type "tenant_status" already exists \(SQLSTATE 42710\)\n(?s:.+)`)
	want(t, program(env, "version"), exitDirty, `1 \(dirty\)\n`, `(?s:.+)`)
	printed := want(t, program(env, "up"), exitDirty, "", `(?s:.+)`)
	query(t, conn, `DROP TYPE tenant_status`)
	runPrinted(t, env, printed)
}

// TestKilledMidway_fixedAsPrinted kills a process while its file runs. Its backend goes on; whether that commits or
// not, the printed commands fix the schema.
func TestKilledMidway_fixedAsPrinted(t *testing.T) {
	t.Parallel()
	for name, commits := range map[string]bool{"the backend commits": true, "the backend is ended": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dsn := postgrestest.Empty(t)
			env := []string{"DATABASE_URL=" + withPassword(dsn)}
			holder := connect(t, dsn)
			cmd, pid := blockedUp(t, env, dsn, holder)
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait()
			want(t, program(env, "version"), exitOK, `1 \(dirty: a migration to it is under way\)\n`, "")
			says := "was committed, but was cut off"
			if !commits {
				query(t, connect(t, dsn), `SELECT pg_terminate_backend($1)`, pid)
				says = "was rolled back"
			}
			query(t, holder, `ROLLBACK`)
			printed := want(t, program(env, "up"), exitDirty, "",
				`migrate: the schema is dirty at version 1: .*`+says+`.*\n(?s:.+)`)
			runPrinted(t, env, printed)
		})
	}
}

// TestKilledAtAnyPoint_fixedAsPrinted kills "up" at points that are spread over the time it takes, and asserts that
// after each the next "up" either succeeds, or prints the commands that fix the schema.
func TestKilledAtAnyPoint_fixedAsPrinted(t *testing.T) {
	t.Parallel()
	start := time.Now()
	want(t, program([]string{"DATABASE_URL=" + postgrestest.Empty(t)}, "up"), exitOK, `(?s:.+)`, "")
	whole := time.Since(start)
	const points = 16
	for i := range points {
		after := whole * time.Duration(i) / points
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			env := []string{"DATABASE_URL=" + postgrestest.Empty(t)}
			cmd := program(env, "up")
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			kill := time.AfterFunc(after, func() { _ = cmd.Process.Kill() })
			_ = cmd.Wait()
			kill.Stop()
			code, _, printed := finish(t, program(env, "up"))
			if code == exitDirty {
				runPrinted(t, env, printed)
			} else if code != exitOK {
				t.Fatalf("killed after %v: exit %d, %s", after, code, printed)
			}
		})
	}
}

// TestUnknownOutcomePrintsBothWays asserts that for a dirty schema without a record of its outcome the commands for
// both outcomes are printed, and that those which fit fix the schema.
func TestUnknownOutcomePrintsBothWays(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.New(t)
	query(t, connect(t, dsn), `COMMENT ON TABLE schema_migrations IS NULL; UPDATE schema_migrations SET dirty = true`)
	env := []string{"DATABASE_URL=" + dsn}
	printed := want(t, program(env, "up"), exitDirty, "", `(?s:.+)`)
	done, notDone, found := strings.Cut(printed, "if nothing of it was done")
	if !found || !strings.Contains(done, binary+" force 1\n") || !strings.Contains(notDone, binary+" force 0\n") {
		t.Errorf("printed %q, want both ways", printed)
	}
	runPrinted(t, env, done)
}

// TestTerminatedMidway asserts that terminating the process in the middle of a file rolls the file back at once, and
// leaves a clean schema.
func TestTerminatedMidway(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.Empty(t)
	env := []string{"DATABASE_URL=" + dsn}
	holder := connect(t, dsn)
	cmd, _ := blockedUp(t, env, dsn, holder)
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != exitFailure {
		t.Errorf("ended with %v, want exit %d", err, exitFailure)
	}
	const interrupted = "migrate: interrupted: the schema is clean at version 0\n"
	if got := cmd.Stderr.(*strings.Builder).String(); got != interrupted {
		t.Errorf("printed %q", got)
	}
	want(t, program(env, "version"), exitOK, "0\n", "")
	query(t, holder, `ROLLBACK`)
	want(t, program(env, "up"), exitOK, `(?s:.+)`, "")
}

// blockedUp starts "migrate up" and returns once its file waits, for a type that holder is about to make.
func blockedUp(t *testing.T, env []string, dsn string, holder *pgx.Conn) (cmd *exec.Cmd, backend int) {
	t.Helper()
	query(t, holder, `BEGIN; CREATE TYPE tenant_status AS ENUM ('in the way')`)
	cmd = program(env, "up")
	cmd.Stderr = new(strings.Builder)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	conn := connect(t, dsn)
	testkit.Eventually(t, "the migration waits for the type", func() bool {
		return conn.QueryRow(t.Context(), `SELECT pid FROM pg_stat_activity WHERE datname = current_database()
			AND wait_event_type = 'Lock' AND query LIKE '%CREATE TYPE tenant_status%'`).Scan(&backend) == nil
	})
	return cmd, backend
}

// runPrinted runs the indented lines with a shell, as a person would paste them.
func runPrinted(t *testing.T, env []string, printed string) {
	t.Helper()
	lines := regexp.MustCompile(`(?m)^  (.+)$`).FindAllStringSubmatch(printed, -1)
	if len(lines) != 2 {
		t.Fatalf("%d commands in %q, want two", len(lines), printed)
	}
	for _, line := range lines {
		cmd := exec.Command("/bin/sh", "-c", line[1])
		cmd.Env = env
		says := `schema is at version .+\n`
		if _, version, forced := strings.Cut(line[1], " force "); forced {
			says = `schema is recorded as clean at version ` + version + ` \(was dirty at \d+\)\n`
		}
		want(t, cmd, exitOK, says, "")
	}
	want(t, program(env, "version"), exitOK, fmt.Sprintln(migrations.Latest()), "")
	want(t, program(env, "up"), exitOK, `schema is at version \d+; nothing to do\n`, "")
}

// withPassword adds a password that no output may hold, unless the server wants one of its own.
func withPassword(dsn string) string {
	return strings.Replace(dsn, "postgres://postgres@", "postgres://postgres:"+canary+"@", 1)
}

func connect(t *testing.T, dsn string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

func query(t *testing.T, conn *pgx.Conn, text string, args ...any) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), text, args...); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
}
