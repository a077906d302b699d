package registry_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/audit"
	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/share"
	"github.com/breakpilot/tenant-registry/internal/store/storetest/faultstore"
	"github.com/breakpilot/tenant-registry/internal/testkit"
)

// erasing is an erasure of subjects from a chain.
func erasing(group uuid.UUID, subjects ...string) registry.ErasureInput {
	return registry.ErasureInput{GroupID: group, Subjects: subjects, Reason: "asked for"}
}

// erase erases, which must succeed.
func (f *fixture) erase(by registry.Caller, in registry.ErasureInput) registry.Result[registry.Erasure] {
	f.t.Helper()
	got, err := f.s.EraseEvents(f.ctx, by, in)
	f.must(err)
	return got
}

// chain is one chain, oldest first.
func (f *fixture) chain(group uuid.UUID) []audit.Event {
	f.t.Helper()
	return slices.DeleteFunc(f.log(), func(e audit.Event) bool { return e.GroupID != group })
}

// erasures are the events of a chain that record one.
func (f *fixture) erasures(group uuid.UUID) []audit.Event {
	f.t.Helper()
	return slices.DeleteFunc(f.chain(group), func(e audit.Event) bool { return e.Erasure == nil })
}

// intact checks that a whole chain verifies, and returns its export and how many parts are erased.
func (f *fixture) intact(group uuid.UUID) (text string, erased int64) {
	f.t.Helper()
	x, err := registry.New(f.store, registry.Options{}).Export(f.ctx, f.by, registry.ExportRequest{GroupID: &group})
	f.must(err)
	defer x.Close()
	var b strings.Builder
	f.must(x.NDJSON(f.ctx, &b, asIs))
	v := verified(b.String(), audit.Proof{})
	if v.Status != audit.OK {
		f.t.Errorf("the chain is %s", v.Text)
	}
	return b.String(), v.Erased
}

// whole is a reported event with every part. Its emitter is svc, on behalf of u-2.
func (f *fixture) whole(group uuid.UUID) audit.Event {
	f.t.Helper()
	by := f.by
	by.Actor, by.OnBehalfOf = audit.Party{ID: "svc", Name: "Portal"}, audit.Named{ID: "u-2", Name: "User 2"}
	some := func(name string) map[string]string { return map[string]string{"of": name} }
	e, err := testkit.Value(f.s.RecordEvent(f.ctx, by, audit.Event{
		GroupID: group, GroupName: "Acme", Action: "document.share", CRUD: audit.Update,
		Actor:  audit.Party{ID: "u-1", Name: "User 1", Href: "h", Type: "user", Fields: some("the actor")},
		Target: audit.Party{ID: "d-1", Name: "A file", Href: "h", Type: "file", Fields: some("the target")},
		Fields: some("the event"), Metadata: some("nothing"), SourceIP: "192.0.2.9", Description: "a text",
		Component: "portal", Version: "v1", ExternalID: "x-1", CorrelationID: "c-1",
	}))
	f.must(err)
	return e
}

