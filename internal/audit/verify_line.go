package audit

import "bytes"

// Lengths of what is written in digits.
const (
	hashLength   = 64 // a SHA-256 in hexadecimal digits
	digestLength = 43 // a SHA-256 in base64url
	saltLength   = 22 // 16 bytes in base64url
)

// partForms are the parts of an event, by name, and what takes the value of each.
var partForms = [...]struct {
	name string
	take func(*scan)
}{
	{"actor", (*scan).party},
	{"emitter", (*scan).named},
	{"fields", (*scan).texts},
	{"group", (*scan).groupName},
	{"hash", (*scan).someText},
	{"metadata", (*scan).texts},
	{"on_behalf_of", (*scan).named},
	{"source", (*scan).source},
	{"target", (*scan).party},
	{"text", (*scan).description},
}

// perPart has a place for each part.
type perPart[T any] [len(partForms)]T

// headerLine is the first line of an export. What it holds of the line is as it stands there, within the quotes.
type headerLine struct {
	first          int64
	group          []byte // nil: there is none
	headHash, prev []byte
	headSeq        int64
	time           []byte
}

// isHeader reports whether a line is an object of RFC 8785 with version 2: then it is a header, if not a good one.
func isHeader(line []byte) bool {
	s, version := newScan(line), false
	s.entries(func(s *scan, name []byte) {
		begin := s.at
		s.value(1)
		version = version || string(name) == "version" && string(s.line[begin:s.at]) == "2"
	})
	s.end()
	return version && s.err == nil
}

func scanHeader(line []byte) (h headerLine, err error) {
	s := newScan(line)
	s.take("{")
	s.need("first_seq")
	h.first = s.integer()
	if s.has("group") {
		h.group = s.text()
	}
	s.need("head")
	s.take("{")
	s.need("chain_hash")
	h.headHash = s.hash()
	s.need("seq")
	h.headSeq = s.integer()
	s.take("}")
	s.need("prev_chain_hash")
	h.prev = s.hash()
	s.need("time")
	h.time = s.text()
	s.need("version")
	s.take("2}")
	s.end()
	return h, s.err
}

// eventLine is an event in an export. What it holds of the line is as it stands there, within the quotes.
type eventLine struct {
	chainHash []byte
	shown     perPart[[]byte] // salt and value, with the brackets around them; nil: it is not disclosed
	by        perPart[int64]  // the erasure that the part's mark names; 0: there is no mark
	marks     int64
	event     []byte // what the chain hash is of

	seq     int64
	version int64
	group   []byte // nil: there is none
	prev    []byte
	digests perPart[[]byte] // nil: there is no such part
	erase   *statedErasure  // nil: it is no erasure
}

// statedErasure is what an event says of its erasure.
type statedErasure struct {
	events, first, parts int64
	set                  []byte
}

// isEvent reports whether a line is meant as an event. Quotes in strings are escaped, so this is no text within it.
func isEvent(line []byte) bool { return bytes.Contains(line, []byte(`,"event":{`)) }

func scanEvent(line []byte) (e eventLine, err error) {
	s := newScan(line)
	s.take("{")
	s.need("chain_hash")
	e.chainHash = s.hash()
	if s.has("disclosed") {
		e.shown = s.disclosed()
	}
	if s.has("erased") {
		e.by, e.marks = s.erased()
	}
	s.need("event")
	begin := s.at
	s.event(&e)
	e.event = s.line[begin:s.at]
	s.take("}")
	s.end()
	return e, s.err
}

func (s *scan) disclosed() (shown perPart[[]byte]) {
	s.open()
	for i := range partForms {
		if !s.has(partForms[i].name) {
			continue
		}
		begin := s.at
		s.take("[")
		s.salt()
		s.take(",")
		partForms[i].take(s)
		s.take("]")
		shown[i] = s.line[begin:s.at]
	}
	s.take("}")
	return shown
}

