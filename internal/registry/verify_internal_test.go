package registry

import (
	"context"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/apikey"
)

var noon = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

// in is a time that far from noon.
func in(d time.Duration) *time.Time {
	at := noon.Add(d)
	return &at
}

func source(of Source, product string, starts time.Duration, ends *time.Time) Entitlement {
	return Entitlement{
		ID: newID(), TenantID: AcmeID, Product: product, Source: of, StartsAt: noon.Add(starts), EndsAt: ends,
		Limits: Limits{}, Config: Config{},
	}
}

// question is everything that a verdict is made from. This one is VALID, and there are as many rules to break as can
// be.
type question struct {
	facts KeyFacts
	query VerifyQuery
	now   time.Time
}

func validQuestion() question {
	return question{
		facts: KeyFacts{
			Key: KeyCore{
				ID: uuid.MustParse("00000000-0000-4000-8000-000000000002"),
				KeyTerms: &KeyTerms{
					Environment: apikey.Live, Product: "scanner", Scopes: []string{"a:read", "a:write"},
				},
				ExpiresAt: in(time.Hour),
			},
			KeyOwner: &KeyOwner{
				Tenant:       Tenant{ID: AcmeID, Slug: "acme", Status: StatusActive},
				Entitlements: []Entitlement{source(SourcePlan, "scanner", -time.Hour, in(2*time.Hour))},
			},
		},
		query: VerifyQuery{Product: "scanner", Scopes: []string{"a:read"}, Environment: apikey.Live},
		now:   noon,
	}
}

// faults are the ways to spoil a question, in the order in which they are to be noticed.
var faults = []struct {
	name  string
	spoil func(*question)
	code  VerifyCode
}{
	{"another product", func(q *question) { q.query.Product = "other" }, KeyNotFound},
	{"another environment", func(q *question) { q.query.Environment = apikey.Test }, KeyNotFound},
	// by a machine whose clock is ahead
	{"revoked", func(q *question) { q.facts.Key.RevokedAt = in(time.Minute) }, KeyRevoked},
	{"disabled", func(q *question) { q.facts.Key.Disabled = true }, KeyDisabled},
	{"expired", func(q *question) { q.facts.Key.ExpiresAt = in(0) }, KeyExpired},
	{"frozen", func(q *question) { q.facts.Tenant.Status = StatusFrozen }, TenantFrozen},
	{"not entitled", func(q *question) { q.facts.Entitlements = nil }, NotEntitled},
	{"scope not held", func(q *question) { q.query.Scopes = []string{"a:read", "b:read"} }, InsufficientScope},
	{"nothing wrong", func(*question) {}, Valid},
}

func TestDecide_firstFaultWins(t *testing.T) {
	t.Parallel()
	for i, first := range faults {
		for _, second := range faults[i:] {
			q := validQuestion()
			second.spoil(&q)
			first.spoil(&q)
			v := decide(q.facts, q.query, q.now)
			if v.Code != first.code {
				t.Errorf("%s and %s: %s, want %s", first.name, second.name, v.Code, first.code)
			}
			if v.Valid() != (first.code == Valid) {
				t.Errorf("%s and %s: valid is %t", first.name, second.name, v.Valid())
			}
		}
	}
}

func TestDecide_verdictHoldsTheFacts(t *testing.T) {
	t.Parallel()
	for _, f := range faults {
		q := validQuestion()
		f.spoil(&q)
		v := decide(q.facts, q.query, q.now)
		if f.code == KeyNotFound {
			if !reflect.DeepEqual(v, Verdict{Code: KeyNotFound}) {
				t.Errorf("%s: %+v discloses a key that does not exist for this caller", f.name, v)
			}
			continue
		}
		k := q.facts.Key
		if v.KeyID != k.ID || v.TenantID != AcmeID || v.TenantSlug != "acme" ||
			v.TenantStatus != q.facts.Tenant.Status || v.Environment != apikey.Live ||
			!slices.Equal(v.Scopes, k.Scopes) {
			t.Errorf("%s: %+v does not say whose key it is", f.name, v)
		}
		decided := f.code == NotEntitled || f.code == InsufficientScope || f.code == Valid
		if (v.Entitlement != nil) != decided {
			t.Errorf("%s: entitlement %+v", f.name, v.Entitlement)
		}
		if decided && (v.Entitlement.Product != "scanner" || v.Entitlement.Entitled != (f.code != NotEntitled)) {
			t.Errorf("%s: entitlement %+v", f.name, v.Entitlement)
		}
	}
}