// TestEraseEvents_takesWhatNamesTheSubject asserts which parts go with whom, that the rest of the event, its hashes and
// its neighbours remain, and that the event of the erasure records how much, not who.
func TestEraseEvents_takesWhatNamesTheSubject(t *testing.T) {
	t.Parallel()
	const acting = "actor hash metadata on_behalf_of source text"
	for name, c := range map[string]struct {
		subjects []string
		fields   bool
		want     string
	}{
		"actor":              {[]string{"u-1"}, false, acting},
		"actor with fields":  {[]string{"u-1"}, true, "actor fields hash metadata on_behalf_of source text"},
		"on behalf of":       {[]string{"u-2"}, false, acting},
		"target":             {[]string{"d-1"}, false, "fields hash target"},
		"target with fields": {[]string{"d-1"}, true, "fields hash target"},
		"emitter":            {[]string{"svc"}, true, "emitter"},
		"several": {
			[]string{"other", "d-1", "svc", "u-1", "u-1"}, false,
			"actor emitter fields hash metadata on_behalf_of source target text",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			acme := f.tenant("acme", registry.StatusTrial).ID
			e := f.whole(acme)
			before := f.log()
			in := erasing(acme, c.subjects...)
			in.IncludeFields = c.fields
			got := f.erase(f.by, in)
			by, want, set := f.last(), e, audit.ErasureSet{}
			digests := map[audit.Part]audit.Digest{}
			for name := range strings.FieldsSeq(c.want) {
				p, _ := audit.ParsePart(name)
				digests[p] = e.DigestOf(p)
				want.Erase(p, audit.ErasedPart{By: by.Seq, Digest: digests[p], Deleted: true})
			}
			set.Add(e.Seq, digests)
			parts := int64(len(digests))
			answer := registry.Result[registry.Erasure]{
				Value: registry.Erasure{EventID: &by.ID, Events: 1, Parts: parts},
			}
			if !reflect.DeepEqual(got, answer) {
				t.Errorf("the answer is %+v, want %+v", got, answer)
			}
			after := f.log()
			if !reflect.DeepEqual(after[1], want) || !reflect.DeepEqual(after[0], before[0]) || len(after) != 3 {
				t.Errorf("there is\n%+v\nwant\n%+v", after[1], want)
			}
			if by.Action != "audit.erase" || by.CRUD != audit.Delete || by.Description != "asked for" ||
				by.Actor.ID != "op-1" || by.GroupName != "The acme" || by.Fields != nil || by.Target.Present() ||
				!reflect.DeepEqual(by.Erasure, set.Erasure()) {
				t.Errorf("the erasure is recorded as %+v", by)
			}
			text, erased := f.intact(acme)
			shown := slices.DeleteFunc(c.subjects, func(s string) bool { return !strings.Contains(text, `"`+s+`"`) })
			if erased != parts || len(shown) > 0 {
				t.Errorf("%d parts are erased, want %d, and %q are still in\n%s", erased, parts, shown, text)
			}
		})
	}
}

// TestEraseEvents_ofTheSameIsUnchanged asserts that an erasure which finds nothing says so and leaves no event, also in
// another chain, and that other chains keep what they have.
func TestEraseEvents_ofTheSameIsUnchanged(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	acme, globex := f.tenant("acme", registry.StatusTrial).ID, f.tenant("globex", registry.StatusTrial).ID
	f.whole(acme)
	kept := f.whole(globex)
	f.erase(f.by, erasing(acme, "u-1"))
	before := f.dump(acme, globex)
	for _, in := range []registry.ErasureInput{
		erasing(acme, "u-1"), erasing(acme, "u-2"), erasing(acme, "u-", "U-1", "u-1 ", "erased"),
		erasing(uuid.Nil, "u-1"),
	} {
		got := f.erase(f.by, in)
		if !got.Unchanged || !reflect.DeepEqual(got.Value, registry.Erasure{}) || f.dump(acme, globex) != before {
			t.Errorf("%v: %+v", in.Subjects, got)
		}
	}
	if got := f.erase(f.by, erasing(acme, "u-1", "d-1")); got.Value.Events != 1 || got.Value.Parts != 2 {
		t.Errorf("what is left of another subject: %+v", got.Value)
	}
	if e, err := f.s.Event(f.ctx, f.by, kept.ID); err != nil || e.Erased != nil {
		t.Errorf("another chain's event lost %v, %v", e.Erased, err)
	}
	f.intact(acme)
	f.intact(globex)
}

// TestEraseEvents_countsAllPages asserts counts and set over more than one page, in the platform's chain.
func TestEraseEvents_countsAllPages(t *testing.T) {
	t.Parallel()
	f := newFixture(t, noCaps)
	f.must(second(f.s.RecordEvent(f.ctx, f.by, reported(uuid.Nil))))
	for i := range 450 {
		e := reported(uuid.Nil)
		e.Actor.ID = []string{"ann", "bob", "cem"}[i%3]
		f.must(second(f.s.RecordEvent(f.ctx, f.by, e)))
	}
	got := f.erase(f.by, erasing(uuid.Nil, "ann", "cem"))
	by := f.last()
	if got.Value.Events != 300 || got.Value.Parts != 900 || by.Erasure.First != 2 || by.GroupName != "" ||
		by.Actor.Name != "Platform operator" {
		t.Errorf("%+v, recorded as %+v in %+v", got.Value, by.Erasure, by)
	}
	text, erased := f.intact(uuid.Nil)
	if erased != 900 || strings.Contains(text, `"ann"`) || !strings.Contains(text, `"bob"`) {
		t.Errorf("%d parts are erased in\n%.2000s", erased, text)
	}
}

