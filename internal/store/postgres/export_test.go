package postgres

import "time"

// SetHeartbeatTimeout makes Listen give up a connection without heartbeats earlier or later than it does by itself. It
// must be called before Listen.
func (s *Store) SetHeartbeatTimeout(d time.Duration) { s.heartbeatTimeout = d }
