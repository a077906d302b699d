package audit_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/audit"
)

// chainOf is a chain of so many events of a tenant: the third of each ten has every part, and after each ten comes an
// erasure of all that an actor did in them.
func chainOf(t *testing.T, count int) (group uuid.UUID, events []audit.Event, head audit.ChainHead) {
	t.Helper()
	group = uuid.MustParse("00000000-0000-0000-0000-000000000001")
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	add := func(e audit.Event) {
		e.ID, e.GroupID, e.CRUD, e.Created, e.Received = uuid.New(), group, audit.Update, at, at
		e.GroupName = "Acme"
		e = e.After(head, e.Seal())
		head = audit.ChainHead{Seq: e.Seq, Hash: e.ChainHash}
		events = append(events, e)
	}
	for len(events) < count {
		if n := len(events); n%10 == 9 {
			var set audit.ErasureSet
			for i := range events[n-9:] {
				e := &events[n-9+i]
				taken, subject := map[audit.Part]audit.Digest{}, e.Actor.ID == "u-1"
				for _, p := range []audit.Part{audit.PartActor, audit.PartSource, audit.PartHash} {
					if subject && e.Has(p) {
						taken[p] = e.DigestOf(p)
						e.Erase(p, audit.ErasedPart{By: int64(n + 1), Digest: taken[p]})
					}
				}
				set.Add(e.Seq, taken)
			}
			add(audit.Event{Action: "audit.erase", Actor: audit.Party{ID: "op"}, Erasure: set.Erasure()})
			continue
		}
		e := audit.Event{Action: "document.share", SourceIP: "192.0.2.1"}
		e.Actor.ID = fmt.Sprint("u-", len(events)%3)
		if len(events)%10 == 3 {
			e.Target = audit.Party{
				ID: "d", Name: "<ä>", Href: "/d", Type: "document", Fields: map[string]string{"\ue000": "1"},
			}
			e.OnBehalfOf, e.Emitter = audit.Named{ID: "u-9", Name: "\x01"}, audit.Named{ID: "svc"}
			e.Fields, e.Metadata = map[string]string{"\U0001f600": "\"\\"}, map[string]string{}
			e.Description, e.Component, e.Version, e.ExternalID, e.CorrelationID = "d\n", "c", "v", "x", "r"
		}
		add(e)
	}
	return group, events, head
}

// exportOf is an export of a chain, or of the events of it that are given.
func exportOf(t *testing.T, group uuid.UUID, events []audit.Event, head audit.ChainHead) []byte {
	t.Helper()
	var out bytes.Buffer
	at := time.Date(2026, 3, 1, 13, 0, 0, 0, time.UTC)
	first := &events[0]
	w := audit.NewExportWriter(&out, group, first.Seq, first.PrevChainHash, audit.Checkpoint{Head: head, At: at})
	for page := range slices.Chunk(events, 7) {
		if err := w.Write(page); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close("cursor", nil); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestExportWriter_verifies(t *testing.T) {
	t.Parallel()
	group, events, head := chainOf(t, 40)
	for want, given := range map[string][]audit.Event{
		"ok, 40 events, 36 parts erased":                                       events,
		"unproven, 20 events, 18 parts erased; ends before the head: 20 of 40": events[:20],
		"ok, 20 events, 18 parts erased":                                       events[20:],
	} {
		got := audit.VerifyExport(bytes.NewReader(exportOf(t, group, given, head)), audit.Proof{})
		if got.Text != want {
			t.Errorf("an export of %d events: %s, want %s", len(given), got.Text, want)
		}
	}
}

// TestVerifyExport_everyBit asserts that every change of one bit of an export of 200 events is found.
func TestVerifyExport_everyBit(t *testing.T) {
	t.Parallel()
	group, events, head := chainOf(t, 200)
	audit.EveryFlipIsFound(t, exportOf(t, group, events, head))
}

func TestExportWriter_refusesAGap(t *testing.T) {
	t.Parallel()
	group, events, head := chainOf(t, 8)
	for name, events := range map[string][]audit.Event{
		"the first is missing": events[1:], "one is missing": slices.Concat(events[:3], events[4:]),
		"one is duplicate": slices.Concat(events[:3], events[2:]),
	} {
		w := audit.NewExportWriter(io.Discard, group, 1, audit.ZeroHash, audit.Checkpoint{Head: head})
		if err := w.Write(events); !errors.Is(err, audit.ErrGap) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
