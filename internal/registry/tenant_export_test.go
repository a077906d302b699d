package registry_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/audit"
	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/share"
	"github.com/breakpilot/tenant-registry/internal/store/memory"
	"github.com/breakpilot/tenant-registry/internal/store/storetest/faultstore"
)

// exportTenant is everything that an export of a tenant has: what its records are of, and its chain.
func (f *fixture) exportTenant(by registry.Caller, tenant registry.Tenant) (records []string, chain string) {
	f.t.Helper()
	x, err := f.s.ExportTenant(f.ctx, by, tenant.ID, false)
	f.must(err)
	defer x.Close()
	records = append(records, x.Tenant.Slug)
	sources, err := x.Entitlements(f.ctx)
	f.must(err)
	for _, e := range sources {
		records = append(records, e.Product)
	}
	f.must(x.CatalogRequests(f.ctx, func(r registry.CatalogRequest) error {
		records = append(records, string(r.Status)+" "+r.Product)
		return nil
	}))
	f.must(x.APIKeys(f.ctx, func(k registry.APIKey) error {
		records = append(records, k.Name)
		return nil
	}))
	var b strings.Builder
	f.must(x.Chain.NDJSON(f.ctx, &b, asIs))
	return records, b.String()
}

// TestExportTenant_hasAllOfOneTenant asserts that the export has each record of the tenant, whatever its state and
// beyond a page, none of another tenant, and its whole chain, to the tenant's admin as to an operator.
func TestExportTenant_hasAllOfOneTenant(t *testing.T) {
	t.Parallel()
	f := newFixture(t, noCaps)
	mine, theirs := f.tenant("mine", registry.StatusActive), f.tenant("theirs", registry.StatusActive)
	want := []string{"mine", "product-a", "product-b"}
	for i, product := range []string{"product-a", "product-b", "wanted"} {
		f.product(product)
		for _, tenant := range []registry.Tenant{mine, theirs} {
			if i == 2 {
				in := registry.CatalogRequestInput{TenantID: tenant.ID, Product: product}
				f.must(second(f.s.RequestProduct(f.ctx, f.by, in)))
				continue
			}
			f.must(second(f.s.Grant(f.ctx, f.by, tenant.ID, product, registry.SourcePlan)))
		}
	}
	want = append(want, "pending wanted")
	for i := range 250 { // more than two pages
		k, _ := f.key(registry.APIKeyInput{TenantID: mine.ID, Name: fmt.Sprint("key ", i)})
		if i%2 == 0 {
			f.must(second(f.s.RevokeAPIKey(f.ctx, f.by, k.ID, "")))
		}
		want = slices.Insert(want, 4, k.Name)
	}
	f.key(registry.APIKeyInput{TenantID: theirs.ID, Name: "not mine"})
	for _, by := range []registry.Caller{f.by, admin("a", mine)} {
		records, chain := f.exportTenant(by, mine)
		if !slices.Equal(records, want) {
			t.Errorf("%s has\n%q\nwant\n%q", by.Actor.ID, records, want)
		}
		v := verified(chain, audit.Proof{})
		if v.Status != audit.OK || v.GroupID != mine.ID || v.Count != 2+2+1+250+125 {
			t.Errorf("%s has the chain %+v", by.Actor.ID, v)
		}
	}
}

// TestExportTenant_requestsHavePages asserts that all requests are there, in the order of their ids, also beyond a
// page, and that the error of who reads them ends it.
func TestExportTenant_requestsHavePages(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	mine := f.tenant("mine", registry.StatusActive)
	for i := range 200 { // two full pages
		product := registry.Product{Key: fmt.Sprint("p-", i), Name: "P", Audience: registry.Public}
		f.tx(func(tx registry.Tx) error {
			return errors.Join(tx.InsertProduct(f.ctx, product), tx.InsertCatalogRequest(f.ctx, registry.CatalogRequest{
				ID: uuid.New(), TenantID: mine.ID, Product: product.Key, Status: registry.RequestPending,
				RequestedBy: "u", CreatedAt: noon, UpdatedAt: noon,
			}))
		})
	}
	x, err := f.s.ExportTenant(f.ctx, f.by, mine.ID, false)
	f.must(err)
	defer x.Close()
	var ids []string
	f.must(x.CatalogRequests(f.ctx, func(r registry.CatalogRequest) error {
		ids = append(ids, r.ID.String())
		return nil
	}))
	if len(slices.Compact(slices.Clone(ids))) != 200 || !slices.IsSorted(ids) {
		t.Errorf("%d requests: %q", len(ids), ids)
	}
	enough := errors.New("enough")
	if err := x.CatalogRequests(f.ctx, func(registry.CatalogRequest) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("who has enough is told %v", err)
	}
}