// TestEraseEvents_repeatIsReplayed asserts that a repeat with the same idempotency key answers as the first did and
// leaves nothing, and that the key is refused for whom the first did not erase, whose name it does not have.
func TestEraseEvents_repeatIsReplayed(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	acme := f.tenant("acme", registry.StatusTrial).ID
	f.whole(acme)
	by, in := f.again("k", "POST erasures"), erasing(acme, "u-1")
	first := f.erase(by, in)
	f.whole(acme) // later than the erasure: no part of it
	before := f.dump(acme)
	for _, same := range []registry.ErasureInput{in, erasing(acme, "u-1", "u-1"), erasing(acme, "no-one")} {
		got := f.erase(by, same)
		if !got.Replayed || !reflect.DeepEqual(got.Value, first.Value) || f.dump(acme) != before {
			t.Errorf("the repeat for %v answers %+v, and the first %+v", same.Subjects, got, first)
		}
	}
	another, fields, chain := in, in, in
	another.Reason, fields.IncludeFields, chain.GroupID = "another", true, uuid.Nil
	for _, other := range []registry.ErasureInput{
		erasing(acme, "d-1"), erasing(acme, "u-1", "svc"), another, fields, chain,
	} {
		_, err := f.s.EraseEvents(f.ctx, by, other)
		f.refusal(err, registry.Mismatch, registry.CodeIdempotencyMismatch)
	}
	if f.dump(acme) != before {
		t.Error("refusals left something")
	}
	if got := f.erase(f.again("another", ""), in); got.Replayed || got.Value.Events != 1 {
		t.Errorf("with another key: %+v", got)
	}
	f.intact(acme)
}

// TestEraseEvents_keyThatIsTakenMeanwhile asserts that a key which another command of the caller took while the erasure
// ran is a mismatch, and that nothing is erased.
func TestEraseEvents_keyThatIsTakenMeanwhile(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	acme := f.tenant("acme", registry.StatusTrial).ID
	f.whole(acme)
	by, transactions := f.again("k", "POST erasures"), 0
	s := registry.New(faultstore.New(f.store, func(call string) error {
		if call == "Tx" {
			if transactions++; transactions == 2 { // of what looks for an earlier request, then of the marks
				return second(f.s.RecordEvent(f.ctx, f.again("k", "POST audit"), reported(uuid.Nil)))
			}
		}
		return nil
	}), registry.Options{})
	_, err := s.EraseEvents(f.ctx, by, erasing(acme, "u-1"))
	f.refusal(err, registry.Mismatch, registry.CodeIdempotencyMismatch)
	if n := len(f.erasures(acme)); n != 0 {
		t.Errorf("%d erasures", n)
	}
	if _, erased := f.intact(acme); erased != 0 {
		t.Errorf("%d parts are erased", erased)
	}
}

// TestEraseEvents_earlierRequestCannotBeTold asserts that the fingerprint of a request goes with what it can be guessed
// from: a repeat is refused, whatever it says. The control is a request of which nothing was erased.
func TestEraseEvents_earlierRequestCannotBeTold(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	acme := f.tenant("acme", registry.StatusTrial).ID
	control := reported(acme)
	control.Actor.ID, control.Target.ID = "bob", "another"
	report := func(key string, events ...audit.Event) (registry.Result[[]audit.Event], error) {
		return f.s.RecordEvents(f.ctx, f.again(key, "POST"), events)
	}
	f.must(second(report("one", control, reported(acme), control)))
	f.must(second(report("control", control)))
	f.erase(f.by, erasing(acme, "u"))
	for _, e := range []audit.Event{reported(acme), control} {
		_, err := report("one", e)
		f.refusal(err, registry.Conflict, registry.CodeErased)
	}
	if got, err := report("control", control); err != nil || !got.Replayed {
		t.Errorf("the control: %+v, %v", got, err)
	}
	f.erase(f.by, erasing(acme, "op-1")) // who created the tenant, and erased before
	_, err := f.s.RecordEvent(f.ctx, f.again("control", "POST"), control)
	f.refusal(err, registry.Conflict, registry.CodeErased)
	f.intact(acme)
}

