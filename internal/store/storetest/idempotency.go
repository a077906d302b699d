package storetest

import (
	"context"
	"testing"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/audit"
	"github.com/breakpilot/tenant-registry/internal/registry"
)

func idempotency(t *testing.T, s suite) {
	s.test(t, "records are found by their key, in order, and are unique", idempotencyRecords)
	s.test(t, "reservations of one key exclude each other, of two do not", reservations)
}

func reservations(f *fixture) {
	one, two := newDigest(), newDigest()
	reserve := func(key audit.Digest) locker {
		return func(ctx context.Context, tx registry.Tx) error {
			_, err := tx.ReserveIdempotencyKey(ctx, key)
			return err
		}
	}
	excludeEachOther(f, map[string]locker{"ReserveIdempotencyKey": reserve(one)})
	holder := f.begin()
	f.must(reserve(one)(f.ctx, holder))
	f.waitsIfOneWriter(reserve(two))
	holder.commit()
}

func idempotencyRecords(f *fixture) {
	key, other, fingerprint := newDigest(), newDigest(), audit.NewFingerprint([]byte("command"))
	recorded := func(ordinal int) audit.Event {
		e := minimalEvent(uuid.Nil)
		e.Target = audit.Party{ID: "target"}
		e.Idempotency = audit.IdempotencyRecord{Key: key, Fingerprint: fingerprint, Ordinal: ordinal}
		return e
	}
	find := func(tx registry.Tx) []registry.EarlierEvent {
		earlier, err := tx.ReserveIdempotencyKey(f.ctx, key)
		f.must(err)
		heads, err := tx.LockAuditLog(f.ctx, nil, []audit.Digest{key, other})
		f.must(err)
		f.equal(len(heads.Earlier[other]), 0)
		f.equal(len(heads.Earlier[key]), len(earlier))
		if len(earlier) > 0 {
			f.equal(heads.Earlier[key], earlier)
		}
		return earlier
	}
	var written []audit.Event
	f.commit(func(tx registry.Tx) error {
		f.equal(find(tx), []registry.EarlierEvent{})
		for _, ordinal := range []int{1, 0} {
			e, err := appendEvent(f.ctx, tx, recorded(ordinal))
			f.must(err)
			written = append(written, e)
		}
		f.equal(len(find(tx)), 2)
		return nil
	})
	f.commit(func(tx registry.Tx) error {
		f.equal(find(tx), []registry.EarlierEvent{
			{IdempotencyRecord: written[1].Idempotency, ID: written[1].ID, Hash: written[1].Hash, TargetID: "target"},
			{IdempotencyRecord: written[0].Idempotency, ID: written[0].ID, Hash: written[0].Hash, TargetID: "target"},
		})
		return nil
	})
	f.want(
		f.tx(func(tx registry.Tx) error { _, err := appendEvent(f.ctx, tx, recorded(1)); return err }),
		registry.ErrIdempotencyKeyUsed,
	)
	// What was rolled back is not recorded.
	f.want(f.tx(func(tx registry.Tx) error {
		_, err := appendEvent(f.ctx, tx, recorded(2))
		f.must(err)
		return errOfCaller
	}), errOfCaller)
	f.commit(func(tx registry.Tx) error {
		f.equal(len(find(tx)), 2)
		return nil
	})
}
