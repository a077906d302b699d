package storetest

import (
	"context"
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/breakpilot/tenant-registry/internal/audit"
	"github.com/breakpilot/tenant-registry/internal/registry"
)

const (
	// patience is how long a call may take that waits for no other transaction. It ends a test that hangs.
	patience = 2 * time.Minute
	// moment is how long a call is given that has to wait for longer than that.
	moment = 100 * time.Millisecond
)

// fixture is one test and its store.
type fixture struct {
	*testing.T
	store   registry.Store
	ctx     context.Context
	options Options
}

// must ends the test if err is not nil.
func (f *fixture) must(err error) {
	f.Helper()
	if err != nil {
		f.Fatalf("unexpected error: %v", err)
	}
}

// want checks that err is the one expected.
func (f *fixture) want(err, expected error) {
	f.Helper()
	if !errors.Is(err, expected) {
		f.Errorf("error is %v, want %v", err, expected)
	}
}

// wantFault checks that err is an error, and none that says something about rows.
func (f *fixture) wantFault(err error) {
	f.Helper()
	if err == nil {
		f.Error("no error")
	}
	for _, answer := range []error{
		registry.ErrNotFound, registry.ErrNoParent, registry.ErrDuplicate, registry.ErrSlugTaken, registry.ErrOrgTaken,
		registry.ErrTrialExists, registry.ErrRequestPending,
	} {
		if errors.Is(err, answer) {
			f.Errorf("error is %v, want a fault of its own", err)
		}
	}
}

// equal checks that two values are the same, with nil apart from empty and each time in its zone.
func (f *fixture) equal(got, want any) {
	f.Helper()
	if !reflect.DeepEqual(got, want) {
		f.Errorf("got  %s\nwant %s", show(got), show(want))
	}
}

// tx runs fn in one transaction.
func (f *fixture) tx(fn func(tx registry.Tx) error) error { return f.txIn(f.ctx, fn) }

// txIn runs fn in one transaction with a context of its own. If the store has a cache, what fn writes is published.
func (f *fixture) txIn(ctx context.Context, fn func(tx registry.Tx) error) error {
	if _, cached := f.store.(registry.Lookup); cached {
		return Change(ctx, f.store, fn)
	}
	return f.store.Tx(ctx, fn)
}

// commit runs fn in one transaction that must be committed.
func (f *fixture) commit(fn func(tx registry.Tx) error) {
	f.Helper()
	f.must(f.tx(fn))
}

// insert commits rows, in this order, in one transaction.
func (f *fixture) insert(rows ...any) {
	f.Helper()
	f.commit(func(tx registry.Tx) error { return insertAll(f.ctx, tx, rows...) })
}

// insertErr is what inserting rows in one transaction answers.
func (f *fixture) insertErr(rows ...any) error {
	return f.tx(func(tx registry.Tx) error { return insertAll(f.ctx, tx, rows...) })
}

func insertAll(ctx context.Context, tx registry.Tx, rows ...any) error {
	for _, row := range rows {
		if err := insert(ctx, tx, row); err != nil {
			return err
		}
	}
	return nil
}

// insert writes one row of any type; an event gets its place.
func insert(ctx context.Context, tx registry.Tx, row any) error {
	switch row := row.(type) {
	case registry.Tenant:
		return tx.InsertTenant(ctx, row)
	case registry.Product:
		return tx.InsertProduct(ctx, row)
	case registry.CatalogRequest:
		return tx.InsertCatalogRequest(ctx, row)
	case registry.Entitlement:
		return tx.InsertEntitlement(ctx, row)
	case registry.APIKey:
		return tx.InsertAPIKey(ctx, row)
	case audit.Event:
		_, err := appendEvent(ctx, tx, row)
		return err
	}
	panic("no row")
}

// rival is a transaction that a test leaves open.
type rival struct {
	registry.Tx
	f       *fixture
	verdict chan error
	result  chan error
}

var errAgain = errors.New("storetest: this transaction must not run twice")

// begin opens a transaction and returns into the test with it.
func (f *fixture) begin() *rival {
	f.Helper()
	r := &rival{f: f, verdict: make(chan error, 1), result: make(chan error, 1)}
	begun := make(chan registry.Tx, 1)
	runs := 0
	go func() {
		r.result <- f.tx(func(tx registry.Tx) error {
			if runs++; runs > 1 {
				return errAgain
			}
			begun <- tx
			return <-r.verdict
		})
	}()
	f.Cleanup(func() {
		select {
		case r.verdict <- errAgain:
		default:
		}
	})
	select {
	case r.Tx = <-begun:
	case err := <-r.result:
		f.Fatalf("the transaction ended before it began: %v", err)
	}
	return r
}

// end lets the transaction return err, and returns what became of it.
func (r *rival) end(err error) error {
	r.verdict <- err
	return <-r.result
}

// commit ends the transaction, which must succeed.
func (r *rival) commit() {
	r.f.Helper()
	r.f.must(r.end(nil))
}

// waits checks that a transaction of fn does not come to its end now: it waits for one that is open. fn gets a context
// that ends.
func (f *fixture) waits(fn func(ctx context.Context, tx registry.Tx) error) {
	f.Helper()
	ctx, cancel := context.WithTimeout(f.ctx, moment)
	defer cancel()
	err := f.txIn(ctx, func(tx registry.Tx) error { return fn(ctx, tx) })
	f.wantFault(err)
	if ctx.Err() == nil {
		f.Errorf("the transaction failed before its context ended: %v", err)
	}
}

// passes checks that a transaction of fn waits for no other.
func (f *fixture) passes(fn func(ctx context.Context, tx registry.Tx) error) {
	f.Helper()
	f.must(f.tx(func(tx registry.Tx) error { return fn(f.ctx, tx) }))
}

// firstPage asks for the first page of a list.
func firstPage(limit int) registry.PageRequest { return registry.PageRequest{Limit: limit} }
