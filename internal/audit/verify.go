package audit

import (
	"bufio"
	"errors"
	"fmt"
	"io"

	"github.com/google/uuid"
	"golang.org/x/mod/sumdb/note"
)

const (
	maxExportLine = 1 << 20  // bytes of a line of an export, with its line feed
	exportBuffer  = 64 << 10 // bytes read at a time; maxExportLine is a multiple of it
)

// Proof is what an export is verified against besides itself.
type Proof struct {
	// Key must have signed Checkpoint, and the trailer's checkpoint, which may be absent only where there is a
	// Checkpoint. nil: the trailer's is compared with the header's head, and its signatures are not looked at.
	Key note.Verifier
	// Checkpoint is one that was stored apart; empty: none. The chain must have its hash at its seq. It needs a Key.
	Checkpoint string
	// Part says that the export may end before the head of its chain. What lies behind its end is unproven then, too.
	Part bool
}

// Status is how a verification ended. It is also the exit status of `tenant-registry audit verify`.
type Status int

// The ends of a verification.
const (
	OK         Status = iota
	Fault             // the file is not what was exported
	Unreadable        // it is no export of this version, or could not be read
	Unproven          // nothing is wrong, but the file alone does not show all that it should: an erasure, or the end
)

// Verdict is what an export was found to be. Only Status and Text are set unless it is OK or Unproven.
type Verdict struct {
	Status Status
	Text   string // one line without its line feed; it repeats nothing of the file but numbers and names of parts
	// GroupID is the group's id: the nil UUID for the platform's chain, and uuid.Max where the file has another text.
	GroupID     uuid.UUID
	Count       int64  // of events
	First, Last int64  // Last is First - 1 if Count is 0
	Head        string // the chain hash of Last, in hex
	Erased      int64  // parts that were erased, in these events
	// Chain is where the chain stood when the export began. Without a Key it is only what the file says. Its time is
	// zero if the file has another text in its place.
	Chain Checkpoint
}

// VerifyExport reads an export as NDJSON writes it, version 2, and checks every line of it in one pass. Its memory does
// not grow with the file, but for one hash for each erasure that the file has marks of and has not come to yet.
//
// Without a Key it proves that the file is whole and consistent. A file whose hashes were all computed again is
// detected by a checkpoint only.
func VerifyExport(r io.Reader, p Proof) Verdict {
	v, err := newVerification(p)
	if err != nil {
		return Verdict{Status: Unreadable, Text: fmt.Sprintf("cannot be read: the checkpoint %v", err)}
	}
	lines := exportLines{in: bufio.NewReaderSize(r, exportBuffer)}
	for {
		line, err := lines.next()
		if errors.Is(err, io.EOF) {
			return v.verdict()
		}
		if err == nil {
			err = v.line(line)
		}
		if err != nil {
			return v.refusal(err)
		}
	}
}

// unreadable is why a file is not verified at all. Other errors are faults: they read on from the line's number.
type unreadable struct{ error }

// refusal is the verdict on a file whose next line has a fault, or cannot be read.
func (v *verification) refusal(err error) Verdict {
	if why, is := errors.AsType[unreadable](err); is {
		return Verdict{Status: Unreadable, Text: fmt.Sprintf("cannot be read: %v", why)}
	}
	return Verdict{Status: Fault, Text: fmt.Sprintf("fault: line %d %v", v.lines+1, err)}
}

// verdict is the verdict on a file that ends here, and in which no line has a fault.
func (v *verification) verdict() Verdict {
	switch {
	case v.lines == 0:
		return v.refusal(unreadable{errors.New("the file is empty")})
	case !v.ended:
		return v.refusal(errors.New("is missing: the file is cut short"))
	}
	status, word := OK, "ok"
	unproven, notes := v.shortcomings()
	if unproven {
		status, word = Unproven, "unproven"
	}
	at, _ := parseTime(string(v.header.time))
	return Verdict{
		Status:  status,
		Text:    fmt.Sprintf("%s, %d events, %d parts erased%s", word, v.count(), v.erased, notes),
		GroupID: v.group, Count: v.count(), First: v.header.first, Last: v.lastSeq, Head: string(v.lastHash[:]),
		Erased: v.erased,
		Chain:  Checkpoint{Head: ChainHead{Seq: v.header.headSeq, Hash: string(v.header.headHash)}, At: at},
	}
}

// shortcomings tells what a file that is not wrong does not show, and whether it should.
func (v *verification) shortcomings() (unproven bool, notes string) {
	if len(v.open) > 0 {
		unproven = true
		parts, last := int64(0), int64(0)
		for by, m := range v.open {
			parts, last = parts+m.parts, max(last, by)
		}
		notes += fmt.Sprintf("; %d of them by erasures after the end, the last of these by %d", parts, last)
	}
	if v.early > 0 {
		notes += fmt.Sprintf("; %d erasures began before the file", v.early)
	}
	if v.lastSeq < v.header.headSeq {
		unproven = unproven || !v.proof.Part
		notes += fmt.Sprintf("; ends before the head: %d of %d", v.lastSeq, v.header.headSeq)
	}
	switch {
	case v.known == nil:
	case v.known.Head.Seq > v.lastSeq:
		unproven = true
		notes += fmt.Sprintf("; the checkpoint is of seq %d, after the end", v.known.Head.Seq)
	case v.known.Head.Seq < v.header.first-1:
		unproven = true
		notes += fmt.Sprintf("; the checkpoint is of seq %d, before the file", v.known.Head.Seq)
	}
	return unproven, notes
}

// exportLines reads a file line by line.
type exportLines struct {
	in    *bufio.Reader
	long  []byte // a line that does not fit into the buffer of in
	begun bool   // there was a line
}

// next reads a line with its line feed, which is valid until the next call. io.EOF: there is none.
func (l *exportLines) next() ([]byte, error) {
	line, err := l.read()
	switch {
	case errors.Is(err, io.EOF) && len(line) > 0:
		err = errors.New("does not end with a line feed")
	case errors.Is(err, bufio.ErrBufferFull):
		err = fmt.Errorf("is longer than %d bytes", maxExportLine)
	case err == nil || errors.Is(err, io.EOF):
		l.begun = true
		return line, err
	default:
		return nil, unreadable{err}
	}
	if !l.begun {
		err = unreadable{fmt.Errorf("line 1 %w", err)}
	}
	return nil, err
}

// read reads to the next line feed: bufio.ErrBufferFull if that is not among the next maxExportLine bytes.
func (l *exportLines) read() ([]byte, error) {
	line, err := l.in.ReadSlice('\n')
	if !errors.Is(err, bufio.ErrBufferFull) {
		return line, err
	}
	l.long = append(l.long[:0], line...)
	for errors.Is(err, bufio.ErrBufferFull) && len(l.long) < maxExportLine {
		line, err = l.in.ReadSlice('\n')
		l.long = append(l.long, line...)
	}
	return l.long, err
}
