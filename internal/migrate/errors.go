package migrate

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/golang-migrate/migrate/v4/database"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/breakpilot/tenant-registry/internal/dsn"
)

// What a change can fail with besides a DirtyError; compare with errors.Is. Every error of this package is one
// sentence, and holds neither the password nor the text of a file.
var (
	// ErrDSN: the DSN cannot be read.
	ErrDSN = errors.New("the DSN cannot be read: it has to look like postgres://user:password@host:5432/database")
	// ErrConnect: no session could be had, or it broke.
	ErrConnect = errors.New("cannot connect to Postgres")
	// ErrReadOnly: Postgres was reached and takes no writes.
	ErrReadOnly = errors.New("the database is read-only")
	// ErrLocked: another migration did not end within LockWait.
	ErrLocked = errors.New("another migration is under way on this database and did not end")
	// ErrInterrupted: the context ended. The schema is clean unless the error says otherwise.
	ErrInterrupted = errors.New("interrupted")
	// ErrRefused: APP_ENV does not allow this.
	ErrRefused = errors.New("refused")
	// ErrForeign: the tables in the database are not those of Schema.Tables.
	ErrForeign = errors.New("this is not the schema of this program")
)

// connectError tells what a person can act on: which address, and the innermost reason.
func connectError(ctx context.Context, config *pgx.ConnConfig, err error) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return fmt.Errorf("%w while connecting; nothing was changed", ErrInterrupted)
	}
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) && pgErr.Code == "08P01" {
		return fmt.Errorf("%w at %s: %s; this looks like a connection pooler, and migrations need Postgres itself: "+
			"name its DSN in MIGRATE_DATABASE_URL", ErrConnect, addresses(config), pgErr.Message)
	}
	if refused := dsn.Refused(err); refused != nil {
		return fmt.Errorf("%w at %s: %w", ErrConnect, addresses(config), refused)
	}
	if strings.Contains(err.Error(), "read only connection") { // pgconn has no error value for it
		return fmt.Errorf("%w at %s", ErrReadOnly, addresses(config))
	}
	return fmt.Errorf("%w at %s: %s", ErrConnect, addresses(config), sentence(err))
}

func addresses(config *pgx.ConnConfig) string { return strings.Join(dsn.List(config), ", ") }

// lost is a session that broke, or a caller who gave up, in the middle of a look at the database.
func (s *session) lost(ctx context.Context, err error) error {
	var pgErr *pgconn.PgError
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return ErrInterrupted
	case errors.As(err, &pgErr) && !s.conn.IsClosed():
		return errors.New(sentence(err))
	default:
		return fmt.Errorf(
			"%w any more: %s; once it answers, \"migrate version\" tells where the schema is", ErrConnect,
			sentence(err),
		)
	}
}

// sentence is an error's cause without what wraps it: golang-migrate's errors hold the whole file, pgx's the user and
// database.
func sentence(err error) string {
	if file := fileError(err); file != nil {
		var pgErr *pgconn.PgError
		if errors.As(file.OrigErr, &pgErr) && pgErr.Position > 0 && file.Line > 0 {
			return fmt.Sprintf("line %d of the file: %s", file.Line, sentence(file.OrigErr))
		}
		err = file.OrigErr
	}
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) {
		return fmt.Sprintf("%s (SQLSTATE %s)", pgErr.Message, pgErr.Code)
	}
	err = innermost(err)
	if errors.Is(err, context.DeadlineExceeded) {
		return "no answer in time"
	}
	return strings.ReplaceAll(err.Error(), "\n", " ")
}

// fileError finds golang-migrate's error, which comes as a value or as a pointer.
func fileError(err error) *database.Error {
	var pointer *database.Error
	if errors.As(err, &pointer) {
		return pointer
	}
	var value database.Error
	if errors.As(err, &value) {
		return &value
	}
	return nil
}

func innermost(err error) error {
	for {
		var next error
		switch wrapper := err.(type) {
		case interface{ Unwrap() error }:
			next = wrapper.Unwrap()
		case interface{ Unwrap() []error }:
			if all := wrapper.Unwrap(); len(all) > 0 {
				next = all[len(all)-1]
			}
		}
		if next == nil {
			return err
		}
		err = next
	}
}
