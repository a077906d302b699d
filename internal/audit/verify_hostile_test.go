package audit

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"
	"pgregory.net/rapid"
)

// said is all that a verdict consists of: numbers, names of parts and the verifier's own words.
var said = regexp.MustCompile(`^(ok, |unproven, |fault: line \d+ |cannot be read: )[a-zA-Z0-9 ,.;:()'^_-]+$`)

// verified is the verdict on a file, which must be in the verifier's own words.
func verified(t testing.TB, text string, p Proof) Verdict {
	t.Helper()
	got := VerifyExport(strings.NewReader(text), p)
	words := strings.TrimPrefix(said.ReplaceAllString(got.Text, ""), "; ")
	if words != "" || len(got.Text) > 250 || strings.Contains(got.Text, "c4n4ry") {
		t.Errorf("the verdict is %q", got.Text)
	}
	return got
}

// expect compares a verdict with its status and beginning.
func expect(t testing.TB, name string, got Verdict, status Status, begins string) {
	t.Helper()
	if got.Status != status || !strings.HasPrefix(got.Text, begins) {
		t.Errorf("%s: %d %q, want %d %q", name, got.Status, got.Text, status, begins)
	}
}

// withFields is an export of three events, the second of which has these fields alone. All hashes are of what it says.
func withFields(t testing.TB, value string) string {
	t.Helper()
	c := newFileChain(t, acme, 1)
	c.add("fields", value)
	c.add()
	return c.whole(t)
}