func TestDecide_productMustMatch(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		bound, asked string
		entitled     string // the product that the store found entitlements to
		code         VerifyCode
		checked      string // the product whose entitlement decides
	}{
		"neither bound nor asked":            {"", "", "", Valid, ""},
		"bound":                              {"scanner", "", "scanner", Valid, "scanner"},
		"bound, not entitled":                {"scanner", "", "", NotEntitled, "scanner"},
		"asked":                              {"", "scanner", "scanner", Valid, "scanner"},
		"asked, not entitled":                {"", "unheard-of", "", NotEntitled, "unheard-of"},
		"bound to what is asked":             {"scanner", "scanner", "scanner", Valid, "scanner"},
		"bound to another, entitled to both": {"other", "scanner", "scanner", KeyNotFound, ""},
	} {
		q := validQuestion()
		q.facts.Key.Product, q.query.Product, q.facts.Entitlements = c.bound, c.asked, nil
		if c.entitled != "" {
			q.facts.Entitlements = []Entitlement{source(SourceGrant, c.entitled, -time.Hour, nil)}
		}
		v := decide(q.facts, q.query, q.now)
		if v.Code != c.code {
			t.Errorf("%s: %s, want %s", name, v.Code, c.code)
		}
		var checked string
		if v.Entitlement != nil {
			checked = v.Entitlement.Product
		}
		if checked != c.checked {
			t.Errorf("%s: the entitlement to %q decided, want %q", name, checked, c.checked)
		}
	}
}

func TestDecide_environmentAndScopesMustMatch(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		key, asked apikey.Environment
		held, want []string
		code       VerifyCode
	}{
		"any environment":               {apikey.Test, "", nil, nil, Valid},
		"the same":                      {apikey.Test, apikey.Test, nil, nil, Valid},
		"a test key in live":            {apikey.Test, apikey.Live, nil, nil, KeyNotFound},
		"a live key in test":            {apikey.Live, apikey.Test, nil, nil, KeyNotFound},
		"no scope asked":                {apikey.Live, "", []string{"a"}, nil, Valid},
		"one of two":                    {apikey.Live, "", []string{"a", "b"}, []string{"b"}, Valid},
		"all":                           {apikey.Live, "", []string{"a", "b"}, []string{"b", "a"}, Valid},
		"one too many":                  {apikey.Live, "", []string{"a"}, []string{"a", "b"}, InsufficientScope},
		"none held":                     {apikey.Live, "", nil, []string{"a"}, InsufficientScope},
		"a prefix is no match":          {apikey.Live, "", []string{"a:read"}, []string{"a"}, InsufficientScope},
		"longer is no match":            {apikey.Live, "", []string{"a"}, []string{"a:read"}, InsufficientScope},
		"a star holds nothing but self": {apikey.Live, "", []string{"a:*"}, []string{"a:read"}, InsufficientScope},
	} {
		q := validQuestion()
		q.facts.Key.Environment, q.facts.Key.Scopes = c.key, c.held
		q.query.Environment, q.query.Scopes = c.asked, c.want
		if v := decide(q.facts, q.query, q.now); v.Code != c.code {
			t.Errorf("%s: %s, want %s", name, v.Code, c.code)
		}
	}
}

// previous makes it a question about a previous secret that ends that long after noon.
func previous(ends time.Duration) func(*question) {
	return func(q *question) {
		q.facts.Previous, q.facts.Key.PreviousEndsAt = true, in(ends)
	}
}

// A secret that was ended has ended also for a replica whose clock is behind.
func TestDecide_previousSecretExpires(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*question)
		code   VerifyCode
		secret Secret
	}{
		"good":           {previous(1), Valid, PreviousSecret},
		"ended now":      {previous(0), KeyExpired, PreviousSecret},
		"ended long ago": {previous(-time.Hour), KeyExpired, PreviousSecret},
		"without an end": {func(q *question) { q.facts.Previous = true }, KeyExpired, PreviousSecret},
		"current":        {func(*question) {}, Valid, CurrentSecret},
		"current, the previous has ended": {
			func(q *question) { previous(-1)(q); q.facts.Previous = false }, Valid, CurrentSecret,
		},
		"ended at once, by a clock ahead": {
			func(q *question) { previous(time.Minute)(q); q.facts.Key.PreviousEnded = true }, KeyExpired,
			PreviousSecret,
		},
		"revoked": {
			func(q *question) { previous(-1)(q); q.facts.Key.RevokedAt = in(0) }, KeyRevoked, PreviousSecret,
		},
		"disabled": {
			func(q *question) { previous(-1)(q); q.facts.Key.Disabled = true }, KeyDisabled, PreviousSecret,
		},
		"ended, of a frozen tenant": {
			func(q *question) { previous(-1)(q); q.facts.Tenant.Status = StatusFrozen }, KeyExpired, PreviousSecret,
		},
		"good, but the scope is not held": {
			func(q *question) { previous(1)(q); q.query.Scopes = []string{"z"} }, InsufficientScope, PreviousSecret,
		},
		"good, of another product's key": {
			func(q *question) { previous(1)(q); q.query.Product = "other" }, KeyNotFound, "",
		},
		"good, but there's no entitlement": {
			func(q *question) { previous(1)(q); q.facts.Entitlements = nil }, NotEntitled, PreviousSecret,
		},
	} {
		q := validQuestion()
		c.change(&q)
		v := decide(q.facts, q.query, q.now)
		if v.Code != c.code || v.Secret != c.secret {
			t.Errorf("%s: %s, by the secret %q; want %s, %q", name, v.Code, v.Secret, c.code, c.secret)
		}
		if c.secret != "" && v.KeyID != q.facts.Key.ID {
			t.Errorf("%s: it does not say which key it is", name)
		}
	}
}

