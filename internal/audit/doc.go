// Package audit is the audit log's format: an event, the text that its chain hashes, checkpoints, and the export file
// with its offline verifier. It needs no service and no store.
//
// # The chain
//
// Events belong to a group: a tenant's id, or the nil UUID for the platform itself. In each group seq counts from 1
// without a gap. What is hashed of an event is its skeleton, the value of the member event of its line in an export:
// its members sorted, without white space (RFC 8785), with prev_chain_hash being the chain_hash of seq - 1, or 64 zeros
// for the first. The parts of an event that may name a person (see Part) are not in it, but their digests: the SHA-256
// of a fresh salt and the part's value. So an erasure removes a part's salt and value, and leaves every hash as it was.
//
// The first event of the tenant 00000000-0000-0000-0000-000000000001 has an actor and Retraced's hash. The digest of
// its actor is, in base64url without padding, the SHA-256 that this prints:
//
//	printf %s '["rozWz7SQuLC9rslTxW7U9A",{"id":"user-1"}]' | sha256sum
//
// prints
//
//	f73d7d5c368ecb09afb07226a8acdc583036fb898472055541764aae80035fbc
//
// and its chain_hash is what this prints:
//
//	printf %s '{"action":"session.login","created":"2026-03-02T09:30:00.123456Z","crud":"c",' \
//		'"digests":{"actor":"9z19XDaOywmvsHImqKzcWDA2-4mEcgVVQXZKroADX7w",' \
//		'"hash":"YhqHRsu8AKqSuX8tBGFY0Cl7rdEGzOrH6kRLXMgvGxg"},' \
//		'"group":"00000000-0000-0000-0000-000000000001","id":"01a21ce2-1588-7e21-9be8-000000000001",' \
//		'"is_anonymous":false,"is_failure":false,' \
//		'"prev_chain_hash":"0000000000000000000000000000000000000000000000000000000000000000",' \
//		'"received":"2026-11-27T12:01:01.424926Z","seq":1,"v":2}' | sha256sum
//
// prints
//
//	09baaeedb9b70bb60e41f1d194b31666dd9cfed6da75b2a316a2d4128b6972bd
package audit
