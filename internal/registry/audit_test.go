package registry

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

func reportedEvent() AuditEvent {
	return AuditEvent{GroupID: AcmeID, GroupName: "Acme", Action: "document.share", CRUD: Update, Actor: Party{ID: "u"}, Target: Party{ID: "d"}}
}

const (
	badAction  = "/action is required: segments of letters, digits, '_' and '-' joined by '.', at most 200 characters"
	badCRUD    = "/crud is required and must be one of c, r, u, d"
	badIP      = "/source_ip must be an IPv4 or IPv6 address without a zone"
	badCreated = "/created must lie in the years 1970 to 9999"
	ownName    = "/component is the name of this service, which writes its own events"
	most200    = "must have at most 200 characters"
)

var (
	long201 = strings.Repeat("ä", 201)
	west    = time.FixedZone("", -3600)
)

// newYearsEve is half an hour before the end of a year in some zone.
func newYearsEve(year int, zone *time.Location) time.Time {
	return time.Date(year, 12, 31, 23, 30, 0, 0, zone)
}

// spoiled are ways to change a good event, and what is then to be said of it.
var spoiled = map[string]struct {
	change func(*AuditEvent)
	want   []string
}{
	"good":               {func(*AuditEvent) {}, nil},
	"everything missing": {func(e *AuditEvent) { *e = AuditEvent{} }, []string{badAction, badCRUD, "/actor is required unless is_anonymous is true"}},
	"platform, no group": {func(e *AuditEvent) { e.GroupID, e.GroupName = uuid.Nil, "" }, nil},
	"group without id":   {func(e *AuditEvent) { e.GroupID = uuid.Nil }, []string{"/group/id is required"}},
	"no target":          {func(e *AuditEvent) { e.Target = Party{} }, nil},
	"anonymous":          {func(e *AuditEvent) { e.Actor, e.IsAnonymous = Party{}, true }, nil},
	"anonymous, named":   {func(e *AuditEvent) { e.IsAnonymous = true }, nil},
	"actor without id":   {func(e *AuditEvent) { e.Actor = Party{Name: "Acme admin"} }, []string{"/actor/id is required"}},
	"anonymous actor without id": {func(e *AuditEvent) { e.Actor, e.IsAnonymous = Party{Type: "user"}, true },
		[]string{"/actor/id is required"}},
	"actor of fields alone":                {func(e *AuditEvent) { e.Actor, e.IsAnonymous = Party{Fields: map[string]string{}}, true }, []string{"/actor/id is required"}},
	"target without id":                    {func(e *AuditEvent) { e.Target = Party{Href: "https://example.org"} }, []string{"/target/id is required"}},
	"blank ids":                            {func(e *AuditEvent) { e.Actor.ID, e.Target.ID = " ", "\t" }, []string{"/actor/id must not be blank", "/target/id must not be blank"}},
	"one segment":                          {func(e *AuditEvent) { e.Action = "login" }, nil},
	"many segments":                        {func(e *AuditEvent) { e.Action = "a.B_c-d.0.e" }, nil},
	"action of 200":                        {func(e *AuditEvent) { e.Action = strings.Repeat("a", 200) }, nil},
	"action of 201":                        {func(e *AuditEvent) { e.Action = strings.Repeat("a", 201) }, []string{badAction}},
	"action with a gap":                    {func(e *AuditEvent) { e.Action = "a..b" }, []string{badAction}},
	"action with a dot first":              {func(e *AuditEvent) { e.Action = ".a" }, []string{badAction}},
	"action with a dot last":               {func(e *AuditEvent) { e.Action = "a." }, []string{badAction}},
	"action with a star":                   {func(e *AuditEvent) { e.Action = "a.*" }, []string{badAction}},
	"action with a space":                  {func(e *AuditEvent) { e.Action = "a b" }, []string{badAction}},
	"action with a line end":               {func(e *AuditEvent) { e.Action = "a\n" }, []string{badAction}},
	"action beyond ASCII":                  {func(e *AuditEvent) { e.Action = "größe" }, []string{badAction}},
	"crud in upper case":                   {func(e *AuditEvent) { e.CRUD = "C" }, []string{badCRUD}},
	"crud of two":                          {func(e *AuditEvent) { e.CRUD = "cr" }, []string{badCRUD}},
	"IPv4":                                 {func(e *AuditEvent) { e.SourceIP = "192.0.2.1" }, nil},
	"loopback":                             {func(e *AuditEvent) { e.SourceIP = "::1" }, nil},
	"IPv4 mapped":                          {func(e *AuditEvent) { e.SourceIP = "::ffff:192.0.2.1" }, nil},
	"IPv6 of eight groups":                 {func(e *AuditEvent) { e.SourceIP = "2001:0DB8:0:0:0:0:0:1" }, nil},
	"garbage behind":                       {func(e *AuditEvent) { e.SourceIP = "2001:db8::1 garbage" }, []string{badIP}},
	"zone":                                 {func(e *AuditEvent) { e.SourceIP = "fe80::1%eth0" }, []string{badIP}},
	"zone of a mapped address":             {func(e *AuditEvent) { e.SourceIP = "::ffff:192.0.2.1%1" }, []string{badIP}},
	"leading zero":                         {func(e *AuditEvent) { e.SourceIP = "192.0.2.01" }, []string{badIP}},
	"port":                                 {func(e *AuditEvent) { e.SourceIP = "192.0.2.1:80" }, []string{badIP}},
	"brackets":                             {func(e *AuditEvent) { e.SourceIP = "[::1]" }, []string{badIP}},
	"network":                              {func(e *AuditEvent) { e.SourceIP = "192.0.2.0/24" }, []string{badIP}},
	"host name":                            {func(e *AuditEvent) { e.SourceIP = "localhost" }, []string{badIP}},
	"space":                                {func(e *AuditEvent) { e.SourceIP = " " }, []string{badIP}},
	"the first of 1970":                    {func(e *AuditEvent) { e.Created = time.Unix(0, 0) }, nil},
	"before 1970":                          {func(e *AuditEvent) { e.Created = time.Unix(0, -1) }, []string{badCreated}},
	"the last of 1969 in UTC-1 is in 1970": {func(e *AuditEvent) { e.Created = newYearsEve(1969, west) }, nil},
	"the last of 9999":                     {func(e *AuditEvent) { e.Created = newYearsEve(9999, time.UTC) }, nil},
	"the last of 9999 in UTC-1":            {func(e *AuditEvent) { e.Created = newYearsEve(9999, west) }, []string{badCreated}},
	"a component":                          {func(e *AuditEvent) { e.Component = "portal" }, nil},
	"our component":                        {func(e *AuditEvent) { e.Component = "tenant-registry" }, []string{ownName}},
	"sizes": {func(e *AuditEvent) {
		e.GroupName, e.Component, e.Version, e.ExternalID, e.CorrelationID = long201, long201, long201, long201, long201
		e.Actor = Party{ID: long201, Name: long201, Type: long201, Href: strings.Repeat("h", 2001)}
		e.Description = strings.Repeat("d", 2001)
	}, []string{"/group/name " + most200, "/actor/id " + most200, "/actor/name " + most200, "/actor/href must have at most 2000 characters",
		"/actor/type " + most200, "/description must have at most 2000 characters", "/component " + most200, "/version " + most200, "/external_id " + most200, "/correlation_id " + most200}},
	"64 fields": {func(e *AuditEvent) { e.Fields = entries(64) }, nil},
	"65 fields each": {func(e *AuditEvent) { e.Fields, e.Actor.Fields, e.Target.Fields = entries(65), entries(65), entries(65) },
		[]string{"/actor/fields must have at most 64 entries", "/target/fields must have at most 64 entries", "/fields must have at most 64 entries"}},
	"33 of metadata":   {func(e *AuditEvent) { e.Metadata = entries(33) }, []string{"/metadata must have at most 32 entries"}},
	"metadata's value": {func(e *AuditEvent) { e.Metadata = map[string]string{"a/b": strings.Repeat("x", 257)} }, []string{"/metadata/a~1b must have at most 256 characters"}},
	"hidden text":      {func(e *AuditEvent) { e.Description, e.Version = "a\u202eb", "1\u200b" }, []string{"/description " + notShown, "/version " + notShown}},
}

