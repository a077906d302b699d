package registry

import (
	"context"
	"slices"
	"time"
)

// Audience says who sees a product in the catalogue.
type Audience string

// The audiences.
const (
	Public  Audience = "public"
	Private Audience = "private" // only tenants that are entitled to it, and operators
)

// Product is one thing of the catalogue that a tenant can be entitled to.
type Product struct {
	Key            string // what everybody calls it; never changes
	Name           string
	Description    string
	Audience       Audience
	Requestable    bool // customers may ask sales for it
	TrialDays      int  // 0 means no trial; a trial runs TrialDays × 24 hours
	DefaultLimits  Limits
	DefaultConfig  Config
	AvailableFrom  *time.Time // from this instant on, if set
	AvailableUntil *time.Time // before this instant, if set
	CreatedAt      time.Time
	UpdatedAt      time.Time
}

// DefaultTrialDays is how long a trial runs unless the product says otherwise.
const DefaultTrialDays = 14

var reservedProductKeys = []string{"request", "requests", "trial-request"}

func validProductKey(key string) bool {
	return len(key) >= 2 && len(key) <= 63 && plainName(key, "-") && !slices.Contains(reservedProductKeys, key)
}

func (p Product) available(now time.Time) bool {
	return (p.AvailableFrom == nil || !now.Before(*p.AvailableFrom)) && (p.AvailableUntil == nil || now.Before(*p.AvailableUntil))
}

// CreateProduct adds a product to the catalogue; CreatedAt and UpdatedAt are set here.
func (s *Service) CreateProduct(ctx context.Context, by Caller, p Product) (Product, error) {
	var c checks
	c.productKey("/key", p.Key)
	c.line("/name", p.Name, MaxName)
	c.text("/description", p.Description, MaxText)
	if p.Audience != Public && p.Audience != Private {
		c.add("/audience", "must be one of public, private")
	}
	if p.TrialDays < 0 || p.TrialDays > 3650 {
		c.add("/trial_days", "must be from 1 to 3650, or null for no trial")
	}
	p.DefaultLimits = normalObject(&c, "/default_limits", p.DefaultLimits)
	p.DefaultConfig = normalObject(&c, "/default_config", p.DefaultConfig)
	p.AvailableFrom, p.AvailableUntil = microseconds(p.AvailableFrom), microseconds(p.AvailableUntil)
	if p.AvailableFrom != nil && p.AvailableUntil != nil && !p.AvailableUntil.After(*p.AvailableFrom) {
		c.add("/available_until", "must be after available_from")
	}
	if err := c.err(); err != nil {
		return Product{}, err
	}
	return change(ctx, s, by, func(tx Tx, now time.Time) (Product, AuditEvent, error) {
		p.CreatedAt, p.UpdatedAt = now, now
		err := refuse(tx.InsertProduct(ctx, p), map[error]*Error{
			ErrDuplicate: conflict(CodeProductExists, "The catalogue has a product with this key.").in("/key"),
		})
		return p, p.event("product.create", Create), err
	})
}

func (p Product) event(action string, crud CRUD) AuditEvent {
	return AuditEvent{
		Action: action, CRUD: crud, Target: Party{ID: p.Key, Name: p.Name, Type: "product"},
		Fields: diff(nil, map[string]any{
			"key": p.Key, "name": p.Name, "description": p.Description, "audience": p.Audience, "requestable": p.Requestable,
			"trial_days": p.TrialDays, "default_limits": p.DefaultLimits, "default_config": p.DefaultConfig,
			"available_from": p.AvailableFrom, "available_until": p.AvailableUntil,
		}),
	}
}
