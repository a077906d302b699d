package registry_test

import (
	"reflect"
	"testing"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/store/memory"
	"github.com/breakpilot/tenant-registry/internal/testkit"
)

// uses are all use cases that are about one tenant, one of its keys or one of its events.
var uses = map[string]func(st *stage, by registry.Caller, tenant, key, event uuid.UUID) error{
	"tenant": func(st *stage, by registry.Caller, tenant, _, _ uuid.UUID) error {
		return second(st.s.Tenant(st.ctx, by, tenant))
	},
	"activate": func(st *stage, by registry.Caller, tenant, _, _ uuid.UUID) error {
		return second(testkit.Value(st.s.ActivateTenant(st.ctx, by, tenant)))
	},
	"cancel": func(st *stage, by registry.Caller, tenant, _, _ uuid.UUID) error {
		return second(testkit.Value(st.s.CancelTenant(st.ctx, by, tenant)))
	},
	"freeze": func(st *stage, by registry.Caller, tenant, _, _ uuid.UUID) error {
		return second(testkit.Value(freezeForATest(st.s, st.ctx, by, tenant)))
	},
	"reactivate": func(st *stage, by registry.Caller, tenant, _, _ uuid.UUID) error {
		return second(testkit.Value(st.s.ReactivateTenant(st.ctx, by, tenant)))
	},
	"catalog": func(st *stage, by registry.Caller, tenant, _, _ uuid.UUID) error {
		_, _, err := testkit.Items(st.s.Catalog(st.ctx, by, &tenant, registry.PageRequest{Limit: 1}))
		return err
	},
	"entitled": func(st *stage, by registry.Caller, tenant, _, _ uuid.UUID) error {
		_, _, err := testkit.Items(st.s.Entitlements(st.ctx, by, tenant, registry.PageRequest{Limit: 1}))
		return err
	},
	"keys": func(st *stage, by registry.Caller, tenant, _, _ uuid.UUID) error {
		return second(st.s.APIKeys(st.ctx, by, registry.APIKeyQuery{
			TenantID: tenant, PageRequest: registry.PageRequest{Limit: 1},
		}))
	},
	"audit": func(st *stage, by registry.Caller, tenant, _, _ uuid.UUID) error {
		return second(st.s.Audit(st.ctx, by, registry.AuditQuery{
			GroupID: &tenant, PageRequest: registry.PageRequest{Limit: 1},
		}))
	},
	"event": func(st *stage, by registry.Caller, _, _, event uuid.UUID) error {
		return second(st.s.Event(st.ctx, by, event))
	},
	"grant": func(st *stage, by registry.Caller, tenant, _, _ uuid.UUID) error {
		return second(testkit.Value(st.s.Grant(st.ctx, by, tenant, "scanner", registry.SourcePlan)))
	},
	"request": func(st *stage, by registry.Caller, tenant, _, _ uuid.UUID) error {
		_, _, err := testkit.Created(st.s.RequestProduct(st.ctx, by, registry.CatalogRequestInput{
			TenantID: tenant, Product: "scanner",
		}))
		return err
	},
	"trial": func(st *stage, by registry.Caller, tenant, _, _ uuid.UUID) error {
		return second(testkit.Value(st.s.StartTrial(st.ctx, by, registry.CatalogRequestInput{
			TenantID: tenant, Product: "scanner",
		})))
	},
	"create key": func(st *stage, by registry.Caller, tenant, _, _ uuid.UUID) error {
		_, _, err := testkit.Secret(st.s.CreateAPIKey(st.ctx, by, registry.APIKeyInput{TenantID: tenant, Name: "k"}))
		return err
	},
	"key": func(st *stage, by registry.Caller, _, key, _ uuid.UUID) error {
		return second(st.s.APIKey(st.ctx, by, key))
	},
	"rotate key": func(st *stage, by registry.Caller, _, key, _ uuid.UUID) error {
		_, _, err := testkit.Secret(st.s.RotateAPIKey(st.ctx, by, key, nil))
		return err
	},
	"update key": func(st *stage, by registry.Caller, _, key, _ uuid.UUID) error {
		return second(testkit.Value(st.s.UpdateAPIKey(st.ctx, expecting(by, 1), key, registry.APIKeyPatch{
			Name: registry.Set("new"),
		})))
	},
	"revoke key": func(st *stage, by registry.Caller, _, key, _ uuid.UUID) error {
		return second(testkit.Value(st.s.RevokeAPIKey(st.ctx, by, key, "")))
	},
}

