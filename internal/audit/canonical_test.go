package audit

import (
	"bytes"
	"encoding/base64"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"
	"pgregory.net/rapid"
)

// acme is a tenant.
var acme = uuid.MustParse("00000000-0000-0000-0000-000000000001")

// wholeEvent has every member set.
func wholeEvent() Event {
	return Event{
		ID: uuid.MustParse("00000000-0000-4000-8000-000000000007"), Pos: 70, Seq: 7, GroupID: acme,
		GroupName: "Acme & Söhne",
		Action:    "document.share", CRUD: Update,
		Actor: Party{
			ID: "u-1", Name: "Acme admin", Href: "https://example.org/u-1?a=1&b=2", Type: "user",
			Fields: map[string]string{"role": "owner"},
		},
		Target: Party{
			ID: "d-1", Name: "<Plan>", Href: "https://example.org/d-1", Type: "document", Fields: map[string]string{},
		},
		SourceIP: "192.0.2.1", Description: "line\nline", IsFailure: true, IsAnonymous: true,
		Fields: map[string]string{"b": "2", "a": "1"}, Component: "portal", Version: "1.2.3", ExternalID: "x-1",
		Created:  time.Date(2026, 1, 2, 4, 4, 5, 678_900_000, time.FixedZone("CET", 3600)),
		Received: time.Date(2026, 1, 2, 3, 4, 6, 0, time.UTC), CorrelationID: "r-1",
		Emitter: Named{"svc-1", "portal"}, OnBehalfOf: Named{"u-2", "Another"},
		Erasure: &Erasure{Events: 1, First: 2, Parts: 3}, Salts: Salts{PartActor: {1}, PartText: {2}},
		Erased: Erased{PartMetadata: {By: 9, Digest: Digest{1}}},
		Hash:   "aa", PrevChainHash: "bb", ChainHash: "cc",
	}
}

// exportedLine is an event's line of an export, for the general decoder.
type exportedLine struct {
	ChainHash string `json:"chain_hash"`
	Disclosed struct {
		Actor      exportedPart[exportedParty]         `json:"actor"`
		OnBehalfOf exportedPart[exportedParty]         `json:"on_behalf_of"`
		Target     exportedPart[exportedParty]         `json:"target"`
		Emitter    exportedPart[exportedParty]         `json:"emitter"`
		Group      exportedPart[struct{ Name string }] `json:"group"`
		Source     exportedPart[struct{ IP string }]   `json:"source"`
		Text       exportedPart[exportedText]          `json:"text"`
		Fields     exportedPart[map[string]string]     `json:"fields"`
		Metadata   exportedPart[map[string]string]     `json:"metadata"`
		Hash       exportedPart[string]                `json:"hash"`
	} `json:"disclosed"`
	Erased []struct {
		By   int64  `json:"by"`
		Part string `json:"part"`
	} `json:"erased"`
	Event struct {
		Action        string            `json:"action"`
		Created       time.Time         `json:"created"`
		CRUD          CRUD              `json:"crud"`
		Digests       map[string]string `json:"digests"`
		Erase         *exportedErase    `json:"erase"`
		Group         uuid.UUID         `json:"group"`
		ID            uuid.UUID         `json:"id"`
		IsAnonymous   bool              `json:"is_anonymous"`
		IsFailure     bool              `json:"is_failure"`
		PrevChainHash string            `json:"prev_chain_hash"`
		Received      time.Time         `json:"received"`
		Seq           int64             `json:"seq"`
	} `json:"event"`
}

type (
	exportedParty struct {
		Fields map[string]string `json:"fields"`
		Href   string            `json:"href"`
		ID     string            `json:"id"`
		Name   string            `json:"name"`
		Type   string            `json:"type"`
	}
	exportedText struct {
		Component     string `json:"component"`
		CorrelationID string `json:"correlation_id"`
		Description   string `json:"description"`
		ExternalID    string `json:"external_id"`
		Version       string `json:"version"`
	}
	exportedErase struct {
		Events int64  `json:"events"`
		First  int64  `json:"first"`
		Parts  int64  `json:"parts"`
		Set    string `json:"set"`
	}
)

// exportedPart is a salt and a value.
type exportedPart[T any] struct {
	salt  Salt
	value T
}

func (p *exportedPart[T]) UnmarshalJSON(text []byte) error {
	var pair [2]jsontext.Value
	var salt string
	if err := json.Unmarshal(text, &pair); err != nil {
		return err
	}
	if err := json.Unmarshal(pair[0], &salt); err != nil {
		return err
	}
	decode(p.salt[:], salt)
	return json.Unmarshal(pair[1], &p.value, json.MatchCaseInsensitiveNames(true))
}

