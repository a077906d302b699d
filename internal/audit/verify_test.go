package audit_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"
	"golang.org/x/mod/sumdb/note"
	"pgregory.net/rapid"

	"github.com/breakpilot/tenant-registry/internal/audit"
)

// chain is the events of one group, and a key that signs its checkpoints.
type chain struct {
	group    uuid.UUID
	events   []audit.Event
	signer   note.Signer // nil: its exports have no checkpoint
	verifier note.Verifier
}

// newChain makes a chain of some events.
func newChain(t testing.TB, group uuid.UUID, count int) chain {
	t.Helper()
	private, public, err := audit.GenerateKey("a-key")
	must(t, err)
	c := chain{group: group}
	c.signer, err = audit.NewSigner(private)
	must(t, err)
	c.verifier, err = audit.NewVerifier(public)
	must(t, err)
	var head audit.ChainHead
	at := time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)
	for i := range count {
		e := audit.Event{
			ID: uuid.New(), GroupID: group, Action: "document.share", CRUD: audit.Update, Actor: audit.Party{ID: "u"},
			Target:     audit.Party{ID: "d"},
			ExternalID: fmt.Sprint(i), Fields: map[string]string{"canary": strings.Repeat("c4n4ry", 20)}, Created: at,
			Received: at,
		}
		sealed := e.Seal()
		e = e.After(head, sealed)
		head = audit.ChainHead{Seq: e.Seq, Hash: e.ChainHash}
		c.events = append(c.events, e)
	}
	return c
}

// tenantChain is a chain of eight events of one tenant.
func tenantChain(t testing.TB) chain {
	t.Helper()
	return newChain(t, uuid.MustParse("00000000-0000-0000-0000-000000000001"), 8)
}