// TestEraseEvents_namesInRowsGo asserts that who did something in a tenant's rows becomes "erased", alone or with whom
// it acted for, with the texts beside it only if they are asked for, and that keys get a new version.
func TestEraseEvents_namesInRowsGo(t *testing.T) {
	t.Parallel()
	const gone = registry.ErasedName
	for subject, c := range map[string]struct{ by, created, forAnother string }{
		"u-1":    {"u-1", gone, "portal on behalf of u-2"},
		"u-2":    {"u-1", "u-1", gone},
		"portal": {"u-1", "u-1", gone},
	} {
		for _, texts := range []bool{false, true} {
			t.Run(fmt.Sprint(subject, texts), func(t *testing.T) {
				t.Parallel()
				f := newFixture(t)
				acme, globex := f.tenant("acme", registry.StatusActive), f.tenant("globex", registry.StatusActive)
				rows := f.rowsBy(acme)
				other := f.rowsBy(globex)
				f.sleep(time.Minute)
				in := erasing(acme.ID, subject)
				in.IncludeFields = texts
				f.erase(f.by, in)
				text := map[bool]string{true: "", false: "a text"}
				ofCreator, ofOther := text[texts && c.created == gone], text[texts && c.forAnother == gone]
				want := []string{
					c.created, c.forAnother, ofOther, fmt.Sprint(rows.key.Version + 1), c.created, ofCreator,
					c.forAnother, ofOther,
				}
				if got := f.rowsOf(acme); !slices.Equal(got.texts(), want) || got.key.UpdatedAt != f.clock() {
					t.Errorf("the rows are %q, want %q", got.texts(), want)
				}
				if got := f.rowsOf(globex); !reflect.DeepEqual(got, other) {
					t.Errorf("another tenant's rows are %q, and were %q", got.texts(), other.texts())
				}
				f.intact(acme.ID)
			})
		}
	}
}

// namedRows are rows of a tenant that say who made them.
type namedRows struct {
	key     registry.APIKey
	request registry.CatalogRequest
}

func (r namedRows) texts() []string {
	return []string{
		r.key.CreatedBy, r.key.RevokedBy, r.key.RevokeReason, fmt.Sprint(r.key.Version), r.request.RequestedBy,
		r.request.Message, r.request.DecidedBy, r.request.DecisionReason,
	}
}

// rowsBy makes a key that u-1 creates and portal revokes on behalf of u-2, and a request that the same ask for and
// decide.
func (f *fixture) rowsBy(tenant registry.Tenant) namedRows {
	f.t.Helper()
	owner, portal := admin("u-1", tenant), f.by
	portal.Actor, portal.OnBehalfOf = audit.Party{ID: "portal"}, audit.Named{ID: "u-2"}
	k, _, err := testkit.Secret(f.s.CreateAPIKey(f.ctx, owner, registry.APIKeyInput{TenantID: tenant.ID, Name: "k"}))
	f.must(err)
	f.must(second(f.s.RevokeAPIKey(f.ctx, portal, k.ID, "a text")))
	f.tx(func(tx registry.Tx) error {
		p := registry.Product{Key: "product-" + tenant.Slug, Name: "P", Audience: registry.Public}
		return errors.Join(tx.InsertProduct(f.ctx, p), tx.InsertCatalogRequest(f.ctx, registry.CatalogRequest{
			ID: uuid.New(), TenantID: tenant.ID, Product: p.Key, Status: registry.RequestPending, Message: "a text",
			RequestedBy: "u-1", DecidedBy: "portal on behalf of u-2", DecisionReason: "a text", CreatedAt: noon,
			UpdatedAt: noon,
		}))
	})
	return f.rowsOf(tenant)
}

func (f *fixture) rowsOf(tenant registry.Tenant) namedRows {
	f.t.Helper()
	keys, err := f.keys(tenant.ID)
	f.must(err)
	requests, err := f.store.ListCatalogRequests(f.ctx, tenant.ID, uuid.Nil, 10)
	f.must(err)
	if len(keys) != 1 || len(requests) != 1 {
		f.t.Fatalf("%d keys, %d requests", len(keys), len(requests))
	}
	return namedRows{keys[0], requests[0]}
}

func (f *fixture) clock() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.now
}

