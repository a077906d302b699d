package registry_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"
	"golang.org/x/mod/sumdb/note"
	"pgregory.net/rapid"

	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/store/memory"
)

// exporter is a service with a key, and a chain of eight events of one tenant.
type exporter struct {
	s        *registry.Service
	group    uuid.UUID
	verifier note.Verifier
}

func newExporter(t testing.TB) exporter {
	t.Helper()
	private, public, err := registry.NewSigningKey("a-key")
	must(t, err)
	signer, err := registry.NewSigner(private)
	must(t, err)
	verifier, err := registry.NewVerifier(public)
	must(t, err)
	s := registry.New(memory.New(), registry.Options{Signer: signer})
	by := registry.Caller{Actor: registry.Party{ID: "op-1"}, Scope: registry.Everything}
	tenant, err := s.CreateTenant(t.Context(), by, registry.NewTenant{Slug: "globex", Name: "Globex"})
	must(t, err)
	for i := range 7 {
		e := reported(tenant.ID)
		e.ExternalID, e.Fields = fmt.Sprint(i), map[string]string{"canary": strings.Repeat("c4n4ry", 20)}
		_, err := s.RecordEvent(t.Context(), by, e)
		must(t, err)
	}
	_, err = s.RecordEvent(t.Context(), by, reported(uuid.Nil))
	must(t, err)
	return exporter{s, tenant.ID, verifier}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// lines is an export, line by line, each with its line feed: a header, eight events, a trailer.
func (x exporter) lines(t testing.TB, r registry.ExportRange) []string {
	t.Helper()
	by := registry.Caller{Scope: registry.Everything}
	export, err := x.s.Export(t.Context(), by, r)
	must(t, err)
	var text bytes.Buffer
	must(t, export.NDJSON(t.Context(), &text, func(seq int64) string { return fmt.Sprintf("behind-%d", seq) }))
	return slices.Collect(strings.Lines(text.String()))
}

func (x exporter) whole(t testing.TB) []string {
	return x.lines(t, registry.ExportRange{GroupID: &x.group})
}

func verify(lines []string, p registry.Proof) (registry.VerifiedExport, error) {
	return registry.VerifyExport(strings.NewReader(strings.Join(lines, "")), p)
}

func TestVerifyExport(t *testing.T) {
	t.Parallel()
	x := newExporter(t)
	checkpoint, err := x.s.Checkpoint(t.Context(), registry.Caller{Scope: registry.Everything}, &x.group)
	must(t, err)
	for name, c := range map[string]struct {
		part        registry.ExportRange
		first, last int64
	}{
		"whole":          {registry.ExportRange{}, 1, 8},
		"a part":         {registry.ExportRange{From: 3, To: 5}, 3, 5},
		"the last":       {registry.ExportRange{From: 8}, 8, 8},
		"behind":         {registry.ExportRange{Behind: 6}, 7, 8},
		"nothing left":   {registry.ExportRange{Behind: 8}, 9, 8},
		"nothing wanted": {registry.ExportRange{Behind: 4, To: 4}, 5, 4},
	} {
		c.part.GroupID = &x.group
		got, err := verify(x.lines(t, c.part), registry.Proof{Key: x.verifier})
		if err != nil || got.First != c.first || got.Last != c.last || got.Count != c.last-c.first+1 || got.GroupID != x.group {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
		_, err = verify(x.lines(t, c.part), registry.Proof{Key: x.verifier, Checkpoint: checkpoint})
		if known := c.last == 8; known != (err == nil) {
			t.Errorf("%s, with a checkpoint of seq 8: %v", name, err)
		}
	}
	platform, err := verify(x.lines(t, registry.ExportRange{}), registry.Proof{Key: x.verifier})
	if err != nil || platform.GroupID != uuid.Nil || platform.Count != 1 {
		t.Errorf("the platform's: %+v, %v", platform, err)
	}
	_, err = verify(x.lines(t, registry.ExportRange{}), registry.Proof{Key: x.verifier, Checkpoint: checkpoint})
	if err == nil || !strings.Contains(err.Error(), "of another chain") {
		t.Errorf("the platform's with a tenant's checkpoint: %v", err)
	}
}

// shown is what no error may repeat: anything of the file that is longer than a number or an id.
var shown = regexp.MustCompile(`c4n4ry|[0-9a-f]{64}`)

func TestVerifyExport_tampered(t *testing.T) {
	t.Parallel()
	x := newExporter(t)
	good := x.whole(t)
	other := x.lines(t, registry.ExportRange{})
	without := func(i int) []string { return slices.Delete(slices.Clone(good), i, i+1) }
	with := func(i int, line string) []string { return slices.Insert(slices.Clone(good), i, line) }
	at := func(i int, old, new string) []string {
		changed := slices.Clone(good)
		if changed[i] = strings.Replace(changed[i], old, new, 1); changed[i] == good[i] {
			t.Fatalf("%q is not in line %d", old, i+1)
		}
		return changed
	}
	swapped := slices.Clone(good)
	swapped[3], swapped[6] = swapped[6], swapped[3]
	for name, c := range map[string]struct {
		lines []string
		says  string
	}{
		"changed":                    {at(3, "document.share", "document.shore"), `^line 4 is changed: event seq 3 `},
		"a member more":              {at(3, `{"action"`, `{"aaction":1,"action"`), `^line 4 is changed: event seq 3 `},
		"a hash changed":             {at(3, `"chain_hash":"`, `"chain_hash":"x`), `^line 4 is changed: event seq 3 `},
		"another seq":                {at(3, `"seq":3`, `"seq":4`), `^line 4 is changed: event seq 4 `},
		"not canonical":              {at(3, `,"`, `, "`), `^line 4 is changed: it is not in canonical form`},
		"a member twice":             {at(3, `{"action"`, `{"action":"a","action"`), `^line 4 is no JSON object`},
		"no JSON":                    {at(3, `{`, `c4n4ry`), `^line 4 is no JSON object`},
		"an array":                   {with(3, "[]\n"), `^line 4 is no JSON object`},
		"no event":                   {with(3, "{}\n"), `^line 4 is no event`},
		"an empty line":              {with(3, "\n"), `^line 4 is no JSON object`},
		"line feeds of another kind": {at(3, "\n", "\r\n"), `^line 4 is changed: it is not in canonical form`},
		"missing":                    {without(3), `^line 4 has event seq 4, and seq 3 is missing`},
		"the first missing":          {without(1), `^line 2 has event seq 2, and seq 1 is missing`},
		"the last missing":           {without(8), `^line 9 is the trailer, and event seq 8 is missing`},
		"doubled":                    {with(4, good[3]), `^line 5 is doubled: event seq 3 `},
		"doubled further on":         {with(7, good[3]), `^line 8 is doubled: event seq 3 `},
		"the last doubled":           {with(9, good[8]), `^line 10 is doubled: event seq 8 `},
		"out of order":               {swapped, `^line 4 has event seq 6, and seq 3 is out of order: it stands in line 7`},
		"of another chain":           {with(3, other[1]), `^line 4 is an event of another chain: seq 1`},
		"another chain's header":     {append([]string{other[0]}, good[1:]...), `^line 2 is an event of another chain`},
		"another beginning":          {at(0, `"first_seq":1`, `"first_seq":2`), `^line 2 is out of order: event seq 1, and the export begins at seq 2`},
		"another predecessor":        {at(0, `"prev_chain_hash":"0`, `"prev_chain_hash":"1`), `^line 2 is changed, or the line before it: event seq 1 `},
		"another version":            {at(0, `"version":1`, `"version":2`), `^line 1 is a header of another version`},
		"a member of the header":     {at(0, `"version":1`, `"version":1,"x":1`), `^line 10 is changed, or the header`},
		"no header":                  {without(0), `^line 1 is no header`},
		"two headers":                {with(1, good[0]), `^line 2 is no event`},
		"another count":              {at(9, `"count":8`, `"count":7`), `^line 10 is changed: the trailer`},
		"another last seq":           {at(9, `"last_seq":8`, `"last_seq":7`), `^line 10 is changed: the trailer`},
		"another last hash":          {at(9, `"chain_hash":"`, `"chain_hash":"x`), `^line 10 is changed: the trailer`},
		"another cursor":             {at(9, `behind-8`, `behind-7`), `^line 10 is changed, or the header`},
		"another checkpoint":         {at(9, `a-key`, `b-key`), `^line 10 is changed, or the header`},
		"no trailer's kind":          {at(9, `tenant-registry/audit`, `c4n4ry`), `^line 10 is no trailer`},
		"a member of the trailer":    {at(9, `{`, `{"a":1,`), `^line 10 is no trailer`},
		"something behind":           {append(slices.Clone(good), "x"), `^line 11 stands behind the trailer`},
		"two exports":                {append(slices.Clone(good), good...), `^line 11 stands behind the trailer`},
		"truncated":                  {good[:9], `^truncated: there is no trailer behind line 9$`},
		"truncated at once":          {good[:1], `^truncated: there is no trailer behind line 1$`},
		"half a line":                {append(slices.Clone(good[:4]), good[4][:20]), `^truncated: line 5 does not end$`},
		"no last line feed":          {at(9, "\n", ""), `^truncated: line 10 does not end$`},
		"empty":                      {nil, `^the file is empty$`},
		"a long line":                {with(3, `{"x":"`+strings.Repeat("c4n4ry", 1<<18)+"\"}\n"), `^line 4 is longer than 1048576 bytes$`},
		"CSV":                        {[]string{"seq,id\n", "1,c4n4ry\n"}, `^line 1 is no JSON object`},
	} {
		_, err := verify(c.lines, registry.Proof{})
		if err == nil || !regexp.MustCompile(c.says).MatchString(err.Error()) {
			t.Errorf("%s: %v, want %s", name, err, c.says)
		}
		if err != nil && (shown.MatchString(err.Error()) || len(err.Error()) > 200) {
			t.Errorf("%s: the error repeats the file: %v", name, err)
		}
	}
}

// A line of exactly 1 MiB is read, one of a byte more is not: it is the reason that differs.
func TestVerifyExport_longestLine(t *testing.T) {
	t.Parallel()
	for extra, says := range map[int]string{0: "is no header", 1: "is longer"} {
		line := `{"x":"` + strings.Repeat("x", 1<<20-len(`{"x":""}`)-1+extra) + "\"}\n"
		if _, err := verify([]string{line}, registry.Proof{}); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%d bytes: %v", len(line), err)
		}
	}
	broken := io.MultiReader(strings.NewReader("{"), brokenReader{})
	if _, err := registry.VerifyExport(broken, registry.Proof{}); !errors.Is(err, errBroken) {
		t.Errorf("a file that cannot be read: %v", err)
	}
}

var errBroken = errors.New("broken")

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, errBroken }

