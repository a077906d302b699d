package registry

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/audit"
	"github.com/breakpilot/tenant-registry/internal/timestamp"
	"github.com/breakpilot/tenant-registry/internal/violation"
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
	Key            string // never changes
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

// CatalogReader reads products and the requests for them.
type CatalogReader interface {
	// GetProduct returns ErrNotFound if there is no product with this key.
	GetProduct(ctx context.Context, key string) (Product, error)
	// ListProducts returns the whole catalogue in the byte order of the keys.
	ListProducts(ctx context.Context) ([]Product, error)
	// GetCatalogRequest returns ErrNotFound if there is no request with this id.
	GetCatalogRequest(ctx context.Context, id uuid.UUID) (CatalogRequest, error)
	// ListPendingCatalogRequests returns a tenant's open requests in the byte order of their product keys; of an
	// unknown tenant none.
	ListPendingCatalogRequests(ctx context.Context, tenant uuid.UUID) ([]CatalogRequest, error)
	// ListCatalogRequests returns a tenant's requests after an id, in the byte order of their ids, at most limit of
	// them.
	ListCatalogRequests(ctx context.Context, tenant, after uuid.UUID, limit int) ([]CatalogRequest, error)
}

// CatalogWriter writes products and the requests for them.
type CatalogWriter interface {
	// InsertProduct returns ErrDuplicate if the key exists.
	InsertProduct(ctx context.Context, p Product) error
	// InsertCatalogRequest returns ErrRequestPending if the tenant has an open request for the product, ErrNoParent if
	// the tenant or the product does not exist.
	InsertCatalogRequest(ctx context.Context, r CatalogRequest) error
}

var reservedProductKeys = []string{"request", "requests", "trial-request"}

func validProductKey(key string) bool {
	return len(key) >= 2 && len(key) <= 63 && plainName(key, "-") && !slices.Contains(reservedProductKeys, key)
}

func (p Product) available(now time.Time) bool {
	return (p.AvailableFrom == nil || !now.Before(*p.AvailableFrom)) &&
		(p.AvailableUntil == nil || now.Before(*p.AvailableUntil))
}

// validate returns the product as stores hold it.
func (p Product) validate() (Product, error) {
	var c checks
	c.productKey("/key", p.Key)
	c.line("/name", p.Name, MaxName)
	c.text("/description", p.Description, MaxText)
	if p.Audience != Public && p.Audience != Private {
		c.add("/audience", violation.OneOf("public", "private"))
	}
	if p.TrialDays < 0 || p.TrialDays > 3650 {
		c.add("/trial_days", violation.TrialDays)
	}
	p.DefaultLimits = normalObject(&c, "/default_limits", p.DefaultLimits)
	p.DefaultConfig = normalObject(&c, "/default_config", p.DefaultConfig)
	p.AvailableFrom, p.AvailableUntil =
		timestamp.TruncateOptional(p.AvailableFrom), timestamp.TruncateOptional(p.AvailableUntil)
	if p.AvailableFrom != nil && p.AvailableUntil != nil && !p.AvailableUntil.After(*p.AvailableFrom) {
		c.add("/available_until", violation.AfterStart)
	}
	return p, c.err()
}

// CreateProduct adds a product to the catalogue; CreatedAt and UpdatedAt are set here.
func (s *Service) CreateProduct(ctx context.Context, by Caller, p Product) (Result[Product], error) {
	p, err := p.validate()
	if err != nil {
		return Result[Product]{}, err
	}
	return change(ctx, s, by, uuid.Nil, func(tx Tx, now time.Time) (*outcome[Product], error) {
		p.CreatedAt, p.UpdatedAt = now, now
		if err := tx.InsertProduct(ctx, p); err != nil {
			return nil, refuse(err, map[error]*Error{
				ErrDuplicate: conflict(CodeProductExists, "The catalogue has a product with this key.").in("/key"),
			})
		}
		return changed(p, p.event("product.create", audit.Create))
	})
}

func (p Product) event(action string, crud audit.CRUD) audit.Event {
	return audit.Event{
		Action: action, CRUD: crud, Target: audit.Party{ID: p.Key, Name: p.Name, Type: "product"},
		Fields: diff(nil, map[string]any{
			"key": p.Key, "name": p.Name, "description": p.Description, "audience": p.Audience,
			"requestable": p.Requestable,
			"trial_days":  p.TrialDays, "default_limits": p.DefaultLimits, "default_config": p.DefaultConfig,
			"available_from": p.AvailableFrom, "available_until": p.AvailableUntil,
		}),
	}
}
