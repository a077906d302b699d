// Package audit is the audit log's format: an event, its canonical form and hashes, the chain, checkpoints, and the
// export file with its offline verifier. It needs no service and no store.
//
// # The chain
//
// Events belong to a group: a tenant's id, or the nil UUID for the platform itself. In each group seq counts from 1
// without a gap, and chain_hash is the SHA-256 of the event's canonical JSON (RFC 8785: members sorted, no white space)
// without chain_hash itself and without members that are unset, with prev_chain_hash being the chain_hash of seq - 1,
// or 64 zeros for the first. Times are written in UTC with six decimals. In an export an event's line is this text with
// chain_hash in it.
//
// This is the canonical text of an event, the first of the tenant 00000000-0000-0000-0000-000000000001, in a shell:
//
//	printf %s '{"action":"document.create","actor":{"id":"user-1"},"created":"2026-03-01T12:00:00.000000Z",' \
//		'"crud":"c","group":{"id":"00000000-0000-0000-0000-000000000001"},"hash":' \
//		'"32502767f7e45a0ac8ebe8199b4da738f91483c7baf09b1762aef03f8f69a02e","id":' \
//		'"00000000-0000-4000-8000-000000000001","is_anonymous":false,"is_failure":false,' \
//		'"prev_chain_hash":"0000000000000000000000000000000000000000000000000000000000000000","received":' \
//		'"2026-03-01T12:00:00.001500Z","seq":1}' | sha256sum
//
// and what it prints is the event's chain_hash, which is the prev_chain_hash of the second, whose chain_hash is
// 9ed3178e4d7a90e51e23c0e7e2f97f80edc311cd4eb34a076f9372532df5022e (Example_chain has its text):
//
//	4931551a52818363130d867dbd5cd6be3b7a6c6bec8b29a29269d21159a4831b
//
// The member hash is Retraced's own:
//
//	printf %s '00000000-0000-4000-8000-000000000001:document.create::user-1:' \
//		'00000000-0000-0000-0000-000000000001::0:0::' | sha256sum
//
// prints
//
//	32502767f7e45a0ac8ebe8199b4da738f91483c7baf09b1762aef03f8f69a02e
package audit