func TestAuditEvent_validate(t *testing.T) {
	t.Parallel()
	for name, c := range spoiled {
		e := reportedEvent()
		c.change(&e)
		if got := violations(t, e.validate()); !slices.Equal(got, c.want) {
			t.Errorf("%s:\n got %q\nwant %q", name, got, c.want)
		}
	}
}

func TestAuditEvent_atMost16KiB(t *testing.T) {
	t.Parallel()
	e := reportedEvent()
	e.Fields = map[string]string{"f": ""}
	e.Fields["f"] = strings.Repeat("x", 16<<10-len(e.canonical()))
	if n := len(e.canonical()); n != 16<<10 {
		t.Fatalf("the event has %d bytes, so this test is wrong", n)
	}
	if got := violations(t, e.validate()); got != nil {
		t.Errorf("16 KiB: %q", got)
	}
	e.Fields["f"] += "x"
	if got := violations(t, e.validate()); !slices.Equal(got, []string{" must be at most 16384 bytes as canonical JSON"}) {
		t.Errorf("a byte more: %q", got)
	}
	e.Fields["f"] = strings.Repeat("ä", 9<<10) // bytes, not characters
	if got := violations(t, e.validate()); len(got) != 1 {
		t.Errorf("9 Ki characters of two bytes: %q", got)
	}
}