// erased takes the marks, which are sorted by part.
func (s *scan) erased() (by perPart[int64], marks int64) {
	s.take("[")
	for part := 0; s.err == nil && (marks == 0 || !s.skip("]")); part++ {
		if marks > 0 {
			s.take(",")
		}
		s.take("{")
		s.need("by")
		seq := s.integer()
		s.need("part")
		name := s.text()
		s.take("}")
		for part < len(partForms) && partForms[part].name != string(name) {
			part++
		}
		if part == len(partForms) || seq == 0 {
			s.fail("has a mark of no part or by no event, or marks out of order, or one twice")
			break
		}
		by[part] = seq
		marks++
	}
	return by, marks
}

func (s *scan) event(e *eventLine) {
	s.take("{")
	s.need("action")
	s.text()
	s.need("created")
	s.text()
	s.need("crud")
	s.text()
	s.need("digests")
	s.take("{")
	for i := range partForms {
		if s.has(partForms[i].name) {
			e.digests[i] = s.digest()
		}
	}
	s.take("}")
	if s.has("erase") {
		e.erase = s.erase()
	}
	if s.has("group") {
		e.group = s.text()
	}
	s.need("id")
	s.text()
	s.need("is_anonymous")
	s.boolean()
	s.need("is_failure")
	s.boolean()
	s.need("prev_chain_hash")
	e.prev = s.hash()
	s.need("received")
	s.text()
	s.need("seq")
	e.seq = s.integer()
	s.need("v")
	e.version = s.integer()
	s.take("}")
}

func (s *scan) erase() *statedErasure {
	e := &statedErasure{}
	s.take("{")
	s.need("events")
	e.events = s.integer()
	s.need("first")
	e.first = s.integer()
	s.need("parts")
	e.parts = s.integer()
	s.need("set")
	e.set = s.digest()
	s.take("}")
	return e
}

// trailerLine is the last line of an export. What it holds of the line is as it stands there, within the quotes.
type trailerLine struct {
	chainHash  []byte
	checkpoint []byte // nil: there is none
	count      int64
	last       int64
	sha256     []byte
	digested   []byte // what of the line sha256 is of
}

func scanTrailer(line []byte) (t trailerLine, err error) {
	s := newScan(line)
	s.take("{")
	s.need("chain_hash")
	t.chainHash = s.hash()
	if s.has("checkpoint") {
		t.checkpoint = s.text()
	}
	s.need("count")
	t.count = s.integer()
	s.need("last_seq")
	t.last = s.integer()
	s.need("next_cursor")
	s.text()
	t.digested = s.line[:s.at]
	s.need("sha256")
	t.sha256 = s.hash()
	s.take("}")
	s.end()
	return t, s.err
}

// open takes the beginning of an object that is not empty.
func (s *scan) open() {
	s.take("{")
	if s.line[s.at] == '}' {
		s.fail(wrongMember)
	}
}

func (s *scan) party() {
	s.open()
	if s.has("fields") {
		s.texts()
	}
	s.optional("href")
	s.required("id")
	s.optional("name", "type")
	s.take("}")
}

func (s *scan) named() {
	s.take("{")
	s.required("id")
	s.optional("name")
	s.take("}")
}

func (s *scan) groupName() {
	s.take("{")
	s.required("name")
	s.take("}")
}

func (s *scan) source() {
	s.take("{")
	s.required("ip")
	s.take("}")
}

func (s *scan) description() {
	s.open()
	s.optional("component", "correlation_id", "description", "external_id", "version")
	s.take("}")
}

// someText takes a string that is not empty.
func (s *scan) someText() {
	if len(s.text()) == 0 {
		s.fail(wrongMember)
	}
}

func (s *scan) required(name string) {
	s.need(name)
	s.text()
}

func (s *scan) optional(names ...string) {
	for _, name := range names {
		if s.has(name) {
			s.text()
		}
	}
}
