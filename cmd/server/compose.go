package main

import (
	"context"
	"log/slog"

	"golang.org/x/mod/sumdb/note"

	"github.com/breakpilot/tenant-registry/internal/config"
	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/telemetry"
)

// core is the service on its store, and what runs beside it.
type core struct {
	service  *registry.Service
	security *registry.SecurityLog
	sample   registry.Sample // of the in-memory store
	closers  []func()
}

// close writes what is left and ends; what was started last goes first.
func (c *core) close() {
	for i := len(c.closers) - 1; i >= 0; i-- {
		c.closers[i]()
	}
}

func openCore(ctx context.Context, cfg config.Config, signer note.Signer, tel *telemetry.Telemetry) (*core, error) {
	lost, err := tel.Counter("tenant_registry.security_events.lost",
		"Security events that could not be written to the audit log.")
	if err != nil {
		return nil, err
	}
	store, err := openStore(ctx, cfg, tel)
	if err != nil {
		return nil, err
	}
	c := &core{closers: []func(){store.Close}}
	if c.sample, err = store.sample(ctx); err != nil {
		c.close()
		return nil, err
	}
	log := tel.Logger()
	usage, stopUsage := recordUsage(store, log)
	c.security = registry.NewSecurityLog(func(err error) {
		lost()
		log.Error("security event lost", "error", err)
	})
	c.service = registry.New(store, registry.Options{
		MaxKeys: cfg.MaxKeys, Version: version, Signer: signer, Usage: usage, Security: c.security,
	})
	c.closers = append(c.closers, stopUsage, c.security.Close)
	return c, nil
}

// recordUsage writes the times of use of keys in the background until stop is called, which writes what is left.
func recordUsage(store registry.Store, log *slog.Logger) (usage *registry.UsageRecorder, stop func()) {
	usage = registry.NewUsageRecorder(store, registry.UsageRecorderOptions{Logger: log})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		usage.Run(ctx)
	}()
	return usage, func() {
		cancel()
		<-ended
	}
}
