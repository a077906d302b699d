// Package migrate brings a database to the schema that a set of SQL files describes, and is the only package that talks
// to golang-migrate.
//
// Any number of processes may call it on one database at once: each change holds an advisory lock of this package on a
// connection of its own, and golang-migrate's lock inside it. Both belong to a session, so the DSN has to lead to
// Postgres itself and not to a pooler that hands out a connection per transaction.
//
// golang-migrate marks the schema dirty before it runs a file and clean afterwards, in transactions of their own, so
// dirty alone does not say whether the file was committed. This package therefore records each version in the file's
// own transaction (see ledger), and a DirtyError says which of the two it is.
package migrate

import (
	"context"
	"fmt"
	"io/fs"
	"time"

	"github.com/golang-migrate/migrate/v4"
	"github.com/golang-migrate/migrate/v4/source"

	"github.com/breakpilot/tenant-registry/migrations"
)

// DefaultLockWait is how long a change waits for another one to end, unless Schema.LockWait says otherwise.
const DefaultLockWait = 2 * time.Minute

// Schema is a database and the files that make its schema.
type Schema struct {
	DSN   string // leads to Postgres directly; its password appears in no error of this package
	Files fs.FS  // NNNNNN_name.up.sql and NNNNNN_name.down.sql at its root
	// Tables are what Files make and the program uses: Up looks for them, and Grant grants on them. Empty: neither.
	Tables []migrations.Table
	Env    string // dev, stage or prod: what Down and DownAll are allowed
	// bounds the wait for another change, and each wait for a lock inside a file; 0 is DefaultLockWait
	LockWait time.Duration
}

// Result is what a change did. Version 0 is the empty schema.
type Result struct {
	From, To uint
	Latest   uint // the highest version in Files; To is above it after Up by an older binary
	Fixed    bool // the schema was dirty and Force recorded it as clean
}

// State is what a database says of its schema.
type State struct {
	Version uint // 0 when nothing was ever applied
	Dirty   bool // a change to Version began and its end is not recorded
	Running bool // with Dirty: some session still works on that change, so there is nothing to fix yet
}

// Up applies every file above the current version. A clean schema newer than the files is left unchanged, without
// an error, so that an older binary can be rolled out again. A dirty one is a DirtyError. If Tables are not there, or
// not as the version has them, it is ErrForeign: before a file was run, or after all were.
func (s Schema) Up(ctx context.Context) (Result, error) {
	sess, result, before, err := s.begin(ctx)
	if err != nil {
		return result, err
	}
	defer sess.close()
	if !before.Dirty {
		if err := sess.compare(ctx, s.Tables, before.Version); err != nil {
			return result, err
		}
	}
	result, err = sess.change(ctx, result, before, func(m *migrate.Migrate, at, latest uint) error {
		if at >= latest {
			return nil
		}
		return m.Up()
	})
	if err == nil && result.To != result.From {
		err = sess.compare(ctx, s.Tables, result.To)
	}
	return result, err
}

// Down rolls back exactly one version; on an empty schema it does nothing. Outside dev it is ErrRefused: there
// migrations only go forward.
func (s Schema) Down(ctx context.Context) (Result, error) {
	if s.Env != "dev" {
		return Result{}, fmt.Errorf("%w: down deletes data and is for APP_ENV dev, and APP_ENV is %q; "+
			"elsewhere migrations only go forward, so add one that undoes the change", ErrRefused, s.Env)
	}
	return s.back(ctx, func(m *migrate.Migrate) error { return m.Steps(-1) })
}

// DownAll rolls back every version and with them all data. Outside dev it is ErrRefused.
func (s Schema) DownAll(ctx context.Context) (Result, error) {
	if s.Env != "dev" {
		return Result{}, fmt.Errorf("%w: down-all deletes all data and is for APP_ENV dev, and APP_ENV is %q",
			ErrRefused, s.Env)
	}
	return s.back(ctx, (*migrate.Migrate).Down)
}

func (s Schema) back(ctx context.Context, step func(*migrate.Migrate) error) (Result, error) {
	sess, result, before, err := s.begin(ctx)
	if err != nil {
		return result, err
	}
	defer sess.close()
	return sess.change(ctx, result, before, func(m *migrate.Migrate, at, latest uint) error {
		if at == 0 {
			return nil
		}
		if at > latest {
			return fmt.Errorf(
				"the schema is at version %d and this build knows only %d: roll back with the build that applied it",
				at, latest,
			)
		}
		return step(m)
	})
}

// Version reads the state without waiting for a change that is under way. With a dirty schema on which no session works
// any more it returns the state and a DirtyError.
func (s Schema) Version(ctx context.Context) (State, error) {
	sess, err := s.connect(ctx)
	if err != nil {
		return State{}, err
	}
	defer sess.close()
	state, err := sess.state(ctx)
	if err != nil || !state.Dirty {
		return state, err
	}
	idle, err := sess.idle(ctx)
	if err != nil {
		return state, err
	}
	if state.Running = !idle; state.Running {
		return state, nil
	}
	return state, sess.diagnose(ctx, state, nil)
}

// Force records that the schema is at version and clean, and runs nothing. It fixes a dirty schema, with a version that
// the DirtyError names.
func (s Schema) Force(ctx context.Context, version uint) (Result, error) {
	sess, result, before, err := s.begin(ctx)
	if err != nil {
		return result, err
	}
	defer sess.close()
	if highest := max(result.Latest, before.Version); version > highest {
		return result, fmt.Errorf("there is no version %d: the highest known is %d", version, highest)
	}
	if err := sess.force(ctx, before, version); err != nil {
		return result, err
	}
	result.To, result.Fixed = version, before.Dirty
	return result, nil
}

// change takes one step on a clean schema. The step is told the current version and the highest one of the files.
func (s *session) change(
	ctx context.Context, result Result, before State, step func(m *migrate.Migrate, at, latest uint) error,
) (Result, error) {
	if before.Dirty {
		return result, s.diagnose(ctx, before, nil)
	}
	stepErr := s.run(ctx, before, func(m *migrate.Migrate) error { return step(m, before.Version, result.Latest) })
	after, err := s.settle(ctx, stepErr)
	result.To = after.Version
	return result, err
}

// begin takes the locks and looks where the schema is. The caller closes the session unless there is an error.
func (s Schema) begin(ctx context.Context) (*session, Result, State, error) {
	latest, err := latest(s.Files)
	if err != nil {
		return nil, Result{}, State{}, err
	}
	sess, err := s.open(ctx)
	if err != nil {
		return nil, Result{Latest: latest}, State{}, err
	}
	at, err := sess.state(ctx)
	if err != nil {
		sess.close()
		return nil, Result{Latest: latest}, State{}, err
	}
	return sess, Result{From: at.Version, To: at.Version, Latest: latest}, at, nil
}

// latest is the highest version that has an up file, 0 without any.
func latest(files fs.FS) (uint, error) {
	entries, err := fs.ReadDir(files, ".")
	if err != nil {
		return 0, fmt.Errorf("the migration files cannot be read: %w", err)
	}
	var highest uint
	for _, entry := range entries {
		if file, err := source.Parse(entry.Name()); err == nil && file.Direction == source.Up {
			highest = max(highest, file.Version)
		}
	}
	return highest, nil
}
