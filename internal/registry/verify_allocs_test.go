package registry

import (
	"context"
	"testing"
)

// remembered is a store that has the facts of a key at hand, as a cache does.
type remembered struct {
	Store
	facts KeyFacts
}

func (r remembered) KeyFacts(context.Context, Hash, string) (KeyFacts, error) { return r.facts, nil }

// TestVerify_allocations holds what a verification costs beside the store: the entitlement of the verdict, and the key's text as bytes.
func TestVerify_allocations(t *testing.T) {
	const most = 2
	q := validQuestion()
	q.facts.Key.Product, q.facts.Key.ExpiresAt, q.facts.Entitlements[0].EndsAt = "", nil, nil
	s := New(remembered{facts: q.facts}, Options{})
	q.query = VerifyQuery{Key: newKeyText(Live), Product: "scanner", Scopes: []string{"a:read", "a:write"}, Environment: Live}
	ctx, by := t.Context(), Caller{Scope: Everything}
	got := testing.AllocsPerRun(100, func() {
		if v, err := s.Verify(ctx, by, q.query); err != nil || v.Code != Valid {
			t.Fatalf("%+v, %v", v, err)
		}
	})
	if got > most {
		t.Errorf("%.0f allocations, want %d at most", got, most)
	}
}

func TestUnion_leavesTheSourcesAlone(t *testing.T) {
	t.Parallel()
	one, many := int64(1), int64(9)
	grant, plan := source(SourceGrant, "scanner", 0, nil), source(SourcePlan, "scanner", 0, nil)
	grant.Limits, plan.Limits = Limits{"seats": &one}, Limits{"seats": &many, "projects": &one}
	grant.Config, plan.Config = Config{"a": "grant"}, Config{"a": "plan", "b": "plan"}
	limits, config := union([]*Entitlement{&plan, &grant})
	if *limits["seats"] != many || len(limits) != 2 || config["a"] != "grant" || len(config) != 2 {
		t.Errorf("together %v %v", limits, config)
	}
	if len(grant.Limits) != 1 || *grant.Limits["seats"] != one || len(grant.Config) != 1 || plan.Config["a"] != "plan" {
		t.Errorf("the sources are %v %v and %v %v now", grant.Limits, grant.Config, plan.Limits, plan.Config)
	}
}
