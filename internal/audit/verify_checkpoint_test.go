package audit

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

// checkpoint is a checkpoint of the chain at a seq, as one is stored apart.
func (c *fileChain) checkpoint(t testing.TB, seq int) string {
	t.Helper()
	at := time.Date(2026, time.March, 3, 12, 0, 0, 0, time.UTC)
	text, err := SignCheckpoint(c.signer, c.group, Checkpoint{Head: c.heads[seq], At: at})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestVerifyExport_tellsWhatItFound(t *testing.T) {
	t.Parallel()
	c, platform := newFileChain(t, acme, 8), newFileChain(t, uuid.Nil, 2)
	at := time.Date(2026, time.March, 3, 12, 0, 0, 500_000, time.UTC)
	for name, part := range map[string]struct {
		of          *fileChain
		first, last int
		status      Status
		text        string
	}{
		"whole":          {c, 1, 8, OK, "ok, 8 events, 0 parts erased"},
		"a continuation": {c, 5, 8, OK, "ok, 4 events, 0 parts erased"},
		"nothing left":   {c, 9, 8, OK, "ok, 0 events, 0 parts erased"},
		"a part":         {c, 3, 5, Unproven, "unproven, 3 events, 0 parts erased; ends before the head: 5 of 8"},
		"nothing wanted": {c, 5, 4, Unproven, "unproven, 0 events, 0 parts erased; ends before the head: 4 of 8"},
		"the platform's": {platform, 1, 2, OK, "ok, 2 events, 0 parts erased"},
	} {
		head := part.of.heads[len(part.of.heads)-1]
		want := Verdict{
			Status: part.status, Text: part.text, GroupID: part.of.group, Count: int64(part.last - part.first + 1),
			First: int64(part.first), Last: int64(part.last), Head: part.of.heads[part.last].Hash,
			Chain: Checkpoint{Head: head, At: at},
		}
		for _, p := range []Proof{{}, {Key: part.of.key}} {
			if got := verified(t, part.of.part(t, part.first, part.last), p); got != want {
				t.Errorf("%s: %+v", name, got)
			}
		}
		got := verified(t, part.of.part(t, part.first, part.last), Proof{Part: true})
		if text := strings.Replace(want.Text, "unproven", "ok", 1); got.Status != OK || got.Text != text {
			t.Errorf("%s, as a part: %d %q", name, got.Status, got.Text)
		}
	}
	named := newFileChain(t, uuid.Nil, 0).withoutKey().part(t, 1, 0)
	header, trailer, _ := strings.Cut(named, "\n")
	header = strings.Replace(header, `,"head"`, `,"group":"c4n4ry","head"`, 1) + "\n"
	trailer, _, _ = strings.Cut(trailer, `,"sha256"`)
	text := fmt.Sprintf(`%s%s,"sha256":"%s"}`+"\n", header, trailer, sum([]byte(header+trailer)))
	if got := verified(t, text, Proof{}); got.Status != OK || got.GroupID != uuid.Max {
		t.Errorf("a group whose id is none: %+v", got)
	}
}

// withoutKey is the chain without a key.
func (c *fileChain) withoutKey() *fileChain {
	without := *c
	without.signer = nil
	return &without
}

// A chain whose hashes were all computed again is consistent: only a checkpoint that was signed before detects it.
func TestVerifyExport_checkpointDetectsRehashing(t *testing.T) {
	t.Parallel()
	c, forged := newFileChain(t, acme, 8), newFileChain(t, acme, 8)
	expect(t, "forged", verified(t, forged.whole(t), Proof{}), OK, "ok, ")
	expect(t, "forged, with the key", verified(t, forged.whole(t), Proof{Key: c.key}), Fault,
		"fault: line 10 has a checkpoint that is not signed with this key")
	for seq := range 9 {
		p := Proof{Key: c.key, Checkpoint: c.checkpoint(t, seq)}
		expect(t, fmt.Sprint(seq), verified(t, c.whole(t), p), OK, "ok, 8 events")
		expect(t, fmt.Sprint(seq), verified(t, c.withoutKey().whole(t), p), OK, "ok, 8 events")
		line := seq + 1
		if seq == 8 {
			line = 1 // the header names this head
		}
		says := fmt.Sprintf("fault: line %d is changed, or one before it: at seq %d the checkpoint", line, seq)
		if seq == 0 {
			says = "fault: line 10 has a checkpoint that is not signed with this key"
		}
		expect(t, fmt.Sprint("forged, ", seq), verified(t, forged.whole(t), p), Fault, says)
	}
	head, err := SignHead(c.signer, acme, c.heads[8])
	if err != nil {
		t.Fatal(err)
	}
	expect(t, "a trailer's", verified(t, c.whole(t), Proof{Key: c.key, Checkpoint: head}), OK, "ok, ")
}

// What a checkpoint is of must lie in the file, or directly before it; else it proves nothing of the file.
func TestVerifyExport_checkpointOutsideTheFile(t *testing.T) {
	t.Parallel()
	c, forged := newFileChain(t, acme, 8), newFileChain(t, acme, 8)
	for seq, says := range map[int]string{
		2: "; the checkpoint is of seq 2, before the file",
		3: "", 4: "", 6: "",
		7: "; the checkpoint is of seq 7, after the end",
		8: "; the checkpoint is of seq 8, after the end",
	} {
		p := Proof{Key: c.key, Checkpoint: c.checkpoint(t, seq), Part: true}
		status, word := Unproven, "unproven"
		if says == "" {
			status, word = OK, "ok"
		}
		want := word + ", 3 events, 0 parts erased; ends before the head: 6 of 8" + says
		if got := verified(t, c.part(t, 4, 6), p); got.Status != status || got.Text != want {
			t.Errorf("seq %d: %d %q, want %q", seq, got.Status, got.Text, want)
		}
	}
	for seq, line := range map[int]int{3: 1, 5: 3, 8: 1} {
		p := Proof{Key: c.key, Checkpoint: c.checkpoint(t, seq), Part: true}
		says := fmt.Sprintf("fault: line %d is changed", line)
		expect(t, fmt.Sprint(seq), verified(t, forged.part(t, 4, 6), p), Fault, says)
	}
}

func TestVerifyExport_refusesCheckpoints(t *testing.T) {
	t.Parallel()
	c, stranger := newFileChain(t, acme, 2), newFileChain(t, acme, 2)
	platform := newFileChain(t, uuid.Nil, 2)
	platform.signer, platform.key = c.signer, c.key
	longer, err := sign(c.signer, headText(acme, c.heads[2])+"export 2 x\n")
	if err != nil {
		t.Fatal(err)
	}
	short, err := sign(c.signer, checkpointOrigin(acme)+"\n2\n")
	if err != nil {
		t.Fatal(err)
	}
	whole := c.whole(t)
	for name, x := range map[string]struct {
		text   string
		proof  Proof
		status Status
		begins string
	}{
		"none in the trailer": {
			c.withoutKey().whole(t), Proof{Key: c.key}, Fault,
			"fault: line 4 has no checkpoint that the key could have signed",
		},
		"another key": {
			whole, Proof{Key: stranger.key}, Fault, "fault: line 4 has a checkpoint that is not signed with this key",
		},
		"another key's, stored": {
			whole, Proof{Key: c.key, Checkpoint: stranger.checkpoint(t, 2)}, Unreadable,
			"cannot be read: the checkpoint is not signed with this key",
		},
		"none, stored": {
			whole, Proof{Key: c.key, Checkpoint: "c4n4ry\x1b[2K"}, Unreadable,
			"cannot be read: the checkpoint is not signed with this key",
		},
		"one without a key": {
			whole, Proof{Checkpoint: c.checkpoint(t, 2)}, Unreadable, "cannot be read: the checkpoint needs the key",
		},
		"another extension": {
			whole, Proof{Key: c.key, Checkpoint: longer}, Unreadable, "cannot be read: the checkpoint has no time",
		},
		"two lines": {
			whole, Proof{Key: c.key, Checkpoint: short}, Unreadable, "cannot be read: the checkpoint is no checkpoint",
		},
		"of another chain": {
			platform.whole(t), Proof{Key: c.key, Checkpoint: c.checkpoint(t, 2)}, Fault,
			"fault: line 1 is of another chain than the checkpoint",
		},
	} {
		expect(t, name, verified(t, x.text, x.proof), x.status, x.begins)
	}
}

// The checkpoint in a trailer is three lines of the header's head; that of the API has the time, too.
func TestCheckpoint_lines(t *testing.T) {
	t.Parallel()
	c := newFileChain(t, uuid.Nil, 0)
	head, err := SignHead(c.signer, uuid.Nil, ChainHead{})
	if err != nil {
		t.Fatal(err)
	}
	lines := []string{
		"tenant-registry/00000000-0000-0000-0000-000000000000", "0", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
	}
	text, _, _ := strings.Cut(head, "\n\n")
	if got := strings.Split(text, "\n"); !slices.Equal(got, lines) {
		t.Errorf("a trailer's: %q", got)
	}
	text, _, _ = strings.Cut(c.checkpoint(t, 0), "\n\n")
	if got := strings.Split(text, "\n"); !slices.Equal(got, append(lines, "time 2026-03-03T12:00:00.000000Z")) {
		t.Errorf("the API's: %q", got)
	}
}