// Any one byte that is another one, and any line that is gone, doubled, or in another's place, is found.
func TestVerifyExport_anyChange(t *testing.T) {
	t.Parallel()
	good := newExporter(t).whole(t)
	text := []byte(strings.Join(good, ""))
	if _, err := verify(good, registry.Proof{}); err != nil {
		t.Fatal(err)
	}
	found := func(t interface{ Errorf(string, ...any) }, what string, changed []byte) {
		if _, err := registry.VerifyExport(bytes.NewReader(changed), registry.Proof{}); err == nil && !bytes.Equal(changed, text) {
			t.Errorf("%s goes unnoticed", what)
		}
	}
	for i := range good {
		found(t, "a line gone", []byte(strings.Join(slices.Delete(slices.Clone(good), i, i+1), "")))
		for j := range good {
			found(t, "a line doubled", []byte(strings.Join(slices.Insert(slices.Clone(good), j, good[i]), "")))
			swapped := slices.Clone(good)
			swapped[i], swapped[j] = swapped[j], swapped[i]
			found(t, "lines swapped", []byte(strings.Join(swapped, "")))
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		for range 20 {
			changed := bytes.Clone(text)
			i := rapid.IntRange(0, len(text)-1).Draw(t, "byte")
			changed[i] ^= byte(rapid.IntRange(1, 255).Draw(t, "flip"))
			found(t, fmt.Sprintf("byte %d as %q", i, changed[i]), changed)
			found(t, "a byte gone", slices.Delete(bytes.Clone(text), i, i+1))
			found(t, "the end gone", bytes.Clone(text[:i]))
		}
	})
}

