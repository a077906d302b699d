package registry_test

import (
	"errors"
	"reflect"
	"testing"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/audit"
	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/store/memory"
	"github.com/breakpilot/tenant-registry/internal/testkit"
)

// stage is a fixture with something of everything, on which every use case can succeed.
type stage struct {
	*fixture
	trial, active, frozen registry.Tenant
	apiKey                registry.APIKey
	text                  string // of apiKey
}

func newStage(t *testing.T, store registry.Store) *stage {
	t.Helper()
	f := fixtureOn(t, store)
	f.product("scanner")
	st := &stage{
		fixture: f, trial: f.tenant("trial", registry.StatusTrial), active: f.tenant("active", registry.StatusActive),
		frozen: f.tenant("frozen", registry.StatusFrozen),
	}
	st.apiKey, st.text = f.key(registry.APIKeyInput{TenantID: st.active.ID})
	return st
}

func (st *stage) dump() string { return st.fixture.dump(st.trial.ID, st.active.ID, st.frozen.ID) }

// changes are all use cases that write: how each succeeds, and how each is refused for the state that things are in.
var changes = []struct {
	name    string
	action  string
	succeed func(st *stage) error
	refuse  func(st *stage) error
}{
	{
		"create tenant", "tenant.create",
		func(st *stage) error {
			return second(testkit.Value(st.s.CreateTenant(st.ctx, st.by, registry.TenantInput{
				Slug: "new", Name: "New",
			})))
		},
		func(st *stage) error {
			return second(testkit.Value(st.s.CreateTenant(st.ctx, st.by, registry.TenantInput{
				Slug: "active", Name: "New",
			})))
		},
	}, {
		"activate", "tenant.activate",
		func(st *stage) error { return second(testkit.Value(st.s.ActivateTenant(st.ctx, st.by, st.trial.ID))) },
		func(st *stage) error { return second(testkit.Value(st.s.ActivateTenant(st.ctx, st.by, st.active.ID))) },
	}, {
		"cancel", "tenant.cancel",
		func(st *stage) error { return second(testkit.Value(st.s.CancelTenant(st.ctx, st.by, st.active.ID))) },
		func(st *stage) error { return second(testkit.Value(st.s.CancelTenant(st.ctx, st.by, st.frozen.ID))) },
	}, {
		"freeze", "tenant.freeze",
		func(st *stage) error { return second(testkit.Value(freezeForATest(st.s, st.ctx, st.by, st.active.ID))) },
		func(st *stage) error { return second(testkit.Value(freezeForATest(st.s, st.ctx, st.by, st.frozen.ID))) },
	}, {
		"reactivate", "tenant.reactivate",
		func(st *stage) error {
			return second(testkit.Value(st.s.ReactivateTenant(st.ctx, st.by, st.frozen.ID)))
		},
		func(st *stage) error { return second(testkit.Value(st.s.ReactivateTenant(st.ctx, st.by, st.trial.ID))) },
	}, {
		"create product", "product.create",
		func(st *stage) error {
			return second(testkit.Value(st.s.CreateProduct(st.ctx, st.by, registry.Product{
				Key: "new", Name: "New", Audience: registry.Public,
			})))
		},
		func(st *stage) error {
			return second(testkit.Value(st.s.CreateProduct(st.ctx, st.by, registry.Product{
				Key: "scanner", Name: "New", Audience: registry.Public,
			})))
		},
	}, {
		"grant", "entitlement.create",
		func(st *stage) error {
			return second(testkit.Value(st.s.Grant(st.ctx, st.by, st.active.ID, "scanner", registry.SourcePlan)))
		},
		func(st *stage) error {
			return second(testkit.Value(st.s.Grant(st.ctx, st.by, st.frozen.ID, "scanner", registry.SourcePlan)))
		},
	}, {
		"request", "catalog.request.create",
		func(st *stage) error {
			_, created, err := testkit.Created(st.s.RequestProduct(st.ctx, st.by, registry.CatalogRequestInput{
				TenantID: st.active.ID, Product: "scanner",
			}))
			if err == nil && !created {
				return errors.New("not created")
			}
			return err
		},
		func(st *stage) error {
			_, _, err := testkit.Created(st.s.RequestProduct(st.ctx, st.by, registry.CatalogRequestInput{
				TenantID: st.active.ID, Product: "other",
			}))
			return err
		},
	}, {
		"trial", "entitlement.create",
		func(st *stage) error {
			return second(testkit.Value(st.s.StartTrial(st.ctx, st.by, registry.CatalogRequestInput{
				TenantID: st.active.ID, Product: "scanner",
			})))
		},
		func(st *stage) error {
			return second(testkit.Value(st.s.StartTrial(st.ctx, st.by, registry.CatalogRequestInput{
				TenantID: st.frozen.ID, Product: "scanner",
			})))
		},
	}, {
		"create key", "api_key.create",
		func(st *stage) error {
			_, _, err := testkit.Secret(st.s.CreateAPIKey(st.ctx, st.by, registry.APIKeyInput{
				TenantID: st.active.ID, Name: "k",
			}))
			return err
		},
		func(st *stage) error {
			_, _, err := testkit.Secret(st.s.CreateAPIKey(st.ctx, st.by, registry.APIKeyInput{
				TenantID: st.active.ID, Name: "k", Product: "other",
			}))
			return err
		},
	}, {
		"revoke key", "api_key.revoke",
		func(st *stage) error {
			return second(testkit.Value(st.s.RevokeAPIKey(st.ctx, st.by, st.apiKey.ID, "")))
		},
		func(st *stage) error { return second(testkit.Value(st.s.RevokeAPIKey(st.ctx, st.by, uuid.New(), ""))) },
	}, {
		"rotate key", "api_key.rotate",
		func(st *stage) error {
			_, _, err := testkit.Secret(st.s.RotateAPIKey(st.ctx, st.by, st.apiKey.ID, nil))
			return err
		},
		func(st *stage) error {
			_, _, err := testkit.Secret(st.s.RotateAPIKey(st.ctx, st.by, st.apiKey.ID, new(int64(-1))))
			return err
		},
	}, {
		"update key", "api_key.update",
		func(st *stage) error {
			return second(testkit.Value(st.s.UpdateAPIKey(st.ctx, st.by, st.apiKey.ID, registry.APIKeyPatch{
				Name: registry.Set("new"),
			})))
		},
		func(st *stage) error {
			late := expecting(st.by, 7)
			return second(testkit.Value(st.s.UpdateAPIKey(st.ctx, late, st.apiKey.ID, registry.APIKeyPatch{
				Name: registry.Set("new"),
			})))
		},
	}, {
		"self-revoke", "api_key.revoke",
		func(st *stage) error { return second(st.s.SelfRevoke(st.ctx, registry.Caller{}, st.text)) },
		nil, // it refuses nothing
	}, {
		"record event", "document.share",
		func(st *stage) error {
			return second(testkit.Value(st.s.RecordEvent(st.ctx, st.by, reported(st.active.ID))))
		},
		func(st *stage) error {
			return second(testkit.Value(st.s.RecordEvent(st.ctx, st.by, reported(uuid.New()))))
		},
	}, {
		"record events", "document.share",
		func(st *stage) error {
			return second(testkit.Value(st.s.RecordEvents(st.ctx, st.by, []audit.Event{reported(st.active.ID)})))
		},
		func(st *stage) error {
			return second(testkit.Value(st.s.RecordEvents(st.ctx, st.by, []audit.Event{
				reported(st.active.ID), reported(uuid.New()),
			})))
		},
	}, {
		"erase", "audit.erase",
		func(st *stage) error {
			return second(testkit.Value(st.s.EraseEvents(st.ctx, st.by, registry.ErasureInput{
				GroupID: st.active.ID, Subjects: []string{"op-1"}, Reason: "asked for",
			})))
		},
		func(st *stage) error {
			return second(testkit.Value(st.s.EraseEvents(st.ctx, st.by, registry.ErasureInput{
				GroupID: st.active.ID, Subjects: []string{"*"}, Reason: "asked for",
			})))
		},
	},
}

