package storetest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/breakpilot/tenant-registry/internal/apikey"
	"github.com/breakpilot/tenant-registry/internal/audit"
	"github.com/breakpilot/tenant-registry/internal/testkit"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

// newID makes ids whose order is the order of creation, as the domain does.
func newID() uuid.UUID { return uuid.Must(uuid.NewV7()) }

func newHash() apikey.Hash { return sha256.Sum256([]byte(newID().String())) }

func newDigest() audit.Digest { return audit.Digest(newHash()) }

// noon is a time that a store holds as it is; awkward is one that it holds in UTC and without its nanoseconds.
var (
	noon    = time.Date(2026, 3, 1, 12, 0, 0, 1000, time.UTC)
	awkward = time.Date(2026, 3, 1, 23, 59, 59, 999_999_999, time.FixedZone("east", 5*3600+30*60))
)

// later is awkward, some minutes on.
func later(minutes int) *time.Time { return new(awkward.Add(time.Duration(minutes) * time.Minute)) }

// minimal rows have what a row must have, and no more.

func minimalTenant(slug string) registry.Tenant {
	return registry.Tenant{
		ID: newID(), Slug: slug, Name: "n", Status: registry.StatusTrial, Metadata: map[string]string{}, Version: 1,
		CreatedAt: noon, UpdatedAt: noon,
	}
}

func minimalProduct(key string) registry.Product {
	return registry.Product{
		Key: key, Name: "n", Audience: registry.Public, DefaultLimits: registry.Limits{},
		DefaultConfig: registry.Config{},
		CreatedAt:     noon, UpdatedAt: noon,
	}
}

func minimalRequest(tenant uuid.UUID, product string) registry.CatalogRequest {
	return registry.CatalogRequest{
		ID: newID(), TenantID: tenant, Product: product, Status: registry.RequestPending, CreatedAt: noon,
		UpdatedAt: noon,
	}
}

func minimalEntitlement(tenant uuid.UUID, product string) registry.Entitlement {
	return registry.Entitlement{
		ID: newID(), TenantID: tenant, Product: product, Source: registry.SourceGrant, StartsAt: noon,
		Limits: registry.Limits{}, Config: registry.Config{}, CreatedAt: noon, UpdatedAt: noon,
	}
}

func trial(tenant uuid.UUID, product string) registry.Entitlement {
	e := minimalEntitlement(tenant, product)
	e.Source = registry.SourceTrial
	return e
}

func minimalKey(tenant uuid.UUID) registry.APIKey {
	return registry.APIKey{
		ID: newID(), TenantID: tenant, Name: "n", Environment: apikey.Live, Scopes: []string{}, Prefix: "bp_live_abcd",
		Hash: newHash(), Version: 1,
		CreatedAt: noon, UpdatedAt: noon,
	}
}

// minimalEvent is an event of a group (the nil UUID: the platform) that has no place yet.
func minimalEvent(group uuid.UUID) audit.Event {
	return audit.Event{
		ID:          newID(),
		GroupID:     group,
		Action:      "a",
		CRUD:        audit.Read,
		IsAnonymous: true,
		Created:     noon,
		Received:    noon,
	}
}

// full rows have everything that a row can have, and texts and times that are not easily stored.

// text is stored byte for byte: no folding, trimming or normalisation.
const text = " Ärger e\u0301 ' \" \\ % \\u0000 <b> \t\r\n 日本 🦉 \u200d end "

func fullTenant(slug string) registry.Tenant {
	return registry.Tenant{
		ID: newID(), Slug: slug, Name: "name" + text, Status: registry.StatusFrozen, Region: "region" + text,
		ExternalID:    "external" + text,
		KeycloakOrgID: "org" + text,
		Metadata:      map[string]string{"key" + text: "value" + text, "": "", "A": "upper", "a": "lower"},
		Version:       1 << 40, CreatedAt: *later(1), UpdatedAt: *later(2), ActivatedAt: later(3), FrozenAt: later(4),
	}
}

func fullLimits() registry.Limits {
	return registry.Limits{
		"seats" + text: new(int64(1<<63 - 1)),
		"none":         new(int64(0)),
		"unlimited":    nil,
		"less":         new(int64(-1 << 63)),
	}
}

// fullConfig is as encoding/json reads it: all numbers are float64.
func fullConfig() registry.Config {
	return registry.Config{
		"text" + text: text, "yes": true, "null": nil, "number": 0.1, "large": 1e300, "small": -1e-300,
		"whole": 9007199254740991.0,
		"list": []any{
			1.0,
			"two",
			nil,
			[]any{},
			map[string]any{},
		}, "object": map[string]any{"a": map[string]any{"b": []any{text}}},
	}
}

func fullProduct(key string) registry.Product {
	return registry.Product{
		Key: key, Name: "name" + text, Description: "description" + text, Audience: registry.Private, Requestable: true,
		TrialDays:     3650,
		DefaultLimits: fullLimits(), DefaultConfig: fullConfig(), AvailableFrom: later(1), AvailableUntil: later(2),
		CreatedAt: *later(3), UpdatedAt: *later(4),
	}
}

