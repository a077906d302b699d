package registry

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/audit"
)

func reportedEvent() audit.Event {
	return audit.Event{
		GroupID: AcmeID, GroupName: "Acme", Action: "document.share", CRUD: audit.Update, Actor: audit.Party{ID: "u"},
		Target: audit.Party{ID: "d"},
	}
}

const (
	badAction  = "/action must be segments of letters, digits, '_' and '-' joined by '.', at most 200 characters"
	badCRUD    = "/crud must be one of c, r, u, d"
	badIP      = "/source_ip must be an IPv4 or IPv6 address without a zone"
	badCreated = "/created must be in the years 1970 to 9999"
	ownName    = "/component must not be, or look like, the name of this service"
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
	change func(*audit.Event)
	want   []string
}{
	"good": {func(*audit.Event) {}, nil},
	"everything missing": {
		func(e *audit.Event) { *e = audit.Event{} },
		[]string{"/action is required", "/crud is required", "/actor is required unless is_anonymous is true"},
	},
	"platform, no group": {func(e *audit.Event) { e.GroupID, e.GroupName = uuid.Nil, "" }, nil},
	"group without id":   {func(e *audit.Event) { e.GroupID = uuid.Nil }, []string{"/group/id is required"}},
	"no target":          {func(e *audit.Event) { e.Target = audit.Party{} }, nil},
	"anonymous":          {func(e *audit.Event) { e.Actor, e.IsAnonymous = audit.Party{}, true }, nil},
	"anonymous, named":   {func(e *audit.Event) { e.IsAnonymous = true }, nil},
	"actor without id": {
		func(e *audit.Event) { e.Actor = audit.Party{Name: "Acme admin"} }, []string{"/actor/id is required"},
	},
	"anonymous actor without id": {func(e *audit.Event) { e.Actor, e.IsAnonymous = audit.Party{Type: "user"}, true },
		[]string{"/actor/id is required"}},
	"actor of fields alone": {
		func(e *audit.Event) { e.Actor, e.IsAnonymous = audit.Party{Fields: map[string]string{}}, true },
		[]string{"/actor/id is required"},
	},
	"target without id": {
		func(e *audit.Event) { e.Target = audit.Party{Href: "https://example.org"} },
		[]string{"/target/id is required"},
	},
	"blank ids": {
		func(e *audit.Event) { e.Actor.ID, e.Target.ID = " ", "\t" },
		[]string{"/actor/id must not be blank", "/target/id must not be blank"},
	},
	"one segment":   {func(e *audit.Event) { e.Action = "login" }, nil},
	"many segments": {func(e *audit.Event) { e.Action = "a.B_c-d.0.e" }, nil},
	"action of 200": {func(e *audit.Event) { e.Action = strings.Repeat("a", 200) }, nil},
	"action of 201": {
		func(e *audit.Event) { e.Action = strings.Repeat("a", 201) }, []string{badAction},
	},
	"action with a gap":       {func(e *audit.Event) { e.Action = "a..b" }, []string{badAction}},
	"action with a dot first": {func(e *audit.Event) { e.Action = ".a" }, []string{badAction}},
	"action with a dot last":  {func(e *audit.Event) { e.Action = "a." }, []string{badAction}},
	"action with a star":      {func(e *audit.Event) { e.Action = "a.*" }, []string{badAction}},
	"action with a space":     {func(e *audit.Event) { e.Action = "a b" }, []string{badAction}},
	"action with a line end":  {func(e *audit.Event) { e.Action = "a\n" }, []string{badAction}},
	"action beyond ASCII":     {func(e *audit.Event) { e.Action = "größe" }, []string{badAction}},
	"crud in upper case":      {func(e *audit.Event) { e.CRUD = "C" }, []string{badCRUD}},
	"crud of two":             {func(e *audit.Event) { e.CRUD = "cr" }, []string{badCRUD}},
	"IPv4":                    {func(e *audit.Event) { e.SourceIP = "192.0.2.1" }, nil},
	"loopback":                {func(e *audit.Event) { e.SourceIP = "::1" }, nil},
	"IPv4 mapped":             {func(e *audit.Event) { e.SourceIP = "::ffff:192.0.2.1" }, nil},
	"IPv6 of eight groups":    {func(e *audit.Event) { e.SourceIP = "2001:0DB8:0:0:0:0:0:1" }, nil},
	"trailing data": {
		func(e *audit.Event) { e.SourceIP = "2001:db8::1 garbage" }, []string{badIP},
	},
	"zone": {func(e *audit.Event) { e.SourceIP = "fe80::1%eth0" }, []string{badIP}},
	"zone of a mapped address": {
		func(e *audit.Event) { e.SourceIP = "::ffff:192.0.2.1%1" }, []string{badIP},
	},
	"leading zero":      {func(e *audit.Event) { e.SourceIP = "192.0.2.01" }, []string{badIP}},
	"port":              {func(e *audit.Event) { e.SourceIP = "192.0.2.1:80" }, []string{badIP}},
	"brackets":          {func(e *audit.Event) { e.SourceIP = "[::1]" }, []string{badIP}},
	"network":           {func(e *audit.Event) { e.SourceIP = "192.0.2.0/24" }, []string{badIP}},
	"host name":         {func(e *audit.Event) { e.SourceIP = "localhost" }, []string{badIP}},
	"space":             {func(e *audit.Event) { e.SourceIP = " " }, []string{badIP}},
	"the first of 1970": {func(e *audit.Event) { e.Created = time.Unix(0, 0) }, nil},
	"before 1970": {
		func(e *audit.Event) { e.Created = time.Unix(0, -1) }, []string{badCreated},
	},
	"the last of 1969 in UTC-1 is in 1970": {func(e *audit.Event) { e.Created = newYearsEve(1969, west) }, nil},
	"the last of 9999":                     {func(e *audit.Event) { e.Created = newYearsEve(9999, time.UTC) }, nil},
	"the last of 9999 in UTC-1": {
		func(e *audit.Event) { e.Created = newYearsEve(9999, west) }, []string{badCreated},
	},
	"a component": {func(e *audit.Event) { e.Component = "portal" }, nil},
	"our component": {
		func(e *audit.Event) { e.Component = "tenant-registry" }, []string{ownName},
	},
	"sizes": {func(e *audit.Event) {
		e.GroupName, e.Component, e.Version, e.ExternalID, e.CorrelationID = long201, long201, long201, long201, long201
		e.Actor = audit.Party{ID: long201, Name: long201, Type: long201, Href: strings.Repeat("h", 2001)}
		e.Description = strings.Repeat("d", 2001)
	}, []string{
		"/group/name " + most200, "/actor/id " + most200, "/actor/name " + most200,
		"/actor/href must have at most 2000 characters", "/actor/type " + most200,
		"/description must have at most 2000 characters", "/component " + most200, "/version " + most200,
		"/external_id " + most200, "/correlation_id " + most200,
	}},
	"64 fields": {func(e *audit.Event) { e.Fields = entries(64) }, nil},
	"65 fields each": {func(e *audit.Event) {
		e.Fields, e.Actor.Fields, e.Target.Fields = entries(65), entries(65), entries(65)
	}, []string{
		"/actor/fields must have at most 64 entries", "/target/fields must have at most 64 entries",
		"/fields must have at most 64 entries",
	}},
	"33 of metadata": {
		func(e *audit.Event) { e.Metadata = entries(33) }, []string{"/metadata must have at most 32 entries"},
	},
	"metadata's value": {
		func(e *audit.Event) { e.Metadata = map[string]string{"a/b": strings.Repeat("x", 257)} },
		[]string{"/metadata/a~1b must have at most 256 characters"},
	},
	"hidden text": {
		func(e *audit.Event) { e.Description, e.Version = "a\u202eb", "1\u200b" },
		[]string{"/description " + notShown, "/version " + notShown},
	},
}

