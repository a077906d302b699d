package main

import (
	"errors"
	"flag"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/breakpilot/tenant-registry/internal/store/postgres/postgrestest"
)

var revocations = flag.Int("revocations", 100, "how many revocations TestRevocationReachesReplicas times")

const verifyPath = "/v1/internal/api-keys/verify"

// newKey creates a key of acme and returns its id and text.
func (p *program) newKey(t *testing.T) (id, text string) {
	t.Helper()
	r := p.call(t, http.StatusCreated, http.MethodPost, "/v1/api-keys", `{"tenant_id":"`+acme+`","name":"k"}`)
	id, _ = r.member("id").(string)
	text, _ = r.member("key").(string)
	return id, text
}

// valid asks whether a key is valid.
func (p *program) valid(t *testing.T, key string, change ...func(*http.Request)) bool {
	t.Helper()
	r, err := p.try(http.MethodPost, verifyPath, `{"key":"`+key+`"}`, change...)
	if err != nil || r.status != http.StatusOK {
		t.Errorf("verify: %d %s %v", r.status, r.text, err)
	}
	return r.member("valid") == true
}

// answersFromCache waits until a replica answers from its cache: a key is disabled in SQL, which invalidates nothing,
// and is still valid.
func (p *program) answersFromCache(t *testing.T, dsn string) {
	t.Helper()
	admin := connect(t, dsn)
	eventually(t, patience, func() error {
		id, key := p.newKey(t)
		p.valid(t, key)
		runSQL(t, admin, `UPDATE api_keys SET disabled = true WHERE id = $1`, id)
		if !p.valid(t, key) {
			return errors.New("nothing is cached")
		}
		if p.valid(t, key, func(r *http.Request) { r.Header.Set("Cache-Control", "no-cache") }) {
			t.Error("no-cache is answered from the cache")
		}
		return nil
	})
}

// load asks both replicas about keys that are not revoked, and changes one thing after the other, until it is stopped.
// There is a pause between two requests, so that they leave some of a small machine to the requests that are timed.
func load(t *testing.T, replicas ...*program) (stop func() int64) {
	t.Helper()
	var (
		all    sync.WaitGroup
		asked  atomic.Int64
		ending = make(chan struct{})
	)
	goOn := func(do func()) {
		all.Go(func() {
			pause := time.NewTicker(5 * time.Millisecond)
			defer pause.Stop()
			for {
				select {
				case <-ending:
					return
				case <-pause.C:
					do()
				}
			}
		})
	}
	for _, p := range replicas {
		_, key := p.newKey(t)
		goOn(func() {
			asked.Add(1)
			if !p.valid(t, key) {
				t.Error("a key that was not revoked is not valid")
			}
		})
	}
	goOn(func() { replicas[0].newKey(t) })
	return func() int64 {
		close(ending)
		all.Wait()
		return asked.Load()
	}
}

// TestRevocationReachesReplicas revokes on one replica, which must never say valid afterwards, and times the other one.
func TestRevocationReachesReplicas(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.New(t)
	seedDatabase(t, dsn)
	env := []string{"DATABASE_URL=" + dsn, "LOG_LEVEL=warn", "MAX_KEYS_PER_TENANT=1000000"}
	one, other := launch(t, env...), launch(t, env...)
	one.answersFromCache(t, dsn)
	other.answersFromCache(t, dsn)
	stop := load(t, one, other)
	took, asked := make([]time.Duration, *revocations), make([]time.Duration, *revocations)
	stale := 0
	for i := range took {
		id, key := one.newKey(t)
		if !one.valid(t, key) || !other.valid(t, key) || !other.valid(t, key) {
			t.Fatal("the key is not valid")
		}
		one.call(t, http.StatusNoContent, http.MethodDelete, "/v1/api-keys/"+id, "")
		answered := time.Now()
		for since := time.Since(answered); other.valid(t, key); since = time.Since(answered) {
			stale++
			if asked[i] = since; since > lease+100*time.Millisecond {
				t.Fatalf("asked %s after the revocation was answered, the other replica says valid", since)
			}
		}
		took[i] = time.Since(answered)
		if one.valid(t, key) || other.valid(t, key) {
			t.Error("a replica says valid again")
		}
	}
	others := stop()
	t.Logf("%d revocations under load (%d other verifications), %d answers of the other replica were stale",
		len(took), others, stale)
	t.Logf("the last of them was asked for, after the revocation was answered: %s", spread(asked))
	t.Logf("the first that was not had arrived: %s", spread(took))
}

// spread sorts durations and names some of them.
func spread(all []time.Duration) string {
	slices.Sort(all)
	n := len(all)
	return fmt.Sprintf("p50 %s, p99 %s, worst %s", all[n/2], all[n*99/100], all[n-1])
}

// seedDatabase puts the sample data into a database, and returns the API key.
func seedDatabase(t *testing.T, dsn string) (key string) {
	t.Helper()
	code, stdout, stderr := runHere(t, []string{"DATABASE_URL=" + dsn}, "seed")
	if code != 0 {
		t.Fatalf("seed: exit %d, %s", code, stderr)
	}
	return keyText.FindString(stdout)
}

// TestCacheOff is the control of TestRevocationReachesReplicas: a replica with CACHE=off answers from the database, and
// its changes still reach the other replicas.
func TestCacheOff(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.New(t)
	seedDatabase(t, dsn)
	on, off := launch(t, "DATABASE_URL="+dsn), launch(t, "DATABASE_URL="+dsn, "CACHE=off")
	on.answersFromCache(t, dsn)
	admin := connect(t, dsn)
	id, key := off.newKey(t)
	if !off.valid(t, key) {
		t.Fatal("the key is not valid")
	}
	runSQL(t, admin, `UPDATE api_keys SET disabled = true WHERE id = $1`, id)
	if off.valid(t, key) {
		t.Error("it answers from a cache")
	}
	id, key = off.newKey(t)
	on.valid(t, key)
	off.call(t, http.StatusNoContent, http.MethodDelete, "/v1/api-keys/"+id, "")
	eventually(t, lease+patience, func() error {
		if on.valid(t, key) {
			return errors.New("the other replica says valid")
		}
		return nil
	})
	id, key = on.newKey(t)
	eventually(t, patience, func() error {
		on.valid(t, key)
		runSQL(t, admin, `UPDATE api_keys SET disabled = true WHERE id = $1`, id)
		runSQL(t, admin, `NOTIFY tenant_registry, 'flush'`) // as the README says of changes by hand
		if on.valid(t, key) {
			return errors.New("the flush has no effect")
		}
		return nil
	})
}
