package audit

import (
	"testing"

	"github.com/google/uuid"
)

func party(id string) Party { return Party{ID: id} }

var retraced = map[string]struct {
	id, group string
	event     Event
	want      string
	hash      string // of want, where it is known from elsewhere
}{
	"vector 1": {
		id: "ev1", group: "acme",
		event: Event{Action: "tenant.create", Target: party("t=1"), Actor: party("u:1"), SourceIP: "10.0.0.1",
			Fields: map[string]string{"b;": "1=2", "a%": "x:y"}},
		want: "ev1:tenant.create:t=1:u%3A1:acme:10.0.0.1:0:0:a%25=x%3Ay;b%3B=1%3D2;",
		hash: "ad48080ceb0bb4263c3823a1dd78f1aaf6a3a330061b2eaea008e1e1511e2457",
	},
	"vector 2": {
		id:    "ev2",
		event: Event{Action: "tenant.read", IsAnonymous: true},
		want:  "ev2:tenant.read:::::0:1::",
		hash:  "941c01b52a22353d420c9f75e806d4f31af9884166fd9983aa44f34a16f794fd",
	},
	"vector 3": {
		id: "ev3", group: "g",
		event: Event{
			Action: "a.b", Fields: map[string]string{"k": "v"}, ExternalID: "x:1",
			Metadata: map[string]string{"m": "1"},
		},
		want: "ev3:a.b:::g::0:0:k=v;:x%3A1:m=1;",
		hash: "f0a946f60e346aff9a3be35580a73a6fc58013828499e75b8feb08ad8943f652",
	},
	"failure": {id: "i", event: Event{Action: "a", IsFailure: true}, want: "i:a:::::1:0::"},
	"every part is escaped": {
		id: "i:1", group: "g:%",
		event: Event{Action: "a:b", Target: party("%3A"), Actor: party(":"), SourceIP: "::1", ExternalID: "%:"},
		want:  "i%3A1:a%3Ab:%253A:%3A:g%3A%25:%3A%3A1:0:0:::%25%3A",
	},
	"parts keep = and ;": {id: "=;", event: Event{Action: "=;", ExternalID: "=;"}, want: "=;:=;:::::0:0:::=;"},
	"escapes are not escaped": {
		id: "i", event: Event{Action: "a", Fields: map[string]string{"%:=;": ";=:%"}},
		want: "i:a:::::0:0:%25%3A%3D%3B=%3B%3D%3A%25;",
	},
	"keys are sorted by their text, not by what they are escaped to": {
		id: "i", event: Event{Action: "a", Fields: map[string]string{":": "1", "&": "2", "A": "3"}},
		want: "i:a:::::0:0:&=2;%3A=1;A=3;",
	},
	"empty fields are there and add nothing": {
		id: "i", event: Event{Action: "a", Fields: map[string]string{}}, want: "i:a:::::0:0:",
	},
	"empty metadata is there": {
		id: "i", event: Event{Action: "a", Metadata: map[string]string{}}, want: "i:a:::::0:0:::",
	},
	"keys are sorted by their UTF-16 code units": {
		id: "i", event: Event{Action: "a", Fields: map[string]string{"\uff5e": "1", "\U0001f600": "2"}},
		want: "i:a:::::0:0:\U0001f600=2;\uff5e=1;",
	},
	"metadata without an external id": {
		id: "i", event: Event{Action: "a", Metadata: map[string]string{"m:": "=%"}}, want: "i:a:::::0:0:::m%3A=%3D%25;",
	},
	"an empty value": {
		id: "i", event: Event{Action: "a", Fields: map[string]string{"k": ""}}, want: "i:a:::::0:0:k=;",
	},
	"what Retraced does not hash": {
		id: "i", event: Event{
			Action: "a", CRUD: Create, Description: "d", Component: "c", Version: "v", GroupName: "n",
			CorrelationID: "r",
			Actor:         Party{ID: "u", Name: "n", Href: "h", Type: "t", Fields: map[string]string{"x": "y"}},
		},
		want: "i:a::u:::0:0::",
	},
}

func TestRetracedText_matchesRetraced(t *testing.T) {
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
	e := Event{ID: uuid.MustParse("00000000-0000-4000-8000-000000000009"), Action: "a.b", Target: Party{ID: "t"}}
	if got, want := e.RetracedHash(), sum([]byte("00000000-0000-4000-8000-000000000009:a.b:t::::0:0::")); got != want {
		t.Errorf("platform's event: %s, want %s", got, want)
	}
	e.GroupID = acme
	text := "00000000-0000-4000-8000-000000000009:a.b:t::00000000-0000-0000-0000-000000000001::0:0::"
	if got, want := e.RetracedHash(), sum([]byte(text)); got != want {
		t.Errorf("tenant's event: %s, want %s", got, want)
	}
}
