package registry

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/apikey"
)

// VerifyQuery asks whether a key is good for something. Only Key is required.
type VerifyQuery struct {
	Key         string
	Product     string             // the product that asks; empty: the caller's, else the key's own
	Scopes      []string           // all of them must be held, by exact match
	Environment apikey.Environment // the one the caller serves; empty: any
}

// VerifyCode is the outcome of a verification.
type VerifyCode string

// The outcomes, in the order in which they are looked for: the first that applies is the answer.
const (
	Malformed         VerifyCode = "MALFORMED"
	KeyNotFound       VerifyCode = "NOT_FOUND"
	KeyRevoked        VerifyCode = "REVOKED"
	KeyDisabled       VerifyCode = "DISABLED"
	KeyExpired        VerifyCode = "EXPIRED"
	TenantFrozen      VerifyCode = "TENANT_FROZEN"
	NotEntitled       VerifyCode = "NOT_ENTITLED"
	InsufficientScope VerifyCode = "INSUFFICIENT_SCOPE"
	Valid             VerifyCode = "VALID"
)

// Secret says which of a key's secrets is meant.
type Secret string

// The secrets of a key: it has a previous one since its first rotation.
const (
	CurrentSecret  Secret = "current"
	PreviousSecret Secret = "previous"
)

// MaxAge is for how many seconds a caller may cache a verdict, at most.
const MaxAge = 5

// KeyLookup asks for a key by the hash of one of its secrets, and for its tenant's entitlements to Product; if that is
// empty, to the product that the key is bound to.
type KeyLookup struct {
	Hash    apikey.Hash
	Product string
}

// KeyFacts is everything that a verdict is made from, and little more, because many are cached. See APIKey.Facts.
type KeyFacts struct {
	Previous  bool // the secret is the one before the last rotation
	Key       KeyCore
	*KeyOwner // may be that of all keys of a tenant
}

// KeyCore is what a verdict needs of a key.
type KeyCore struct {
	ID             uuid.UUID
	*KeyTerms      // may be those of many keys
	Disabled       bool
	ExpiresAt      *time.Time
	PreviousEndsAt *time.Time
	PreviousEnded  bool
	RevokedAt      *time.Time
}

// KeyTerms is what many keys have alike.
type KeyTerms struct {
	Environment apikey.Environment
	Product     string
	Scopes      []string
}

// KeyOwner is the tenant that a key belongs to.
type KeyOwner struct {
	Tenant       Tenant
	Entitlements []Entitlement // to the product in question
}

// Facts is what a verdict needs if the key was shown by a secret with this hash.
func (k APIKey) Facts(secret apikey.Hash, by *KeyOwner) KeyFacts {
	return KeyFacts{Previous: secret != k.Hash, Key: k.core(), KeyOwner: by}
}

func (k APIKey) core() KeyCore {
	return KeyCore{
		ID: k.ID, KeyTerms: &KeyTerms{Environment: k.Environment, Product: k.Product, Scopes: k.Scopes},
		Disabled:  k.Disabled,
		ExpiresAt: k.ExpiresAt, PreviousEndsAt: k.PreviousEndsAt, PreviousEnded: k.PreviousEnded,
		RevokedAt: k.RevokedAt,
	}
}

// previousValid reports whether the previous secret is valid. One that was ended at once is compared with no clock: it
// has ended for a machine whose clock is behind, too.
func (k KeyCore) previousValid(now time.Time) bool {
	return k.PreviousEndsAt != nil && !k.PreviousEnded && now.Before(*k.PreviousEndsAt)
}

// Verdict is the answer to a VerifyQuery. For Malformed and KeyNotFound everything but Code and MaxAgeSeconds is unset.
type Verdict struct {
	Code          VerifyCode
	KeyID         uuid.UUID
	TenantID      uuid.UUID
	TenantSlug    string
	TenantStatus  TenantStatus
	Environment   apikey.Environment
	Scopes        []string
	Secret        Secret              // which of the key's secrets it was
	Entitlement   *ProductEntitlement // if a product was in question and the decision came that far
	ValidUntil    *time.Time          // the next instant at which the clock alone may change the verdict; nil: never
	MaxAgeSeconds int                 // for how long a caller may cache the verdict; never past ValidUntil
}

