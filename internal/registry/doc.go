// Package registry is the domain: tenants, the catalogue, entitlements, API keys and the audit log, their rules, the use
// cases that change them, and the Store those need. It knows no HTTP, no SQL and no environment, and imports nothing else
// of this project.
//
// # How a change runs
//
// Every use case that changes state goes through one function, change: it opens a transaction, the use case locks its
// tenant, checks its rule and writes, and must return the audit event of what it did. The event is the last thing written
// before the commit, under the audit lock. So a change without an event does not compile, and an event without its change
// cannot be read.
//
// # States
//
//	tenant    trial ──activate──▶ active ──cancel──▶ frozen
//	request   pending ──▶ approved | rejected | cancelled
//
// The state of an entitlement (scheduled, trialing, active, expired, revoked) and that of a key (active, disabled, expired, revoked) are
// computed from the clock at every read and stored nowhere.
//
// # Secrets of a key
//
// A key has one secret or two: the current one and, for some time after a rotation, the previous one. Only their hashes are known
// here. When they were last used is noted by Verify in memory, and written by KeyUses in the background.
//
// # The audit chain
//
// Events belong to a group: a tenant's id, or the nil UUID for the platform itself. In each group seq counts from 1 without
// a gap, and chain_hash is the SHA-256 of the event's canonical JSON (RFC 8785: members sorted, no white space) without
// chain_hash itself and without members that are unset, with prev_chain_hash being the chain_hash of seq - 1, or 64 zeros
// for the first. Times are written in UTC with six decimals. In an export an event's line is this text with chain_hash in it.
//
// This is the canonical text of an event, the first of the tenant 00000000-0000-0000-0000-000000000001, in a shell:
//
//	printf %s '{"action":"document.create","actor":{"id":"user-1"},"created":"2026-03-01T12:00:00.000000Z","crud":"c","group":{"id":"00000000-0000-0000-0000-000000000001"},"hash":"32502767f7e45a0ac8ebe8199b4da738f91483c7baf09b1762aef03f8f69a02e","id":"00000000-0000-4000-8000-000000000001","is_anonymous":false,"is_failure":false,"prev_chain_hash":"0000000000000000000000000000000000000000000000000000000000000000","received":"2026-03-01T12:00:00.001500Z","seq":1}' | sha256sum
//
// and what it prints is the event's chain_hash, which is the prev_chain_hash of the second, whose chain_hash is
// 9ed3178e4d7a90e51e23c0e7e2f97f80edc311cd4eb34a076f9372532df5022e (Example_chain has its text):
//
//	4931551a52818363130d867dbd5cd6be3b7a6c6bec8b29a29269d21159a4831b
//
// The member hash is Retraced's own:
//
//	printf %s '00000000-0000-4000-8000-000000000001:document.create::user-1:00000000-0000-0000-0000-000000000001::0:0::' | sha256sum
//
// prints
//
//	32502767f7e45a0ac8ebe8199b4da738f91483c7baf09b1762aef03f8f69a02e
package registry