func TestDecide_validUntilTheNextChange(t *testing.T) {
	t.Parallel()
	day, last := 24*time.Hour, time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
	for name, c := range map[string]struct {
		change func(*question)
		code   VerifyCode
		until  *time.Time
		maxAge int
	}{
		"permanent": {
			func(q *question) { q.facts.Key.ExpiresAt, q.facts.Entitlements[0].EndsAt = nil, nil }, Valid, nil, 5,
		},
		"the key ends first": {func(*question) {}, Valid, in(time.Hour), 5},
		"the entitlement ends first": {
			func(q *question) { q.facts.Entitlements[0].EndsAt = in(time.Minute) }, Valid, in(time.Minute), 5,
		},
		"no entitlement in question": {func(q *question) {
			q.query.Product, q.facts.Key.Product = "", ""
			q.facts.Entitlements[0].EndsAt = in(1)
		}, Valid, in(time.Hour), 5},
		"a second source begins": {func(q *question) {
			q.facts.Entitlements = append(q.facts.Entitlements, source(SourceTrial, "scanner", time.Minute, in(day)))
		}, Valid, in(time.Minute), 5},
		"six seconds": {
			func(q *question) { q.facts.Key.ExpiresAt = in(6 * time.Second) }, Valid, in(6 * time.Second), 5,
		},
		"five seconds": {
			func(q *question) { q.facts.Key.ExpiresAt = in(5 * time.Second) }, Valid, in(5 * time.Second), 5,
		},
		"rounded down": {
			func(q *question) { q.facts.Key.ExpiresAt = in(5*time.Second - 1) }, Valid, in(5*time.Second - 1), 4,
		},
		"two seconds": {
			func(q *question) { q.facts.Entitlements[0].EndsAt = in(2 * time.Second) }, Valid, in(2 * time.Second), 2,
		},
		"less than one": {
			func(q *question) { q.facts.Key.ExpiresAt = in(999 * time.Millisecond) }, Valid, in(999 * time.Millisecond),
			0,
		},
		"longer than a duration can be": {
			func(q *question) { q.facts.Key.ExpiresAt, q.facts.Entitlements[0].EndsAt = &last, nil }, Valid, &last, 5,
		},
		"scopes do not change by time": {
			func(q *question) { q.query.Scopes = []string{"z"} }, InsufficientScope, in(time.Hour), 5,
		},
		"no entitlement so far": {
			func(q *question) { q.facts.Entitlements[0].StartsAt = *in(3 * time.Second) }, NotEntitled,
			in(3 * time.Second), 3,
		},
		"no entitlement any more": {
			func(q *question) { q.facts.Entitlements[0].EndsAt = in(0) }, NotEntitled, in(time.Hour), 5,
		},
		"a frozen tenant's key expires": {
			func(q *question) { q.facts.Tenant.Status, q.facts.Key.ExpiresAt = StatusFrozen, in(2*time.Second) },
			TenantFrozen, in(2 * time.Second), 2,
		},
		"a frozen tenant's key without end": {
			func(q *question) { q.facts.Tenant.Status, q.facts.Key.ExpiresAt = StatusFrozen, nil }, TenantFrozen, nil,
			5,
		},
		"revoked is permanent": {
			func(q *question) { q.facts.Key.RevokedAt = in(0) }, KeyRevoked, nil, 5,
		},
		"disabled does not change by the clock": {
			func(q *question) { q.facts.Key.Disabled, q.facts.Key.ExpiresAt = true, in(1) }, KeyDisabled, nil, 5,
		},
		"expired is permanent": {
			func(q *question) { q.facts.Key.ExpiresAt = in(0) }, KeyExpired, nil, 5,
		},
		"the previous secret ends first":     {previous(time.Minute), Valid, in(time.Minute), 5},
		"the previous secret ends soon":      {previous(2*time.Second + 1), Valid, in(2*time.Second + 1), 2},
		"the key ends before its old secret": {previous(2 * time.Hour), Valid, in(time.Hour), 5},
		"the previous secret has ended":      {previous(0), KeyExpired, nil, 5},
		"the previous secret, and frozen": {func(q *question) {
			previous(time.Second)(q)
			q.facts.Tenant.Status = StatusFrozen
		}, TenantFrozen, in(time.Second), 1},
		"the current secret of a key that was rotated": {func(q *question) {
			previous(time.Second)(q)
			q.facts.Previous = false
		}, Valid, in(time.Hour), 5},
		"not found may be created at once": {
			func(q *question) { q.query.Environment = apikey.Test }, KeyNotFound, nil, 0,
		},
	} {
		q := validQuestion()
		c.change(&q)
		v := decide(q.facts, q.query, q.now)
		if v.Code != c.code || !reflect.DeepEqual(v.ValidUntil, c.until) || v.MaxAgeSeconds != c.maxAge {
			t.Errorf(
				"%s: %s until %v, cached for %d s; want %s until %v, %d s", name, v.Code, v.ValidUntil, v.MaxAgeSeconds,
				c.code, c.until, c.maxAge,
			)
		}
	}
}

