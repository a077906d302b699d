package postgrestest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/breakpilot/tenant-registry/internal/store/postgres"
)

// Store returns a store without rows that no other test uses meanwhile. Its transactions may be idle for a minute, and
// its calls wait ten seconds for a connection. It is for tests that reach the database by the store's methods only: the
// store, its connections and its database serve a later test, which costs a tenth of new ones.
func Store(t testing.TB) *postgres.Store {
	t.Helper()
	skipShort(t)
	s, err := process.takeStore()
	if err != nil {
		t.Fatalf("postgrestest: %v", err)
	}
	t.Cleanup(func() {
		if err := process.releaseStore(s, t.Failed()); err != nil {
			t.Errorf("postgrestest: %v", err)
		}
	})
	return s.Store
}

// store is a store and its database.
type store struct {
	*postgres.Store
	database string
}

// takeStore returns a store that served a test before, or a new one.
func (f *fixture) takeStore() (*store, error) {
	if !inMain.Load() {
		return nil, errNoMain
	}
	srv, original, err := f.ready(true)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	if last := len(f.stores) - 1; last >= 0 {
		defer f.mu.Unlock()
		s := f.stores[last]
		f.stores = f.stores[:last]
		return s, nil
	}
	f.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), statementTimeout)
	defer cancel()
	s := &store{database: newName()}
	if err := srv.create(ctx, s.database, original); err != nil {
		return nil, err
	}
	s.Store, err = postgres.Open(ctx, postgres.Config{
		DSN:            withParameter(withDatabase(srv.dsn, s.database), "idle_in_transaction_session_timeout", "1min"),
		SchemaVersion:  1,
		AcquireTimeout: 10 * time.Second, PingTimeout: 10 * time.Second,
	})
	if err != nil {
		return nil, errors.Join(err, srv.drop(s.database))
	}
	return s, nil
}

// releaseStore empties a store for another test. One that cannot be emptied, or whose test failed, is given up.
func (f *fixture) releaseStore(s *store, failed bool) error {
	if failed || f.original().state == "" || s.empty() != nil {
		return f.giveUp(s)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stores = append(f.stores, s)
	return nil
}

func (f *fixture) giveUp(s *store) error {
	s.Close()
	return f.server.drop(s.database)
}

// empty deletes all rows. No call of the test may be under way.
func (s *store) empty() error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for s.Pool().Stat().AcquiredConns() > 0 { // a transaction that a test left is being rolled back
		if ctx.Err() != nil {
			return errors.New("a call of the test is still under way")
		}
		time.Sleep(time.Millisecond)
	}
	return pgx.BeginFunc(ctx, s.Pool(), func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SET LOCAL session_replication_role = replica`); err != nil {
			return err
		}
		return truncate(ctx, tx)
	})
}