// rehashed changes an event and computes everything behind it anew, as somebody could who owns the database.
func rehashed(t *testing.T, lines []string, i int) []string {
	t.Helper()
	lines = slices.Clone(lines)
	members := make([]map[string]any, len(lines))
	for j, line := range lines {
		must(t, json.Unmarshal([]byte(line), &members[j]))
	}
	last := len(lines) - 1
	members[i]["action"] = "document.shred"
	for j := i; j < last; j++ {
		if j > i {
			members[j]["prev_chain_hash"] = members[j-1]["chain_hash"]
		}
		delete(members[j], "chain_hash")
		members[j]["chain_hash"] = hashOf(canonical(t, members[j]))
	}
	members[last]["chain_hash"] = members[last-1]["chain_hash"]
	delete(members[last], "digest")
	members[last]["digest"] = hashOf(canonical(t, members[0]) + "\n" + canonical(t, members[last]))
	for j := range lines {
		lines[j] = canonical(t, members[j]) + "\n"
	}
	return lines
}

func canonical(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	must(t, err)
	must(t, (*jsontext.Value)(&text).Canonicalize())
	return string(text)
}

func hashOf(text string) string {
	digest := sha256.Sum256([]byte(text))
	return hex.EncodeToString(digest[:])
}

// A chain that was consistently computed anew is no other than a chain: only what was signed before tells it apart.
func TestVerifyExport_rehashed(t *testing.T) {
	t.Parallel()
	x := newExporter(t)
	good := x.whole(t)
	checkpoints := map[int64]string{}
	for last := int64(1); last <= 8; last++ {
		part := x.lines(t, registry.ExportRange{GroupID: &x.group, To: last})
		var trailer struct{ Checkpoint string }
		must(t, json.Unmarshal([]byte(part[len(part)-1]), &trailer, json.MatchCaseInsensitiveNames(true)))
		checkpoints[last] = trailer.Checkpoint
	}
	forged := rehashed(t, good, 4) // seq 4
	if _, err := verify(forged, registry.Proof{}); err != nil {
		t.Errorf("without a checkpoint: %v", err)
	}
	_, err := verify(forged, registry.Proof{Key: x.verifier})
	if err == nil || err.Error() != "line 10 has a checkpoint of other events" {
		t.Errorf("with the trailer's checkpoint: %v", err)
	}
	for seq, checkpoint := range checkpoints {
		_, err := verify(good, registry.Proof{Key: x.verifier, Checkpoint: checkpoint})
		must(t, err)
		_, err = verify(forged, registry.Proof{Key: x.verifier, Checkpoint: checkpoint})
		says := fmt.Sprintf("line %d is changed, or something before it: at seq %d the checkpoint has another hash", seq+1, seq)
		if seq < 4 {
			says = "line 10 has a checkpoint of other events"
		}
		if err == nil || err.Error() != says {
			t.Errorf("with a checkpoint of seq %d: %v", seq, err)
		}
	}
	stranger := newExporter(t)
	for name, c := range map[string]struct {
		lines []string
		proof registry.Proof
		says  string
	}{
		"another key":               {good, registry.Proof{Key: stranger.verifier}, "line 10 has a checkpoint that is not signed with this key"},
		"another key's checkpoint":  {good, registry.Proof{Key: stranger.verifier, Checkpoint: checkpoints[8]}, "the checkpoint is not signed with this key"},
		"a checkpoint that is none": {good, registry.Proof{Key: x.verifier, Checkpoint: "x"}, "the checkpoint is not signed with this key"},
		"a later checkpoint":        {x.lines(t, registry.ExportRange{GroupID: &x.group, To: 5}), registry.Proof{Key: x.verifier, Checkpoint: checkpoints[6]}, "the checkpoint is of seq 6, and the export ends at seq 5"},
		"an earlier checkpoint":     {x.lines(t, registry.ExportRange{GroupID: &x.group, From: 5}), registry.Proof{Key: x.verifier, Checkpoint: checkpoints[3]}, "the checkpoint is of seq 3, and the export begins behind seq 4"},
		"none in the trailer":       {withoutKey(t, x).whole(t), registry.Proof{Key: x.verifier}, "line 3 has no checkpoint that the key could have signed"},
	} {
		if _, err := verify(c.lines, c.proof); err == nil || err.Error() != c.says {
			t.Errorf("%s: %v, want %s", name, err, c.says)
		}
	}
	_, err = verify(x.lines(t, registry.ExportRange{GroupID: &x.group, From: 5}), registry.Proof{Key: x.verifier, Checkpoint: checkpoints[4]})
	must(t, err) // the predecessor of the first
}