func TestVerifyExport_takesOneFormOfText(t *testing.T) {
	t.Parallel()
	for _, good := range []string{
		`{}`, `{"":""}`, `{"a":"\b\t\n\f\r\"\\\u0000\u0001\u000b\u000e\u001f"}`,
		`{"a":"` + "\x7f\u0080\u2028</é€😀" + `"}`,
		`{"😀":"","` + "\uff5e" + `":""}`, `{"` + "\ud7ff" + `":"","😀":"","` + "\ue000" + `":""}`,
		`{"a":"","aa":"","b":""}`,
		`{"\b":"","\t":"","\n":"","\u000b":"","\f":"","\r":"","\u001f":""," ":"","\"":"","#":"","[":"","\\":"","]":""}`,
	} {
		expect(t, good, verified(t, withFields(t, good), Proof{}), OK, "ok, 3 events, 0 parts erased")
	}
	for _, bad := range []string{
		`{"` + "\uff5e" + `":"","😀":""}`, `{"` + "\ue000" + `":"","😀":""}`, `{"😀":"","` + "\ud7ff" + `":""}`,
		`{"a":"","a":""}`, `{"b":"","a":""}`, `{"aa":"","a":""}`, `{"\\":"","[":""}`, `{" ":"","\u001f":""}`,
		`{"\n":"","\b":""}`,
		`{"a":"\/"}`, `{"a":"\u0061"}`, `{"a":"\u000a"}`, `{"a":"\u0008"}`, `{"a":"\u000B"}`, `{"a":"\u001F"}`,
		`{"a":"\u007f"}`,
		`{"a":"\u0022"}`, `{"a":"\u0020"}`,
		`{"a":"\ud83d\ude00"}`, `{"a":"\ud83d"}`, `{"a":"\x"}`, `{"a":"\u00"}`, `{"a":"\`,
		`{"a":"` + "\x00" + `"}`, `{"a":"` + "\t" + `"}`,
		`{"a":"` + "\x1b[2K\rok, 3 events" + `"}`, `{"a":"` + "\xff" + `"}`,
		`{"a":"` + "\xed\xa0\x80" + `"}`, `{"a":"` + "\xc0\xaf" + `"}`,
		`{"a":"c4n4ry}`, `{"c4n4ry":null}`, `{"a":1}`, `{"a":true}`,
		`{"a":""`, `{"a":"",}`, `{,"a":""}`, `{"a"}`, `{"a":}`, `{a:""}`,
		`{"a":"","b"}`, `{ }`, `{"a": ""}`, `[]`, `"a"`, `1`, ``,
		strings.Repeat(`{"a":`, 1<<17) + `""` + strings.Repeat(`}`, 1<<17), strings.Repeat(`[`, 1<<19),
	} {
		name := bad[:min(len(bad), 60)]
		expect(t, name, verified(t, withFields(t, bad), Proof{}), Fault, "fault: line 3 ")
	}
}

func TestVerifyExport_hostileHeaders(t *testing.T) {
	t.Parallel()
	good := newFileChain(t, acme, 1).whole(t)
	header, rest, _ := strings.Cut(good, "\n")
	deep := func(levels int) string {
		return `{"a":` + strings.Repeat(`[`, levels) + strings.Repeat(`]`, levels) + `,` + header[1:] + "\n" + rest
	}
	const unread = "cannot be read: line 1 is no header of version 2"
	with := func(old, new string) string { return strings.Replace(good, old, new, 1) }
	for name, c := range map[string]struct {
		text   string
		status Status
		begins string
	}{
		"good":                {good, OK, "ok, 1 events"},
		"empty":               {"", Unreadable, "cannot be read: the file is empty"},
		"no line feed":        {header, Unreadable, "cannot be read: line 1 does not end with a line feed"},
		"nothing follows":     {header + "\n", Fault, "fault: line 2 is missing"},
		"a line feed":         {"\n" + good, Unreadable, unread},
		"a text":              {`"x"` + "\n", Unreadable, unread},
		"an event":            {rest, Unreadable, unread},
		"another version":     {with(`"version":2`, `"version":3`), Unreadable, unread},
		"a version as a text": {with(`"version":2`, `"version":"2"`), Unreadable, unread},
		"a version within":    {`{"a":{"version":2}}` + "\n", Unreadable, unread},
		"white space":         {with(`,"version"`, `, "version"`), Unreadable, unread},
		"version twice":       {with(`"version":2`, `"version":2,"version":2`), Unreadable, unread},
		"another member": {
			with(`"version":2`, `"version":2,"w":[{},[],"",0,null,true,false]`), Fault, "fault: line 1 has a member",
		},
		"a float elsewhere":    {with(`"version":2`, `"version":2,"w":0.5`), Unreadable, unread},
		"a large number":       {with(`"first_seq":1`, `"first_seq":9007199254740992`), Unreadable, unread},
		"the largest number":   {with(`"first_seq":1`, `"first_seq":9007199254740991`), Fault, "fault: line 2 has seq"},
		"first_seq 0":          {with(`"first_seq":1`, `"first_seq":0`), Fault, "fault: line 1 "},
		"a time as a number":   {with(`"time":"2026-03-03T12:00:00.000500Z"`, `"time":0`), Fault, "fault: line 1 "},
		"no UTF-8":             {with(`"time":"`, `"time":"`+"\xff"), Unreadable, unread},
		"deep":                 {deep(500), Fault, "fault: line 1 "},
		"too deep":             {deep(1 << 18), Unreadable, "cannot be read: line 1 "},
		"too long":             {deep(1 << 20), Unreadable, "cannot be read: line 1 is longer than 1048576 bytes"},
		"too long, no end":     {strings.Repeat("{", 1<<21), Unreadable, "cannot be read: line 1 is longer"},
		"no line feed at last": {good[:len(good)-1], Fault, "fault: line 3 does not end with a line feed"},
		"a byte more":          {good + "x", Fault, "fault: line 4 does not end with a line feed"},
		"a line feed more":     {good + "\n", Fault, "fault: line 4 stands behind the trailer"},
	} {
		expect(t, name, verified(t, c.text, Proof{}), c.status, c.begins)
	}
}

// Whatever the erasure, a mark is of a part that the event has; and an empty group is not none.
func TestVerifyExport_hostileEvents(t *testing.T) {
	t.Parallel()
	for name, x := range map[string]struct{ old, new, says string }{
		"a mark of no part": {
			`"event":`, `"erased":[{"by":9,"part":"metadata"}],"event":`, "fault: line 2 has metadata, of which there",
		},
		"a mark by seq 0": {
			`"event":`, `"erased":[{"by":0,"part":"fields"}],"event":`, "fault: line 2 has a mark ",
		},
		"a group without text": {`"id":"0`, `"group":"","id":"0`, "fault: line 2 is an event of another chain"},
	} {
		c := newFileChain(t, uuid.Nil, 0)
		c.add("fields", "{}")
		c.change(regexp.MustCompile(`"id":"[^"]*"`).FindString(c.lines[0]), `"id":"0"`)
		expect(t, "unchanged", verified(t, c.whole(t), Proof{}), OK, "ok, 1 events")
		c.change(x.old, x.new)
		expect(t, name, verified(t, c.whole(t), Proof{}), Fault, x.says)
	}
}

func TestVerifyExport_partsHaveSomething(t *testing.T) {
	t.Parallel()
	for part, value := range map[string]string{
		"actor": `{}`, "emitter": `{}`, "group": `{}`, "hash": `""`, "on_behalf_of": `{"name":""}`, "source": `{}`,
		"target": `{"fields":{},"href":""}`, "text": `{}`,
	} {
		c := newFileChain(t, acme, 1)
		c.add(part, value)
		expect(t, part, verified(t, c.whole(t), Proof{}), Fault, "fault: line 3 has a member that is unknown, ")
	}
}

// The last of the erasures after the end is named, whichever they are.
func TestVerifyExport_namesTheLastErasure(t *testing.T) {
	t.Parallel()
	c := newFileChain(t, acme, 1)
	c.add("fields", "{}", "hash", `"x"`, "metadata", "{}")
	disclosed := regexp.MustCompile(`"disclosed":.*,"event":`).FindString(c.lines[1])
	marks := `"erased":[{"by":8,"part":"fields"},{"by":17,"part":"hash"},{"by":9,"part":"metadata"}],"event":`
	c.change(disclosed, marks)
	says := "unproven, 2 events, 3 parts erased; 3 of them by erasures after the end, the last of these by 17"
	for range 20 { // they are kept in no order
		if got := verified(t, c.whole(t), Proof{Part: true}); got.Status != Unproven || got.Text != says {
			t.Fatalf("%d %q", got.Status, got.Text)
		}
	}
}

// A line of exactly 1 MiB is read, one of a byte more is not.
func TestVerifyExport_lineIsBounded(t *testing.T) {
	t.Parallel()
	empty := strings.SplitAfter(withFields(t, `{"a":""}`), "\n")[2]
	for extra, want := range map[int]Status{0: OK, 1: Fault, 1 << 20: Fault} {
		value := strings.Repeat("a", 1<<20-len(empty)+extra)
		got := verified(t, withFields(t, `{"a":"`+value+`"}`), Proof{})
		begins := map[Status]string{OK: "ok, 3 events", Fault: "fault: line 3 is longer than 1048576 bytes"}[want]
		expect(t, "", got, want, begins)
	}
}

func TestVerifyExport_readErrors(t *testing.T) {
	t.Parallel()
	text := newFileChain(t, acme, 3).whole(t)
	for _, at := range []int{0, 10, len(text) / 2, len(text)} {
		broken := io.MultiReader(strings.NewReader(text[:at]), iotest.ErrReader(errors.New("broken")))
		got := VerifyExport(broken, Proof{})
		if got != (Verdict{Status: Unreadable, Text: "cannot be read: broken"}) {
			t.Errorf("after %d bytes: %+v", at, got)
		}
	}
	if got := VerifyExport(iotest.OneByteReader(strings.NewReader(text)), Proof{}); got.Status != OK {
		t.Error(got.Text)
	}
}

// What the scanner takes is what the general encoder writes.
func TestScan_matchesTheGeneralEncoder(t *testing.T) {
	t.Parallel()
	text := rapid.OneOf(rapid.String(), rapid.StringOf(rapid.SampledFrom([]rune(
		"\x00\x08\t\n\x0b\f\r\x1f !\"#[\\]a\x7f\u0080\ud7ff\ue000\uff5e\U00010000😀",
	))))
	rapid.Check(t, func(t *rapid.T) {
		members := rapid.MapOfN(text, text, 0, 8).Draw(t, "members")
		line := append(canonicalJSON(members), '\n')
		s := newScan(line)
		s.texts()
		s.end()
		if s.err != nil {
			t.Errorf("%s %v", line, s.err)
		}
	})
}

// FuzzVerifyExport asserts that no file makes the verifier fall, that it says the same however the file is read, and
// that what it finds good is in the form which the general encoder writes.
func FuzzVerifyExport(f *testing.F) {
	for _, v := range vectors(f) {
		f.Add(v.text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		got := verified(t, string(text), Proof{})
		if again := VerifyExport(iotest.HalfReader(bytes.NewReader(text)), Proof{}); again != got {
			t.Errorf("%+v, and %+v", got, again)
		}
		part := VerifyExport(bytes.NewReader(text), Proof{Part: true})
		if part.Status != got.Status && (got.Status != Unproven || part.Status != OK) {
			t.Errorf("%q, and as a part %q", got.Text, part.Text)
		}
		if got.Status != OK && got.Status != Unproven {
			return
		}
		for line := range bytes.Lines(text) {
			canonical := jsontext.Value(bytes.Clone(line[:len(line)-1]))
			if err := canonical.Canonicalize(); err != nil || !bytes.Equal(canonical, line[:len(line)-1]) {
				t.Errorf("%q is taken (%v)", line, err)
			}
		}
	})
}

// FuzzScan asserts that the scanner takes nothing but what the general encoder writes, and all of that which has no
// other numbers.
func FuzzScan(f *testing.F) {
	for _, text := range []string{
		`{"a":[1,"é",{"b":null}],"version":2}`, `{"` + "\uff5e" + `":"","😀":""}`, `["\u000b\n",0,9007199254740991]`,
		`{"\u001f":true," ":false}`, `1e3`, `-0`, `01`, `"\u00e9"`,
	} {
		f.Add([]byte(text))
	}
	numbers := regexp.MustCompile(`[0-9][.e]|-[0-9]|[0-9]{16}`)
	f.Fuzz(func(t *testing.T, text []byte) {
		if bytes.IndexByte(text, '\n') >= 0 {
			return
		}
		s := newScan(append(bytes.Clone(text), '\n'))
		s.value(0)
		s.end()
		canonical := jsontext.Value(bytes.Clone(text))
		same := canonical.Canonicalize() == nil && bytes.Equal(canonical, text)
		if same != (s.err == nil) && (s.err == nil || !numbers.Match(text)) {
			t.Errorf("%q: %v, the general encoder agrees: %t", text, s.err, same)
		}
	})
}
