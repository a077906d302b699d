package audit

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// canon writes members, each with a comma after it.
type canon struct{ text []byte }

func (c *canon) raw(s string) { c.text = append(c.text, s...) }

// end takes the last comma back and closes the object.
func (c *canon) end() {
	if last := len(c.text) - 1; c.text[last] == ',' {
		c.text = c.text[:last]
	}
	c.raw(`}`)
}

// quote writes a string as RFC 8785 wants it.
func (c *canon) quote(s string) {
	text, err := jsontext.AppendQuote(c.text, s)
	if err != nil { // strings that are not UTF-8, which the edge refuses
		panic(err)
	}
	c.text = text
}

func (c *canon) member(name, value string) {
	c.raw(`"` + name + `":`)
	c.quote(value)
	c.raw(`,`)
}

func (c *canon) optional(name, value string) {
	if value != "" {
		c.member(name, value)
	}
}

func (c *canon) number(name string, value int64) {
	c.raw(`"` + name + `":`)
	c.text = strconv.AppendInt(c.text, value, 10)
	c.raw(`,`)
}

func (c *canon) base64(name string, value []byte) {
	c.raw(`"` + name + `":"`)
	c.text = appendBase64(c.text, value)
	c.raw(`",`)
}

func (c *canon) party(p Party) {
	c.raw(`{`)
	if p.Fields != nil {
		c.raw(`"fields":`)
		c.fields(p.Fields)
		c.raw(`,`)
	}
	c.optional("href", p.Href)
	c.member("id", p.ID)
	c.optional("name", p.Name)
	c.optional("type", p.Type)
	c.end()
}

func (c *canon) named(n Named) { c.party(Party{ID: n.ID, Name: n.Name}) }

func (c *canon) fields(m map[string]string) {
	c.raw(`{`)
	for _, key := range slices.SortedFunc(maps.Keys(m), compareUTF16) {
		c.quote(key)
		c.raw(`:`)
		c.quote(m[key])
		c.raw(`,`)
	}
	c.end()
}

// compareUTF16 is the order of UTF-16 code units, which is that of bytes but for characters beyond the basic plane.
func compareUTF16(a, b string) int {
	for a != "" && b != "" {
		ra, na := utf8.DecodeRuneInString(a)
		rb, nb := utf8.DecodeRuneInString(b)
		if ra != rb {
			return slices.Compare(utf16.AppendRune(nil, ra), utf16.AppendRune(nil, rb))
		}
		a, b = a[na:], b[nb:]
	}
	return strings.Compare(a, b)
}

// canonicalJSON writes a value in canonical JSON (RFC 8785).
func canonicalJSON(v any) []byte {
	text, err := json.Marshal(v)
	if err == nil {
		err = (*jsontext.Value)(&text).Canonicalize()
	}
	if err != nil { // strings that are not UTF-8, which the edge refuses
		panic(err)
	}
	return text
}
