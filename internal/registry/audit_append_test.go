package registry_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/audit"
	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/testkit"
)

func reported(group uuid.UUID) audit.Event {
	return audit.Event{
		GroupID: group, Action: "document.share", CRUD: audit.Update, Actor: audit.Party{ID: "u"},
		Target: audit.Party{ID: "d"},
	}
}

func TestRecordEvent_completesAndStores(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	acme := f.tenant("acme", registry.StatusActive)
	for name, c := range map[string]struct {
		created time.Time
		want    time.Time
	}{
		"now": {time.Time{}, noon},
		"long ago": {
			time.Date(1999, 1, 1, 1, 0, 0, 1999, time.FixedZone("", 3600)),
			time.Date(1999, 1, 1, 0, 0, 0, 1000, time.UTC),
		},
		"to come": {*at(1000 * time.Hour), *at(1000 * time.Hour)},
	} {
		e := reported(acme.ID)
		e.Created, e.Fields, e.Metadata = c.created, map[string]string{"a": "1"}, map[string]string{}
		e.ID, e.Seq, e.Pos, e.Hash, e.ChainHash, e.PrevChainHash, e.Received =
			uuid.New(), 99, 99, "forged", "forged", "forged", *at(-time.Hour)
		written, err := testkit.Value(f.s.RecordEvent(f.ctx, f.by, e))
		f.must(err)
		if written.ID == e.ID || written.Created != c.want || written.Received != noon ||
			written.Emitter != (audit.Named{ID: "op-1", Name: "Platform operator"}) ||
			written.CorrelationID != "req-1" {
			t.Errorf("%s: %+v", name, written)
		}
		stored, err := f.s.Event(f.ctx, f.by, written.ID)
		if err != nil || !reflect.DeepEqual(stored, written) {
			t.Errorf("%s: stored  %+v (%v)\nwritten %+v", name, stored, err, written)
		}
	}
	platform, err := testkit.Value(f.s.RecordEvent(f.ctx, f.by, reported(uuid.Nil)))
	if err != nil || platform.Seq != 1 || platform.GroupID != uuid.Nil {
		t.Errorf("the platform's: %+v, %v", platform, err)
	}
	_, err = f.s.CancelTenant(f.ctx, f.by, acme.ID)
	f.must(err)
	if _, err := f.s.RecordEvent(f.ctx, f.by, reported(acme.ID)); err != nil {
		t.Errorf("of a frozen tenant: %v", err)
	}
	dense(t, f.log())
}

// TestRecordEvent_hashesWhatWasSent asserts that Retraced's hash is over the event as its caller wrote it, and the
// chain over what is stored: an address in its canonical form, and whom the caller acts for, which Retraced does not
// know.
func TestRecordEvent_hashesWhatWasSent(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	by := f.by
	by.OnBehalfOf = audit.Named{ID: "u-1", Name: "A user"}
	sent := reported(uuid.Nil)
	sent.SourceIP, sent.Metadata = "2001:0DB8::1", map[string]string{}
	written, err := testkit.Value(f.s.RecordEvent(f.ctx, by, sent))
	f.must(err)
	sent.ID = written.ID
	if written.Hash != registry.RetracedHash(sent) || written.Hash == registry.RetracedHash(written) ||
		written.ChainHash != registry.ChainHash(written) {
		t.Errorf("the hashes are %s and %s", written.Hash, written.ChainHash)
	}
	if written.SourceIP != "2001:db8::1" || written.OnBehalfOf != by.OnBehalfOf || written.Fields != nil {
		t.Errorf("written is %+v", written)
	}
}

func TestRecordEvent_refusalsLeaveNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.tenant("acme", registry.StatusActive)
	before := f.log()
	written, err := testkit.Value(f.s.RecordEvent(f.ctx, f.by, reported(uuid.New())))
	f.blames(f.refusal(err, registry.Invalid, registry.CodeInvalid), "/group/id")
	if !reflect.DeepEqual(written, audit.Event{}) {
		t.Errorf("a refusal with %+v", written)
	}
	bad := reported(uuid.New())
	bad.CRUD = "x"
	_, err = f.s.RecordEvent(f.ctx, f.by, bad)
	f.blames(f.refusal(err, registry.Invalid, registry.CodeInvalid), "/crud")
	if !reflect.DeepEqual(f.log(), before) {
		t.Error("refusals left something in the log")
	}
	_, err = f.s.Event(f.ctx, f.by, uuid.New())
	f.refusal(err, registry.NotFound, registry.CodeEventNotFound)
}

// What travels through the whole service is stored and hashed as it is.
func TestRecordEvent_textsAreStoredAsTheyAre(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	e := reported(uuid.Nil)
	e.Fields = map[string]string{"k=;:%": "v=;:%", "e": "", "ü": "\U0001f642"}
	e.Actor.Fields, e.Target.Fields = map[string]string{}, nil
	e.Description = strings.Repeat("ä", 2000)
	written, err := testkit.Value(f.s.RecordEvent(f.ctx, f.by, e))
	f.must(err)
	e.Fields["later"] = "by the caller"
	stored, err := f.s.Event(f.ctx, f.by, written.ID)
	f.must(err)
	if len(stored.Fields) != 3 || stored.Actor.Fields == nil || stored.Target.Fields != nil || stored.Metadata != nil {
		t.Errorf("stored %+v", stored)
	}
	dense(t, f.log())
}
