package migrate_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/breakpilot/tenant-registry/internal/migrate"
	"github.com/breakpilot/tenant-registry/internal/store/postgres/postgrestest"
	"github.com/breakpilot/tenant-registry/internal/testkit"
)

func TestFailedFile(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.Empty(t)
	broken := schema(dsn, "broken")
	_, err := broken.Up(t.Context())
	dirty := wantDirty(t, err, migrate.RolledBack, 2, 1)
	if want := `line 2 of the file: column "nonsense" does not exist (SQLSTATE 42703)`; dirty.Cause != want {
		t.Errorf("cause %q, want %q", dirty.Cause, want)
	}
	_, err = broken.Up(t.Context())
	wantDirty(t, err, migrate.RolledBack, 2, 1)
	state, err := broken.Version(t.Context())
	wantDirty(t, err, migrate.RolledBack, 2, 1)
	if want := (migrate.State{Version: 2, Dirty: true}); state != want {
		t.Errorf("state %+v, want %+v", state, want)
	}
	fix(t, schema(dsn, "two"), 1)
}

func TestFailedFirstFile(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.Empty(t)
	conn := connect(t, dsn)
	query(t, conn, `CREATE TABLE a ()`)
	_, err := schema(dsn, "two").Up(t.Context())
	wantDirty(t, err, migrate.RolledBack, 1, 0)
	query(t, conn, `DROP TABLE a`)
	fix(t, schema(dsn, "two"), 0)
}

