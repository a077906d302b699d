package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

func party(id string) Party { return Party{ID: id} }

var retraced = map[string]struct {
	id, group string
	event     AuditEvent
	want      string
	hash      string // of want, where it is known from elsewhere
}{
	"vector 1": {
		id: "ev1", group: "acme",
		event: AuditEvent{Action: "tenant.create", Target: party("t=1"), Actor: party("u:1"), SourceIP: "10.0.0.1",
			Fields: map[string]string{"b;": "1=2", "a%": "x:y"}},
		want: "ev1:tenant.create:t=1:u%3A1:acme:10.0.0.1:0:0:a%25=x%3Ay;b%3B=1%3D2;",
		hash: "ad48080ceb0bb4263c3823a1dd78f1aaf6a3a330061b2eaea008e1e1511e2457",
	},
	"vector 2": {
		id:    "ev2",
		event: AuditEvent{Action: "tenant.read", IsAnonymous: true},
		want:  "ev2:tenant.read:::::0:1::",
		hash:  "941c01b52a22353d420c9f75e806d4f31af9884166fd9983aa44f34a16f794fd",
	},
	"vector 3": {
		id: "ev3", group: "g",
		event: AuditEvent{Action: "a.b", Fields: map[string]string{"k": "v"}, ExternalID: "x:1", Metadata: map[string]string{"m": "1"}},
		want:  "ev3:a.b:::g::0:0:k=v;:x%3A1:m=1;",
		hash:  "f0a946f60e346aff9a3be35580a73a6fc58013828499e75b8feb08ad8943f652",
	},
	"failure": {id: "i", event: AuditEvent{Action: "a", IsFailure: true}, want: "i:a:::::1:0::"},
	"every part is escaped": {
		id: "i:1", group: "g:%",
		event: AuditEvent{Action: "a:b", Target: party("%3A"), Actor: party(":"), SourceIP: "::1", ExternalID: "%:"},
		want:  "i%3A1:a%3Ab:%253A:%3A:g%3A%25:%3A%3A1:0:0:::%25%3A",
	},
	"parts keep = and ;":      {id: "=;", event: AuditEvent{Action: "=;", ExternalID: "=;"}, want: "=;:=;:::::0:0:::=;"},
	"escapes are not escaped": {id: "i", event: AuditEvent{Action: "a", Fields: map[string]string{"%:=;": ";=:%"}}, want: "i:a:::::0:0:%25%3A%3D%3B=%3B%3D%3A%25;"},
	"keys are sorted by their text, not by what they are escaped to": {
		id: "i", event: AuditEvent{Action: "a", Fields: map[string]string{":": "1", "&": "2", "A": "3"}}, want: "i:a:::::0:0:&=2;%3A=1;A=3;",
	},
	"empty fields are there and add nothing": {id: "i", event: AuditEvent{Action: "a", Fields: map[string]string{}}, want: "i:a:::::0:0:"},
	"empty metadata adds nothing":            {id: "i", event: AuditEvent{Action: "a", Metadata: map[string]string{}}, want: "i:a:::::0:0::"},
	"metadata without an external id":        {id: "i", event: AuditEvent{Action: "a", Metadata: map[string]string{"m:": "=%"}}, want: "i:a:::::0:0:::m%3A=%3D%25;"},
	"an empty value":                         {id: "i", event: AuditEvent{Action: "a", Fields: map[string]string{"k": ""}}, want: "i:a:::::0:0:k=;"},
	"what Retraced does not hash": {
		id: "i", event: AuditEvent{Action: "a", CRUD: Create, Description: "d", Component: "c", Version: "v", GroupName: "n", CorrelationID: "r",
			Actor: Party{ID: "u", Name: "n", Href: "h", Type: "t", Fields: map[string]string{"x": "y"}}},
		want: "i:a::u:::0:0::",
	},
}

func TestRetracedText(t *testing.T) {
	t.Parallel()
	for name, c := range retraced {
		got := retracedText(c.id, c.group, c.event)
		if got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, c.want)
		}
		if c.hash != "" && sum([]byte(got)) != c.hash {
			t.Errorf("%s: the hash is %s, want %s", name, sum([]byte(got)), c.hash)
		}
	}
}