func second[T any](_ T, err error) error { return err }

// Reads and constructors apart, every exported method of the service is among the changes, so that a new one is not
// forgotten here.
func TestChanges_areComplete(t *testing.T) {
	t.Parallel()
	reads := map[string]bool{
		"Ping": true, "Tenant": true, "TenantBySlug": true, "OwnTenant": true, "Catalog": true, "Entitlements": true,
		"APIKeys": true,
		"Audit":   true, "Event": true, "Verify": true, "Follow": true, "LongPolls": true, "Drain": true,
		"Shares": true, "BeginAppend": true, "AppendLength": true,
		"Chain": true, "Checkpoint": true,
		"Export": true, "APIKey": true, "ExportTenant": true,
	}
	writes := 0
	for m := range reflect.TypeFor[*registry.Service]().Methods() {
		if !reads[m.Name] {
			writes++
		}
	}
	if writes != len(changes) {
		t.Errorf("the service has %d methods that are no known reads, and %d changes are tested", writes, len(changes))
	}
}

func TestChanges_leaveOneEventOrNone(t *testing.T) {
	t.Parallel()
	for _, c := range changes {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			st := newStage(t, memory.New())
			before, events := st.dump(), len(st.log())
			if c.refuse != nil {
				if err := c.refuse(st); err == nil {
					t.Error("the refusal succeeded")
				} else if after := st.dump(); after != before {
					t.Errorf("after the refusal %v there is\n%s\nand before it was\n%s", err, after, before)
				}
			}
			st.must(c.succeed(st))
			if n := len(st.log()) - events; n != 1 || st.last().Action != c.action {
				t.Errorf("%d events, the last %s; want one, %s", n, st.last().Action, c.action)
			}
			dense(t, st.log())
		})
	}
}

