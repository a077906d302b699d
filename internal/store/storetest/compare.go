package storetest

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/breakpilot/tenant-registry/internal/audit"
	"github.com/breakpilot/tenant-registry/internal/registry"
)

// Compare runs the same random sequences of use cases on two stores, with one clock, and checks that they answer alike.
// The names, keys and ids of a sequence are its own, so one store of each serves them all. It runs 30 sequences of
// about 15 use cases; the flags and variables of rapid ask for more.
func Compare(t *testing.T, openA, openB func(t *testing.T) registry.Store) {
	fewer()
	c := &comparison{}
	for i, open := range []func(t *testing.T) registry.Store{openA, openB} {
		store := open(t)
		usage := registry.NewUsageRecorder(store, registry.UsageRecorderOptions{})
		c.sides[i].service = registry.New(
			store, registry.Options{Now: func() time.Time { return c.now }, MaxKeys: 3, Version: "v1", Usage: usage},
		)
		c.sides[i].usage, c.sides[i].store = usage, store
	}
	rapid.Check(t, func(t *rapid.T) {
		c.begin(t)
		for _, first := range []string{"create tenant", "create product", "activate"} {
			c.step(first)
		}
		t.Repeat(map[string]func(*rapid.T){"step": func(t *rapid.T) {
			c.step(rapid.SampledFrom(mix).Draw(t, "use case"))
		}})
		c.readEverything()
	})
}

// fewer makes 30 the number of checks, unless the flag of rapid says other than its default.
var fewer = sync.OnceFunc(func() {
	if checks := flag.Lookup("rapid.checks"); checks.Value.String() == "100" {
		_ = checks.Value.Set("30")
	}
})

// comparison is one sequence of use cases on two stores.
type comparison struct {
	*rapid.T
	ctx   context.Context
	now   time.Time
	runs  int // how many sequences there were, this one included
	sides [2]side
}

// side is what one store made: the same things under ids of its own, in the order of their creation.
type side struct {
	store   registry.Store
	service *registry.Service
	usage   *registry.UsageRecorder
	start   int64 // the position in the whole log at which the sequence began
	tenants []uuid.UUID
	keys    []uuid.UUID
	secrets []string // the texts of keys
	events  []uuid.UUID
	names   map[string]string // what render calls ids, hashes and keys
}

func (c *comparison) begin(t *rapid.T) {
	c.T, c.ctx, c.now = t, t.Context(), awkward
	c.runs++
	for i := range c.sides {
		s := c.sides[i]
		s = side{store: s.store, service: s.service, usage: s.usage, names: map[string]string{}}
		page, err := s.service.Audit(c.ctx, operator, registry.AuditQuery{PageRequest: firstPage(1)})
		if err != nil {
			t.Fatalf("the newest event: %v", err)
		}
		for _, e := range page.Items {
			s.start = e.Pos
		}
		c.sides[i] = s
	}
}

// step lets some time pass and runs one use case.
func (c *comparison) step(useCase string) {
	c.now = c.now.Add(draw(c, "time passes",
		0, 0, 0, time.Nanosecond, time.Microsecond, time.Second, time.Hour, 24*time.Hour, 20*24*time.Hour))
	c.both(useCase, useCases[useCase](c))
}

// both runs one use case on both sides and compares what they answer; a fault is never an answer. It fails with the
// same message each time, for rapid to find the shortest sequence that does.
func (c *comparison) both(name string, run run) {
	var answers [2]string
	for i := range c.sides {
		got, err := run(&c.sides[i])
		var refusal *registry.Error
		if errors.As(err, &refusal) {
			got = map[string]any{"refused": refusal}
		} else if err != nil {
			c.Logf("fault: %v", err)
			c.Fatalf("%s: a store fails", name)
		}
		answers[i] = c.sides[i].render(got)
	}
	c.Logf("%s: %s", name, answers[0])
	if answers[0] != answers[1] {
		c.Logf("but the other: %s", answers[1])
		c.Fatalf("%s: the stores answer differently", name)
	}
}

// unknown is the id of nothing.
var unknown = uuid.MustParse("01890000-0000-7000-8000-000000000000")

// one draws one of n things or, more seldom, n: none of them.
func (c *comparison) one(n int, what string) int {
	var choices []int
	for i := range 4 * n {
		choices = append(choices, i%n)
	}
	return draw(c, what, append(choices, n)...)
}

func nth[T any](list []T, i int, otherwise T) T {
	if i >= len(list) {
		return otherwise
	}
	return list[i]
}