// TestExportTenant_isForItsOwn asserts that a foreign tenant's export is refused as that of one that does not exist,
// that it takes a share of exports, which every way out gives back, and that a store that fails is told.
func TestExportTenant_isForItsOwn(t *testing.T) {
	t.Parallel()
	f := newFixture(t, caps(func(c *registry.ShareCaps) { c.Exports = share.Caps{Caller: 1} }))
	mine, theirs := f.tenant("mine", registry.StatusActive), f.tenant("theirs", registry.StatusActive)
	for _, id := range []uuid.UUID{theirs.ID, uuid.New(), uuid.Nil} {
		_, err := f.s.ExportTenant(f.ctx, admin("a", mine), id, false)
		f.refusal(err, registry.NotFound, registry.CodeTenantNotFound)
	}
	x, err := f.s.ExportTenant(f.ctx, admin("a", mine), mine.ID, false)
	f.must(err)
	_, err = f.s.ExportTenant(f.ctx, admin("a", mine), mine.ID, false)
	f.full(err, "exports", share.Caller)
	x.Close()
	f.must(closed(f.s.ExportTenant(f.ctx, admin("a", mine), mine.ID, true)))
	if n := f.inUse("exports"); n != 0 {
		t.Errorf("%d are left of the share", n)
	}
	for _, call := range []string{"GetTenant", "GetChainHead", "ListAuditEvents", "ConfirmReads"} {
		broken := registry.New(
			faultstore.New(f.store, faultstore.On(call, registry.ErrUnavailable)), registry.Options{},
		)
		if _, err := broken.ExportTenant(f.ctx, f.by, mine.ID, false); !errors.Is(err, registry.ErrUnavailable) {
			t.Errorf("%s fails: %v", call, err)
		}
	}
}

// TestCursor_ofAnotherLogIsGone asserts that a cursor is refused where the log does not have its event: because it is
// shorter, as after a restore, or because another event is there, in the whole log, in a chain, and in an export. The
// control is the log that the cursor is of, and the beginning, which every log has.
func TestCursor_ofAnotherLogIsGone(t *testing.T) {
	t.Parallel()
	before := newFixture(t, noCaps)
	acme := before.tenant("acme", registry.StatusActive)
	for range 5 {
		before.must(second(before.s.RecordEvent(before.ctx, before.by, reported(acme.ID))))
	}
	log := before.log()
	after := newFixture(t, noCaps)
	after.tx(func(tx registry.Tx) error { return tx.InsertTenant(after.ctx, acme) })
	for range 3 {
		after.must(second(after.s.RecordEvent(after.ctx, after.by, reported(acme.ID))))
	}
	for name, read := range map[string]func(f *fixture, cursor string) error{
		"log": func(f *fixture, cursor string) error {
			return second(f.s.Audit(f.ctx, f.by, registry.AuditQuery{
				PageRequest: registry.PageRequest{Limit: 1, Cursor: cursor},
			}))
		},
		"chain": func(f *fixture, cursor string) error {
			return second(f.s.Audit(f.ctx, f.by, registry.AuditQuery{
				GroupID: &acme.ID, Ascending: true, PageRequest: registry.PageRequest{Limit: 1, Cursor: cursor},
			}))
		},
		"long poll": func(f *fixture, cursor string) error {
			return second(f.s.Follow(f.ctx, f.by, registry.AuditQuery{
				GroupID: &acme.ID, Ascending: true, PageRequest: registry.PageRequest{Limit: 1, Cursor: cursor},
			}, 1))
		},
		"export": func(f *fixture, cursor string) error {
			return closed(f.s.Export(f.ctx, f.by, registry.ExportRequest{GroupID: &acme.ID, Cursor: cursor}))
		},
	} {
		for _, at := range []int{1, 2, 3, 4, 6} { // seqs 2 to 7 in a log that has 3
			cursor := place(int64(at+1), log[at])
			before.must(read(before, cursor))
			gone := after.refusal(read(after, cursor), registry.Gone, registry.CodeCursorGone)
			after.blames(gone, "cursor")
		}
		after.must(read(after, "0."))
		for _, no := range []string{"x", "1", "1.", "0.0123456789abcdef", "9223372036854775808.0123456789abcdef"} {
			before.blames(before.refusal(read(before, no), registry.Invalid, registry.CodeInvalid), "cursor")
		}
		last := "9223372036854775807.0123456789abcdef"
		if err := read(before, last); err == nil {
			t.Errorf("%s: %s is a place", name, last)
		} else {
			before.refusal(err, registry.Gone, registry.CodeCursorGone)
		}
	}
}

// TestCursor_survivesAnErasure asserts that a cursor at an event that was erased remains good: its chain hash does.
func TestCursor_survivesAnErasure(t *testing.T) {
	t.Parallel()
	f := fixtureOn(t, memory.New())
	acme := f.tenant("acme", registry.StatusActive)
	f.whole(acme.ID)
	q := registry.AuditQuery{
		GroupID: &acme.ID, Ascending: true, PageRequest: registry.PageRequest{Limit: 10},
	}
	first, err := f.s.Audit(f.ctx, f.by, q)
	f.must(err)
	f.erase(f.by, erasing(acme.ID, "u-1"))
	q.Cursor = first.Next
	next, err := f.s.Audit(f.ctx, f.by, q)
	f.must(err)
	if len(first.Items) != 3 || len(next.Items) != 1 || next.Items[0].Erasure == nil {
		t.Errorf("%d events, then %+v", len(first.Items), next.Items)
	}
}