func TestEventViolations_nameTheMember(t *testing.T) {
	t.Parallel()
	for name, c := range spoiled {
		e := reportedEvent()
		c.change(&e)
		if got := violations(t, validateEvent(e)); !slices.Equal(got, c.want) {
			t.Errorf("%s:\n got %q\nwant %q", name, got, c.want)
		}
	}
}

func TestEventViolations_eventIsAtMost16KiB(t *testing.T) {
	t.Parallel()
	e := reportedEvent()
	e.Fields = map[string]string{"f": ""}
	e.Fields["f"] = strings.Repeat("x", 16<<10-len(`{"id":"u"}{"f":""}{"name":"Acme"}{"id":"d"}`)) // its parts
	if got := violations(t, validateEvent(e)); got != nil {
		t.Errorf("16 KiB: %q", got)
	}
	e.Fields["f"] += "x"
	tooLong := []string{" must have at most 16384 bytes as canonical JSON"}
	if got := violations(t, validateEvent(e)); !slices.Equal(got, tooLong) {
		t.Errorf("a byte more: %q", got)
	}
	e.Fields["f"] = strings.Repeat("ä", 9<<10) // bytes, not characters
	if got := violations(t, validateEvent(e)); len(got) != 1 {
		t.Errorf("9 Ki characters of two bytes: %q", got)
	}
}

// validateEvent is EventViolations in the shape in which every other command is tested.
func validateEvent(e audit.Event) error {
	if found := EventViolations(e); found != nil {
		return invalidMembers(found...)
	}
	return nil
}
