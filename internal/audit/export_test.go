package audit_test

import (
	"errors"
	"io"
	"slices"
	"testing"

	"github.com/breakpilot/tenant-registry/internal/audit"
)

func TestExportWriter_refusesAGap(t *testing.T) {
	t.Parallel()
	c := tenantChain(t)
	for name, events := range map[string][]audit.Event{
		"the first is missing": c.events[1:], "one is missing": slices.Concat(c.events[:3], c.events[4:]),
		"one is duplicate": slices.Concat(c.events[:3], c.events[2:]),
	} {
		w := audit.NewExportWriter(io.Discard, c.group, 1, audit.ZeroHash)
		if err := w.Write(events); !errors.Is(err, audit.ErrGap) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
