package audit

import (
	"crypto/sha256"
	"strings"
	"time"

	"github.com/google/uuid"
)

// CRUD is what an event did to its target.
type CRUD string

// The kinds of change.
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

// Event is one entry of the audit log, in the shape of Retraced. Empty strings and nil maps are absent; an empty map is
// not.
type Event struct {
	ID          uuid.UUID
	Pos         int64     // place in the whole log; never leaves the service
	Seq         int64     // place in its chain: from 1, without a gap
	GroupID     uuid.UUID // whose chain: a tenant, or the nil UUID for the platform
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
	Created     time.Time // when it occurred, as its author claims
	Received    time.Time // when it was written
	// CorrelationID is the id of the request that led to it, unless its author gave one.
	CorrelationID string
	// Emitter is the verified caller that reported the event; absent from events of this service, whose actor is
	// verified.
	EmitterID, EmitterName string
	Hash                   string // Retraced's own, in hex
	PrevChainHash          string // the ChainHash of Seq - 1, in hex
	ChainHash              string // in hex
	// Idempotency is written with the event, and returned only where a store looks for earlier requests.
	Idempotency IdempotencyRecord
}

// Area is the first segment of the action.
func (e Event) Area() string {
	area, _, _ := strings.Cut(e.Action, ".")
	return area
}

// Present reports whether any member is set.
func (p Party) Present() bool {
	return p.ID != "" || p.Name != "" || p.Href != "" || p.Type != "" || p.Fields != nil
}

// Digest is a SHA-256.
type Digest [sha256.Size]byte

// IdempotencyRecord ties an event to the request that caused it. It is neither exported nor hashed.
type IdempotencyRecord struct {
	Key         Digest // of the caller and its idempotency key; zero: the request had none
	Fingerprint Digest // of the command
	Ordinal     int    // among the events of the request, from 0
}