// withoutKey is the chain without a key.
func (c chain) withoutKey() chain {
	c.signer = nil
	return c
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// part is an export of the events from seq first to seq last, line by line, each with its line feed: a header, the
// events, a trailer.
func (c chain) part(t testing.TB, first, last int64) []string {
	t.Helper()
	prev := audit.ZeroHash
	if first > 1 {
		prev = c.events[first-2].ChainHash
	}
	var text bytes.Buffer
	w := audit.NewExportWriter(&text, c.group, first, prev)
	must(t, w.Write(c.events[first-1:last]))
	must(t, w.Close(fmt.Sprintf("after-%d", w.Head().Seq), c.standing(int64(len(c.events))), c.signer))
	return slices.Collect(strings.Lines(text.String()))
}

func (c chain) whole(t testing.TB) []string { return c.part(t, 1, int64(len(c.events))) }

// exportedAt is when the exports of tests began.
var exportedAt = time.Date(2026, time.March, 2, 12, 0, 0, 500_000, time.UTC)

// standing is where the chain stood when a seq was its newest.
func (c chain) standing(seq int64) audit.Checkpoint {
	head := audit.ChainHead{Hash: audit.ZeroHash}
	if seq > 0 {
		head = audit.ChainHead{Seq: seq, Hash: c.events[seq-1].ChainHash}
	}
	return audit.Checkpoint{Head: head, At: exportedAt}
}

// checkpoint is the checkpoint of the chain at a seq.
func (c chain) checkpoint(t testing.TB, seq int64) string {
	t.Helper()
	text, err := audit.SignCheckpoint(c.signer, c.group, c.standing(seq))
	must(t, err)
	return text
}

func verify(lines []string, p audit.Proof) (audit.VerifiedExport, error) {
	return audit.VerifyExport(strings.NewReader(strings.Join(lines, "")), p)
}

func TestVerifyExport_partsAreAccepted(t *testing.T) {
	t.Parallel()
	c := tenantChain(t)
	checkpoint := c.checkpoint(t, 8)
	for name, part := range map[string]struct{ first, last int64 }{
		"whole": {1, 8}, "a part": {3, 5}, "the last": {8, 8}, "from the middle": {7, 8}, "nothing left": {9, 8},
		"nothing wanted": {5, 4},
	} {
		lines := c.part(t, part.first, part.last)
		got, err := verify(lines, audit.Proof{Key: c.verifier})
		want := audit.VerifiedExport{
			GroupID: c.group, Count: part.last - part.first + 1, First: part.first, Last: part.last,
			Head: c.events[part.last-1].ChainHash, Chain: c.standing(8),
		}
		if err != nil || got != want {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
		_, err = verify(lines, audit.Proof{Key: c.verifier, Checkpoint: checkpoint})
		if known := part.last == 8; known != (err == nil) {
			t.Errorf("%s, with a checkpoint of seq 8: %v", name, err)
		}
	}
	platform := newChain(t, uuid.Nil, 1)
	platform.signer, platform.verifier = c.signer, c.verifier
	got, err := verify(platform.whole(t), audit.Proof{Key: c.verifier})
	if err != nil || got.GroupID != uuid.Nil || got.Count != 1 {
		t.Errorf("the platform's: %+v, %v", got, err)
	}
	_, err = verify(platform.whole(t), audit.Proof{Key: c.verifier, Checkpoint: checkpoint})
	if err == nil || !strings.Contains(err.Error(), "of another chain") {
		t.Errorf("the platform's with a tenant's checkpoint: %v", err)
	}
}

// shown is what no error may repeat: anything of the file that is longer than a number or an id.
var shown = regexp.MustCompile(`c4n4ry|[0-9a-f]{64}`)

func TestVerifyExport_namesTheTamperedLine(t *testing.T) {
	t.Parallel()
	good, other := tenantChain(t).whole(t), newChain(t, uuid.Nil, 1).whole(t)
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
		"changed":       {at(3, "document.share", "document.shore"), `^line 4 is changed: event seq 3 `},
		"a member more": {at(3, `{"action"`, `{"aaction":1,"action"`), `^line 4 is changed: event seq 3 `},
		"a hash changed": {
			at(3, `"chain_hash":"`, `"chain_hash":"x`), `^line 4 is changed: event seq 3, where`,
		},
		"another seq":                {at(3, `"seq":3`, `"seq":4`), `^line 4 is changed: event seq 4 `},
		"not canonical":              {at(3, `,"`, `, "`), `^line 4 is changed: it is not in canonical form`},
		"a member twice":             {at(3, `{"action"`, `{"action":"a","action"`), `^line 4 is not a JSON object`},
		"no JSON":                    {at(3, `{`, `c4n4ry`), `^line 4 is not a JSON object`},
		"an array":                   {with(3, "[]\n"), `^line 4 is not a JSON object`},
		"no event":                   {with(3, "{}\n"), `^line 4 is no event`},
		"an empty line":              {with(3, "\n"), `^line 4 is not a JSON object`},
		"line feeds of another kind": {at(3, "\n", "\r\n"), `^line 4 is changed: it is not in canonical form`},
		"missing":                    {without(3), `^line 4 has event seq 4, and seq 3 is missing`},
		"the first missing":          {without(1), `^line 2 has event seq 2, and seq 1 is missing`},
		"the last missing":           {without(8), `^line 9 is the trailer, and event seq 8 is missing`},
		"a duplicate":                {with(4, good[3]), `^line 5 is a duplicate of event seq 3$`},
		"a later duplicate":          {with(7, good[3]), `^line 8 is a duplicate of event seq 3$`},
		"the last is a duplicate":    {with(9, good[8]), `^line 10 is a duplicate of event seq 8$`},
		"out of order": {
			swapped, `^line 4 has event seq 6, and seq 3 is out of order: it stands in line 7`,
		},
		"of another chain":       {with(3, other[1]), `^line 4 is an event of another chain: seq 1`},
		"another chain's header": {append([]string{other[0]}, good[1:]...), `^line 2 is an event of another chain`},
		"another beginning": {
			at(0, `"first_seq":1`, `"first_seq":2`),
			`^line 2 is out of order: event seq 1, and the export begins at seq 2`,
		},
		"a predecessor of the first": {
			at(0, `"prev_chain_hash":"0`, `"prev_chain_hash":"1`),
			`^line 1 is changed: nothing precedes the first event`,
		},
		"a hash in capitals": {
			at(0, `"prev_chain_hash":"0`, `"prev_chain_hash":"A`), `^line 1 is changed: a hash is not 64 lower-case`,
		},
		"a short hash": {
			at(0, `"prev_chain_hash":"0`, `"prev_chain_hash":"`), `^line 1 is changed: a hash is not 64 lower-case`,
		},
		"an id in another form": {
			at(0, `00000000-0000-0000-0000-000000000001`, `00000000000000000000000000000001`),
			`^line 1 is changed: no header is written like this`,
		},
		"an event's hash in capitals": {
			recomputed(t, good, 3, func(e map[string]any) { e["hash"] = strings.ToUpper(e["hash"].(string)) }),
			`^line 4 is changed: event seq 3, where a hash is not 64 lower-case`,
		},
		"an event's hash of another length": {
			recomputed(t, good, 3, func(e map[string]any) { e["hash"] = e["hash"].(string) + "0" }),
			`^line 4 is changed: event seq 3, where a hash is not 64 lower-case`,
		},
		"another head":    {at(9, `"head_chain_hash":"`, `"head_chain_hash":"x`), `^line 10 is changed: the trailer`},
		"an earlier head": {at(9, `"head_seq":8`, `"head_seq":7`), `^line 10 is changed: the trailer`},
		"a later head":    {at(9, `"head_seq":8`, `"head_seq":9`), `^line 10 is changed, or the header`},
		"another time":    {at(9, `"head_at":"2026`, `"head_at":"2027`), `^line 10 is changed, or the header`},
		"a time in another form": {
			at(9, `.000500Z","head_c`, `.0005Z","head_c`), `^line 10 is changed: no trailer is written like this`,
		},
		"null for a text":         {at(9, `"after-8"`, `null`), `^line 10 is changed: no trailer is written like this`},
		"another version":         {at(0, `"version":1`, `"version":2`), `^line 1 is a header of another version`},
		"a member of the header":  {at(0, `"version":1`, `"version":1,"x":1`), `^line 1 is changed: no header`},
		"no header":               {without(0), `^line 1 is no header`},
		"two headers":             {with(1, good[0]), `^line 2 is no event`},
		"another count":           {at(9, `"count":8`, `"count":7`), `^line 10 is changed: the trailer`},
		"another last seq":        {at(9, `"last_seq":8`, `"last_seq":7`), `^line 10 is changed: the trailer`},
		"another last hash":       {at(9, `"chain_hash":"`, `"chain_hash":"x`), `^line 10 is changed: the trailer`},
		"another cursor":          {at(9, `after-8`, `after-7`), `^line 10 is changed, or the header`},
		"another checkpoint":      {at(9, `a-key`, `b-key`), `^line 10 is changed, or the header`},
		"no trailer's kind":       {at(9, `tenant-registry/audit`, `c4n4ry`), `^line 10 is no trailer`},
		"a member of the trailer": {at(9, `{`, `{"a":1,`), `^line 10 is no trailer`},
		"trailing data":           {append(slices.Clone(good), "x"), `^line 11 is trailing data`},
		"two exports":             {append(slices.Clone(good), good...), `^line 11 is trailing data`},
		"truncated":               {good[:9], `^truncated: there is no trailer after line 9$`},
		"truncated at once":       {good[:1], `^truncated: there is no trailer after line 1$`},
		"half a line": {
			append(slices.Clone(good[:4]), good[4][:20]), `^truncated: line 5 does not end$`,
		},
		"no last line feed": {at(9, "\n", ""), `^truncated: line 10 does not end$`},
		"empty":             {nil, `^the file is empty$`},
		"a long line": {
			with(3, `{"x":"`+strings.Repeat("c4n4ry", 1<<18)+"\"}\n"), `^line 4 is longer than 1048576 bytes$`,
		},
		"CSV": {[]string{"seq,id\n", "1,c4n4ry\n"}, `^line 1 is not a JSON object`},
	} {
		_, err := verify(c.lines, audit.Proof{})
		if err == nil || !regexp.MustCompile(c.says).MatchString(err.Error()) {
			t.Errorf("%s: %v, want %s", name, err, c.says)
		}
		if err != nil && (shown.MatchString(err.Error()) || len(err.Error()) > 200) {
			t.Errorf("%s: the error repeats the file: %v", name, err)
		}
	}
}

// A line of exactly 1 MiB is read, one of a byte more is not: it is the reason that differs.
func TestVerifyExport_lineIsBounded(t *testing.T) {
	t.Parallel()
	for extra, says := range map[int]string{0: "is no header", 1: "is longer"} {
		line := `{"x":"` + strings.Repeat("x", 1<<20-len(`{"x":""}`)-1+extra) + "\"}\n"
		if _, err := verify([]string{line}, audit.Proof{}); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%d bytes: %v", len(line), err)
		}
	}
	broken := io.MultiReader(strings.NewReader("{"), brokenReader{})
	if _, err := audit.VerifyExport(broken, audit.Proof{}); !errors.Is(err, errBroken) {
		t.Errorf("a file that cannot be read: %v", err)
	}
}

