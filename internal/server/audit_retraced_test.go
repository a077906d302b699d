package server

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/go-json-experiment/json"

	"github.com/breakpilot/tenant-registry/internal/auth"
)

// retracedEvent is what Retraced's SDK looks at of an event that it sends, as the request's body has it.
type retracedEvent struct {
	Action      string              `json:"action"`
	Target      struct{ ID string } `json:"target"`
	Actor       struct{ ID string } `json:"actor"`
	Group       struct{ ID string } `json:"group"`
	SourceIP    string              `json:"source_ip"`
	IsFailure   bool                `json:"is_failure"`
	IsAnonymous bool                `json:"is_anonymous"`
	Fields      map[string]string   `json:"fields"`
	ExternalID  string              `json:"external_id"`
	Metadata    map[string]string   `json:"metadata"`
}

// sdkText is what the SDK hashes of an event that it has sent and that was answered with an id. keys says in which
// order it visits a map's.
func sdkText(id string, body string, keys func(map[string]string) []string) string {
	var e retracedEvent
	if err := json.Unmarshal([]byte(body), &e, json.MatchCaseInsensitiveNames(true)); err != nil {
		panic(err)
	}
	one := func(s string) string { return strings.ReplaceAll(strings.ReplaceAll(s, "%", "%25"), ":", "%3A") }
	two := func(s string) string { return strings.ReplaceAll(strings.ReplaceAll(one(s), "=", "%3D"), ";", "%3B") }
	bit := map[bool]string{true: "1", false: "0"}
	pairs := func(m map[string]string) (text string) {
		for _, key := range keys(m) {
			text += two(key) + "=" + two(m[key]) + ";"
		}
		return text
	}
	var text string
	for _, part := range []string{
		id, e.Action, e.Target.ID, e.Actor.ID, e.Group.ID, e.SourceIP, bit[e.IsFailure], bit[e.IsAnonymous],
	} {
		text += one(part) + ":"
	}
	if e.Fields == nil {
		text += ":"
	}
	text += pairs(e.Fields)
	if e.ExternalID != "" {
		text += ":" + one(e.ExternalID)
	}
	if e.Metadata != nil {
		text += ":" + pairs(e.Metadata)
	}
	return text
}

func hexSum(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// byUnits are keys as JavaScript sorts them, by UTF-16 code units.
func byUnits(m map[string]string) []string {
	return slices.SortedFunc(maps.Keys(m), func(a, b string) int {
		return slices.Compare(utf16.Encode([]rune(a)), utf16.Encode([]rune(b)))
	})
}

// byBytes are keys as Go sorts them.
func byBytes(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }

// TestRetraced_itsOwnCheckPasses asserts that the hash of an answer is the one that Retraced's SDK computes of what it
// has sent, of one event and of many, by an operator and by a portal that acts for a user.
func TestRetraced_itsOwnCheckPasses(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		group := object{"id": api.tenant("globex").ID}
		server, who := guarded(api, Config{})
		operator := who.add(service("ops", "", auth.RoleOperator))
		portal := who.add(service("portal", "", auth.RolePortal))
		bodies := map[string]object{
			"plain":                   {},
			"an address in long form": {"source_ip": "2001:0DB8::0001"},
			"an IPv4 address in IPv6": {"source_ip": "::FFFF:192.0.2.1"},
			"empty metadata":          {"metadata": object{}},
			"empty fields":            {"fields": object{}},
			"empty both":              {"fields": object{}, "metadata": object{}},
			"nulls":                   {"fields": nil, "metadata": nil, "external_id": nil, "source_ip": nil},
			"names by UTF-16 units":   {"fields": object{"\uff5e": "1", "\U0001f600": "2"}},
			"both maps by UTF-16 units": {
				"fields":   object{"\uff5e": "1", "\U0001f600": "2"},
				"metadata": object{"\ue000": "=", "\U00010000": ";:%"},
			},
			"all that is escaped": {
				"target": object{"id": "t=1;%:"}, "external_id": "x:%3A", "fields": object{"%:=;": ";=:%"},
				"is_failure": true,
			},
		}
		for name, body := range bodies {
			body["action"], body["crud"], body["group"], body["actor"] = "a.b", "c", group, object{"id": "u:1"}
			for caller, as := range map[string]func(r request) request{
				"an operator": func(r request) request { return r.by(operator) },
				"a portal": func(r request) request {
					return r.by(portal).with(claimID, "user-7").with(claimName, "A user")
				},
			} {
				t.Run(name+" by "+caller, func(t *testing.T) { passesSDK(server.in(t), body, as) })
			}
		}
	})
}

// passesSDK sends an event alone and twice in a bulk, and asserts the hashes of the answers.
func passesSDK(server *client, body object, by func(r request) request) {
	server.t.Helper()
	alone := jsonRequest("/v1/audit", body)
	receipts := []recordedBody{as[recordedBody](server.call(by(alone)).want(http.StatusCreated))}
	receipts = append(receipts, as[[]recordedBody](
		server.call(by(recordEvents(body, body))).want(http.StatusCreated),
	)...)
	for i, got := range receipts {
		if text := sdkText(got.ID.String(), alone.body, byUnits); got.Hash != hexSum(text) {
			server.t.Errorf("receipt %d is not the hash of %s", i, text)
		}
	}
}

// TestRetraced_theCheckIsRetraceds asserts the SDK's hash of events whose hashes are known from elsewhere, and that the
// cases that an obvious server gets wrong are such: keys in the order of their bytes have another hash.
func TestRetraced_theCheckIsRetraceds(t *testing.T) {
	t.Parallel()
	for id, known := range map[string][2]string{
		"ev1": {
			`{"action":"tenant.create","target":{"id":"t=1"},"actor":{"id":"u:1"},"group":{"id":"acme"},
			"source_ip":"10.0.0.1","fields":{"b;":"1=2","a%":"x:y"}}`,
			"ad48080ceb0bb4263c3823a1dd78f1aaf6a3a330061b2eaea008e1e1511e2457",
		},
		"ev2": {
			`{"action":"tenant.read","is_anonymous":true}`,
			"941c01b52a22353d420c9f75e806d4f31af9884166fd9983aa44f34a16f794fd",
		},
		"ev3": {
			`{"action":"a.b","group":{"id":"g"},"fields":{"k":"v"},"external_id":"x:1","metadata":{"m":"1"}}`,
			"f0a946f60e346aff9a3be35580a73a6fc58013828499e75b8feb08ad8943f652",
		},
	} {
		if text := sdkText(id, known[0], byUnits); hexSum(text) != known[1] {
			t.Errorf("the hash of %s is %s, want %s", text, hexSum(text), known[1])
		}
	}
	const body = `{"action":"a","fields":{"\uff5e":"1","\ud83d\ude00":"2"}}`
	if units := sdkText("i", body, byUnits); units != "i:a:::::0:0:\U0001f600=2;\uff5e=1;" ||
		units == sdkText("i", body, byBytes) {
		t.Errorf("the order is that of %s", units)
	}
}
