package registry

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/share"
)

// ShareCaps are the caps of everything that the callers of one replica share. A cap of 0 is none.
type ShareCaps struct {
	Appends     share.Caps // requests that append events, from before their body is read until they are answered
	AppendBytes share.Caps // bytes of the bodies of these requests
	Events      share.Caps // reported in a second: each counts as one, and a body as bodyWeight
	Exports     share.Caps // exports that are being read
	Erasures    share.Caps // erasures that run: each holds a connection for its lock
	LongPolls   share.Caps // requests that wait for events
	WideReads   share.Caps // pages of the audit log, and of keys by a filter, that are being read
	AuditRows   share.Caps // events examined for such pages, in ten seconds
	Changes     share.Caps // changes that run or wait for their tenant's turn
	KeyChanges  share.Caps // creations and rotations of API keys in a day
}

// DefaultShareCaps are the caps unless Options say otherwise.
func DefaultShareCaps() ShareCaps {
	return ShareCaps{
		Appends:     share.Caps{Caller: 64, Total: 512},
		AppendBytes: share.Caps{Caller: 4 << 20, Total: 16 << 20},
		Events:      share.Caps{Caller: 5000, Total: 20_000},
		Exports:     share.Caps{Caller: 2, Tenant: 4, Total: 8},
		Erasures:    share.Caps{Caller: 2, Total: 4},
		LongPolls:   share.Caps{Caller: 5, Tenant: 50, Total: 1000},
		WideReads:   share.Caps{Caller: 8, Tenant: 16, Total: 64},
		AuditRows:   share.Caps{Caller: 100_000, Tenant: 200_000},
		Changes:     share.Caps{Caller: 256, Tenant: 32, Total: 512},
		KeyChanges:  share.Caps{Tenant: 10_000},
	}
}

const (
	auditRowsPeriod  = 10 * time.Second
	keyChangesPeriod = 24 * time.Hour
)

// shares are the shared resources of one replica, each with its caps. The turns are those of changes.
type shares struct {
	appends, appendBytes, events, exports, erasures, longPolls, wideReads, auditRows, changes *share.Share
	keyChanges                                                                                *share.Share
	turns                                                                                     share.Turns
}

func newShares(c ShareCaps) *shares {
	return &shares{
		appends: share.New("appends", c.Appends), appendBytes: share.New("append_bytes", c.AppendBytes),
		events:  share.NewRate("events", c.Events, time.Second),
		exports: share.New("exports", c.Exports), erasures: share.New("erasures", c.Erasures),
		longPolls:  share.New("long_polls", c.LongPolls),
		wideReads:  share.New("wide_reads", c.WideReads),
		auditRows:  share.NewRate("audit_rows", c.AuditRows, auditRowsPeriod),
		changes:    share.New("changes", c.Changes),
		keyChanges: share.NewRate("key_changes", c.KeyChanges, keyChangesPeriod),
	}
}

// Shares lists everything that callers share here.
func (s *Service) Shares() []*share.Share {
	of := s.shares
	return []*share.Share{
		of.appends, of.appendBytes, of.events, of.exports, of.erasures, of.longPolls, of.wideReads, of.auditRows,
		of.changes, of.keyChanges,
	}
}

// anonymous is the name under which all callers without one take of a share.
const anonymous = "anonymous"

// holder is the caller as it takes of a share. Its tenant is the one that it belongs to: what an operator or a service
// takes is counted for no tenant.
func (c Caller) holder() share.Holder {
	h := share.Holder{Caller: cmp.Or(c.Actor.ID, anonymous)}
	if c.Access.Tenant != uuid.Nil {
		h.Tenant = c.Access.Tenant.String()
	}
	return h
}

// holderFor is holder for a change of a tenant: what the portal does there is counted for that tenant, so that none
// takes the portal's whole share. Operators are counted for none.
func (c Caller) holderFor(tenant uuid.UUID) share.Holder {
	h := c.holder()
	if tenant != uuid.Nil && !c.Access.Operator {
		h.Tenant = tenant.String()
	}
	return h
}