func fullRequest(tenant uuid.UUID, product string) registry.CatalogRequest {
	return registry.CatalogRequest{
		ID: newID(), TenantID: tenant, Product: product, Status: registry.RequestPending, Message: "message" + text,
		RequestedBy: "by" + text, CreatedAt: *later(1), UpdatedAt: *later(2),
	}
}

// decided makes a request one that is no longer open.
func decided(r registry.CatalogRequest) registry.CatalogRequest {
	r.Status, r.DecidedAt = registry.RequestApproved, later(3)
	r.DecidedBy, r.DecisionReason = "decider"+text, "reason"+text
	return r
}

func fullEntitlement(tenant uuid.UUID, product string, request uuid.UUID) registry.Entitlement {
	return registry.Entitlement{
		ID: newID(), TenantID: tenant, Product: product, Source: registry.SourceRequest, StartsAt: *later(1),
		EndsAt:    later(2),
		RevokedAt: later(3), Limits: fullLimits(), Config: fullConfig(), RequestID: &request, CreatedAt: *later(4),
		UpdatedAt: *later(5),
	}
}

func fullKey(tenant uuid.UUID, product string) registry.APIKey {
	return registry.APIKey{
		ID: newID(), TenantID: tenant, Name: "name" + text, Environment: apikey.Test, Product: product,
		Scopes: []string{"z", "a" + text, "", "NULL", `{"x",}`, "a"},
		Prefix: "bp_test_" + text, Hash: newHash(), PreviousHash: newHash(), PreviousEndsAt: later(5),
		PreviousEnded: true, PreviousUsedAt: later(6), RotatedAt: later(7), LastUsedAt: later(8), Version: 1 << 40,
		ExpiresAt: later(1), Disabled: true,
		CreatedBy: "creator" + text, CreatedAt: *later(2), UpdatedAt: *later(3), RevokedAt: later(4),
		RevokedBy:    "revoker" + text,
		RevokeReason: "reason" + text,
	}
}

func fullParty(who string) audit.Party {
	return audit.Party{
		ID: who + text, Name: who + " name" + text, Href: who + " href" + text, Type: who + " type" + text,
		Fields: map[string]string{who + text: who + " value" + text, "": ""},
	}
}

func fullEvent(group uuid.UUID) audit.Event {
	return audit.Event{
		ID: newID(), GroupID: group, GroupName: "group" + text, Action: "area.what.more", CRUD: audit.Delete,
		Actor:  fullParty("actor"),
		Target: fullParty("target"), SourceIP: "2001:db8::1", Description: "description" + text, IsFailure: true,
		IsAnonymous: true,
		Fields: map[string]string{
			"field" + text: "value" + text,
			"":             "",
		}, Component: "component" + text, Version: "version" + text,
		ExternalID: "external" + text, Metadata: map[string]string{"meta" + text: "value" + text, "": ""},
		Created: *later(1), Received: *later(2),
		CorrelationID: "correlation" + text, Emitter: audit.Named{ID: "emitter" + text, Name: "emitter name" + text},
		OnBehalfOf: audit.Named{ID: "on behalf of" + text, Name: "name on behalf of" + text},
	}
}

// placed gives an event the place after head, and hashes that no other event has.
func placed(e audit.Event, head testkit.AuditHead) audit.Event {
	hash := func(what string) string {
		sum := sha256.Sum256([]byte(what + e.ID.String()))
		return hex.EncodeToString(sum[:])
	}
	e.Pos, e.Seq, e.PrevChainHash = head.Pos+1, head.Seq+1, head.ChainHash
	if head.Seq == 0 {
		e.PrevChainHash = strings.Repeat("0", 64)
	}
	e.Hash = hash("hash")
	for _, p := range audit.AllParts {
		if e.Salts[p] = (audit.Salt{}); e.Has(p) {
			sum := sha256.Sum256([]byte(p.String() + e.ID.String()))
			copy(e.Salts[p][:], sum[:])
		}
	}
	e.ChainHash = hash("chain")
	return e
}

// appendEvent gives an event its place and writes it.
func appendEvent(ctx context.Context, tx registry.Tx, e audit.Event) (audit.Event, error) {
	head, err := testkit.LockAuditHead(ctx, tx, e.GroupID)
	if err != nil {
		return e, err
	}
	e = placed(e, head)
	return e, testkit.InsertAuditEvent(ctx, tx, e)
}

// stored is a row as a store gives it back: times in UTC and in whole microseconds.
func stored[T any](row T) T {
	v := reflect.ValueOf(&row).Elem()
	for i := range v.NumField() {
		switch at := v.Field(i).Interface().(type) {
		case time.Time:
			v.Field(i).Set(reflect.ValueOf(at.UTC().Truncate(time.Microsecond)))
		case *time.Time:
			if at != nil {
				v.Field(i).Set(reflect.ValueOf(new(at.UTC().Truncate(time.Microsecond))))
			}
		}
	}
	return row
}

// show writes a value so that two that differ look different.
func show(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprintf("%#v", v)
	}
	return string(text)
}
