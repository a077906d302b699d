package registry

// For the tests that stand outside of this package because they need a store.
var (
	ChainHash    = func(e AuditEvent) string { return sum(e.canonical()) }
	RetracedHash = AuditEvent.retracedHash
	NoteUse      = (*KeyUses).note
)

// Waiting is how many requests to append wait for the transaction of others.
func Waiting(s *Service) int {
	s.appender.mu.Lock()
	defer s.appender.mu.Unlock()
	return len(s.appender.waiting)
}