// takeTurn waits for a tenant's turn: its changes run one after the other here, since each waits for the tenant's row
// anyway, so that no tenant's changes take the connections of the others'. A tenant that the caller does not reach is
// its own: naming another takes nothing of that one's. The nil UUID has no turns. done must be called at the end of the
// change.
func (s *Service) takeTurn(ctx context.Context, by Caller, tenant uuid.UUID) (done func(), err error) {
	if !by.Access.tenant(tenant) {
		tenant = by.Access.Tenant
	}
	h := by.holderFor(tenant)
	if by.urgent {
		h.Tenant = ""
	}
	release, err := s.shares.changes.Take(h, 1)
	if err != nil {
		return nil, err
	}
	name := ""
	if tenant != uuid.Nil {
		name = tenant.String()
	}
	waiting, cancel := context.WithTimeout(ctx, s.callTimeout)
	defer cancel()
	end, err := s.shares.turns.Wait(waiting, name)
	if err != nil {
		release()
		return nil, fmt.Errorf("%w: waited for other changes of the tenant: %w", ErrUnavailable, err)
	}
	return func() {
		end()
		release()
	}, nil
}

// BeginAppend takes the share of a request that appends events, before its body is read: of most bytes at most, of
// which announced were announced, 0 if no length was. done must be called when the request is answered.
func (s *Service) BeginAppend(by Caller, most, announced int64) (done func(), err error) {
	request, err := s.shares.appends.Take(by.holder(), 1)
	if err != nil {
		return nil, err
	}
	body, err := s.shares.appendBytes.Take(by.holder(), most)
	if err != nil {
		request()
		return nil, err
	}
	if _, err := s.shares.events.Take(by.holder(), bodyWeight(announced)); err != nil {
		body()
		request()
		return nil, err
	}
	return func() {
		body()
		request()
	}, nil
}

// AppendLength says how long the body of an append was, and charges what was not announced.
func (s *Service) AppendLength(by Caller, announced, length int64) {
	s.shares.events.Charge(by.holder(), bodyWeight(length)-bodyWeight(announced))
}

// takeAuditRead takes a share for a read of the log: a page's, or a long poll's. What is examined is charged
// afterwards: a caller that is over its share of that is refused until it has returned.
func (s *Service) takeAuditRead(by Caller, of *share.Share) (done func(), err error) {
	if _, err := s.shares.auditRows.Take(by.holder(), 1); err != nil {
		return nil, err
	}
	return of.Take(by.holder(), 1)
}

// takeListRead takes the share of a list of a tenant that may examine many rows. The portal, which asks for many
// tenants, is counted for each of them alone.
func (s *Service) takeListRead(by Caller, tenant uuid.UUID) (done func(), err error) {
	h := by.holderFor(tenant)
	if by.Access.Tenants && !by.Access.Operator {
		h.Caller = ""
	}
	return s.shares.wideReads.Take(h, 1)
}

// bodyWeight is what a body counts for among the events of a second: one for each KiB, and ten for each beyond the
// 256th, since a large one holds up everyone else for the time of its transaction.
func bodyWeight(length int64) int64 {
	const large = 256
	kib := (length + 1023) / 1024
	return min(kib, large) + 10*max(0, kib-large)
}

// keyChange is one creation or rotation of a key, which counts against its tenant's limit for a day, also an
// operator's: each leaves rows that no one can remove.
type keyChange struct {
	of      *share.Share
	holder  share.Holder
	counted bool
}

func (s *Service) newKeyChange() *keyChange { return &keyChange{of: s.shares.keyChanges} }

// count counts it, one time however often its transaction runs.
func (k *keyChange) count(tenant uuid.UUID) error {
	if k.counted {
		return nil
	}
	k.holder = share.Holder{Tenant: tenant.String()}
	_, err := k.of.Take(k.holder, 1)
	k.counted = err == nil
	return err
}

// settle gives it back if it failed.
func (k *keyChange) settle(err error) {
	if err != nil && k.counted {
		k.of.Charge(k.holder, -1)
	}
}