func TestFailedDown(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.Empty(t)
	s := schema(dsn, "two")
	mustUp(t, s)
	conn := connect(t, dsn)
	for _, version := range []uint{2, 1} {
		name := []string{"a", "b"}[version-1]
		query(t, conn, `ALTER TABLE `+name+` RENAME TO hidden`)
		_, err := s.Down(t.Context())
		wantDirty(t, err, migrate.RolledBack, version-1, version)
		query(t, conn, `ALTER TABLE hidden RENAME TO `+name)
		fix(t, s, version)
		if _, err := s.Down(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// What a SIGKILL leaves: the backend goes on alone, and either commits or is ended too.
func TestKilledMidway(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		release string // lets the orphan go on, or ends it
		outcome migrate.Outcome
		there   uint
	}{
		"the backend commits":  {`SELECT pg_advisory_unlock(7)`, migrate.Committed, 2},
		"the backend is ended": {`SELECT pg_terminate_backend($1)`, migrate.RolledBack, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dsn := postgrestest.Empty(t)
			holder := connect(t, dsn)
			query(t, holder, `SELECT pg_advisory_lock(7)`)
			orphan := killHelper(t, holder, "slow")

			s := schema(dsn, "slow")
			wantState(t, s, migrate.State{Version: 2, Dirty: true, Running: true})
			s.LockWait = 200 * time.Millisecond
			if _, err := s.Up(t.Context()); !errors.Is(err, migrate.ErrLocked) {
				t.Errorf("up while the orphan works: %v, want ErrLocked", err)
			}
			s.LockWait = 20 * time.Second
			if strings.Contains(test.release, "$1") {
				query(t, holder, test.release, orphan)
				query(t, holder, `SELECT pg_advisory_unlock(7)`)
			} else {
				query(t, holder, test.release)
			}
			_, err := s.Up(t.Context())
			wantDirty(t, err, test.outcome, 2, test.there)
			fix(t, s, test.there)
		})
	}
}

// A file outside a transaction cannot say whether it was done, so both ways out are named.
func TestKilledOutsideATransaction(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.Empty(t)
	mustUp(t, migrate.Schema{DSN: dsn, Files: files("CREATE TABLE a (n int)")})
	holder := connect(t, dsn)
	query(t, holder, `BEGIN; LOCK TABLE a IN ROW EXCLUSIVE MODE`)
	orphan := killHelper(t, connect(t, dsn), "index")
	query(t, connect(t, dsn), `SELECT pg_terminate_backend($1)`, orphan)
	query(t, holder, `ROLLBACK`)
	s := schema(dsn, "index")
	_, err := s.Up(t.Context())
	wantDirty(t, err, migrate.Unknown, 2, 2, 1)
	query(t, holder, `DROP INDEX IF EXISTS b`)
	fix(t, s, 1)
}

// killHelper starts a process that migrates, kills it once its file waits for a lock, and returns the backend it
// leaves.
func killHelper(t *testing.T, conn *pgx.Conn, set string) (orphan int) {
	t.Helper()
	helper := exec.Command(os.Args[0])
	helper.Env = append(os.Environ(), helperDSN+"="+conn.Config().ConnString(), helperFiles+"="+set)
	if err := helper.Start(); err != nil {
		t.Fatal(err)
	}
	orphan = awaitLockWaiter(t, conn)
	if err := helper.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = helper.Wait()
	return orphan
}

// awaitLockWaiter returns the backend of this database that waits for a lock, once there is one.
func awaitLockWaiter(t *testing.T, conn *pgx.Conn) (pid int) {
	t.Helper()
	testkit.Eventually(t, "a session waits for a lock", func() bool {
		return conn.QueryRow(t.Context(), `SELECT l.pid FROM pg_locks l JOIN pg_stat_activity s USING (pid)
			WHERE NOT l.granted AND s.datname = current_database()`).Scan(&pid) == nil
	})
	return pid
}

func TestInterrupted(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.Empty(t)
	holder := connect(t, dsn)
	query(t, holder, `SELECT pg_advisory_lock(7)`)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() {
		_, err := schema(dsn, "slow").Up(ctx)
		done <- err
	}()
	awaitLockWaiter(t, connect(t, dsn))
	cancel()
	select {
	case err := <-done:
		if !errors.Is(err, migrate.ErrInterrupted) || !strings.Contains(err.Error(), "clean at version 1") {
			t.Errorf("%v, want ErrInterrupted and where the schema is", err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("up did not end")
	}
	wantState(t, schema(dsn, "slow"), migrate.State{Version: 1})
	query(t, holder, `SELECT pg_advisory_unlock(7)`)
	mustUp(t, schema(dsn, "slow"))
}

func TestConnectionCutMidway(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.Empty(t)
	query(t, connect(t, dsn), `SELECT pg_advisory_lock(7)`)
	done := make(chan error, 1)
	go func() {
		_, err := schema(dsn, "slow").Up(context.Background())
		done <- err
	}()
	other := connect(t, dsn)
	query(t, other, `SELECT pg_terminate_backend($1)`, awaitLockWaiter(t, other))
	wantDirty(t, <-done, migrate.RolledBack, 2, 1)
}

// TestLockInsideAFileIsBounded asserts that LockWait also bounds the wait for a lock which a file needs.
func TestLockInsideAFileIsBounded(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.Empty(t)
	holder := connect(t, dsn)
	query(t, holder, `SELECT pg_advisory_lock(7)`)
	s := schema(dsn, "slow")
	s.LockWait = 300 * time.Millisecond
	_, err := s.Up(t.Context())
	if dirty := wantDirty(t, err, migrate.RolledBack, 2, 1); !strings.Contains(dirty.Cause, "55P03") {
		t.Errorf("cause %q, want the lock timeout", dirty.Cause)
	}
	query(t, holder, `SELECT pg_advisory_unlock(7)`)
	fix(t, s, 1)
}

// Another tool leaves no record of what is there, or an old one.
func TestDirtyByAnotherTool(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.Empty(t)
	s := schema(dsn, "two")
	conn := connect(t, dsn)
	query(t, conn, `CREATE TABLE schema_migrations (version bigint not null primary key, dirty boolean not null)`)
	query(t, conn, `INSERT INTO schema_migrations VALUES (2, true)`)
	_, err := s.Up(t.Context())
	wantDirty(t, err, migrate.Unknown, 2, 2, 1)

	query(t, conn, `CREATE TABLE a (); UPDATE schema_migrations SET version = 1, dirty = false`)
	mustUp(t, s)
	query(t, conn, `UPDATE schema_migrations SET dirty = true`)
	_, err = s.Up(t.Context())
	wantDirty(t, err, migrate.Committed, 2, 2)
	query(t, conn, `UPDATE schema_migrations SET version = 9`)
	_, err = s.Up(t.Context())
	wantDirty(t, err, migrate.Unknown, 9, 9, 8)
}

func wantDirty(t *testing.T, err error, outcome migrate.Outcome, version uint, choices ...uint) *migrate.DirtyError {
	t.Helper()
	var dirty *migrate.DirtyError
	if !errors.As(err, &dirty) {
		t.Fatalf("%v, want a DirtyError", err)
	}
	if dirty.Outcome != outcome || dirty.Version != version || !slices.Equal(dirty.Choices, choices) {
		t.Errorf("%+v, want outcome %v, version %d, choices %v", dirty, outcome, version, choices)
	}
	if strings.Contains(dirty.Error(), "\n") {
		t.Errorf("more than a sentence: %q", dirty.Error())
	}
	return dirty
}

// fix does what the DirtyError says.
func fix(t *testing.T, s migrate.Schema, version uint) {
	t.Helper()
	if _, err := s.Force(t.Context(), version); err != nil {
		t.Fatal(err)
	}
	mustUp(t, s)
	wantState(t, s, migrate.State{Version: 2})
}
