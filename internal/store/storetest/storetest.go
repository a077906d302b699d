// Package storetest holds any implementation of registry.Store to what the comments of that interface promise. A store's own test
// hands a way to open the store to Run; Compare then holds two stores against each other over random use cases.
//
// Nothing here knows which store it tests. Where stores may differ, Options say which way this one goes, and the tests assert that
// way: nothing is left out in silence.
package storetest

import (
	"context"
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

// Options say what a store does where the promises leave it open.
type Options struct {
	// OneWriter: transactions that lock or write wait for each other even if they touch different rows.
	OneWriter bool
	// Shared: what KeyFacts and TenantBySlug return on a Store shares memory with what they return to others.
	Shared bool
}

// Run tests a store. open returns a new, empty one each time; what it needs to be closed it leaves to t.Cleanup. All tests run in
// parallel, each on a store of its own, which it asks for at most eight transactions and one read at a time. Some of these are left
// open for longer than a program would: limits on idle transactions must be seconds.
func Run(t *testing.T, open func(t *testing.T) registry.Store, o Options) {
	s := suite{open: open, options: o}
	for _, area := range []struct {
		name string
		run  func(*testing.T, suite)
	}{
		{"Tenants", tenants},
		{"Catalog", catalog},
		{"Entitlements", entitlements},
		{"APIKeys", apiKeys},
		{"KeyFacts", keyFacts},
		{"Audit", audit},
		{"AuditAppend", auditAppend},
		{"AuditQueries", auditQueries},
		{"AuditOrder", auditOrder},
		{"Transactions", transactions},
		{"Locks", locks},
		{"Isolation", isolation},
		{"Values", values},
		{"Contexts", contexts},
	} {
		t.Run(area.name, func(t *testing.T) {
			t.Parallel()
			area.run(t, s)
		})
	}
}

type suite struct {
	open    func(t *testing.T) registry.Store
	options Options
}

// test runs fn in parallel, on a store of its own.
func (s suite) test(t *testing.T, name string, fn func(w *world)) {
	t.Run(name, func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		t.Cleanup(cancel)
		fn(&world{T: t, store: s.open(t), ctx: ctx, options: s.options})
	})
}

const (
	// patience is how long a call may take that waits for nobody. It ends a test that hangs.
	patience = 30 * time.Second
	// moment is how long a call is given that has to wait for longer than that.
	moment = 100 * time.Millisecond
)

// world is one test and its store.
type world struct {
	*testing.T
	store   registry.Store
	ctx     context.Context
	options Options
}

// must ends the test if err is not nil.
func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatalf("unexpected error: %v", err)
	}
}

// want checks that err is the one expected.
func (w *world) want(err, expected error) {
	w.Helper()
	if !errors.Is(err, expected) {
		w.Errorf("error is %v, want %v", err, expected)
	}
}

// wantFault checks that err is an error, and none that tells something about rows.
func (w *world) wantFault(err error) {
	w.Helper()
	if err == nil {
		w.Error("no error")
	}
	for _, answer := range []error{
		registry.ErrNotFound, registry.ErrNoParent, registry.ErrDuplicate, registry.ErrSlugTaken, registry.ErrOrgTaken,
		registry.ErrTrialExists, registry.ErrRequestPending,
	} {
		if errors.Is(err, answer) {
			w.Errorf("error is %v, want a fault of its own", err)
		}
	}
}

// equal checks that two values are the same, with nil apart from empty and each time in its zone.
func (w *world) equal(got, want any) {
	w.Helper()
	if !reflect.DeepEqual(got, want) {
		w.Errorf("got  %s\nwant %s", show(got), show(want))
	}
}

// tx runs fn in one transaction.
func (w *world) tx(fn func(tx registry.Tx) error) error { return w.store.Tx(w.ctx, fn) }

// commit runs fn in one transaction that must be committed.
func (w *world) commit(fn func(tx registry.Tx) error) {
	w.Helper()
	w.must(w.tx(fn))
}

// insert commits rows, in this order, in one transaction.
func (w *world) insert(rows ...any) {
	w.Helper()
	w.commit(func(tx registry.Tx) error { return insertAll(w.ctx, tx, rows...) })
}

// insertErr is what inserting rows in one transaction answers.
func (w *world) insertErr(rows ...any) error {
	return w.tx(func(tx registry.Tx) error { return insertAll(w.ctx, tx, rows...) })
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
		return tx.InsertRequest(ctx, row)
	case registry.Entitlement:
		return tx.InsertEntitlement(ctx, row)
	case registry.APIKey:
		return tx.InsertAPIKey(ctx, row)
	case registry.AuditEvent:
		_, err := appendEvent(ctx, tx, row)
		return err
	}
	panic("no row")
}

// rival is a transaction that a test leaves open.
type rival struct {
	registry.Tx
	w       *world
	verdict chan error
	result  chan error
}

var errAgain = errors.New("storetest: this transaction must not run twice")

// begin opens a transaction and returns into the test with it.
func (w *world) begin() *rival {
	w.Helper()
	r := &rival{w: w, verdict: make(chan error, 1), result: make(chan error, 1)}
	begun := make(chan registry.Tx, 1)
	runs := 0
	go func() {
		r.result <- w.tx(func(tx registry.Tx) error {
			if runs++; runs > 1 {
				return errAgain
			}
			begun <- tx
			return <-r.verdict
		})
	}()
	w.Cleanup(func() {
		select {
		case r.verdict <- errAgain:
		default:
		}
	})
	select {
	case r.Tx = <-begun:
	case err := <-r.result:
		w.Fatalf("the transaction ended before it began: %v", err)
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
	r.w.Helper()
	r.w.must(r.end(nil))
}

// waits checks that a transaction of fn does not come to its end now: it waits for one that is open. fn gets a context that ends.
func (w *world) waits(fn func(ctx context.Context, tx registry.Tx) error) {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.ctx, moment)
	defer cancel()
	err := w.store.Tx(ctx, func(tx registry.Tx) error { return fn(ctx, tx) })
	w.wantFault(err)
	if ctx.Err() == nil {
		w.Errorf("the transaction failed before its context ended: %v", err)
	}
}

// passes checks that a transaction of fn waits for nobody.
func (w *world) passes(fn func(ctx context.Context, tx registry.Tx) error) {
	w.Helper()
	w.must(w.store.Tx(w.ctx, func(tx registry.Tx) error { return fn(w.ctx, tx) }))
}
