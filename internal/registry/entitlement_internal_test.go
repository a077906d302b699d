package registry

import (
	"reflect"
	"slices"
	"testing"
	"time"
)

func revoked(e Entitlement, at *time.Time) Entitlement {
	e.RevokedAt = at
	return e
}

func TestStateAt_startIsInclusiveEndExclusive(t *testing.T) {
	t.Parallel()
	plan, trial := source(SourcePlan, "p", 0, in(time.Hour)), source(SourceTrial, "p", 0, in(time.Hour))
	open := source(SourceGrant, "p", 0, nil)
	for name, c := range map[string]struct {
		e    Entitlement
		now  *time.Time
		want EntitlementState
	}{
		"before the start":         {plan, in(-time.Microsecond), StateScheduled},
		"at the start":             {plan, in(0), StateActive},
		"before the end":           {plan, in(time.Hour - time.Microsecond), StateActive},
		"at the end":               {plan, in(time.Hour), StateExpired},
		"after the end":            {plan, in(2 * time.Hour), StateExpired},
		"trial before the start":   {trial, in(-time.Microsecond), StateScheduled},
		"trial at the start":       {trial, in(0), StateTrialing},
		"trial at the end":         {trial, in(time.Hour), StateExpired},
		"without an end":           {open, in(1 << 62), StateActive},
		"revoked while active":     {revoked(plan, in(time.Minute)), in(time.Minute), StateRevoked},
		"revoked before the start": {revoked(plan, in(-2*time.Hour)), in(-time.Hour), StateRevoked},
		"revoked and past its end": {revoked(plan, in(time.Minute)), in(2 * time.Hour), StateRevoked},
		"revoked by a clock ahead": {revoked(plan, in(time.Minute)), in(time.Second), StateRevoked},
		"another zone, same instant": {
			plan, func() *time.Time { at := in(time.Hour).In(time.FixedZone("", -7*3600)); return &at }(), StateExpired,
		},
	} {
		if got := c.e.StateAt(*c.now); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
		if live := c.want == StateActive || c.want == StateTrialing; c.e.live(*c.now) != live {
			t.Errorf("%s: live is %t", name, !live)
		}
	}
}

func TestEvaluate_strongestStateWins(t *testing.T) {
	t.Parallel()
	var (
		active    = source(SourcePlan, "p", -time.Hour, in(4*time.Hour))
		open      = source(SourceGrant, "p", -time.Hour, nil)
		trialing  = source(SourceTrial, "p", -time.Hour, in(3*time.Hour))
		scheduled = source(SourceRequest, "p", 2*time.Hour, in(5*time.Hour))
		expired   = source(SourcePlan, "p", -time.Hour, in(0))
		gone      = revoked(open, in(-time.Minute))
	)
	for name, c := range map[string]struct {
		status   TenantStatus
		sources  []Entitlement
		entitled bool
		reason   Reason
		state    EntitlementState
		until    *time.Time
	}{
		"nothing": {StatusActive, nil, false, ReasonNone, "", nil},
		"active": {
			StatusActive, []Entitlement{active}, true, ReasonActive, StateActive, in(4 * time.Hour),
		},
		"open-ended": {StatusActive, []Entitlement{open}, true, ReasonActive, StateActive, nil},
		"trialing": {
			StatusActive, []Entitlement{trialing}, true, ReasonTrialing, StateTrialing, in(3 * time.Hour),
		},
		"scheduled": {
			StatusActive, []Entitlement{scheduled}, false, ReasonScheduled, StateScheduled, in(2 * time.Hour),
		},
		"expired": {StatusActive, []Entitlement{expired}, false, ReasonExpired, StateExpired, nil},
		"revoked": {StatusActive, []Entitlement{gone}, false, ReasonRevoked, StateRevoked, nil},
		"a tenant on trial is as good": {
			StatusTrial, []Entitlement{active}, true, ReasonActive, StateActive, in(4 * time.Hour),
		},
		"frozen": {
			StatusFrozen, []Entitlement{active}, false, ReasonTenantFrozen, StateActive, in(4 * time.Hour),
		},
		"frozen with nothing": {StatusFrozen, nil, false, ReasonTenantFrozen, "", nil},
		"active beats trialing": {
			StatusActive, []Entitlement{trialing, active}, true, ReasonActive, StateActive, in(3 * time.Hour),
		},
		"trialing beats scheduled": {
			StatusActive, []Entitlement{scheduled, trialing}, true, ReasonTrialing, StateTrialing, in(2 * time.Hour),
		},
		"scheduled beats expired": {
			StatusActive, []Entitlement{expired, scheduled}, false, ReasonScheduled, StateScheduled, in(2 * time.Hour),
		},
		"expired beats revoked": {
			StatusActive, []Entitlement{gone, expired}, false, ReasonExpired, StateExpired, nil,
		},
		"all of them": {
			StatusActive, []Entitlement{gone, expired, scheduled, trialing, open, active}, true, ReasonActive,
			StateActive, in(2 * time.Hour),
		},
	} {
		p := evaluate(c.status, "p", c.sources, noon)
		if p.Product != "p" || p.Entitled != c.entitled || p.Reason != c.reason || p.State != c.state ||
			!reflect.DeepEqual(p.ValidUntil, c.until) {
			t.Errorf(
				"%s: entitled %t, %s, %s until %v; want %t, %s, %s until %v", name, p.Entitled, p.Reason, p.State,
				p.ValidUntil, c.entitled, c.reason, c.state, c.until,
			)
		}
		if p.Limits == nil || p.Config == nil {
			t.Errorf("%s: limits %v or config %v is nil", name, p.Limits, p.Config)
		}
		if !reflect.DeepEqual(p.Sources, c.sources) {
			t.Errorf("%s: the sources are not those given, in their order", name)
		}
	}
}