var errBroken = errors.New("broken")

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, errBroken }

// Any changed byte, and any line that is missing, duplicate or out of order, is detected.
func TestVerifyExport_detectsAnyChange(t *testing.T) {
	t.Parallel()
	good := tenantChain(t).whole(t)
	text := []byte(strings.Join(good, ""))
	if _, err := verify(good, audit.Proof{}); err != nil {
		t.Fatal(err)
	}
	detected := func(t interface{ Errorf(string, ...any) }, what string, changed []byte) {
		if _, err := audit.VerifyExport(bytes.NewReader(changed), audit.Proof{}); err == nil &&
			!bytes.Equal(changed, text) {
			t.Errorf("%s is not detected", what)
		}
	}
	for i := range good {
		detected(t, "a line gone", []byte(strings.Join(slices.Delete(slices.Clone(good), i, i+1), "")))
		for j := range good {
			detected(t, "a duplicate line", []byte(strings.Join(slices.Insert(slices.Clone(good), j, good[i]), "")))
			swapped := slices.Clone(good)
			swapped[i], swapped[j] = swapped[j], swapped[i]
			detected(t, "lines swapped", []byte(strings.Join(swapped, "")))
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		for range 20 {
			changed := bytes.Clone(text)
			i := rapid.IntRange(0, len(text)-1).Draw(t, "byte")
			changed[i] ^= byte(rapid.IntRange(1, 255).Draw(t, "flip"))
			detected(t, fmt.Sprintf("byte %d as %q", i, changed[i]), changed)
			detected(t, "a byte gone", slices.Delete(bytes.Clone(text), i, i+1))
			detected(t, "the end gone", bytes.Clone(text[:i]))
		}
	})
}