func TestRetracedHash_nilGroupIsAbsent(t *testing.T) {
	t.Parallel()
	e := AuditEvent{ID: uuid.MustParse("00000000-0000-4000-8000-000000000009"), Action: "a.b", Target: Party{ID: "t"}}
	if got, want := e.retracedHash(), sum([]byte("00000000-0000-4000-8000-000000000009:a.b:t::::0:0::")); got != want {
		t.Errorf("platform's event: %s, want %s", got, want)
	}
	e.GroupID = AcmeID
	if got, want := e.retracedHash(), sum([]byte("00000000-0000-4000-8000-000000000009:a.b:t::00000000-0000-0000-0000-000000000001::0:0::")); got != want {
		t.Errorf("tenant's event: %s, want %s", got, want)
	}
}

// wholeEvent has every member set.
func wholeEvent() AuditEvent {
	return AuditEvent{
		ID: uuid.MustParse("00000000-0000-4000-8000-000000000007"), Pos: 70, Seq: 7, GroupID: AcmeID, GroupName: "Acme & Söhne",
		Action: "document.share", CRUD: Update,
		Actor:    Party{ID: "u-1", Name: "Acme admin", Href: "https://example.org/u-1?a=1&b=2", Type: "user", Fields: map[string]string{"role": "owner"}},
		Target:   Party{ID: "d-1", Name: "<Plan>", Href: "https://example.org/d-1", Type: "document", Fields: map[string]string{}},
		SourceIP: "192.0.2.1", Description: "line\nline", IsFailure: true, IsAnonymous: true,
		Fields: map[string]string{"b": "2", "a": "1"}, Component: "portal", Version: "1.2.3", ExternalID: "x-1",
		Metadata: map[string]string{"m": "\u20ac"}, Created: time.Date(2026, 1, 2, 4, 4, 5, 678_900_000, time.FixedZone("CET", 3600)),
		Received: time.Date(2026, 1, 2, 3, 4, 6, 0, time.UTC), CorrelationID: "r-1", EmitterID: "svc-1", EmitterName: "portal",
		Hash: "aa", PrevChainHash: "bb", ChainHash: "cc",
	}
}

// These texts are hashed by everybody who ever verified a chain, so they never change.
func TestCanonical_neverChanges(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		event AuditEvent
		want  string
	}{
		"every member": {wholeEvent(), `{"action":"document.share",` +
			`"actor":{"fields":{"role":"owner"},"href":"https://example.org/u-1?a=1&b=2","id":"u-1","name":"Acme admin","type":"user"},` +
			`"component":"portal","correlation_id":"r-1","created":"2026-01-02T03:04:05.678900Z","crud":"u","description":"line\nline",` +
			`"emitter":{"id":"svc-1","name":"portal"},"external_id":"x-1","fields":{"a":"1","b":"2"},"group":{"id":"00000000-0000-0000-0000-000000000001","name":"Acme & Söhne"},` +
			`"hash":"aa","id":"00000000-0000-4000-8000-000000000007","is_anonymous":true,"is_failure":true,"metadata":{"m":"€"},` +
			`"prev_chain_hash":"bb","received":"2026-01-02T03:04:06.000000Z","seq":7,"source_ip":"192.0.2.1",` +
			`"target":{"fields":{},"href":"https://example.org/d-1","id":"d-1","name":"<Plan>","type":"document"},"version":"1.2.3"}`},
		"nothing": {AuditEvent{}, `{"action":"","created":"0001-01-01T00:00:00.000000Z","crud":"","hash":"",` +
			`"id":"00000000-0000-0000-0000-000000000000","is_anonymous":false,"is_failure":false,"prev_chain_hash":"",` +
			`"received":"0001-01-01T00:00:00.000000Z","seq":0}`},
		"empty maps are there": {AuditEvent{Fields: map[string]string{}, Metadata: map[string]string{}},
			`{"action":"","created":"0001-01-01T00:00:00.000000Z","crud":"","fields":{},"hash":"",` +
				`"id":"00000000-0000-0000-0000-000000000000","is_anonymous":false,"is_failure":false,"metadata":{},"prev_chain_hash":"",` +
				`"received":"0001-01-01T00:00:00.000000Z","seq":0}`},
	} {
		if got := string(c.event.canonical()); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, c.want)
		}
	}
}

