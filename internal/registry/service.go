package registry

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/uuid"
	"golang.org/x/mod/sumdb/note"
)

// Service holds the use cases. It is safe for concurrent use.
type Service struct {
	store   Store
	now     func() time.Time
	maxKeys int
	version string

	callTimeout time.Duration
	signer      note.Signer
	tail        *tail
	appender    appender
	uses        *KeyUses
}

// Options are what a Service can be told; every zero value has a default.
type Options struct {
	Now     func() time.Time // the clock; time.Now
	MaxKeys int              // unrevoked API keys per tenant; 10,000
	Version string           // of the program, recorded in the events it writes; empty
	// CallTimeout bounds each call of the store by a use case that makes many and goes on for long (Follow, Export); 5 s.
	CallTimeout time.Duration
	Signer      note.Signer // signs checkpoints of the audit log; nil: there are none
	Uses        *KeyUses    // where uses of keys are noted; nowhere
}

// DefaultMaxKeys is how many unrevoked API keys a tenant may have unless Options say otherwise.
const DefaultMaxKeys = 10_000

// New makes a Service on a store.
func New(store Store, o Options) *Service {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.MaxKeys == 0 {
		o.MaxKeys = DefaultMaxKeys
	}
	return &Service{
		store: store, now: o.Now, maxKeys: o.MaxKeys, version: o.Version,
		callTimeout: cmp.Or(o.CallTimeout, 5*time.Second), signer: o.Signer, uses: o.Uses,
		tail: newTail(store, cmp.Or(o.CallTimeout, 5*time.Second)),
	}
}

// Caller is on whose behalf a use case runs. Its Actor becomes the actor of the events that the use case writes, and every use case
// keeps to its Scope.
type Caller struct {
	Actor Party
	Scope Scope
	// OnBehalfOf is whom the actor says it acts for; recorded as claimed. Absent if its ID is empty.
	OnBehalfOf Party
	// Idempotency is what the caller says of repeating this command; nil: nothing.
	Idempotency *Idempotency
	SourceIP    string // canonical text of the peer's address, or empty
	RequestID   string // becomes the events' correlation id
}

// Start is where a page begins and how long it is.
type Start struct {
	After string // the key of the last item before it; empty: the beginning
	Limit int
}

// Ping tells whether the store can be read and written, and what it is.
func (s *Service) Ping(ctx context.Context) (StoreStatus, error) { return s.store.Ping(ctx) }

// Repeated tells whether an earlier request with the same idempotency key had the effect.
func (c Caller) Repeated() bool { return c.Idempotency != nil && c.Idempotency.Repeated }

// clock is the time as both stores can hold it: UTC, in whole microseconds.
func (s *Service) clock() time.Time { return s.now().UTC().Truncate(time.Microsecond) }

// microseconds is a time that may be unset, as both stores can hold it.
func microseconds(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	at := t.UTC().Truncate(time.Microsecond)
	return &at
}

// newID makes an id whose order is the order of creation (UUIDv7).
func newID() uuid.UUID { return uuid.Must(uuid.NewV7()) }

// errUnchanged ends a change that found nothing to do: its result counts, nothing is written, no event is left.
var errUnchanged = errors.New("nothing changed")

// change runs fn and writes the event it returns in one transaction: both are committed or neither is. The event comes last,
// because its place in the log is given under a lock that everybody shares. fn may run more than once.
func change[T any](ctx context.Context, s *Service, by Caller, fn func(tx Tx, now time.Time) (T, AuditEvent, error)) (T, error) {
	var result T
	var written AuditEvent
	err := s.store.Tx(ctx, func(tx Tx) error {
		now := s.clock()
		got, event, err := fn(tx, now)
		if errors.Is(err, errUnchanged) {
			result = got
			return err
		}
		if err != nil {
			return err
		}
		result = got
		written, err = appendEvent(ctx, tx, s.own(event, by, now))
		return err
	})
	if errors.Is(err, errUnchanged) {
		err = nil
	}
	if err != nil {
		var none T
		return none, err
	}
	s.tail.wake(written.GroupID)
	return result, nil
}

// own completes an event of this service's own: who, when, where from.
func (s *Service) own(e AuditEvent, by Caller, now time.Time) AuditEvent {
	e.ID, e.Created, e.Received = newID(), now, now
	e.Component, e.Version = component, s.version
	if e.Actor.ID == "" {
		e.Actor = by.Actor
	}
	e.SourceIP, e.CorrelationID = by.SourceIP, by.RequestID
	e.Fields = by.withClaim(e.Fields)
	return e
}

// withClaim adds to an event's fields whom the caller says it acts for.
func (c Caller) withClaim(fields map[string]string) map[string]string {
	if c.OnBehalfOf.ID == "" {
		return fields
	}
	all := map[string]string{}
	maps.Copy(all, fields)
	all["on_behalf_of.id"] = c.OnBehalfOf.ID
	if c.OnBehalfOf.Name != "" {
		all["on_behalf_of.name"] = c.OnBehalfOf.Name
	}
	return all
}

// author is the text that a record keeps of who made it: the actor's id, and whom it said it acted for.
func (c Caller) author() string {
	if c.OnBehalfOf.ID == "" {
		return c.Actor.ID
	}
	return c.Actor.ID + " on behalf of " + c.OnBehalfOf.ID
}

// maxFieldValue bounds what one changed member adds to its event, so that no event can make its own change fail.
const maxFieldValue = 1024

// diff lists the members that differ as before.name and after.name with JSON text; a member that is unset has no entry, and
// a value over maxFieldValue bytes is replaced by its SHA-256.
func diff(before, after map[string]any) map[string]string {
	fields := map[string]string{}
	for name := range after {
		if reflect.DeepEqual(before[name], after[name]) {
			continue
		}
		setField(fields, "before."+name, before[name])
		setField(fields, "after."+name, after[name])
	}
	return fields
}

func setField(fields map[string]string, name string, value any) {
	if v := reflect.ValueOf(value); !v.IsValid() || (v.IsZero() && v.Kind() != reflect.Bool) || (isList(v) && v.Len() == 0) {
		return
	}
	switch at := value.(type) {
	case time.Time:
		value = FormatTime(at)
	case *time.Time:
		value = FormatTime(*at)
	}
	text, err := json.Marshal(value, json.Deterministic(true))
	if err != nil { // the domain's own types always marshal
		panic(err)
	}
	if len(text) > maxFieldValue {
		text = []byte("sha256:" + sum(text))
	}
	fields[name] = string(text)
}

func isList(v reflect.Value) bool {
	return slices.Contains([]reflect.Kind{reflect.Map, reflect.Slice}, v.Kind())
}