// TestEraseEvents_rowsAlone asserts that a name which is only in rows is erased without an event, since no part of the
// chain is missing.
func TestEraseEvents_rowsAlone(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	acme := f.tenant("acme", registry.StatusActive)
	f.rowsBy(acme)
	f.erase(f.by, erasing(acme.ID, "u-1", "portal"))
	f.tx(func(tx registry.Tx) error {
		another := registry.Product{Key: "another", Name: "P", Audience: registry.Public}
		return errors.Join(tx.InsertProduct(f.ctx, another), tx.InsertCatalogRequest(f.ctx, registry.CatalogRequest{
			ID: uuid.New(), TenantID: acme.ID, Product: "another", Status: registry.RequestPending, RequestedBy: "u-1",
			CreatedAt: noon, UpdatedAt: noon,
		}))
	})
	events := len(f.log())
	got := f.erase(f.by, erasing(acme.ID, "u-1"))
	if got.Unchanged || got.Value != (registry.Erasure{}) || len(f.log()) != events {
		t.Errorf("the answer is %+v with %d events", got, len(f.log())-events)
	}
	if got := f.erase(f.by, erasing(acme.ID, "u-1")); !got.Unchanged {
		t.Errorf("the second time: %+v", got)
	}
}

// TestEraseEvents_everythingOfADeletedTenant asserts that "*" takes every part of a deleted tenant's chain but those of
// erasures, after which there is nothing to take, and that it is refused for a tenant that lives and for the platform.
func TestEraseEvents_everythingOfADeletedTenant(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	acme := f.tenant("acme", registry.StatusActive).ID
	f.whole(acme)
	f.erase(f.by, erasing(acme, "u-1"))
	for _, group := range []uuid.UUID{acme, uuid.Nil} {
		_, err := f.s.EraseEvents(f.ctx, f.by, erasing(group, "*"))
		f.blames(f.refusal(err, registry.Conflict, registry.CodeTenantNotDeleted), "/subjects/0")
	}
	deleted := registry.New(
		faultstore.New(f.store, faultstore.On("GetTenant", registry.ErrNotFound)), registry.Options{},
	)
	got, err := deleted.EraseEvents(f.ctx, f.by, erasing(acme, "*"))
	f.must(err)
	if got.Value.Events != 3 || got.Unchanged {
		t.Errorf("the answer is %+v", got)
	}
	chain := f.chain(acme)
	for _, e := range chain {
		for _, p := range audit.AllParts {
			if _, erased := e.Erased[p]; e.Has(p) && erased != (e.Erasure == nil) {
				t.Errorf("%s of seq %d is erased: %t", p, e.Seq, erased)
			}
		}
	}
	f.intact(acme)
	got, err = deleted.EraseEvents(f.ctx, f.by, erasing(acme, "*"))
	if err != nil || !got.Unchanged || len(f.chain(acme)) != len(chain) {
		t.Errorf("the second time: %+v, %v", got, err)
	}
	got, err = deleted.EraseEvents(f.ctx, f.by, erasing(acme, "op-1"))
	if err != nil || got.Value.Events != 2 { // who erased
		t.Errorf("of a subject: %+v, %v", got, err)
	}
	f.intact(acme)
}