// Valid reports whether the key is good for what was asked.
func (v Verdict) Valid() bool { return v.Code == Valid }

// Verify says whether a key is good. A bad key is an answer, not an error; errors are an invalid query and a store that
// cannot answer, and neither comes with a verdict.
func (s *Service) Verify(ctx context.Context, by Caller, q VerifyQuery, o ReadOptions) (Verdict, error) {
	if err := q.validate(); err != nil {
		return Verdict{}, err
	}
	if !by.Access.Tenants {
		if by.Access.Product == "" || (q.Product != "" && q.Product != by.Access.Product) {
			s.security.AuthorizationDenied(by, "it is bound to another product")
			return Verdict{}, &Error{
				Kind: Forbidden, Code: CodeForbidden, Detail: "The caller may verify keys for its own product only.",
			}
		}
		q.Product = by.Access.Product
	}
	hash, ok := apikey.Parse(q.Key)
	if !ok {
		return Verdict{Code: Malformed, MaxAgeSeconds: MaxAge}, nil
	}
	facts, err := s.lookup.KeyFacts(ctx, KeyLookup{Hash: hash, Product: q.Product}, o)
	if errors.Is(err, ErrNotFound) {
		return Verdict{Code: KeyNotFound}, nil
	}
	if err != nil {
		return Verdict{}, err
	}
	now := s.clock()
	v := decide(facts, q, now)
	if v.Valid() {
		s.usage.record(v.KeyID, hash, now)
	}
	return v, nil
}

func (q VerifyQuery) validate() error {
	var c checks
	if q.Product != "" {
		c.productKey("/product", q.Product)
	}
	if q.Environment != "" {
		c.environment("/environment", q.Environment)
	}
	c.scopes("/scopes", q.Scopes)
	return c.err()
}

// decide is the verdict on a key that exists. It is a pure function of its arguments, so that expiry is exact whatever
// was cached.
func decide(f KeyFacts, q VerifyQuery, now time.Time) Verdict {
	k := f.Key
	foreign := q.Product != "" && k.Product != "" && q.Product != k.Product
	if foreign || (q.Environment != "" && q.Environment != k.Environment) {
		return Verdict{Code: KeyNotFound}
	}
	v := Verdict{
		KeyID: k.ID, TenantID: f.Tenant.ID, TenantSlug: f.Tenant.Slug, TenantStatus: f.Tenant.Status,
		Environment: k.Environment, Scopes: k.Scopes, Secret: CurrentSecret, MaxAgeSeconds: MaxAge,
	}
	if f.Previous {
		v.Secret = PreviousSecret
	}
	switch {
	case k.RevokedAt != nil:
		v.Code = KeyRevoked
		return v
	case k.Disabled:
		v.Code = KeyDisabled
		return v
	case k.ExpiresAt != nil && !now.Before(*k.ExpiresAt):
		v.Code = KeyExpired
		return v
	case f.Previous && !k.previousValid(now):
		v.Code = KeyExpired
		return v
	}
	v.ValidUntil = k.ExpiresAt
	if f.Previous {
		v.ValidUntil = earliest(k.ExpiresAt, k.PreviousEndsAt)
	}
	if f.Tenant.Status == StatusFrozen {
		v.Code, v.MaxAgeSeconds = TenantFrozen, maxAge(v.ValidUntil, now)
		return v
	}
	entitled := true
	if product := cmp.Or(q.Product, k.Product); product != "" {
		e := evaluate(f.Tenant.Status, product, f.Entitlements, now)
		v.Entitlement, v.ValidUntil, entitled = &e, earliest(v.ValidUntil, e.ValidUntil), e.Entitled
	}
	switch {
	case !entitled:
		v.Code = NotEntitled
	case !holdsAll(k.Scopes, q.Scopes):
		v.Code = InsufficientScope
	default:
		v.Code = Valid
	}
	v.MaxAgeSeconds = maxAge(v.ValidUntil, now)
	return v
}

func maxAge(until *time.Time, now time.Time) int {
	if until == nil {
		return MaxAge
	}
	return min(MaxAge, int(until.Sub(now)/time.Second))
}

func holdsAll(held, asked []string) bool {
	return !slices.ContainsFunc(asked, func(scope string) bool { return !slices.Contains(held, scope) })
}