// rehashed changes an event and computes all hashes after it again, as an owner of the database could.
func rehashed(t *testing.T, lines []string, i int) []string {
	t.Helper()
	return recomputed(t, lines, i, func(e map[string]any) { e["action"] = "document.shred" })
}

// recomputed changes an event, and computes all hashes after it again.
func recomputed(t *testing.T, lines []string, i int, change func(event map[string]any)) []string {
	t.Helper()
	lines = slices.Clone(lines)
	members := make([]map[string]any, len(lines))
	for j, line := range lines {
		must(t, json.Unmarshal([]byte(line), &members[j]))
	}
	last := len(lines) - 1
	change(members[i])
	for j := i; j < last; j++ {
		if j > i {
			members[j]["prev_chain_hash"] = members[j-1]["chain_hash"]
		}
		delete(members[j], "chain_hash")
		members[j]["chain_hash"] = hashOf(canonical(t, members[j]))
	}
	members[last]["chain_hash"] = members[last-1]["chain_hash"]
	if members[last]["head_seq"] == members[last]["last_seq"] {
		members[last]["head_chain_hash"] = members[last-1]["chain_hash"]
	}
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

// A chain whose hashes were all computed again is consistent: only a checkpoint that was signed before detects it.
func TestVerifyExport_checkpointDetectsRehashing(t *testing.T) {
	t.Parallel()
	x := tenantChain(t)
	good := x.whole(t)
	checkpoints := map[int64]string{}
	for last := int64(1); last <= 8; last++ {
		checkpoints[last] = x.checkpoint(t, last)
	}
	forged := rehashed(t, good, 4) // seq 4
	if _, err := verify(forged, audit.Proof{}); err != nil {
		t.Errorf("without a checkpoint: %v", err)
	}
	_, err := verify(forged, audit.Proof{Key: x.verifier})
	if err == nil || err.Error() != "line 10 has a checkpoint of other events" {
		t.Errorf("with the trailer's checkpoint: %v", err)
	}
	for seq, checkpoint := range checkpoints {
		_, err := verify(good, audit.Proof{Key: x.verifier, Checkpoint: checkpoint})
		must(t, err)
		_, err = verify(forged, audit.Proof{Key: x.verifier, Checkpoint: checkpoint})
		says := fmt.Sprintf(
			"line %d is changed, or something before it: at seq %d the checkpoint has another hash", seq+1, seq,
		)
		if seq < 4 {
			says = "line 10 has a checkpoint of other events"
		}
		if err == nil || err.Error() != says {
			t.Errorf("with a checkpoint of seq %d: %v", seq, err)
		}
	}
	stranger := tenantChain(t)
	for name, c := range map[string]struct {
		lines []string
		proof audit.Proof
		says  string
	}{
		"another key": {
			good, audit.Proof{Key: stranger.verifier}, "line 10 has a checkpoint that is not signed with this key",
		},
		"another key's checkpoint": {
			good, audit.Proof{Key: stranger.verifier, Checkpoint: checkpoints[8]},
			"the checkpoint is not signed with this key",
		},
		"a checkpoint that is none": {
			good, audit.Proof{Key: x.verifier, Checkpoint: "x"}, "the checkpoint is not signed with this key",
		},
		"a later checkpoint": {
			x.part(t, 1, 5), audit.Proof{Key: x.verifier, Checkpoint: checkpoints[6]},
			"the checkpoint is of seq 6, and the export ends at seq 5",
		},
		"an earlier checkpoint": {
			x.part(t, 5, 8), audit.Proof{Key: x.verifier, Checkpoint: checkpoints[3]},
			"the checkpoint is of seq 3, and the export begins after seq 4",
		},
		"none in the trailer": {
			x.withoutKey().part(t, 1, 1), audit.Proof{Key: x.verifier},
			"line 3 has no checkpoint that the key could have signed",
		},
	} {
		if _, err := verify(c.lines, c.proof); err == nil || err.Error() != c.says {
			t.Errorf("%s: %v, want %s", name, err, c.says)
		}
	}
	_, err = verify(x.part(t, 5, 8), audit.Proof{Key: x.verifier, Checkpoint: checkpoints[4]})
	must(t, err) // the predecessor of the first
}

// resealed is an export with another trailer, whose digest is computed again.
func resealed(t *testing.T, lines []string, change func(trailer map[string]any)) []string {
	t.Helper()
	lines = slices.Clone(lines)
	last := len(lines) - 1
	var trailer map[string]any
	must(t, json.Unmarshal([]byte(lines[last]), &trailer))
	change(trailer)
	delete(trailer, "digest")
	trailer["digest"] = hashOf(strings.TrimSuffix(lines[0], "\n") + "\n" + canonical(t, trailer))
	lines[last] = canonical(t, trailer) + "\n"
	return lines
}

// The checkpoint in a trailer is of the chain's head when the export began, and of the last event exported: so what
// ends before the head says so, and is covered as well.
func TestVerifyExport_checkpointIsOfTheHead(t *testing.T) {
	t.Parallel()
	x := tenantChain(t)
	part := x.part(t, 1, 4)
	for _, key := range []note.Verifier{nil, x.verifier} {
		found, err := verify(part, audit.Proof{Key: key})
		if err != nil || found.Last != 4 || found.Chain != x.standing(8) {
			t.Errorf("a part: %+v, %v", found, err)
		}
	}
	var trailer struct{ Checkpoint string }
	must(t, json.Unmarshal([]byte(part[len(part)-1]), &trailer, json.MatchCaseInsensitiveNames(true)))
	_, err := verify(x.whole(t), audit.Proof{Key: x.verifier, Checkpoint: trailer.Checkpoint})
	must(t, err) // it is one of the head
	last := func(c string) func(map[string]any) {
		return func(trailer map[string]any) { trailer["checkpoint"] = c }
	}
	whole := x.whole(t)
	shortened := slices.Concat(whole[:5], whole[9:])
	for name, lines := range map[string][]string{
		"changed and rehashed": rehashed(t, part, 2),
		"another head": resealed(t, part, func(trailer map[string]any) {
			trailer["head_seq"], trailer["head_chain_hash"] = 4, trailer["chain_hash"]
		}),
		"a later head": resealed(t, part, func(trailer map[string]any) { trailer["head_seq"] = 9 }),
		"another time": resealed(t, part, func(trailer map[string]any) {
			trailer["head_at"] = "2026-03-02T12:00:01.000000Z"
		}),
		"a checkpoint of the chain alone":  resealed(t, part, last(x.checkpoint(t, 8))),
		"a checkpoint of its end alone":    resealed(t, part, last(x.checkpoint(t, 4))),
		"the checkpoint of another export": resealed(t, x.part(t, 1, 5), last(trailer.Checkpoint)),
		"shortened": resealed(t, shortened, func(trailer map[string]any) {
			trailer["last_seq"], trailer["count"], trailer["chain_hash"] = 4, 4, x.events[3].ChainHash
		}),
	} {
		if _, err := verify(lines, audit.Proof{}); err != nil {
			t.Errorf("%s, without a key: %v", name, err)
		}
		_, err := verify(lines, audit.Proof{Key: x.verifier})
		if err == nil || !strings.HasSuffix(err.Error(), "has a checkpoint of other events") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What a file says reaches no terminal: neither an error nor what is found holds anything but numbers, ids, times and
// hashes in their one form.
func TestVerifyExport_repeatsNoText(t *testing.T) {
	t.Parallel()
	const escapes = "\x1b[2K\rok: 1000 events"
	x := tenantChain(t)
	part := x.part(t, 9, 8)
	for i, line := range part {
		var members map[string]any
		must(t, json.Unmarshal([]byte(line), &members))
		for name, value := range members {
			if _, text := value.(string); !text {
				continue
			}
			changed := slices.Clone(part)
			members[name] = escapes
			changed[i] = canonical(t, members) + "\n"
			members[name] = value
			if name != "digest" {
				changed = resealed(t, changed, func(map[string]any) {})
			}
			for _, p := range []audit.Proof{{}, {Key: x.verifier}} {
				found, err := verify(changed, p)
				if said := fmt.Sprintf("%+v %v", found, err); strings.ContainsAny(said, "\x1b\r") ||
					strings.Contains(said, "1000 events") ||
					(err == nil && name != "next_cursor" && name != "checkpoint") {
					t.Errorf("%s of line %d: %q", name, i+1, said)
				}
			}
		}
	}
}
