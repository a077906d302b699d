package testkit

import (
	"testing"
	"time"
)

// Eventually polls a condition that another goroutine or program brings about, and fails the test if it is not met
// within 20 seconds. what names the condition.
func Eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(20 * time.Second); !condition(); {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("never: %s", what)
		}
	}
}
