package registry

// For the tests that stand outside of this package because they need a store.
var (
	ChainHash    = func(e AuditEvent) string { return sum(e.canonical()) }
	RetracedHash = AuditEvent.retracedHash
	NoteUse      = (*KeyUses).note
)
