package registry

import (
	"crypto/sha256"
	"fmt"

	"github.com/breakpilot/tenant-registry/internal/audit"
)

// For the tests that stand outside of this package because they need a store.
var (
	ChainHash    = func(e audit.Event) string { return fmt.Sprintf("%x", sha256.Sum256(e.Skeleton())) }
	RetracedHash = audit.Event.RetracedHash
	RecordUse    = (*UsageRecorder).record
)

// QueuedAppends is how many append requests wait for the transaction of others.
func QueuedAppends(s *Service) int {
	s.appender.mu.Lock()
	defer s.appender.mu.Unlock()
	count := 0
	for _, queue := range s.appender.queues {
		count += len(queue)
	}
	return count
}