// tenant draws a tenant, or one that does not exist.
func (c *comparison) tenant() func(s *side) uuid.UUID {
	i := c.one(len(c.sides[0].tenants), "tenant")
	return func(s *side) uuid.UUID { return nth(s.tenants, i, unknown) }
}

// name draws one of a few names that only this sequence uses.
func (c *comparison) name(what string) string {
	return fmt.Sprintf("%s%06d-%s", what, c.runs, draw(c, what, "ab", "ab", "a-c", "a0"))
}

// made are the texts that differ from store to store: ids, hashes in hex and as lists of bytes, the prefixes of keys.
var made = regexp.MustCompile(
	`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|\b[0-9a-f]{64}\b|` +
		`\[(\d+,){31}\d+\]|\[(\d+,){15}\d+\]|bp_(live|test)_[0-9A-Za-z]{4}\b`,
)

var zeroHash = strings.Repeat("0", 64)

// render writes an answer with every id, hash and key replaced by its number in the order of appearance, so that the
// answers of two stores are the same text if they mean the same.
func (s *side) render(got any) string {
	return made.ReplaceAllStringFunc(show(got), func(found string) string {
		if found == zeroHash || found == unknown.String() || found == uuid.Nil.String() {
			return found
		}
		if s.names[found] == "" {
			s.names[found] = fmt.Sprintf("<%d>", len(s.names)+1)
		}
		return s.names[found]
	})
}

// audit is the use case with positions in the whole log counted from the start of the sequence.
func (s *side) audit(c *comparison, by registry.Caller, q registry.AuditQuery) (registry.Page[audit.Event], error) {
	start := int64(0)
	if q.GroupID == nil {
		start = s.start
	}
	if place := start + q.Position; place > 0 && (q.Ascending || q.Position > 0) {
		q.Cursor = strconv.FormatInt(place, 10) + "." + s.chainHashAt(c, q.GroupID, place)[:16]
	}
	page, err := s.service.Audit(c.ctx, by, q)
	for i := range page.Items {
		page.Items[i].Pos -= s.start
	}
	if page.Next != "" {
		place, _, _ := strings.Cut(page.Next, ".")
		next, err := strconv.ParseInt(place, 10, 64)
		if err != nil {
			c.Fatalf("the next cursor is %q: %v", page.Next, err)
		}
		page.Next = strconv.FormatInt(next-start, 10)
	}
	return page, err
}

// chainHashAt is the chain hash of the event at a place; that of none if there is no event.
func (s *side) chainHashAt(c *comparison, group *uuid.UUID, place int64) string {
	rows, err := s.store.ListAuditEvents(c.ctx, registry.AuditQuery{
		GroupID: group, Ascending: true, Position: place - 1, PageRequest: firstPage(1),
	})
	if err != nil {
		c.Fatalf("the event at %d: %v", place, err)
	}
	if len(rows.Items) == 0 {
		return zeroHash
	}
	return rows.Items[0].ChainHash
}

// readEverything compares what all reads answer about the things of the sequence.
func (c *comparison) readEverything() {
	for i := range c.sides[0].tenants {
		for name, read := range map[string]func(s *side, id uuid.UUID) (any, error){
			"tenant": func(s *side, id uuid.UUID) (any, error) { return s.service.Tenant(c.ctx, operator, id) },
			"entitlements": func(s *side, id uuid.UUID) (any, error) {
				return s.service.Entitlements(c.ctx, operator, id, firstPage(100))
			},
			"catalog": func(s *side, id uuid.UUID) (any, error) {
				return s.service.Catalog(c.ctx, operator, &id, registry.PageRequest{Cursor: c.before("p"), Limit: 100})
			},
			"keys": func(s *side, id uuid.UUID) (any, error) {
				q := registry.APIKeyQuery{TenantID: id, PageRequest: firstPage(100)}
				return s.service.APIKeys(c.ctx, operator, q)
			},
			"audit": func(s *side, id uuid.UUID) (any, error) {
				return s.audit(c, operator, registry.AuditQuery{GroupID: &id, PageRequest: firstPage(100)})
			},
		} {
			c.both("in the end "+name, func(s *side) (any, error) { return read(s, s.tenants[i]) })
		}
	}
	c.both("in the end the log", func(s *side) (any, error) {
		return s.audit(c, operator, registry.AuditQuery{Ascending: true, PageRequest: firstPage(100)})
	})
}

// before is before every name of this sequence, and after those of the earlier ones.
func (c *comparison) before(what string) string { return fmt.Sprintf("%s%06d", what, c.runs) }
