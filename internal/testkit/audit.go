package testkit

import (
	"context"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/audit"
	"github.com/breakpilot/tenant-registry/internal/registry"
)

// AuditHead is where the log and one group's chain stand.
type AuditHead struct {
	Pos       int64  // of the newest event of the whole log; 0 if there is none
	Seq       int64  // of the group's newest event; 0 if there is none
	ChainHash string // of the group's newest event; empty if there is none
}

// LockAuditHead is LockAuditLog for one group.
func LockAuditHead(ctx context.Context, tx registry.AuditWriter, group uuid.UUID) (AuditHead, error) {
	heads, err := tx.LockAuditLog(ctx, []uuid.UUID{group}, nil)
	head := heads.Chains[group]
	return AuditHead{Pos: heads.Pos, Seq: head.Seq, ChainHash: head.Hash}, err
}

// Place is an event at the next place after head, with its hashes.
func Place(e audit.Event, head AuditHead) audit.Event {
	sealed := e.Seal()
	e = e.After(audit.ChainHead{Seq: head.Seq, Hash: head.ChainHash}, sealed)
	e.Pos = head.Pos + 1
	return e
}

// InsertAuditEvent is InsertAuditEvents for one event.
func InsertAuditEvent(ctx context.Context, tx registry.AuditWriter, e audit.Event) error {
	return tx.InsertAuditEvents(ctx, []audit.Event{e})
}

// LockTenantShared is LockTenantsShared for one tenant, with waiting; ErrNotFound if there is none.
func LockTenantShared(ctx context.Context, tx registry.TenantWriter, id uuid.UUID) error {
	locked, err := tx.LockTenantsShared(ctx, []uuid.UUID{id}, false)
	if err == nil && !locked[id] {
		err = registry.ErrNotFound
	}
	return err
}
