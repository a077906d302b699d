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

// Named is who else had a part in an event. It is absent if its ID is empty.
type Named struct{ ID, Name string }

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
	OnBehalfOf  Named // whom the caller claimed to act for
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
	Emitter       Named
	Erasure       *Erasure // that this event records; nil: none
	Hash          string   // Retraced's own, in hex
	Salts         Salts
	Erased        Erased // parts that an erasure took; nil: none
	PrevChainHash string // the ChainHash of Seq - 1, in hex
	ChainHash     string // in hex
	// SentGroupID is GroupID as its reporter wrote it, for Hash. It is not stored.
	SentGroupID string
	// GroupDeleted is set by who appends an event to the chain of a tenant that was deleted. It is not read back.
	GroupDeleted bool
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
	Fingerprint Fingerprint
	Ordinal     int // among the events of the request, from 0
}

// Fingerprint tells the command of a request from others, for as long as it is stored: salted, so that what was in the
// command cannot be guessed from it after it was removed. It is zero once an event of the request was erased.
type Fingerprint struct {
	Salt Salt
	Hash Digest
}

// NewFingerprint is the fingerprint of a command, with a salt of its own.
func NewFingerprint(command []byte) Fingerprint {
	var f Fingerprint
	fillRandom(f.Salt[:])
	f.Hash = f.of(command)
	return f
}

// Matches reports whether the fingerprint is this command's.
func (f Fingerprint) Matches(command []byte) bool { return f.Hash == f.of(command) }

func (f Fingerprint) of(command []byte) Digest {
	return sha256.Sum256(append(f.Salt[:], command...))
}
