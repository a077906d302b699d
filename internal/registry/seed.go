package registry

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/apikey"
	"github.com/breakpilot/tenant-registry/internal/audit"
)

// AcmeID is the id of the tenant that sample data begins with.
var AcmeID = uuid.MustParse("00000000-0000-0000-0000-000000000001")

// acmeOrganization is the id of the organisation acme in the realm export of internal/auth, so that its users are
// acme's.
const acmeOrganization = "0f6d2f5e-7a3f-4c50-8a4c-2f4f1f6b7a11"

// Sample is what Seed made that a person wants to try.
type Sample struct {
	Tenant  uuid.UUID
	LiveKey string // the text of a valid key of the tenant, of which no store has a copy
}

// Seed fills an empty store with sample data: the active tenant acme, a catalogue in which acme sees a product in every
// state but unavailable, and one product that it does not see, a live and a revoked key, and the audit events of three
// weeks. It goes through the use cases, so nothing in it could not have happened. On a store that has the tenant it
// fails and changes nothing.
func Seed(ctx context.Context, store Store, o Options) (Sample, error) {
	s := New(store, o)
	end := s.clock()
	w := &seeding{
		ctx: ctx, by: Caller{Access: FullAccess, Actor: audit.Party{ID: "seed", Name: "sample data", Type: "system"}},
	}
	s.now = func() time.Time { return end.Add(-w.ago) }
	w.s = s

	w.at(21*24*time.Hour, w.tenant)
	w.at(20*24*time.Hour, w.catalogue)
	w.at(14*24*time.Hour, w.entitlements)
	w.at(9*24*time.Hour, w.keys)
	for i, what := range reports {
		w.at(time.Duration(200-20*i)*time.Hour, func() { w.report(i, what.action, what.crud) })
	}
	return Sample{Tenant: AcmeID, LiveKey: w.liveKey}, w.err
}

// seeding remembers the first failure, after which nothing more is done.
type seeding struct {
	ctx     context.Context
	s       *Service
	by      Caller
	ago     time.Duration
	liveKey string
	err     error
}

func (w *seeding) at(ago time.Duration, do func()) {
	w.ago = ago
	do()
}

// try runs the next step, a minute after the one before.
func (w *seeding) try(step func() error) {
	if w.err == nil {
		w.err = step()
		w.ago -= time.Minute
	}
}

func (w *seeding) tenant() {
	w.try(func() error {
		_, err := w.s.createTenant(w.ctx, w.by, AcmeID, TenantInput{
			Slug: "acme", Name: "Acme", Region: "eu-central", ExternalID: "crm-1001", KeycloakOrgID: acmeOrganization,
			Metadata: map[string]string{"team": "platform"},
		})
		return err
	})
	w.try(func() error { _, err := w.s.ActivateTenant(w.ctx, w.by, AcmeID); return err })
}

func (w *seeding) catalogue() {
	for _, p := range []Product{
		{
			Key: "compliance-suite", Name: "Compliance Suite", Description: "Controls, evidence and reports.",
			Requestable: true, TrialDays: DefaultTrialDays,
			DefaultLimits: Limits{"seats": limit(25), "projects": nil}, DefaultConfig: Config{"retention_days": 365.0},
		},
		{
			Key: "code-scanner", Name: "Code Scanner", Description: "Findings in every commit.", Requestable: true,
			TrialDays: 30, DefaultLimits: Limits{"repositories": limit(10)},
		},
		{
			Key: "consent-manager", Name: "Consent Manager",
			Description: "Consent banners and their records; sold through sales.", Requestable: true,
		},
		{Key: "insights", Name: "Insights", Description: "Usage and cost, by team.", TrialDays: DefaultTrialDays},
		{
			Key: "policy-studio", Name: "Policy Studio", Description: "Policies as code.", Requestable: true,
			TrialDays: DefaultTrialDays,
		},
		{Key: "risk-register", Name: "Risk Register", Description: "Risks, owners and due dates.", TrialDays: 7},
		{Key: "sovereign-hosting", Name: "Sovereign Hosting", Description: "A region of one's own.", Audience: Private},
	} {
		if p.Audience == "" {
			p.Audience = Public
		}
		w.try(func() error { _, err := w.s.CreateProduct(w.ctx, w.by, p); return err })
	}
}

func limit(n int64) *int64 { return &n }

func (w *seeding) entitlements() {
	w.try(func() error { _, err := w.s.Grant(w.ctx, w.by, AcmeID, "compliance-suite", SourcePlan); return err })
	for _, product := range []string{"code-scanner", "risk-register"} { // of 30 days and of 7: one is still running
		w.try(func() error {
			_, err := w.s.StartTrial(w.ctx, w.by, CatalogRequestInput{TenantID: AcmeID, Product: product})
			return err
		})
	}
	w.try(func() error {
		_, err := w.s.RequestProduct(w.ctx, w.by, CatalogRequestInput{
			TenantID: AcmeID, Product: "policy-studio", Message: "For twenty people, from next quarter on.",
		})
		return err
	})
}

func (w *seeding) keys() {
	w.try(func() error {
		made, err := w.s.CreateAPIKey(w.ctx, w.by, APIKeyInput{
			TenantID: AcmeID, Name: "production", Scopes: []string{"reports:read", "reports:write"},
		})
		w.liveKey = made.Value.Text
		return err
	})
	var old APIKey
	w.try(func() error {
		made, err := w.s.CreateAPIKey(w.ctx, w.by, APIKeyInput{
			TenantID: AcmeID, Name: "old laptop", Environment: apikey.Test, Product: "code-scanner",
		})
		old = made.Value.APIKey
		return err
	})
	w.try(func() error { _, err := w.s.RevokeAPIKey(w.ctx, w.by, old.ID, "the laptop was lost"); return err })
}

// reports are the events that acme's own services report, one every twenty hours.
var reports = []struct {
	action string
	crud   audit.CRUD
}{
	{"session.login", audit.Create}, {"document.create", audit.Create}, {"document.share", audit.Update},
	{"session.logout", audit.Delete},
	{"session.login", audit.Create}, {"member.invite", audit.Create}, {"document.export", audit.Read},
	{"settings.update", audit.Update},
	{"document.delete", audit.Delete}, {"session.login", audit.Create},
}

// report appends an event as one of acme's own services would.
func (w *seeding) report(i int, action string, crud audit.CRUD) {
	w.try(func() error {
		_, err := w.s.RecordEvent(w.ctx, w.by, audit.Event{
			GroupID: AcmeID, GroupName: "Acme", Action: action, CRUD: crud,
			Actor:    audit.Party{ID: []string{"user-1", "user-2", "user-3"}[i%3], Type: "user"},
			Target:   audit.Party{ID: "portal", Type: "service"},
			SourceIP: "192.0.2.10", Component: "portal", IsFailure: i == 4,
			Fields: map[string]string{"channel": "web"},
		})
		return err
	})
}
