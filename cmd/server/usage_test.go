package main

import (
	"log/slog"
	"testing"

	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/store/memory"
)

// TestRecordUsage_writtenOnStop asserts that what was noted and not written yet is written when the server stops.
func TestRecordUsage_writtenOnStop(t *testing.T) {
	t.Parallel()
	store := memory.New()
	sample, err := registry.Seed(t.Context(), store, registry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	uses, stop := recordUsage(store, slog.New(slog.DiscardHandler))
	service, by := registry.New(store, registry.Options{Usage: uses}), registry.Caller{Access: registry.FullAccess}
	v, err := service.Verify(t.Context(), by, registry.VerifyQuery{Key: sample.LiveKey}, registry.ReadOptions{})
	if err != nil || !v.Valid() {
		t.Fatalf("%+v, %v", v, err)
	}
	used := func() bool {
		k, err := service.APIKey(t.Context(), by, v.KeyID)
		if err != nil {
			t.Fatal(err)
		}
		return k.LastUsedAt != nil
	}
	if used() {
		t.Error("the use was written before its time")
	}
	if lost := stop(t.Context()); lost != 0 || !used() {
		t.Errorf("the use was not written when the server stopped, %d are lost", lost)
	}
}