func decode(into []byte, text string) {
	if n, err := base64.RawURLEncoding.Decode(into, []byte(text)); err != nil || n != len(into) {
		panic("no base64url of the length: " + text)
	}
}

func (p exportedParty) party() Party {
	return Party{ID: p.ID, Name: p.Name, Href: p.Href, Type: p.Type, Fields: p.Fields}
}

func (p exportedParty) named() Named { return Named{p.ID, p.Name} }

// exported is the event of a line.
func exported(t *testing.T, line string) Event {
	t.Helper()
	var l exportedLine
	if err := json.Unmarshal([]byte(line), &l); err != nil {
		t.Fatal(err)
	}
	d, text := &l.Disclosed, l.Disclosed.Text.value
	e := Event{
		ID: l.Event.ID, Seq: l.Event.Seq, GroupID: l.Event.Group, GroupName: d.Group.value.Name,
		Action: l.Event.Action, CRUD: l.Event.CRUD, Actor: d.Actor.value.party(), Target: d.Target.value.party(),
		OnBehalfOf: d.OnBehalfOf.value.named(), Emitter: d.Emitter.value.named(), SourceIP: d.Source.value.IP,
		Description: text.Description, Component: text.Component, Version: text.Version, ExternalID: text.ExternalID,
		CorrelationID: text.CorrelationID, IsFailure: l.Event.IsFailure, IsAnonymous: l.Event.IsAnonymous,
		Fields: d.Fields.value, Metadata: d.Metadata.value, Created: l.Event.Created, Received: l.Event.Received,
		Hash: d.Hash.value, PrevChainHash: l.Event.PrevChainHash, ChainHash: l.ChainHash,
		Salts: Salts{
			PartActor: d.Actor.salt, PartEmitter: d.Emitter.salt, PartFields: d.Fields.salt, PartGroup: d.Group.salt,
			PartHash: d.Hash.salt, PartMetadata: d.Metadata.salt, PartOnBehalfOf: d.OnBehalfOf.salt,
			PartSource: d.Source.salt, PartTarget: d.Target.salt, PartText: d.Text.salt,
		},
	}
	for _, mark := range l.Erased {
		part, _ := ParsePart(mark.Part)
		left := ErasedPart{By: mark.By}
		decode(left.Digest[:], l.Event.Digests[mark.Part])
		e.Erase(part, left)
	}
	if erase := l.Event.Erase; erase != nil {
		e.Erasure = &Erasure{Events: erase.Events, First: erase.First, Parts: erase.Parts}
		decode(e.Erasure.Set[:], erase.Set)
	}
	return e
}

// TestAppendLine_vectors asserts that every event of the vectors that verify is written as it stands there, and that
// its hash is that of its text.
func TestAppendLine_vectors(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors struct {
		Lines []string `json:"lines"`
		Cases []struct {
			Name   string `json:"name"`
			Expect string `json:"expect"`
			Lines  []int  `json:"lines"`
		} `json:"cases"`
	}
	if err := json.Unmarshal(text, &vectors); err != nil {
		t.Fatal(err)
	}
	checked := map[int]bool{}
	for _, c := range vectors.Cases {
		for _, n := range c.Lines {
			line := vectors.Lines[n]
			if c.Expect == "fault" || c.Expect == "unreadable" || checked[n] || !strings.Contains(line, `"event":`) {
				continue
			}
			checked[n] = true
			e := exported(t, line)
			if got := string(AppendLine(nil, &e)); got != line+"\n" {
				t.Errorf("%s:\n got %s\nwant %s", c.Name, got, line)
			}
			before := ChainHead{Seq: e.Seq - 1, Hash: e.PrevChainHash}
			if got := e.After(before, e.seal()); got.ChainHash != e.ChainHash {
				t.Errorf("%s: seq %d has the hash %s, want %s", c.Name, e.Seq, got.ChainHash, e.ChainHash)
			}
		}
	}
	if len(checked) < 20 {
		t.Errorf("only %d events of the vectors were checked", len(checked))
	}
}

// The members are in the order of UTF-16 code units, which is not the order of bytes: the example of RFC 8785, section
// 3.2.3.
func TestAppendLine_membersAreInUTF16Order(t *testing.T) {
	t.Parallel()
	e := Event{Fields: map[string]string{
		"\u20ac": "5", "\r": "1", "\ufb33": "7", "1": "2", "\U0001f600": "6", "\u0080": "3", "\u00f6": "4",
	}}
	want := `{"\r":"1","1":"2","` + "\u0080" + `":"3","` + "\u00f6" + `":"4","` + "\u20ac" + `":"5","` +
		"\U0001f600" + `":"6","` + "\ufb33" + `":"7"}`
	if got := string(AppendLine(nil, &e)); !strings.Contains(got, want) {
		t.Errorf("got %s\nwant %s in it", got, want)
	}
}

