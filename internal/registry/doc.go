// Package registry is the domain: tenants, the catalogue, entitlements, API keys and the audit log, their rules, the
// use cases that change them, and the Store those need. It knows no HTTP, no SQL and no environment, and imports
// nothing else of this project.
//
// # How a change runs
//
// Every use case that changes state goes through one function, change: it opens a transaction, the use case locks its
// tenant, checks its rule and writes, and must return the audit event of what it did. The event is the last thing
// written before the commit, under the audit lock. So a change without an event does not compile, and an event without
// its change cannot be read.
//
// # States
//
//	tenant    trial ──activate──▶ active ──cancel──▶ frozen
//	request   pending ──▶ approved | rejected | cancelled
//
// The state of an entitlement (scheduled, trialing, active, expired, revoked) and that of a key (active, disabled,
// expired, revoked) are computed from the clock at every read and stored nowhere.
//
// # Secrets of a key
//
// A key has one secret or two: the current one and, for some time after a rotation, the previous one. Only their hashes
// are known here. When they were last used is noted by Verify in memory, and written by UsageRecorder in the
// background.
package registry