// The members are in the order of UTF-16 code units, which is not the order of bytes: the example of RFC 8785, section 3.2.3.
func TestCanonical_orderOfMembers(t *testing.T) {
	t.Parallel()
	e := AuditEvent{Fields: map[string]string{
		"\u20ac": "5", "\r": "1", "\ufb33": "7", "1": "2", "\U0001f600": "6", "\u0080": "3", "\u00f6": "4",
	}}
	want := `"fields":{"\r":"1","1":"2","` + "\u0080" + `":"3","` + "\u00f6" + `":"4","` + "\u20ac" + `":"5","` + "\U0001f600" + `":"6","` + "\ufb33" + `":"7"}`
	if got := string(e.canonical()); !strings.Contains(got, want) {
		t.Errorf("got %s\nwant %s in it", got, want)
	}
}

// Every member of an event, also one that somebody adds tomorrow, is in the canonical text unless it is named here.
func TestCanonical_holdsEveryMember(t *testing.T) {
	t.Parallel()
	left := map[string]bool{"Pos": true, "ChainHash": true, "Once": true}
	whole := wholeEvent()
	for i := range reflect.TypeFor[AuditEvent]().NumField() {
		field := reflect.TypeFor[AuditEvent]().Field(i)
		without := whole
		reflect.ValueOf(&without).Elem().Field(i).SetZero()
		if changes := !bytes.Equal(without.canonical(), whole.canonical()); changes == left[field.Name] {
			t.Errorf("%s is in the canonical text: %t", field.Name, changes)
		}
	}
	for i := range reflect.TypeFor[Party]().NumField() {
		without := whole
		reflect.ValueOf(&without.Target).Elem().Field(i).SetZero()
		if bytes.Equal(without.canonical(), whole.canonical()) {
			t.Errorf("the target's %s is not in the canonical text", reflect.TypeFor[Party]().Field(i).Name)
		}
	}
}

func TestFormatTime(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		at   time.Time
		want string
	}{
		{time.Date(2026, 3, 1, 0, 30, 0, 0, time.FixedZone("", 3600)), "2026-02-28T23:30:00.000000Z"},
		{time.Date(2026, 3, 1, 0, 0, 0, 1_999, time.UTC), "2026-03-01T00:00:00.000001Z"},
		{time.Date(9999, 12, 31, 23, 59, 59, 999_999_999, time.UTC), "9999-12-31T23:59:59.999999Z"},
	} {
		if got := FormatTime(c.at); got != c.want {
			t.Errorf("FormatTime(%v) = %s, want %s", c.at, got, c.want)
		}
	}
}

// chainTx is a transaction that knows nothing but an audit log.
type chainTx struct {
	Tx
	head AuditHead
	log  []AuditEvent
}

func (tx *chainTx) AuditHead(context.Context, uuid.UUID) (AuditHead, error) { return tx.head, nil }

func (tx *chainTx) InsertEvent(_ context.Context, e AuditEvent) error {
	tx.log = append(tx.log, e)
	tx.head = AuditHead{Pos: e.Pos, Seq: e.Seq, ChainHash: e.ChainHash}
	return nil
}

func TestAppendEvent(t *testing.T) {
	t.Parallel()
	tx := &chainTx{head: AuditHead{Pos: 41}}
	for range 3 {
		forged := wholeEvent() // with a place and hashes of its author's own, which must not count
		if _, err := appendEvent(t.Context(), tx, forged); err != nil {
			t.Fatal(err)
		}
	}
	prev := strings.Repeat("0", 64)
	for i, e := range tx.log {
		if e.Seq != int64(i+1) || e.Pos != int64(42+i) {
			t.Errorf("event %d is at seq %d, pos %d", i, e.Seq, e.Pos)
		}
		if e.PrevChainHash != prev {
			t.Errorf("event %d follows %s, want %s", i, e.PrevChainHash, prev)
		}
		if e.Hash != e.retracedHash() || e.ChainHash != sum(e.canonical()) {
			t.Errorf("event %d has the hashes %s and %s", i, e.Hash, e.ChainHash)
		}
		var members map[string]any
		if err := json.Unmarshal(e.canonical(), &members); err != nil || members["hash"] != e.Hash || members["prev_chain_hash"] != prev {
			t.Errorf("event %d hashes %v (%v)", i, members, err)
		}
		prev = e.ChainHash
	}
}
