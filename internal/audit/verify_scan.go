package audit

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

const (
	maxInteger = 1<<53 - 1
	maxDepth   = 10_000 // of values within values, where their form is not known beforehand
)

// scan reads a line from left to right and takes RFC 8785 JSON only: each method takes what must stand next. The first
// thing that does not fit is remembered, and nothing fits after it.
type scan struct {
	line []byte // with its line feed, which no method passes
	at   int    // of the next byte
	err  error  // what did not fit; it repeats nothing of the line
}

const wrongMember = "has a member that is unknown, missing, empty or of a wrong form, or is not in its RFC 8785 form"

func newScan(line []byte) *scan {
	s := &scan{line: line}
	if !utf8.Valid(line) {
		s.fail("is no UTF-8")
	}
	return s
}

// fail remembers what does not fit.
func (s *scan) fail(why string) {
	if s.err == nil {
		s.err = fmt.Errorf("%s (byte %d)", why, s.at+1)
		s.at = len(s.line) - 1
	}
}

// Classes of bytes.
const (
	plain      = 1 << iota // stands for itself in a string
	hexDigit               // lower case
	base64url              // a letter of base64url
	saltEnd                // that may be the last of 16 bytes: four bits are to spare
	digestEnd              // that may be the last of 32 bytes: two bits are to spare
	shortClass             // follows a reverse solidus in the short escapes
)

var classes = func() (of [256]byte) {
	for c := ' '; c < 256; c++ {
		of[c] = plain
	}
	of['"'], of['\\'] = 0, 0
	letters := "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	for class, members := range map[byte]string{
		hexDigit: "0123456789abcdef", base64url: letters, saltEnd: "AQgw", digestEnd: "AEIMQUYcgkosw048",
		shortClass: `"\bfnrt`,
	} {
		for _, c := range []byte(members) {
			of[c] |= class
		}
	}
	return of
}()

func is(c, class byte) bool { return classes[c]&class != 0 }

// skip takes a text if it stands next.
func (s *scan) skip(text string) bool {
	found := len(s.line)-s.at > len(text) && string(s.line[s.at:s.at+len(text)]) == text
	if found {
		s.at += len(text)
	}
	return found
}

func (s *scan) take(text string) {
	if !s.skip(text) {
		s.fail(wrongMember)
	}
}

// end must stand at the line feed.
func (s *scan) end() {
	if s.at != len(s.line)-1 {
		s.fail("has more than an object")
	}
}

// has takes the name of a member, and a comma unless it is the first of its object, if they stand next.
func (s *scan) has(name string) bool {
	at, n := s.at, len(name)
	if s.err != nil || len(s.line)-at <= n+4 {
		return false
	}
	if s.line[at-1] != '{' { // no value ends with it
		if s.line[at] != ',' {
			return false
		}
		at++
	}
	found := s.line[at] == '"' && string(s.line[at+1:at+1+n]) == name && s.line[at+1+n] == '"' && s.line[at+2+n] == ':'
	if found {
		s.at = at + n + 3
	}
	return found
}

// need takes the name of a member.
func (s *scan) need(name string) {
	if !s.has(name) {
		s.fail(wrongMember)
	}
}

// text takes a string, and returns it as it stands between its quotes.
func (s *scan) text() []byte {
	s.take(`"`)
	begin := s.at
	for s.err == nil {
		for is(s.line[s.at], plain) {
			s.at++
		}
		switch s.line[s.at] {
		case '"':
			s.at++
			return s.line[begin : s.at-1]
		case '\\':
			s.escape()
		default:
			s.fail("has a string that does not end, or a character that must be escaped")
		}
	}
	return nil
}

// escape takes an escape: \u and four digits only for what has no shorter form.
func (s *scan) escape() {
	rest := s.line[s.at+1:]
	switch {
	case is(rest[0], shortClass):
		s.at += 2
	case len(rest) > 5 && is(rest[4], hexDigit) &&
		(string(rest[:4]) == "u001" || string(rest[:4]) == "u000" && strings.IndexByte("89acd", rest[4]) < 0):
		s.at += 6
	default:
		s.fail("has an escape that RFC 8785 writes otherwise")
	}
}