func TestReported(t *testing.T) {
	t.Parallel()
	berlin := time.FixedZone("CET", 3600)
	now := time.Date(2026, 5, 4, 13, 0, 0, 1999, berlin)
	s := New(nil, Options{Now: func() time.Time { return now }})
	by := Caller{Actor: Party{ID: "svc", Name: "Portal"}, RequestID: "r-1", SourceIP: "192.0.2.9"}
	received := time.Date(2026, 5, 4, 12, 0, 0, 1000, time.UTC)

	e := s.reported(reportedEvent(), by)
	if e.ID == uuid.Nil || e.Received != received || e.Created != received || e.CorrelationID != "r-1" || e.EmitterID != "svc" || e.EmitterName != "Portal" {
		t.Errorf("what the caller left out: %+v", e)
	}
	if e.Actor.ID != "u" || e.SourceIP != "" || e.Component != "" {
		t.Errorf("what the caller said was changed: %+v", e)
	}
	for text, want := range map[string]string{
		"2001:0DB8:0:0:0:0:0:1": "2001:db8::1", "::FFFF:c000:201": "::ffff:192.0.2.1", "192.0.2.1": "192.0.2.1", "::1": "::1",
	} {
		given := reportedEvent()
		given.SourceIP = text
		if got := s.reported(given, by).SourceIP; got != want {
			t.Errorf("source_ip %s becomes %q, want %q", text, got, want)
		}
	}
	for _, created := range []time.Time{time.Date(1999, 1, 1, 0, 30, 0, 123_456_789, berlin), now.Add(100 * 365 * 24 * time.Hour)} {
		given := reportedEvent()
		given.Created, given.CorrelationID, given.EmitterID = created, "mine", "forged"
		e := s.reported(given, by)
		if want := created.UTC().Truncate(time.Microsecond); e.Created != want || e.Received != received {
			t.Errorf("created %v, received %v; want %v, %v", e.Created, e.Received, want, received)
		}
		if e.CorrelationID != "mine" || e.EmitterID != "svc" {
			t.Errorf("correlation %q, emitter %q", e.CorrelationID, e.EmitterID)
		}
	}
}

func TestActionFilter(t *testing.T) {
	t.Parallel()
	seg200 := strings.Repeat("a", 200)
	for text, want := range map[string]AuditQuery{
		"tenant.create": {Action: "tenant.create"}, "login": {Action: "login"}, "a.b.c": {Action: "a.b.c"}, seg200: {Action: seg200},
		"tenant.*": {Area: "tenant"}, "A_b-0.*": {Area: "A_b-0"}, seg200 + ".*": {Area: seg200},
	} {
		q := AuditQuery{Limit: 7, ActorID: "u"}
		want.Limit, want.ActorID = 7, "u"
		if err := q.ActionFilter(text); err != nil || q != want {
			t.Errorf("%s: %+v, %v", text, q, err)
		}
	}
	for _, text := range []string{"", "*", ".*", "a*", "a.b.*", "a.*.b", "*.a", "a.**", "a.*.*", "a..b", "a.", ".a", "a b", "a\n", "a.*\n", "ä", "ä.*", "%", "a%", seg200 + "a", seg200 + "a.*"} {
		var q AuditQuery
		err := q.ActionFilter(text)
		if err == nil || q != (AuditQuery{}) {
			t.Errorf("%q: %+v, %v", text, q, err)
		}
		if len(text) > 3 && err != nil && strings.Contains(err.Error(), text) {
			t.Errorf("%q is echoed: %v", text, err)
		}
	}
}

func TestAuditEvent_Area(t *testing.T) {
	t.Parallel()
	for action, want := range map[string]string{"a.b.c": "a", "login": "login", "": ""} {
		if got := (AuditEvent{Action: action}).Area(); got != want {
			t.Errorf("%q is of the area %q", action, got)
		}
	}
}

// validate is Violations in the shape in which every other command is tested.
func (e AuditEvent) validate() error {
	if found := e.Violations(); found != nil {
		return invalidMembers(found...)
	}
	return nil
}
