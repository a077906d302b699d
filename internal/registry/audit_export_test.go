package registry_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/uuid"
	"golang.org/x/mod/sumdb/note"

	"github.com/breakpilot/tenant-registry/internal/audit"
	"github.com/breakpilot/tenant-registry/internal/registry"
)

// signing makes the service sign checkpoints, and returns what verifies them.
func signing(t *testing.T) (note.Verifier, func(*registry.Options)) {
	t.Helper()
	private, public, err := audit.GenerateKey("a-key")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := audit.NewSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := audit.NewVerifier(public)
	if err != nil {
		t.Fatal(err)
	}
	return verifier, func(o *registry.Options) { o.Signer = signer }
}

// chains makes a chain of eight events of one tenant, and one of one event of the platform.
func (f *fixture) chains() registry.Tenant {
	f.t.Helper()
	tenant := f.tenant("globex", registry.StatusTrial)
	for i := range 7 {
		e := reported(tenant.ID)
		e.ExternalID = fmt.Sprint(i)
		_, err := f.s.RecordEvent(f.ctx, f.by, e)
		f.must(err)
	}
	_, err := f.s.RecordEvent(f.ctx, f.by, reported(uuid.Nil))
	f.must(err)
	return tenant
}

// asIs is the cursor of a place.
func asIs(place string) string { return place }

// exported is an export as NDJSON.
func (f *fixture) exported(r registry.ExportRequest) string {
	f.t.Helper()
	export, err := f.s.Export(f.ctx, f.by, r)
	f.must(err)
	defer export.Close()
	var text bytes.Buffer
	f.must(export.NDJSON(f.ctx, &text, asIs))
	return text.String()
}

// verified is the verdict on an export.
func verified(text string, p audit.Proof) audit.Verdict {
	return audit.VerifyExport(strings.NewReader(text), p)
}

// Every part of a chain is an export that the offline verifier accepts, alone and with a checkpoint of where it ends.
func TestExport_partsVerify(t *testing.T) {
	t.Parallel()
	verifier, signed := signing(t)
	f := newFixture(t, signed)
	tenant := f.chains()
	checkpoint, err := f.s.Checkpoint(f.ctx, f.by, &tenant.ID)
	f.must(err)
	for name, c := range map[string]struct {
		part        registry.ExportRequest
		first, last int64
	}{
		"whole":             {registry.ExportRequest{}, 1, 8},
		"a part":            {registry.ExportRequest{From: 3, To: 5}, 3, 5},
		"beyond the newest": {registry.ExportRequest{From: 3, To: 99}, 3, 8},
		"the last":          {registry.ExportRequest{From: 8}, 8, 8},
		"after a cursor":    {registry.ExportRequest{Cursor: f.placeOf(tenant, 6)}, 7, 8},
		"nothing left":      {registry.ExportRequest{Cursor: f.placeOf(tenant, 8)}, 9, 8},
		"nothing wanted":    {registry.ExportRequest{Cursor: f.placeOf(tenant, 4), To: 4}, 5, 4},
	} {
		c.part.GroupID = &tenant.ID
		text := f.exported(c.part)
		got := verified(text, audit.Proof{Key: verifier, Part: true})
		if got.Status != audit.OK || got.First != c.first || got.Last != c.last || got.Count != c.last-c.first+1 ||
			got.GroupID != tenant.ID {
			t.Errorf("%s: %+v", name, got)
		}
		want := audit.Unproven
		if c.last == 8 {
			want = audit.OK
		}
		for _, proof := range []audit.Proof{{}, {Key: verifier, Checkpoint: checkpoint}} {
			if got := verified(text, proof); got.Status != want {
				t.Errorf("%s is %q by %+v", name, got.Text, proof)
			}
		}
	}
	platform := f.exported(registry.ExportRequest{})
	got := verified(platform, audit.Proof{Key: verifier})
	if got.Status != audit.OK || got.GroupID != uuid.Nil || got.Count != 1 {
		t.Errorf("the platform's: %+v", got)
	}
	got = verified(platform, audit.Proof{Key: verifier, Checkpoint: checkpoint})
	if got.Status != audit.Fault || !strings.Contains(got.Text, "of another chain") {
		t.Errorf("the platform's with a tenant's checkpoint: %+v", got)
	}
}

// A caller that may not read a chain may not export it, and an export that the store cannot begin fails before anything
// is written.
func TestExport_foreignChainsAreRefused(t *testing.T) {
	t.Parallel()
	_, signed := signing(t)
	f := newFixture(t, signed)
	tenant := f.chains()
	stranger := registry.Caller{Access: registry.Access{Tenant: uuid.New()}}
	for _, group := range []*uuid.UUID{nil, {}, &tenant.ID} {
		if _, err := f.s.Export(f.ctx, stranger, registry.ExportRequest{GroupID: group}); err == nil {
			t.Errorf("%v is exported to a stranger", group)
		}
		if _, err := f.s.Chain(f.ctx, stranger, group); err == nil {
			t.Errorf("%v is shown to a stranger", group)
		}
		if _, err := f.s.Checkpoint(f.ctx, stranger, group); err == nil {
			t.Errorf("%v is signed for a stranger", group)
		}
	}
	for where, r := range map[string]registry.ExportRequest{
		"cursor": {Cursor: "9"}, "from_seq": {From: 10}, "to_seq": {From: 5, To: 3},
	} {
		r.GroupID = &tenant.ID
		_, err := f.s.Export(f.ctx, f.by, r)
		f.blames(f.refusal(err, registry.Invalid, registry.CodeInvalid), where)
	}
	ended, cancel := context.WithCancel(f.ctx)
	cancel()
	if _, err := f.s.Export(ended, f.by, registry.ExportRequest{}); !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that has ended: %v", err)
	}
}

func TestCheckpoint_requiresASigner(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	_, err := f.s.Checkpoint(f.ctx, f.by, nil)
	f.refusal(err, registry.NotFound, registry.CodeNoCheckpoints)
}