// If the event cannot be written, nothing of the change is, and the caller gets the error.
func TestChanges_withoutTheirEventAreUndone(t *testing.T) {
	t.Parallel()
	for _, c := range changes {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			store := &mute{Store: memory.New()}
			st := newStage(t, store)
			before := st.dump()
			store.silent = true
			if err := c.succeed(st); !errors.Is(err, registry.ErrUnavailable) {
				t.Errorf("the answer is %v", err)
			}
			if after := st.dump(); after != before {
				t.Errorf("there is\n%s\nand before it was\n%s", after, before)
			}
			store.silent = false
			st.must(c.succeed(st))
		})
	}
}

// A store may run a transaction again; nothing of the first run may show.
func TestChanges_rerunLeavesOneEvent(t *testing.T) {
	t.Parallel()
	for _, c := range changes {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			st := newStage(t, rerunning{memory.New()})
			events := len(st.log())
			st.must(c.succeed(st))
			if n := len(st.log()) - events; n != 1 {
				t.Errorf("%d events", n)
			}
			dense(t, st.log())
		})
	}
}

// The longest values that are allowed make no change fail: what is long is hashed in its event.
func TestChanges_largestValuesSucceed(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	metadata := map[string]string{}
	for i := range 32 {
		metadata[string(rune('A'+i))+wide(63)] = wide(256)
	}
	n, err := testkit.Value(f.s.CreateTenant(f.ctx, f.by, registry.TenantInput{
		Slug: "acme", Name: wide(200), Region: wide(64), ExternalID: wide(200), KeycloakOrgID: wide(200),
		Metadata: metadata,
	}))
	f.must(err)
	if got := f.last().Fields["after.metadata"]; len(got) != len("sha256:")+64 {
		t.Errorf("32 entries of metadata are recorded as %d bytes", len(got))
	}
	f.product("scanner", func(p *registry.Product) { p.Name, p.Description = wide(200), wide(2000) })
	_, _, err = testkit.Created(f.s.RequestProduct(f.ctx, f.by, registry.CatalogRequestInput{
		TenantID: n.ID, Product: "scanner", Message: wide(2000),
	}))
	f.must(err)
	var scopes []string
	for i := range 32 {
		scopes = append(
			scopes,
			string(rune(
				'a'+i%26,
			))+string(rune('a'+i/26))+"12345678901234567890123456789012345678901234567890123456789012",
		)
	}
	f.key(registry.APIKeyInput{TenantID: n.ID, Name: wide(200), Scopes: scopes})
	dense(t, f.log())
}

func wide(n int) string {
	var text []rune
	for range n {
		text = append(text, '🦫')
	}
	return string(text)
}