// withoutKey is an exporter like x, of a chain with one event.
func withoutKey(t *testing.T, x exporter) exporter {
	t.Helper()
	x.s, x.group = registry.New(memory.New(), registry.Options{}), uuid.Nil
	_, err := x.s.RecordEvent(t.Context(), registry.Caller{}, reported(uuid.Nil))
	must(t, err)
	return x
}

func TestSigningKeys(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"", "a b", "a+b", "a\nb"} {
		if _, _, err := registry.NewSigningKey(name); err == nil {
			t.Errorf("%q is a name of a key", name)
		}
	}
	const secret = "PRIVATE+KEY+x+12345678+c4n4ry"
	if _, err := registry.NewSigner(secret); err == nil || strings.Contains(err.Error(), "c4n4ry") {
		t.Errorf("a key that is none: %v", err)
	}
	if _, err := registry.NewVerifier("c4n4ry"); err == nil || strings.Contains(err.Error(), "c4n4ry") {
		t.Errorf("a verifier key that is none: %v", err)
	}
}

// Whoever may not read a chain may not export it, and an export that the store cannot begin fails before anything is written.
func TestExport_refused(t *testing.T) {
	t.Parallel()
	x := newExporter(t)
	stranger := registry.Caller{Scope: registry.Scope{Tenant: uuid.New()}}
	for _, group := range []*uuid.UUID{nil, {}, &x.group} {
		if _, err := x.s.Export(t.Context(), stranger, registry.ExportRange{GroupID: group}); err == nil {
			t.Errorf("%v is exported to a stranger", group)
		}
		if _, err := x.s.Chain(t.Context(), stranger, group); err == nil {
			t.Errorf("%v is shown to a stranger", group)
		}
		if _, err := x.s.Checkpoint(t.Context(), stranger, group); err == nil {
			t.Errorf("%v is signed for a stranger", group)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := x.s.Export(ended, registry.Caller{Scope: registry.Everything}, registry.ExportRange{}); !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that has ended: %v", err)
	}
}