// Every member of an event, also one that is added later, is in its line unless it is named here.
func TestAppendLine_holdsEveryMember(t *testing.T) {
	t.Parallel()
	left := map[string]bool{
		"Pos": true, "Idempotency": true, "GroupDeleted": true, "SentGroupID": true, "Metadata": true, // erased
	}
	whole := wholeEvent()
	for i := range reflect.TypeFor[Event]().NumField() {
		field := reflect.TypeFor[Event]().Field(i)
		without := whole
		reflect.ValueOf(&without).Elem().Field(i).SetZero()
		if changes := !bytes.Equal(AppendLine(nil, &without), AppendLine(nil, &whole)); changes == left[field.Name] {
			t.Errorf("%s is in the line: %t", field.Name, changes)
		}
	}
	for i := range reflect.TypeFor[Party]().NumField() {
		without := whole
		reflect.ValueOf(&without.Target).Elem().Field(i).SetZero()
		if bytes.Equal(AppendLine(nil, &without), AppendLine(nil, &whole)) {
			t.Errorf("the target's %s is not in the line", reflect.TypeFor[Party]().Field(i).Name)
		}
	}
}

// TestSeal_hashesNoPart asserts that no value of a part is in the text that the chain hashes, that two seals of the
// same event have nothing in common that could be compared, and that the line is canonical whatever is in the parts.
func TestSeal_hashesNoPart(t *testing.T) {
	t.Parallel()
	text := rapid.OneOf(rapid.Just(""), rapid.String(), rapid.SampledFrom([]string{
		"a", "\x00\x1f\x7f\b\f\n\r\t\"\\/", "\u2028<>&\u00e9", "\ue000", "\ufb33", "\U0001f600", "\U00010000a",
	}))
	fields := rapid.OneOf(rapid.Just(map[string]string(nil)), rapid.MapOfN(text, text, 0, 6))
	party := rapid.Custom(func(t *rapid.T) Party {
		return Party{
			ID: text.Draw(t, "id"), Name: text.Draw(t, "name"), Href: text.Draw(t, "href"), Type: text.Draw(t, "type"),
			Fields: fields.Draw(t, "fields"),
		}
	})
	at := rapid.Custom(func(t *rapid.T) time.Time { return time.UnixMicro(rapid.Int64Range(0, 4e15).Draw(t, "at")) })
	rapid.Check(t, func(t *rapid.T) {
		const secret = "a secret person"
		e := Event{
			ID: uuid.New(), Seq: rapid.Int64Range(1, 1<<53).Draw(t, "seq"), GroupName: text.Draw(t, "group"),
			Action: "a.b", CRUD: Read, Actor: party.Draw(t, "actor"), Target: party.Draw(t, "target"),
			OnBehalfOf: Named{text.Draw(t, "on behalf of"), secret}, Emitter: Named{text.Draw(t, "emitter"), secret},
			SourceIP: text.Draw(t, "ip"), Description: secret, Fields: fields.Draw(t, "fields"),
			Component: text.Draw(t, "component"), Version: text.Draw(t, "version"),
			ExternalID: text.Draw(t, "external"), Metadata: fields.Draw(t, "metadata"),
			Created: at.Draw(t, "created"), Received: at.Draw(t, "received"),
			CorrelationID: text.Draw(t, "correlation"), PrevChainHash: sum([]byte("prev")),
		}
		sealed, again := e.Seal(), e.Seal()
		if bytes.Equal(sealed.untilPrev, again.untilPrev) {
			t.Fatal("two seals have the same digests")
		}
		hashed := bytes.Join([][]byte{sealed.untilPrev, sealed.untilSeq, sealed.rest}, nil)
		if bytes.Contains(hashed, []byte(secret)) {
			t.Fatalf("the chain hashes %s", hashed)
		}
		line := AppendLine(nil, &e)
		canonical := jsontextCanonical(line)
		if !bytes.Equal(canonical, line[:len(line)-1]) {
			t.Fatalf("got  %s\nwant %s", line, canonical)
		}
	})
}

func jsontextCanonical(line []byte) []byte {
	value := jsontext.Value(bytes.Clone(line))
	if err := value.Canonicalize(); err != nil {
		panic(err)
	}
	return value
}
