package web

import "strings"

// PlainDecoder is a body that can read itself from a text of the plainest kind. DecodePlain returns false, and has
// changed nothing, for everything else, good or bad: the strict decoder is then asked, so that faults are found and
// described in one place.
type PlainDecoder interface{ DecodePlain(text string) bool }

// PlainJSON reads JSON of the plainest kind, which is what programs send: an object of strings and arrays of strings,
// in ASCII and without escapes. What it reads shares the text's memory.
type PlainJSON struct {
	rest   string
	failed bool // something is not plain, and rest is of no use
}

// NewPlainJSON reads a text.
func NewPlainJSON(text string) *PlainJSON { return &PlainJSON{rest: text} }

// is consumes a character of punctuation if it comes next.
func (p *PlainJSON) is(c byte) bool {
	p.rest = strings.TrimLeft(p.rest, " \t\r\n")
	if p.rest == "" || p.rest[0] != c {
		return false
	}
	p.rest = p.rest[1:]
	return true
}

// must consumes a character of punctuation.
func (p *PlainJSON) must(c byte) {
	if !p.is(c) {
		p.failed = true
	}
}

// String consumes a string.
func (p *PlainJSON) String() string {
	p.must('"')
	for i := range len(p.rest) {
		switch c := p.rest[i]; {
		case c == '"':
			s := p.rest[:i]
			p.rest = p.rest[i+1:]
			return s
		case c < ' ' || c > '~' || c == '\\':
			p.failed = true
			return ""
		}
	}
	p.failed = true
	return ""
}

// Strings consumes an array of strings.
func (p *PlainJSON) Strings() []Text {
	p.must('[')
	list := []Text{}
	if p.is(']') {
		return list
	}
	for !p.failed {
		list = append(list, Text(p.String()))
		if p.is(']') {
			break
		}
		p.must(',')
	}
	return list
}

// Object consumes an object without trailing data, and reports whether it did. member consumes the value of a name,
// unless the name is unknown.
func (p *PlainJSON) Object(member func(name string) (known bool)) bool {
	p.must('{')
	for !p.failed {
		name := p.String()
		p.must(':')
		if p.failed || !member(name) {
			return false
		}
		if p.is('}') {
			break
		}
		p.must(',')
	}
	return !p.failed && strings.TrimLeft(p.rest, " \t\r\n") == ""
}
