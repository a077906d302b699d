package server

import "strings"

// plainReader reads a body of the simplest kind, or says no and has changed nothing. Everything that is not so simple, good or bad, is left to
// the strict decoder, so that what is wrong with a body is found and said in one place.
type plainReader interface{ readPlain(text string) bool }

// plainText is JSON of the simplest kind, which is what programs send: an object of strings and arrays of strings, in ASCII and without
// escapes. What it reads shares the text's memory.
type plainText struct {
	rest string
	odd  bool // something is beyond this, and rest of no use
}

// is takes a character of punctuation if it comes next.
func (p *plainText) is(c byte) bool {
	p.rest = strings.TrimLeft(p.rest, " \t\r\n")
	if p.rest == "" || p.rest[0] != c {
		return false
	}
	p.rest = p.rest[1:]
	return true
}

// must takes a character of punctuation.
func (p *plainText) must(c byte) {
	if !p.is(c) {
		p.odd = true
	}
}

// text takes a string.
func (p *plainText) text() string {
	p.must('"')
	for i := range len(p.rest) {
		switch c := p.rest[i]; {
		case c == '"':
			s := p.rest[:i]
			p.rest = p.rest[i+1:]
			return s
		case c < ' ' || c > '~' || c == '\\':
			p.odd = true
			return ""
		}
	}
	p.odd = true
	return ""
}

// texts takes an array of strings.
func (p *plainText) texts() []wireText {
	p.must('[')
	list := []wireText{}
	if p.is(']') {
		return list
	}
	for !p.odd {
		list = append(list, wireText(p.text()))
		if p.is(']') {
			break
		}
		p.must(',')
	}
	return list
}

// object takes an object and nothing behind it. Member takes the value of a name, unless the name is not known.
func (p *plainText) object(member func(name string) (known bool)) bool {
	p.must('{')
	for !p.odd {
		name := p.text()
		p.must(':')
		if p.odd || !member(name) {
			return false
		}
		if p.is('}') {
			break
		}
		p.must(',')
	}
	return !p.odd && strings.TrimLeft(p.rest, " \t\r\n") == ""
}

// readPlain implements plainReader.
func (in *verifyRequest) readPlain(text string) bool {
	var got verifyRequest
	var product, environment bool // were there
	p := plainText{rest: text}
	ok := p.object(func(name string) bool {
		var first bool
		switch name {
		case "key":
			first = got.Key == nil
			key := p.text()
			got.Key = &key
		case "product":
			first, product = !product, true
			got.Product = p.text()
		case "scopes":
			first = got.Scopes == nil
			got.Scopes = p.texts()
		case "environment":
			first, environment = !environment, true
			got.Environment = p.text()
		}
		return first
	})
	if ok {
		*in = got
	}
	return ok
}