// The same facts give other answers at other times, each change at the instant that the verdict before it named, and
// not a microsecond earlier.
func TestDecide_followsTheClock(t *testing.T) {
	t.Parallel()
	q := validQuestion()
	q.facts.Entitlements = []Entitlement{
		source(SourceTrial, "scanner", time.Minute, in(2*time.Minute)),
		source(SourcePlan, "scanner", 3*time.Minute, nil),
	}
	now := noon
	for i, want := range []struct {
		code  VerifyCode
		until *time.Time
	}{
		{NotEntitled, in(time.Minute)}, {Valid, in(2 * time.Minute)}, {NotEntitled, in(3 * time.Minute)},
		{Valid, in(time.Hour)}, {KeyExpired, nil},
	} {
		v := decide(q.facts, q.query, now)
		if v.Code != want.code || !reflect.DeepEqual(v.ValidUntil, want.until) {
			t.Fatalf(
				"step %d at %s: %s until %v, want %s until %v", i, now, v.Code, v.ValidUntil, want.code, want.until,
			)
		}
		if v.ValidUntil == nil {
			break
		}
		if before := decide(q.facts, q.query, v.ValidUntil.Add(-time.Microsecond)); before.Code != want.code {
			t.Errorf("step %d: a microsecond before the end it is %s, want %s", i, before.Code, want.code)
		}
		now = *v.ValidUntil
	}
}

func TestDecide_leavesItsInputAlone(t *testing.T) {
	t.Parallel()
	q, same := validQuestion(), validQuestion()
	q.facts.Entitlements = append(q.facts.Entitlements, source(SourceGrant, "scanner", -time.Hour, nil))
	same.facts.Entitlements = slices.Clone(q.facts.Entitlements)
	first := decide(q.facts, q.query, q.now)
	if second := decide(q.facts, q.query, q.now); !reflect.DeepEqual(first, second) {
		t.Errorf("the same question twice: %+v and %+v", first, second)
	}
	if !reflect.DeepEqual(q.facts, same.facts) || !reflect.DeepEqual(q.query, same.query) {
		t.Error("deciding changed the facts or the query")
	}
}

// cached is a store that has the facts of a key in memory, as a cache does.
type cached struct {
	Store
	facts KeyFacts
}

func (r cached) KeyFacts(context.Context, KeyLookup, ReadOptions) (KeyFacts, error) {
	return r.facts, nil
}

func (r cached) TenantByKeycloakOrg(context.Context, string, ReadOptions) (Tenant, error) {
	return r.facts.Tenant, nil
}

func (r cached) TenantBySlug(context.Context, string, ReadOptions) (Tenant, error) {
	return r.facts.Tenant, nil
}

// TestVerify_allocatesLittle holds what a verification costs beside the store: the entitlement of the verdict, and the
// key's text as bytes.
func TestVerify_allocatesLittle(t *testing.T) {
	const most = 2
	q := validQuestion()
	q.facts.Key.Product, q.facts.Key.ExpiresAt, q.facts.Entitlements[0].EndsAt = "", nil, nil
	s := New(cached{facts: q.facts}, Options{})
	q.query = VerifyQuery{
		Key: apikey.Generate(apikey.Live), Product: "scanner", Scopes: []string{"a:read", "a:write"},
		Environment: apikey.Live,
	}
	ctx, by := t.Context(), Caller{Access: FullAccess}
	got := testing.AllocsPerRun(100, func() {
		if v, err := s.Verify(ctx, by, q.query, ReadOptions{}); err != nil || v.Code != Valid {
			t.Fatalf("%+v, %v", v, err)
		}
	})
	if got > most {
		t.Errorf("%.0f allocations, want %d at most", got, most)
	}
}