// coded takes a string of n bytes of a class, the last of which is of the class end.
func (s *scan) coded(n int, class, end byte, why string) []byte {
	rest := s.line[s.at:]
	if len(rest) < n+3 || rest[0] != '"' || rest[n+1] != '"' || !is(rest[n], end) {
		s.fail(why)
		return nil
	}
	for _, c := range rest[1:n] {
		if !is(c, class) {
			s.fail(why)
			return nil
		}
	}
	s.at += n + 2
	return rest[1 : n+1]
}

func (s *scan) hash() []byte {
	return s.coded(hashLength, hexDigit, hexDigit, "has no SHA-256 in lower-case hexadecimal digits where one belongs")
}

func (s *scan) digest() []byte {
	return s.coded(digestLength, base64url, digestEnd, "has no base64url of 32 bytes where it belongs")
}

func (s *scan) salt() {
	s.coded(saltLength, base64url, saltEnd, "has no base64url of 16 bytes where it belongs")
}

// integer takes an integer from 0 to 2^53 - 1.
func (s *scan) integer() int64 {
	const digits = 16 // of the largest
	begin, n := s.at, int64(0)
	for ; s.line[s.at] >= '0' && s.line[s.at] <= '9' && s.at-begin <= digits; s.at++ {
		n = n*10 + int64(s.line[s.at]-'0')
	}
	if s.at == begin || n > maxInteger || (s.line[begin] == '0' && s.at-begin > 1) {
		s.fail("has no integer from 0 to 2^53 - 1 where one belongs")
		return 0
	}
	return n
}

func (s *scan) boolean() {
	if !s.skip("true") && !s.skip("false") {
		s.fail("has no boolean where one belongs")
	}
}

// entries takes an object of any names; value takes what stands behind each.
func (s *scan) entries(value func(s *scan, name []byte)) {
	s.take("{")
	var last []byte
	for first := true; s.err == nil && !s.skip("}"); first = false {
		if !first {
			s.take(",")
		}
		name := s.text()
		if s.err == nil && !first && !before(last, name) {
			s.fail("has members out of order, or one twice")
		}
		s.take(":")
		value(s, name)
		last = name
	}
}

// texts takes an object of strings.
func (s *scan) texts() { s.entries(func(s *scan, _ []byte) { s.text() }) }

// value takes a value of any form.
func (s *scan) value(depth int) {
	switch c := s.line[s.at]; {
	case depth > maxDepth:
		s.fail("has values too deep within others")
	case c == '{':
		s.entries(func(s *scan, _ []byte) { s.value(depth + 1) })
	case c == '[':
		s.take("[")
		for first := true; s.err == nil && !s.skip("]"); first = false {
			if !first {
				s.take(",")
			}
			s.value(depth + 1)
		}
	case c == '"':
		s.text()
	case !s.skip("null") && !s.skip("true") && !s.skip("false"):
		s.integer()
	}
}

// before reports whether a name stands before another in RFC 8785, which sorts by UTF-16 code units. Both are as they
// stand in a line, escapes included.
func before(a, b []byte) bool {
	for len(a) > 0 && len(b) > 0 {
		ra, na := unescaped(a)
		rb, nb := unescaped(b)
		if ra != rb {
			return utf16Place(ra) < utf16Place(rb)
		}
		a, b = a[na:], b[nb:]
	}
	return len(a) < len(b)
}

// utf16Place sorts characters as their UTF-16 code units do: those behind the basic plane begin with a surrogate, which
// is less than U+E000.
func utf16Place(r rune) rune {
	if r >= 0xe000 && r <= 0xffff {
		return r + utf8.MaxRune
	}
	return r
}

// unescaped is the first character of a string as it stands in a line, and how many bytes it takes there.
func unescaped(text []byte) (rune, int) {
	if text[0] != '\\' {
		return utf8.DecodeRune(text)
	}
	switch text[1] {
	case 'u':
		return rune(text[4]-'0')<<4 + rune(strings.IndexByte("0123456789abcdef", text[5])), 6
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	}
	return rune(text[1]), 2
}