// Everything outside of a caller's access is answered exactly as if it did not exist, and nothing of it changes.
func TestAccess_foreignIsUnknown(t *testing.T) {
	t.Parallel()
	for name, use := range uses {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			st := newStage(t, memory.New())
			stranger, powerless := st.by, st.by
			stranger.Access, powerless.Access = registry.Access{Tenant: st.trial.ID}, registry.Access{}
			event, before := st.last().ID, st.dump() // the last event is of the active tenant
			unknown := use(st, st.by, uuid.New(), uuid.New(), uuid.New())
			for who, by := range map[string]registry.Caller{"another tenant": stranger, "no access": powerless} {
				foreign := use(st, by, st.active.ID, st.apiKey.ID, event)
				if unknown == nil || !reflect.DeepEqual(foreign, unknown) {
					t.Errorf("to %s it is %#v, and what does not exist is %#v", who, foreign, unknown)
				}
			}
			if after := st.dump(); after != before {
				t.Errorf("something changed:\n%s\nfrom\n%s", after, before)
			}
			own := st.by
			own.Access = registry.Access{Tenant: st.active.ID}
			err := use(st, own, st.active.ID, st.apiKey.ID, event)
			if name != "activate" && name != "reactivate" && err != nil { // it is active
				t.Errorf("to the tenant itself it is %v", err)
			}
		})
	}
}

func TestAccess_foreignSlugIsUnknown(t *testing.T) {
	t.Parallel()
	st := newStage(t, memory.New())
	own := registry.Caller{Access: registry.Access{Tenant: st.active.ID}}
	_, unknown := st.s.TenantBySlug(st.ctx, own, "unheard-of", registry.ReadOptions{})
	if _, foreign := st.s.TenantBySlug(st.ctx, own, "trial", registry.ReadOptions{}); unknown == nil ||
		!reflect.DeepEqual(foreign, unknown) {
		t.Errorf("%#v, and of an unknown slug %#v", foreign, unknown)
	}
	if _, err := st.s.TenantBySlug(st.ctx, own, "active", registry.ReadOptions{}); err != nil {
		t.Error(err)
	}
}

func TestAccess_onlyOperatorsReadOtherLogs(t *testing.T) {
	t.Parallel()
	st := newStage(t, memory.New())
	_, err := st.s.RecordEvent(st.ctx, st.by, reported(uuid.Nil))
	st.must(err)
	platform := st.last().ID
	for _, access := range []registry.Access{{Tenant: st.active.ID}, {Tenants: true}, {Product: "scanner"}, {}} {
		by := registry.Caller{Access: access}
		_, err := st.s.Audit(st.ctx, by, registry.AuditQuery{PageRequest: registry.PageRequest{Limit: 1}})
		st.blames(st.refusal(err, registry.Invalid, registry.CodeInvalid), "tenant_id")
		_, err = st.s.Audit(st.ctx, by, registry.AuditQuery{
			GroupID: new(uuid.Nil), PageRequest: registry.PageRequest{Limit: 1},
		})
		st.blames(st.refusal(err, registry.NotFound, registry.CodeTenantNotFound), "tenant_id")
		_, err = st.s.Event(st.ctx, by, platform)
		st.refusal(err, registry.NotFound, registry.CodeEventNotFound)
	}
}

// A product sees what every tenant has of it, and of nothing else.
func TestAccess_productSeesItsOwnEntitlements(t *testing.T) {
	t.Parallel()
	st := newStage(t, memory.New())
	st.product("other")
	for _, key := range []string{"scanner", "other"} {
		_, err := st.s.Grant(st.ctx, st.by, st.active.ID, key, registry.SourcePlan)
		st.must(err)
	}
	items, more, err := testkit.Items(st.s.Entitlements(
		st.ctx, registry.Caller{Access: registry.Access{Product: "scanner"}}, st.active.ID,
		registry.PageRequest{Limit: 1},
	))
	if err != nil || more || len(items) != 1 || items[0].Product != "scanner" {
		t.Errorf("%+v, %t, %v", items, more, err)
	}
}

// A change that is meant for another version of its object is refused, whatever it would do; one for this version is
// made.
func TestAccess_expectedVersion(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]func(st *stage, by registry.Caller) error{
		"activate": func(st *stage, by registry.Caller) error {
			return second(testkit.Value(st.s.ActivateTenant(st.ctx, by, st.trial.ID)))
		},
		"cancel": func(st *stage, by registry.Caller) error {
			return second(testkit.Value(st.s.CancelTenant(st.ctx, by, st.active.ID)))
		},
		"freeze": func(st *stage, by registry.Caller) error {
			return second(testkit.Value(freezeForATest(st.s, st.ctx, by, st.active.ID)))
		},
		"reactivate": func(st *stage, by registry.Caller) error {
			return second(testkit.Value(st.s.ReactivateTenant(st.ctx, by, st.frozen.ID)))
		},
		"rotate": func(st *stage, by registry.Caller) error {
			_, _, err := testkit.Secret(st.s.RotateAPIKey(st.ctx, by, st.apiKey.ID, nil))
			return err
		},
		"revoke": func(st *stage, by registry.Caller) error {
			return second(testkit.Value(st.s.RevokeAPIKey(st.ctx, by, st.apiKey.ID, "")))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			st := newStage(t, memory.New())
			before := st.dump()
			for _, versions := range [][]int64{{}, {70}} {
				err := c(st, expecting(st.by, versions...))
				st.refusal(err, registry.PreconditionFailed, registry.CodePrecondition)
			}
			if st.dump() != before {
				t.Error("a refused change left something")
			}
			st.must(c(st, expecting(st.by, 70, 1, 2, 3)))
		})
	}
}
