package cluster

import (
	"context"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

// TestPair_restart: a primary that runs can be restarted, but not on the port of another server, although connections
// are accepted there. It has the settings of the test, and nothing is left of it.
func TestPair_restart(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	t.Run("", func(t *testing.T) { // its cleanups come before the count of goroutines
		p := New(t, "max_connections=17")
		p.RestartPrimary()
		p.WaitStandby()
		var setting string
		err := p.a.query(context.Background(), `SHOW max_connections`, nil, &setting)
		if err != nil || setting != "17" {
			t.Error(setting, err)
		}

		p.KillPrimary()
		free := p.a.port
		p.a.port = p.b.port
		if err := p.a.start(); err == nil || !strings.Contains(err.Error(), "could not bind") {
			t.Errorf("started on the port of another server: %v", err)
		}
		p.a.port = free
		p.RestartPrimary()
		p.WaitStandby()
	})
}
