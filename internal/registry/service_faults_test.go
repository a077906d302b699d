package registry_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/store/memory"
	"github.com/breakpilot/tenant-registry/internal/testkit"
)

// failing is a context that has ended when it is asked for the n-th time, and only then: one call of the store fails,
// whichever.
type failing struct {
	context.Context
	in    int
	fired bool
}

func (c *failing) Err() error {
	if c.in--; c.in == 0 {
		c.fired = true
		return context.Canceled
	}
	return nil
}

// everyFault runs a use case again and again, each time with another call of the store failing, until none is left to
// fail. The fault must be answered, and nothing be changed by it.
func everyFault(t *testing.T, run func(st *stage) error) {
	t.Helper()
	for n := 1; n < 100; n++ {
		st := newStage(t, memory.New())
		before, ctx := st.dump(), &failing{Context: st.ctx, in: n}
		st.ctx = ctx
		err := run(st)
		st.ctx = t.Context()
		if !ctx.fired {
			if n < 2 || err != nil {
				t.Errorf("without a fault, after %d faults: %v", n-1, err)
			}
			return
		}
		if !errors.Is(err, context.Canceled) {
			t.Errorf("fault %d is answered by %v", n, err)
		}
		if st.dump() != before {
			t.Errorf("fault %d (%v) left a change", n, err)
		}
	}
	t.Error("there is no end of faults")
}

func TestFaults_changesAreUndone(t *testing.T) {
	t.Parallel()
	for _, c := range changes {
		if strings.HasPrefix(c.name, "record event") {
			continue // its transaction is not its caller's alone, and does not end with it
		}
		if c.name == "erase" {
			continue // it has several transactions: see TestEraseEvents_resumes
		}
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			everyFault(t, c.succeed)
		})
	}
}

func TestFaults_readsFail(t *testing.T) {
	t.Parallel()
	key := "bp_test_" + "0000000000000000000000000000000000000000000" + "0R30v6"
	for name, read := range map[string]func(st *stage) error{
		"ping":   func(st *stage) error { return second(st.s.Ping(st.ctx)) },
		"tenant": func(st *stage) error { return second(st.s.Tenant(st.ctx, st.by, st.active.ID)) },
		"by slug": func(st *stage) error {
			return second(st.s.TenantBySlug(st.ctx, st.by, "active", registry.ReadOptions{}))
		},
		"catalog": func(st *stage) error {
			_, _, err := testkit.Items(st.s.Catalog(st.ctx, st.by, &st.active.ID, registry.PageRequest{Limit: 1}))
			return err
		},
		"entitlements": func(st *stage) error {
			_, _, err := testkit.Items(st.s.Entitlements(st.ctx, st.by, st.active.ID, registry.PageRequest{Limit: 1}))
			return err
		},
		"keys": func(st *stage) error {
			return second(st.s.APIKeys(st.ctx, st.by, registry.APIKeyQuery{
				TenantID: st.active.ID, PageRequest: registry.PageRequest{Limit: 1},
			}))
		},
		"key": func(st *stage) error { return second(st.s.APIKey(st.ctx, st.by, st.apiKey.ID)) },
		"audit": func(st *stage) error {
			return second(st.s.Audit(st.ctx, st.by, registry.AuditQuery{
				GroupID: &st.active.ID, PageRequest: registry.PageRequest{Limit: 1},
			}))
		},
		"audit, empty": func(st *stage) error {
			return second(st.s.Audit(st.ctx, st.by, registry.AuditQuery{
				GroupID: &st.active.ID, PageRequest: registry.PageRequest{Limit: 1}, ActorID: "unknown",
			}))
		},
		"audit, unknown": func(st *stage) error {
			_, err := st.s.Audit(st.ctx, st.by, registry.AuditQuery{
				GroupID: new(uuid.New()), PageRequest: registry.PageRequest{Limit: 1},
			})
			if refusal := (*registry.Error)(nil); errors.As(err, &refusal) {
				return nil // as it should, without a fault
			}
			return err
		},
		"verify": func(st *stage) error {
			return second(st.s.Verify(st.ctx, st.by, registry.VerifyQuery{Key: key}, registry.ReadOptions{}))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			everyFault(t, read)
		})
	}
}