// Whatever the sources are, an answer stays the same until its ValidUntil and differs there, sources included.
func TestEvaluate_validUntilIsTheNextChange(t *testing.T) {
	t.Parallel()
	sources := []Entitlement{
		source(SourcePlan, "p", 10*time.Minute, in(30*time.Minute)), source(SourceTrial, "p", 0, in(20*time.Minute)),
		source(SourceGrant, "p", 20*time.Minute, in(40*time.Minute)), source(SourceRequest, "p", 50*time.Minute, nil),
		revoked(source(SourceGrant, "p", 5*time.Minute, in(15*time.Minute)), in(-time.Hour)),
	}
	states := func(now time.Time) []EntitlementState {
		var all []EntitlementState
		for _, e := range sources {
			all = append(all, e.StateAt(now))
		}
		return all
	}
	var changes []time.Duration
	now := noon.Add(-time.Minute)
	for range 20 {
		p := evaluate(StatusActive, "p", sources, now)
		if p.ValidUntil == nil {
			break
		}
		changes = append(changes, p.ValidUntil.Sub(noon))
		if !p.ValidUntil.After(now) {
			t.Fatalf("at %v: valid until %v, which is not later", now, p.ValidUntil)
		}
		if last := p.ValidUntil.Add(-time.Microsecond); !slices.Equal(states(last), states(now)) {
			t.Errorf("between %v and %v a state changes", now, last)
		}
		if slices.Equal(states(*p.ValidUntil), states(now)) {
			t.Errorf("at %v nothing changes", p.ValidUntil)
		}
		now = *p.ValidUntil
	}
	want := []time.Duration{0, 10 * time.Minute, 20 * time.Minute, 30 * time.Minute, 40 * time.Minute, 50 * time.Minute}
	if !slices.Equal(changes, want) {
		t.Errorf("changes at %v, want %v", changes, want)
	}
}

func withLimits(e Entitlement, l Limits) Entitlement { e.Limits = l; return e }

func withConfig(e Entitlement, c Config) Entitlement { e.Config = c; return e }

func TestEvaluate_largerLimitWins(t *testing.T) {
	t.Parallel()
	plan, grant := source(SourcePlan, "p", -time.Hour, nil), source(SourceGrant, "p", -time.Hour, nil)
	trial, later := source(SourceTrial, "p", -time.Hour, in(time.Hour)), source(SourceRequest, "p", time.Hour, nil)
	for name, c := range map[string]struct {
		sources []Entitlement
		want    Limits
	}{
		"one": {
			[]Entitlement{withLimits(plan, Limits{"a": limit(1), "b": nil})}, Limits{"a": limit(1), "b": nil},
		},
		"the larger wins": {
			[]Entitlement{
				withLimits(plan, Limits{"a": limit(1), "b": limit(9)}),
				withLimits(grant, Limits{"a": limit(2), "b": limit(3)}),
			},
			Limits{"a": limit(2), "b": limit(9)},
		},
		"a trial's counts as well": {
			[]Entitlement{withLimits(plan, Limits{"a": limit(1)}), withLimits(trial, Limits{"a": limit(7)})},
			Limits{"a": limit(7)},
		},
		"unlimited, then a number": {
			[]Entitlement{withLimits(plan, Limits{"a": nil}), withLimits(trial, Limits{"a": limit(7)})},
			Limits{"a": nil},
		},
		"a number, then unlimited": {
			[]Entitlement{withLimits(grant, Limits{"a": limit(7)}), withLimits(plan, Limits{"a": nil})},
			Limits{"a": nil},
		},
		"each brings its own": {
			[]Entitlement{withLimits(plan, Limits{"a": limit(1)}), withLimits(trial, Limits{"b": limit(2)})},
			Limits{"a": limit(1), "b": limit(2)},
		},
		"less than nothing": {
			[]Entitlement{withLimits(plan, Limits{"a": limit(-5)}), withLimits(trial, Limits{"a": limit(-3)})},
			Limits{"a": limit(-3)},
		},
		"zero is a limit": {[]Entitlement{withLimits(plan, Limits{"a": limit(0)})}, Limits{"a": limit(0)}},
		"what is not live is nothing": {
			[]Entitlement{
				withLimits(plan, Limits{"a": limit(1)}), withLimits(later, Limits{"a": nil}),
				revoked(withLimits(grant, Limits{"a": limit(9)}), in(-1)),
			},
			Limits{"a": limit(1)},
		},
		"nil": {[]Entitlement{withLimits(plan, nil)}, Limits{}},
	} {
		if got := evaluate(StatusActive, "p", c.sources, noon).Limits; !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
		slices.Reverse(c.sources)
		if got := evaluate(StatusActive, "p", c.sources, noon).Limits; !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s, the other way round: %v, want %v", name, got, c.want)
		}
		if got := evaluate(StatusFrozen, "p", c.sources, noon).Limits; len(got) > 0 {
			t.Errorf("%s: a frozen tenant has the limits %v", name, got)
		}
	}
}

