package migrate

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/golang-migrate/migrate/v4"
	"github.com/golang-migrate/migrate/v4/database"
	pgxdriver "github.com/golang-migrate/migrate/v4/database/pgx/v5"
	"github.com/golang-migrate/migrate/v4/source/iofs"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
)

// run opens golang-migrate on a connection of its own, brings the ledger up to date and takes one step. When ctx ends,
// the statement under way is cancelled and no further file is begun.
func (s *session) run(ctx context.Context, at State, step func(*migrate.Migrate) error) error {
	driver, worker, err := s.driver(ctx)
	if err != nil {
		return err
	}
	defer driver.Close()
	if !at.Dirty {
		if err := driver.write(int(at.Version)); err != nil {
			return err
		}
	}
	files, err := iofs.New(s.files, ".")
	if err != nil {
		return err
	}
	m, err := migrate.NewWithInstance("iofs", files, "pgx5", driver)
	if err != nil {
		return err
	}
	return interruptible(ctx, m, worker, step)
}

// driver is the only constructor of golang-migrate's driver: by URL it would take another advisory lock.
func (s *session) driver(ctx context.Context) (*ledger, *pgconn.PgConn, error) {
	var worker *pgconn.PgConn
	db := stdlib.OpenDB(*s.config, stdlib.OptionAfterConnect(func(_ context.Context, conn *pgx.Conn) error {
		worker = conn.PgConn()
		return nil
	}))
	db.SetMaxOpenConns(1)
	inner, err := pgxdriver.WithInstance(db, &pgxdriver.Config{})
	if err != nil {
		if worker != nil {
			_ = worker.Close(ctx) // the driver keeps it checked out, so closing db alone would leave it open
		}
		_ = db.Close()
		return nil, nil, err
	}
	return &ledger{Driver: inner, table: s.table}, worker, nil
}

// interruptible takes the step. When ctx ends it cancels again and again until the step has ended: one request can fall
// between two statements and hit nothing.
func interruptible(
	ctx context.Context, m *migrate.Migrate, worker *pgconn.PgConn, step func(*migrate.Migrate) error,
) error {
	done, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		select {
		case <-done:
			return
		case <-ctx.Done():
			m.GracefulStop <- true
		}
		tick := time.NewTicker(pollInterval)
		defer tick.Stop()
		for {
			cancelCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
			_ = worker.CancelRequest(cancelCtx)
			cancel()
			select {
			case <-done:
				return
			case <-tick.C:
			}
		}
	}()
	err := step(m)
	close(done)
	<-stopped
	return err
}

// settle says where a step left the schema. A step that the caller interrupted leaves it clean if what became of its
// last file is known; a step that failed leaves it dirty.
func (s *session) settle(ctx context.Context, stepErr error) (State, error) {
	interrupted := ctx.Err() != nil
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), connectTimeout)
	defer cancel()
	// If the connection broke, its backend may still be at work, and then nothing is settled yet.
	if err := s.await(ctx, time.Now().Add(connectTimeout), s.theirKey, s.idle); err != nil {
		return State{}, err
	}
	state, err := s.state(ctx)
	if err != nil {
		return state, err
	}
	if state.Dirty {
		err := s.diagnose(ctx, state, stepErr)
		var dirty *DirtyError
		if !interrupted || !errors.As(err, &dirty) || dirty.Outcome == Unknown {
			return state, err
		}
		if err := s.force(ctx, state, dirty.Choices[0]); err != nil {
			return state, err
		}
		state = State{Version: dirty.Choices[0]}
	}
	if interrupted {
		return state, fmt.Errorf("%w: the schema is clean at version %d", ErrInterrupted, state.Version)
	}
	if stepErr != nil {
		return state, errors.New(sentence(stepErr))
	}
	return state, nil
}

// force records a version as clean, in golang-migrate's table and in the ledger.
func (s *session) force(ctx context.Context, at State, version uint) error {
	target := int(version)
	if version == 0 {
		target = database.NilVersion
	}
	err := s.run(ctx, at, func(m *migrate.Migrate) error { return m.Force(target) })
	if err != nil {
		return errors.New(sentence(err))
	}
	return nil
}
