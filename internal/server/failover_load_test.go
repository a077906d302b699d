package server

import (
	"flag"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/testkit"
)

// A long run has more: go test ./internal/server -run FailoverUnderLoad -failover.rounds=10 -failover.writes=2000
var (
	failoverRounds = flag.Int("failover.rounds", 1, "failovers of TestFailoverUnderLoad")
	failoverWrites = flag.Int64("failover.writes", 300, "acknowledged writes before each of them")
)

// writer creates keys and revokes them, and knows what was acknowledged. What is not is repeated with the same
// idempotency key, at the other replica.
type writer struct {
	f       *failover
	n       int
	tenant  uuid.UUID
	acked   *atomic.Int64
	created []uuid.UUID
	revoked map[uuid.UUID]string // the key's text
}

func (w *writer) run(t *testing.T, stop <-chan struct{}) {
	for i := 0; ; i++ {
		select {
		case <-stop:
			return
		default:
		}
		by := operatorCaller
		by.Idempotency = &registry.Idempotency{Key: fmt.Sprintf("%d-%d", w.n, i), Operation: "create"}
		var made registry.Result[registry.APIKeySecret]
		if !w.repeat(stop, func(s *registry.Service) (err error) {
			made, err = s.CreateAPIKey(t.Context(), by, registry.APIKeyInput{TenantID: w.tenant, Name: "a key"})
			return err
		}) {
			return
		}
		w.created = append(w.created, made.Value.ID)
		if i%2 == 0 || made.Value.Text == "" {
			continue
		}
		if !w.repeat(stop, func(s *registry.Service) error {
			_, err := s.RevokeAPIKey(t.Context(), operatorCaller, made.Value.ID, "")
			return err
		}) {
			return
		}
		w.revoked[made.Value.ID] = made.Value.Text
	}
}

// repeat calls until a replica acknowledges; false if the test ended before.
func (w *writer) repeat(stop <-chan struct{}, call func(*registry.Service) error) bool {
	for attempt := w.n; ; attempt++ {
		if call([]*client{w.f.api, w.f.other}[attempt%2].registry) == nil {
			w.acked.Add(1)
			return true
		}
		select {
		case <-stop:
			return false
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// TestFailoverUnderLoad loses the primary while 16 writers change keys, with the standby silent for longer than the
// deadline of a call before. Everything that was acknowledged is there afterwards, and no revoked key is valid.
func TestFailoverUnderLoad(t *testing.T) {
	t.Parallel()
	total := 0
	for round := range *failoverRounds {
		t.Run(fmt.Sprint(round), func(t *testing.T) {
			f := &failover{crash: round%2 == 1}
			f.start(t)
			total += f.underLoad(t)
		})
	}
	t.Logf("%d writes acknowledged in %d failovers", total, *failoverRounds)
}

func (f *failover) underLoad(t *testing.T) int {
	var acked atomic.Int64
	var writing sync.WaitGroup
	stop := make(chan struct{})
	writers := make([]*writer, 16)
	for i := range writers {
		writers[i] = &writer{
			f: f, n: i, tenant: f.api.tenant(fmt.Sprintf("writer-%d", i)).ID, acked: &acked,
			revoked: map[uuid.UUID]string{},
		}
	}
	for _, w := range writers {
		writing.Go(func() { w.run(t, stop) })
	}
	reach := func(writes int64) {
		testkit.Eventually(t, "acknowledged writes", func() bool { return acked.Load() >= writes })
	}
	reach(*failoverWrites)
	f.pair.Line.Blackhole()
	silent := time.Now()
	for time.Since(silent) < 2500*time.Millisecond {
		f.follow(t)
	}
	if f.crash {
		f.crashInPlace(t)
	}
	f.follow(t)
	f.pair.KillPrimary()
	f.pair.Promote()
	reach(acked.Load() + 50)
	close(stop)
	writing.Wait()
	f.checkWriters(t, writers)
	return int(acked.Load())
}

func (f *failover) checkWriters(t *testing.T, writers []*writer) {
	t.Helper()
	for _, w := range writers {
		for _, id := range w.created {
			k, err := f.api.store.GetAPIKey(t.Context(), id)
			if err != nil {
				t.Errorf("key %s was acknowledged: %v", id, err)
			}
			if text, ended := w.revoked[id]; ended && (k.RevokedAt == nil || f.valid(t, text)) {
				t.Errorf("the revocation of key %s was acknowledged", id)
			}
		}
	}
	log := map[uuid.UUID]bool{}
	for _, id := range f.log(t) {
		log[id] = true
	}
	for _, id := range f.seen {
		if !log[id] {
			t.Errorf("the follower saw event %s, which is not there", id)
		}
	}
}
