package registry

import (
	"context"
	"net/netip"
	"regexp"
	"strings"
	"time"

	"github.com/google/uuid"
)

// CRUD says what an event did to its target.
type CRUD string

// The four kinds.
const (
	Create CRUD = "c"
	Read   CRUD = "r"
	Update CRUD = "u"
	Delete CRUD = "d"
)

// Party is who acted or what was acted on. It is absent if its ID is empty.
type Party struct {
	ID, Name, Href, Type string
	Fields               map[string]string // nil: absent
}

// AuditEvent is one entry of the audit log, in the shape of Retraced. Empty strings and nil maps are absent; an empty map is there.
type AuditEvent struct {
	ID          uuid.UUID
	Pos         int64 // place in the whole log; in no body that leaves the service
	Seq         int64 // place in the group's chain, from 1 and without a gap
	GroupID     uuid.UUID
	GroupName   string
	Action      string // "area.what"
	CRUD        CRUD
	Actor       Party
	Target      Party
	SourceIP    string // canonical text of an address
	Description string
	IsFailure   bool
	IsAnonymous bool
	Fields      map[string]string
	Component   string
	Version     string
	ExternalID  string
	Metadata    map[string]string
	Created     time.Time // when it occurred, as its author says
	Received    time.Time // when it was written
	// CorrelationID is the id of the request that led to it, unless its author gave one.
	CorrelationID string
	// Emitter is the verified caller that reported the event; absent from this service's own, whose actor is verified.
	EmitterID, EmitterName string
	Hash                   string // Retraced's own, in hex
	PrevChainHash          string // the ChainHash of Seq - 1, in hex
	ChainHash              string // in hex
	// Once is written and found by Claim and AuditHeads; Event and Events do not return it.
	Once OnceMark
}

// Area is the first segment of the action.
func (e AuditEvent) Area() string {
	area, _, _ := strings.Cut(e.Action, ".")
	return area
}

// component is the author of this service's own events; no other author may use the name.
const component = "tenant-registry"

// MaxEvent bounds an event that a caller sends, in bytes of its canonical JSON.
const MaxEvent = 16 << 10

var actionPattern = regexp.MustCompile(`^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$`)

// reported completes an event of somebody else's.
func (s *Service) reported(e AuditEvent, by Caller) AuditEvent {
	e.ID, e.Received = newID(), s.clock()
	e.EmitterID, e.EmitterName = by.Actor.ID, by.Actor.Name
	e.Fields = by.withClaim(e.Fields)
	e.Created = e.Created.UTC().Truncate(time.Microsecond)
	if e.Created.IsZero() {
		e.Created = e.Received
	}
	if e.CorrelationID == "" {
		e.CorrelationID = by.RequestID
	}
	if addr, err := netip.ParseAddr(e.SourceIP); err == nil {
		e.SourceIP = addr.String()
	}
	return e
}

// Violations are the rules for events that a caller reports which this one breaks.
func (e AuditEvent) Violations() []Violation {
	var c checks
	if len(e.Action) > MaxID || !actionPattern.MatchString(e.Action) {
		c.add("/action", "is required: segments of letters, digits, '_' and '-' joined by '.', at most %d characters", MaxID)
	}
	switch e.CRUD {
	case Create, Read, Update, Delete:
	default:
		c.add("/crud", "is required and must be one of c, r, u, d")
	}
	if e.GroupID == uuid.Nil && e.GroupName != "" {
		c.add("/group/id", "is required")
	}
	c.optionalLine("/group/name", e.GroupName, MaxName)
	if !e.Actor.given() && !e.IsAnonymous {
		c.add("/actor", "is required unless is_anonymous is true")
	}
	c.party("/actor", e.Actor)
	c.party("/target", e.Target)
	if addr, err := netip.ParseAddr(e.SourceIP); e.SourceIP != "" && (err != nil || addr.Zone() != "") {
		c.add("/source_ip", "must be an IPv4 or IPv6 address without a zone")
	}
	c.text("/description", e.Description, MaxText)
	c.fields("/fields", e.Fields)
	c.optionalLine("/component", e.Component, MaxName)
	if strings.EqualFold(strings.TrimSpace(e.Component), component) {
		c.add("/component", "is the name of this service, which writes its own events")
	}
	c.optionalLine("/version", e.Version, MaxName)
	c.optionalLine("/external_id", e.ExternalID, MaxID)
	c.metadata("/metadata", e.Metadata)
	c.optionalLine("/correlation_id", e.CorrelationID, MaxID)
	if !e.Created.IsZero() && (e.Created.UTC().Year() < 1970 || e.Created.UTC().Year() > maxYear) {
		c.add("/created", "must lie in the years 1970 to 9999")
	}
	if len(c.found) == 0 && e.mayExceed(MaxEvent) && len(e.canonical()) > MaxEvent {
		c.add("", "must be at most %d bytes as canonical JSON", MaxEvent)
	}
	return c.found
}