// TestEraseEvents_badInputIsRefused asserts what is refused, where, and that nothing is left of it.
func TestEraseEvents_badInputIsRefused(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	acme := f.tenant("acme", registry.StatusActive).ID
	f.whole(acme)
	before := f.dump(acme)
	because := func(reason string, subjects ...string) registry.ErasureInput {
		return registry.ErasureInput{GroupID: acme, Subjects: subjects, Reason: reason}
	}
	for name, c := range map[string]struct {
		in    registry.ErasureInput
		where string
	}{
		"no subject":      {because("r"), "/subjects"},
		"101 subjects":    {because("r", slices.Repeat([]string{"x"}, 101)...), "/subjects"},
		"an empty one":    {because("r", "x", ""), "/subjects/1"},
		"201 characters":  {because("r", strings.Repeat("ü", 201)), "/subjects/0"},
		"no UTF-8":        {because("r", "x\xff"), "/subjects/0"},
		"* and another":   {because("r", "u-1", "*"), "/subjects/1"},
		"no reason":       {because("", "u-1"), "/reason"},
		"too long":        {because(strings.Repeat("x", 2001), "u-1"), "/reason"},
		"names a subject": {because("for jane.", "x", "jane"), "/reason"},
	} {
		t.Log(name)
		_, err := f.s.EraseEvents(f.ctx, f.by, c.in)
		f.blames(f.refusal(err, registry.Invalid, registry.CodeInvalid), c.where)
	}
	_, err := f.s.EraseEvents(f.ctx, f.by, erasing(uuid.New(), "u-1"))
	f.refusal(err, registry.NotFound, registry.CodeTenantNotFound)
	for _, by := range []registry.Caller{
		{}, {Access: registry.Access{Tenants: true}}, {Access: registry.Access{Tenant: acme}},
	} {
		_, err = f.s.EraseEvents(f.ctx, by, erasing(acme, "u-1"))
		f.refusal(err, registry.NotFound, registry.CodeTenantNotFound)
	}
	if after := f.dump(acme); after != before {
		t.Errorf("refusals changed\n%s\nto\n%s", before, after)
	}
	most := append(slices.Repeat([]string{"x"}, 98), "u-1", strings.Repeat("ü", 200))
	if got := f.erase(f.by, because("the reason", most...)); got.Value.Events != 1 { // names only what is too short
		t.Errorf("the control: %+v", got)
	}
}

// TestEraseEvents_resumes fails every call of the store in turn: the chain verifies after each, and a repeat completes
// the erasure with exactly one event, with an idempotency key and without.
func TestEraseEvents_resumes(t *testing.T) {
	t.Parallel()
	for _, key := range []string{"", "a-key"} {
		t.Run(key, func(t *testing.T) {
			t.Parallel()
			failed := map[string]bool{}
			for n := 1; ; n++ {
				call := eraseFailing(t, n, key)
				if call == "" {
					break
				}
				failed[call] = true
			}
			for _, call := range []string{
				"Tx.MarkEventParts", "Tx.InsertAuditEvents", "Commit", "Tx.DeleteEventParts",
			} {
				if !failed[call] {
					t.Errorf("%s did not fail, but %v", call, failed)
				}
			}
		})
	}
}

// eraseFailing erases with the n-th call of the store failing, and then again. It returns the call that failed; empty
// if there are fewer.
func eraseFailing(t *testing.T, n int, key string) (failed string) {
	t.Helper()
	f := newFixture(t, noCaps)
	acme := f.tenant("acme", registry.StatusActive)
	f.rowsBy(acme)
	events := slices.Repeat([]audit.Event{reported(acme.ID)}, 100)
	for range 3 {
		f.must(second(f.s.RecordEvents(f.ctx, f.by, events)))
	}
	calls := 0
	s := registry.New(faultstore.New(f.store, func(call string) error {
		if calls++; calls != n {
			return nil
		}
		failed = call
		return registry.ErrUnavailable
	}), registry.Options{})
	by, in := f.by, erasing(acme.ID, "u", "u-2")
	if key != "" {
		by = f.again(key, "POST")
	}
	first, err := s.EraseEvents(f.ctx, by, in)
	if (failed != "") != errors.Is(err, registry.ErrUnavailable) {
		t.Errorf("call %d, %s, failed: %v", n, failed, err)
	}
	if text, erased := f.intact(acme.ID); (len(f.erasures(acme.ID)) == 1) != (erased > 0) ||
		erased > 0 && strings.Contains(text, `{"id":"u"}`) {
		t.Errorf("after %s %d parts are erased, or shown all the same", failed, erased)
	}
	got := f.erase(by, in)
	f.intact(acme.ID)
	text := f.dump(acme.ID)
	if n := len(f.erasures(acme.ID)); n != 1 || strings.Contains(text, `"ID":"u"`) || strings.Contains(text, "u-2") {
		t.Errorf("after %s there are %d erasures, and the subjects are left", failed, n)
	}
	for _, e := range f.chain(acme.ID) {
		for p, erased := range e.Erased {
			if !erased.Deleted {
				t.Fatalf("after %s %s of seq %d is not deleted", failed, p, e.Seq)
			}
		}
	}
	if failed == "" && got.Replayed != (key != "") || got.Replayed && first.Value.EventID != nil &&
		!reflect.DeepEqual(got.Value, first.Value) {
		t.Errorf("after %s the repeat answers %+v, and the first %+v", failed, got, first)
	}
	if got := f.erase(f.by, in); !got.Unchanged {
		t.Errorf("after %s and a repeat there is something to erase: %+v", failed, got)
	}
	return failed
}

