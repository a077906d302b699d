package audit

import (
	"bytes"
	"hash"
	"maps"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
)

// TestVerifyExport_everyFlip is over a file with two erasures, one of an erasure's own parts.
func TestVerifyExport_everyFlip(t *testing.T) {
	t.Parallel()
	EveryFlipIsFound(t, vectorText(t, "an erasure's own parts erased"))
	EveryFlipIsFound(t, vectorText(t, "continuation with two erasures of events before it"))
}

// EveryFlipIsFound asserts that an export which is good is not so with any one bit changed. It verifies again from the
// changed line onwards only.
func EveryFlipIsFound(t testing.TB, text []byte) {
	t.Helper()
	v, err := newVerification(Proof{})
	if err != nil {
		t.Fatal(err)
	}
	var flips atomic.Int64
	var running sync.WaitGroup
	slots := make(chan struct{}, runtime.GOMAXPROCS(0))
	for at := 0; at < len(text); {
		line := text[at : at+bytes.IndexByte(text[at:], '\n')+1]
		before, rest := v.clone(), text[at:]
		slots <- struct{}{}
		running.Go(func() {
			flips.Add(flipLine(t, before, rest, len(line)))
			<-slots
		})
		if err := v.line(line); err != nil {
			t.Fatalf("line %d %v", v.lines+1, err)
		}
		at += len(line)
	}
	running.Wait()
	if got := v.verdict(); got.Status != OK {
		t.Fatal(got.Text)
	}
	if want := int64(8 * len(text)); flips.Load() != want {
		t.Errorf("%d of %d flips were found", flips.Load(), want)
	}
}

// flipLine changes each bit of the first line of a file's rest, and returns how many of the changes were found.
func flipLine(t testing.TB, before *verification, rest []byte, length int) (found int64) {
	rest = bytes.Clone(rest)
	v := before.clone()
	for i := range 8 * length {
		rest[i/8] ^= 1 << (i % 8)
		if v.rest(rest) == OK {
			t.Errorf("line %d: bit %d of byte %d is not found", before.lines+1, i%8, i/8+1)
		} else {
			found++
		}
		rest[i/8] ^= 1 << (i % 8)
		if v.lines != before.lines { // a line with a fault leaves it as it was
			v = before.clone()
		}
	}
	return found
}

// rest verifies a file to its end, of which v has read the lines before.
func (v *verification) rest(text []byte) Status {
	for len(text) > 0 {
		end := bytes.IndexByte(text, '\n') + 1
		if end == 0 || v.line(text[:end]) != nil {
			return Fault
		}
		text = text[end:]
	}
	return v.verdict().Status
}

// clone is a verification that goes on apart.
func (v *verification) clone() *verification {
	c := *v
	c.content, c.open = cloned(v.content), maps.Clone(v.open)
	for by, m := range c.open {
		copied := *m
		copied.set = cloned(m.set)
		c.open[by] = &copied
	}
	return &c
}

func cloned(h hash.Hash) hash.Hash {
	c, err := h.(hash.Cloner).Clone()
	if err != nil {
		panic(err)
	}
	return c
}
