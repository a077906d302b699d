package audit

import (
	"strings"
	"testing"
)

// BenchmarkVerifyExport reads an export of 5,000 events with eight parts each, of 1.7 KB a line.
func BenchmarkVerifyExport(b *testing.B) {
	const events = 5000
	text := newFileChain(b, acme, events).whole(b)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if got := VerifyExport(strings.NewReader(text), Proof{}); got.Status != OK {
			b.Fatal(got.Text)
		}
	}
	b.ReportMetric(float64(events*b.N)/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric(float64(len(text))/events, "B/event")
}