func TestEvaluate_configOfTheFirstSourceWins(t *testing.T) {
	t.Parallel()
	order := []Source{SourceTrial, SourceRequest, SourcePlan, SourceGrant} // each is stronger than those before it
	var sources []Entitlement
	for i, of := range order {
		own := "only-" + string(of)
		sources = append(
			[]Entitlement{
				withConfig(source(of, "p", -time.Hour, in(time.Hour)), Config{"who": string(of), own: float64(i)}),
			},
			sources...,
		)
		got := evaluate(StatusActive, "p", sources, noon).Config
		if got["who"] != string(of) || got[own] != float64(i) || got["only-trial"] != 0.0 || len(got) != i+2 {
			t.Errorf("with %v: %v", order[:i+1], got)
		}
		reversed := slices.Clone(sources)
		slices.Reverse(reversed)
		if other := evaluate(StatusActive, "p", reversed, noon).Config; !reflect.DeepEqual(other, got) {
			t.Errorf("with %v the other way round: %v, want %v", order[:i+1], other, got)
		}
	}
	ended := []Entitlement{withConfig(source(SourceGrant, "p", -time.Hour, in(0)), Config{"who": "grant"}), sources[3]}
	if got := evaluate(StatusActive, "p", ended, noon).Config["who"]; got != "trial" {
		t.Errorf("beside a grant that has ended: %v, want trial", got)
	}
	same := []Entitlement{
		withConfig(source(SourceGrant, "p", -time.Hour, nil), Config{"n": 1.0}),
		withConfig(source(SourceGrant, "p", -time.Hour, nil), Config{"n": 2.0}),
	}
	if got := evaluate(StatusActive, "p", same, noon).Config["n"]; got != 1.0 {
		t.Errorf("of two grants the first created wins, not %v", got)
	}
	// A value of null is a value.
	null := []Entitlement{
		withConfig(source(SourceGrant, "p", -time.Hour, nil), Config{"n": nil}),
		withConfig(source(SourcePlan, "p", -time.Hour, nil), Config{"n": 2.0}),
	}
	if got, set := evaluate(StatusActive, "p", null, noon).Config["n"]; got != nil || !set {
		t.Errorf("null in the grant: %v, %t", got, set)
	}
}

func TestEvaluate_leavesItsInputAlone(t *testing.T) {
	t.Parallel()
	limits, config := Limits{"a": limit(1)}, Config{"a": 1.0}
	sources := []Entitlement{
		withConfig(withLimits(source(SourceTrial, "p", -time.Hour, in(time.Hour)), limits), config),
		withConfig(withLimits(source(SourceGrant, "p", -time.Hour, nil), Limits{"a": limit(2), "b": nil}), Config{
			"a": 2.0, "b": nil,
		}),
	}
	before := slices.Clone(sources)
	p := evaluate(StatusActive, "p", sources, noon)
	p.Limits["c"], p.Config["c"] = limit(3), 3.0
	if !reflect.DeepEqual(sources, before) || !reflect.DeepEqual(limits, Limits{"a": limit(1)}) ||
		!reflect.DeepEqual(config, Config{"a": 1.0}) {
		t.Errorf("the sources were changed: %v, %v", limits, config)
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