// TestEraseEvents_anotherErasureCompletesIt asserts that what an interrupted erasure took is deleted by the next one of
// the chain, whomever it is of, and that marks without an event take nothing.
func TestEraseEvents_anotherErasureCompletesIt(t *testing.T) {
	t.Parallel()
	for call, parts := range map[string]int64{"Tx.DeleteEventParts": 6 + 1, "Tx.InsertAuditEvents": 1} {
		t.Run(call, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			acme := f.tenant("acme", registry.StatusActive).ID
			f.whole(acme)
			broken := registry.New(
				faultstore.New(f.store, faultstore.On(call, registry.ErrUnavailable)), registry.Options{},
			)
			_, err := broken.EraseEvents(f.ctx, f.by, erasing(acme, "u-1"))
			if !errors.Is(err, registry.ErrUnavailable) {
				t.Errorf("%s fails: %v", call, err)
			}
			f.erase(f.by, erasing(acme, "svc"))
			if _, erased := f.intact(acme); erased != parts {
				t.Errorf("%d parts are erased, want %d", erased, parts)
			}
			for p, erased := range f.chain(acme)[2].Erased {
				if !erased.Deleted {
					t.Errorf("%s is not deleted", p)
				}
			}
		})
	}
}

// TestEraseEvents_takesWhatIsAppendedMeanwhile asserts that an erasure takes what was appended before its event, be it
// more than a page.
func TestEraseEvents_takesWhatIsAppendedMeanwhile(t *testing.T) {
	t.Parallel()
	for name, count := range map[string]int{"one": 1, "pages": 450} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, noCaps)
			acme := f.tenant("acme", registry.StatusActive).ID
			f.must(second(f.s.RecordEvent(f.ctx, f.by, reported(acme))))
			transactions := 0
			s := registry.New(faultstore.New(f.store, func(call string) error {
				if call != "Tx" {
					return nil
				}
				if transactions++; transactions > 2 { // of the marks, then of the event
					return nil
				}
				for range count {
					f.must(second(f.s.RecordEvent(f.ctx, f.by, reported(acme))))
				}
				return nil
			}), registry.Options{})
			got, err := s.EraseEvents(f.ctx, f.by, erasing(acme, "u"))
			f.must(err)
			want := int64(1 + 2*count)
			if _, erased := f.intact(acme); got.Value.Events != want || erased != 3*want {
				t.Errorf("%d events and %d parts are erased, want %d", got.Value.Events, erased, want)
			}
		})
	}
}

// TestEraseEvents_atOnce asserts that erasures of one chain take each part one time, while others append, and that all
// that was there before is gone.
func TestEraseEvents_atOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t, noCaps)
	acme := f.tenant("acme", registry.StatusActive).ID
	record := func(i int) {
		e := reported(acme)
		e.Actor.ID, e.Target.ID = []string{"ann", "bob", "cem"}[i%3], []string{"bob", "ann"}[i%2]
		f.must(second(f.s.RecordEvent(f.ctx, f.by, e)))
	}
	for i := range 300 {
		record(i)
	}
	last := f.last().Seq
	var erasures, appends sync.WaitGroup
	var ended atomic.Bool
	appends.Go(func() {
		for i := 0; !ended.Load(); i++ {
			record(i)
		}
	})
	for _, subjects := range [][]string{{"ann"}, {"bob", "ann"}, {"cem", "bob"}, {"ann", "bob", "cem"}} {
		erasures.Go(func() {
			if _, err := f.s.EraseEvents(f.ctx, f.by, erasing(acme, subjects...)); err != nil {
				t.Error(err)
			}
		})
	}
	erasures.Wait()
	ended.Store(true)
	appends.Wait()
	f.intact(acme)
	for _, e := range f.chain(acme)[2:last] {
		if e.Actor.Present() || e.Target.Present() {
			t.Fatalf("%+v is left", e)
		}
	}
	if n := len(f.erasures(acme)); n < 1 || n > 4 {
		t.Errorf("%d erasures", n)
	}
}