// mayExceed is false for an event whose canonical JSON has at most so many bytes whatever is in its texts: each byte of a text becomes
// at most six, and the names of the members and the numbers are less than a thousand.
func (e AuditEvent) mayExceed(most int) bool {
	bytes := 1000
	for _, text := range []string{
		e.GroupName, e.Action, e.Actor.ID, e.Actor.Name, e.Actor.Href, e.Actor.Type, e.Target.ID, e.Target.Name, e.Target.Href,
		e.Target.Type, e.SourceIP, e.Description, e.Component, e.Version, e.ExternalID, e.CorrelationID,
	} {
		bytes += 6 * len(text)
	}
	for _, fields := range []map[string]string{e.Fields, e.Metadata, e.Actor.Fields, e.Target.Fields} {
		for name, value := range fields {
			bytes += 6*(len(name)+len(value)) + len(`"":"",`)
		}
	}
	return bytes > most
}

// given tells whether anything is said of a party.
func (p Party) given() bool {
	return p.ID != "" || p.Name != "" || p.Href != "" || p.Type != "" || p.Fields != nil
}

func (c *checks) party(pointer string, p Party) {
	if p.ID == "" {
		if p.given() {
			c.add(pointer+"/id", "is required")
		}
		return
	}
	c.line(pointer+"/id", p.ID, MaxID)
	c.optionalLine(pointer+"/name", p.Name, MaxName)
	c.optionalLine(pointer+"/href", p.Href, MaxText)
	c.optionalLine(pointer+"/type", p.Type, MaxName)
	c.fields(pointer+"/fields", p.Fields)
}

func (c *checks) fields(pointer string, m map[string]string) {
	c.stringMap(pointer, m, mapLimits{MaxFields, MaxID, MaxEvent})
}

// ChainHead is where one group's chain stands.
type ChainHead struct {
	Seq  int64  // of the newest event; 0 if there is none
	Hash string // its chain hash, in hex; empty if there is none
}

// AuditHead is where the log and one group's chain stand.
type AuditHead struct {
	Pos       int64  // of the newest event of the whole log; 0 if there is none
	Seq       int64  // of the group's newest event; 0 if there is none
	ChainHash string // of the group's newest event, in hex; empty if there is none
}

// appendEvent gives an event its place and its hashes and writes it. It must be the last thing a transaction does.
func appendEvent(ctx context.Context, tx Tx, e AuditEvent) (AuditEvent, error) {
	head, err := tx.AuditHead(ctx, e.GroupID)
	if err != nil {
		return AuditEvent{}, err
	}
	e = e.placed(head)
	return e, tx.InsertEvent(ctx, e)
}

// placed is the event at the next place behind head, with its hashes.
func (e AuditEvent) placed(head AuditHead) AuditEvent {
	e.Hash = e.retracedHash()
	return e.behind(head, e.seal(""))
}

// behind is the event, which has its hash and was sealed with it, at the next place behind head.
func (e AuditEvent) behind(head AuditHead, s sealed) AuditEvent {
	e.Pos, e.Seq, e.PrevChainHash = head.Pos+1, head.Seq+1, head.ChainHash
	if head.Seq == 0 {
		e.PrevChainHash = strings.Repeat("0", 64)
	}
	e.ChainHash = s.chainHash(e.PrevChainHash, e.Seq)
	return e
}

// Event reads one event by its id.
func (s *Service) Event(ctx context.Context, by Caller, id uuid.UUID) (AuditEvent, error) {
	e, err := s.store.Event(ctx, id)
	if err == nil && by.Scope.audit(&e.GroupID) != nil {
		err = ErrNotFound
	}
	if err != nil {
		return AuditEvent{}, refuse(err, map[error]*Error{ErrNotFound: notFound(CodeEventNotFound, "audit event")})
	}
	return e, nil
}
