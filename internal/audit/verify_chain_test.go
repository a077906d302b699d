package audit

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"github.com/google/uuid"
	"golang.org/x/mod/sumdb/note"
)

// fileChain is a chain as its exports show it, for tests of what reads them. It writes JSON as text, and shares nothing
// with what the service writes.
type fileChain struct {
	group  uuid.UUID
	lines  []string    // of the events
	heads  []ChainHead // after so many events
	signer note.Signer // nil: its exports have no checkpoint
	key    note.Verifier
}

// newFileChain is a chain of some events with eight parts each.
func newFileChain(t testing.TB, group uuid.UUID, count int) *fileChain {
	t.Helper()
	private, public, err := GenerateKey("a-key")
	if err != nil {
		t.Fatal(err)
	}
	c := &fileChain{group: group, heads: []ChainHead{{Hash: ZeroHash}}}
	c.signer, _ = NewSigner(private)
	c.key, _ = NewVerifier(public)
	for i := range count {
		c.add(
			"actor", fmt.Sprintf(`{"href":"https://idp.example/users/%d","id":"user-%[1]d","name":"Zoë","type":"user"}`, i),
			"emitter", `{"id":"portal","name":"portal"}`,
			"fields", `{"user_agent":"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"}`,
			"group", `{"name":"Acme & Söhne"}`,
			"hash", `"`+sum(fmt.Append(nil, i))+`"`,
			"source", `{"ip":"192.0.2.23"}`,
			"target", `{"id":"document-28","name":"Q3 plan","type":"document"}`,
			"text", `{"component":"portal","correlation_id":"`+uuid.NewString()+`","description":"shared it"}`,
		)
	}
	return c
}

// add appends an event; parts are names and values, by name.
func (c *fileChain) add(parts ...string) {
	var disclosed, digests []string
	for i := 0; i < len(parts); i += 2 {
		salt := make([]byte, 16)
		_, _ = rand.Read(salt)
		pair := fmt.Sprintf(`["%s",%s]`, base64.RawURLEncoding.EncodeToString(salt), parts[i+1])
		digest := sha256.Sum256([]byte(pair))
		disclosed = append(disclosed, fmt.Sprintf(`%q:%s`, parts[i], pair))
		digests = append(digests, fmt.Sprintf(`%q:"%s"`, parts[i], base64.RawURLEncoding.EncodeToString(digest[:])))
	}
	shown, group := "", ""
	if len(disclosed) > 0 {
		shown = `"disclosed":{` + strings.Join(disclosed, ",") + `},`
	}
	if c.group != uuid.Nil {
		group = fmt.Sprintf(`"group":"%s",`, c.group)
	}
	head := c.heads[len(c.heads)-1]
	event := fmt.Sprintf(`{"action":"document.share","created":"2026-03-02T09:30:00.123456Z","crud":"u",`+
		`"digests":{%s},%s"id":"%s","is_anonymous":false,"is_failure":false,"prev_chain_hash":"%s",`+
		`"received":"2026-03-02T09:30:00.423456Z","seq":%d,"v":2}`,
		strings.Join(digests, ","), group, uuid.NewString(), head.Hash, head.Seq+1)
	hash := sum([]byte(event))
	c.lines = append(c.lines, fmt.Sprintf(`{"chain_hash":"%s",%s"event":%s}`+"\n", hash, shown, event))
	c.heads = append(c.heads, ChainHead{Seq: head.Seq + 1, Hash: hash})
}

// change replaces a text in the last event's line, and hashes that again.
func (c *fileChain) change(old, new string) {
	last := len(c.lines) - 1
	begin, event, _ := strings.Cut(strings.Replace(c.lines[last], old, new, 1), `"event":`)
	hash := sum([]byte(strings.TrimSuffix(event, "}\n")))
	c.lines[last] = strings.Replace(begin, c.heads[last+1].Hash, hash, 1) + `"event":` + event
	c.heads[last+1].Hash = hash
}

// part is an export of the events from seq first to seq last.
func (c *fileChain) part(t testing.TB, first, last int) string {
	t.Helper()
	var text strings.Builder
	head, group := c.heads[len(c.heads)-1], ""
	if c.group != uuid.Nil {
		group = fmt.Sprintf(`"group":"%s",`, c.group)
	}
	fmt.Fprintf(&text, `{"first_seq":%d,%s"head":{"chain_hash":"%s","seq":%d},"prev_chain_hash":"%s",`+
		`"time":"2026-03-03T12:00:00.000500Z","version":2}`+"\n",
		first, group, head.Hash, head.Seq, c.heads[first-1].Hash)
	for _, line := range c.lines[first-1 : last] {
		text.WriteString(line)
	}
	checkpoint := ""
	if c.signer != nil {
		signed, err := SignHead(c.signer, c.group, head)
		if err != nil {
			t.Fatal(err)
		}
		checkpoint = `"checkpoint":"` + strings.ReplaceAll(signed, "\n", `\n`) + `",`
	}
	fmt.Fprintf(&text, `{"chain_hash":"%s",%s"count":%d,"last_seq":%d,"next_cursor":"after-%[4]d"`,
		c.heads[last].Hash, checkpoint, last-first+1, last)
	fmt.Fprintf(&text, `,"sha256":"%s"}`+"\n", sum([]byte(text.String())))
	return text.String()
}

func (c *fileChain) whole(t testing.TB) string { return c.part(t, 1, len(c.lines)) }
