package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/breakpilot/tenant-registry/internal/audit"
	"github.com/breakpilot/tenant-registry/internal/store/postgres/postgrestest"
)

// erasureKills is how often TestErasure_killed kills the server.
func erasureKills() int {
	if n, err := strconv.Atoi(os.Getenv("TEST_ERASURE_KILLS")); err == nil {
		return n
	}
	return 6
}

// subject is a person whom one erasure takes.
func subject(i int) string { return fmt.Sprintf("zoe-quartz-%d-x", i) }

// reports appends events of a subject, in bulks.
func (p *program) reports(t *testing.T, tenant string, i, bulks int) {
	t.Helper()
	event := `{"action":"doc.read","crud":"r","actor":{"id":"` + subject(i) + `"},"source_ip":"192.0.2.9",` +
		`"group":{"id":"` +
		tenant + `"},"description":"by ` + subject(i) + `"}`
	body := `{"events":[` + event + strings.Repeat(","+event, 99) + `]}`
	for range bulks {
		p.call(t, http.StatusCreated, "POST", "/v1/audit/bulk", body)
	}
}

// erase asks for the erasure of a subject, with an idempotency key of its own.
func (p *program) erase(tenant string, i int) (reply, error) {
	return p.try("POST", "/v1/tenants/"+tenant+"/audit/erasures",
		`{"subjects":["`+subject(i)+`"],"reason":"Request 12"}`, func(r *http.Request) {
			r.Header.Set("Idempotency-Key", fmt.Sprint("erasure-", i))
		})
}

// exported is an export of the chain, which must verify.
func (p *program) exported(t *testing.T, tenant, when string) string {
	t.Helper()
	text := p.get(t, "/v1/audit/export?tenant_id="+tenant).text
	if found := audit.VerifyExport(strings.NewReader(text), audit.Proof{}); found.Status != audit.OK {
		t.Fatalf("%s the export does not verify: %s", when, found.Text)
	}
	return text
}

// stop ends the server in peace.
func (p *program) stop(t *testing.T) {
	t.Helper()
	p.signal(t, syscall.SIGTERM)
	p.exit(t)
}

// TestErasure_killed asserts that a server which is killed at any point of an erasure, while events are appended,
// leaves a chain that verifies, that a repeat completes the erasure, and that it has one event.
func TestErasure_killed(t *testing.T) {
	t.Parallel()
	dsn := "DATABASE_URL=" + postgrestest.New(t)
	p := launch(t, dsn)
	tenant := p.createGlobex(t)
	p.reports(t, tenant, -1, 6)
	begun := time.Now()
	if got, err := p.erase(tenant, -1); err != nil || got.status != http.StatusCreated {
		t.Fatalf("an erasure answers %d %s, %v", got.status, got.text, err)
	}
	took := time.Since(begun)
	p.stop(t)
	appended := `{"action":"a.b","crud":"c","is_anonymous":true,"group":{"id":"` + tenant + `"}}`
	committed, interrupted := 0, 0
	for i := range erasureKills() {
		p := launch(t, dsn)
		p.reports(t, tenant, i, 6)
		done := make(chan bool, 1)
		go func() {
			got, err := p.erase(tenant, i)
			done <- err == nil && got.status == http.StatusCreated
		}()
		// Beside the appends an erasure takes longer than it took alone: some of the kills come after its event.
		for killing := time.After(time.Duration(rand.Int64N(int64(3 * took)))); killing != nil; {
			select {
			case <-killing:
				_ = p.cmd.Process.Kill()
				killing = nil
			default:
				_, _ = p.try("POST", "/v1/audit", appended)
			}
		}
		<-p.ended
		if !<-done {
			interrupted++
		}
		again := launch(t, dsn)
		if strings.Count(again.exported(t, tenant, "after the kill"), `"action":"audit.erase"`) == i+2 {
			committed++
		}
		again.completes(t, tenant, i)
		again.stop(t)
	}
	t.Logf("%d of %d erasures were interrupted, %d had their event; one takes %s",
		interrupted, erasureKills(), committed, took)
}

// completes repeats an erasure, and asserts that nothing of the subject is left, and that the chain has one event for
// each erasure.
func (p *program) completes(t *testing.T, tenant string, i int) {
	t.Helper()
	got, err := p.erase(tenant, i)
	if err != nil || got.status != http.StatusCreated || got.member("events") != 600.0 {
		t.Fatalf("kill %d: the repeat answers %d %s, %v", i, got.status, got.text, err)
	}
	text := p.exported(t, tenant, "after the repeat")
	if strings.Contains(text, subject(i)) {
		t.Errorf("kill %d: the subject is still in the chain", i)
	}
	if n := strings.Count(text, `"action":"audit.erase"`); n != i+2 {
		t.Errorf("kill %d: the chain has %d erasures, want %d", i, n, i+2)
	}
	var erasure struct {
		ID string `json:"event_id"`
	}
	if err := json.Unmarshal([]byte(got.text), &erasure); err != nil || !strings.Contains(text, erasure.ID) {
		t.Errorf("kill %d: the chain does not have the event %s", i, erasure.ID)
	}
}