// TestEraseEvents_areShared asserts the caps of erasures, and that one which waits for another of its chain gives up
// when a call has taken its time.
func TestEraseEvents_areShared(t *testing.T) {
	t.Parallel()
	f := newFixture(t, caps(func(c *registry.ShareCaps) { c.Erasures = share.Caps{Caller: 1, Total: 2} }))
	acme := f.tenant("acme", registry.StatusActive).ID
	f.whole(acme)
	lock, err := f.store.LockErasures(f.ctx, acme)
	f.must(err)
	var running sync.WaitGroup
	erase := func(name string) error {
		by := f.by
		by.Actor.ID = name
		_, err := f.s.EraseEvents(f.ctx, by, erasing(acme, "u-1"))
		return err
	}
	for i, name := range []string{"one", "two"} {
		running.Go(func() {
			if err := erase(name); err != nil {
				t.Error(err)
			}
		})
		testkit.Eventually(t, "it waits", func() bool { return f.inUse("erasures") == int64(i+1) })
		f.full(erase(name), "erasures", share.Caller)
	}
	f.full(erase("three"), "erasures", share.All)
	hasty := registry.New(f.store, registry.Options{CallTimeout: time.Millisecond})
	if _, err := hasty.EraseEvents(f.ctx, f.by, erasing(acme, "u-1")); !errors.Is(err, registry.ErrUnavailable) {
		t.Errorf("who waits for too long is answered %v", err)
	}
	lock.Release()
	running.Wait()
	f.must(erase("three"))
	if n := f.inUse("erasures"); n != 0 {
		t.Errorf("%d are left", n)
	}
	if n := len(f.erasures(acme)); n != 1 {
		t.Errorf("%d erasures", n)
	}
}

// lockedStore is a store that counts how often a lock of erasures is checked, and loses it when it was that often.
type lockedStore struct {
	registry.Store
	checks, last int
}

type checkedLock struct {
	registry.ErasureLock
	s *lockedStore
}

func (s *lockedStore) LockErasures(ctx context.Context, group uuid.UUID) (registry.ErasureLock, error) {
	l, err := s.Store.LockErasures(ctx, group)
	return checkedLock{l, s}, err
}

func (l checkedLock) Check(ctx context.Context) error {
	if l.s.checks++; l.s.checks == l.s.last {
		return registry.ErrUnavailable
	}
	return l.ErasureLock.Check(ctx)
}

// TestEraseEvents_keepsItsLock asserts that the lock is checked with each page, which keeps it on Postgres, where it
// ends when its connection is idle for longer than a page takes, and that an erasure without it goes no further.
func TestEraseEvents_keepsItsLock(t *testing.T) {
	t.Parallel()
	f := newFixture(t, noCaps)
	acme := f.tenant("acme", registry.StatusActive).ID
	for range 10 { // 5 pages, and what is left of a sixth
		f.must(second(f.s.RecordEvents(f.ctx, f.by, slices.Repeat([]audit.Event{reported(acme)}, 100))))
	}
	for last := 1; last <= 6; last++ {
		losing := &lockedStore{Store: f.store, last: last}
		_, err := registry.New(losing, registry.Options{}).EraseEvents(f.ctx, f.by, erasing(acme, "u"))
		if !errors.Is(err, registry.ErrUnavailable) {
			t.Fatalf("the lock was lost at check %d of %d, and the erasure ends with %v", last, losing.checks, err)
		}
		f.intact(acme)
	}
	f.erase(f.by, erasing(acme, "u"))
	f.intact(acme)
}

// TestEraseEvents_endsWithTheService asserts that a drain ends an erasure between its pages, and that another replica
// completes it.
func TestEraseEvents_endsWithTheService(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	acme := f.tenant("acme", registry.StatusActive).ID
	f.whole(acme)
	draining := registry.New(f.store, registry.Options{})
	draining.Drain()
	if _, err := draining.EraseEvents(f.ctx, f.by, erasing(acme, "u-1")); !errors.Is(err, registry.ErrUnavailable) {
		t.Errorf("while the service drains: %v", err)
	}
	f.intact(acme)
	if got := f.erase(f.by, erasing(acme, "u-1")); got.Value.Events != 1 {
		t.Errorf("another replica answers %+v", got)
	}
	f.intact(acme)
}
