package postgres

import "time"

// ProbeAlways makes every Ping look at the database, also within 250 ms. It must be called before Ping.
func (s *Store) ProbeAlways() { s.readiness.ttl = 0 }

// SetHeartbeatTimeout makes Listen give up a connection without heartbeats earlier or later than it does by itself. It
// must be called before Listen.
func (s *Store) SetHeartbeatTimeout(d time.Duration) { s.heartbeatTimeout = d }
