package main

import (
	"context"
	"log/slog"
	"sync"

	"golang.org/x/mod/sumdb/note"

	"github.com/breakpilot/tenant-registry/internal/config"
	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/share"
	"github.com/breakpilot/tenant-registry/internal/telemetry"
)

// core is the service on its store, and what runs beside it.
type core struct {
	service  *registry.Service
	security *registry.SecurityLog
	sample   registry.Sample // of the in-memory store

	stopUsage  func(context.Context) (lost int)
	closeStore func()
	countLost  func() // one security event
	log        *slog.Logger
}

// close writes what is queued, logs what is lost if that takes too long, and closes the store.
func (c *core) close(e *ending) {
	writing, cancel := e.within(recordGrace)
	defer cancel()
	var events, uses int
	var both sync.WaitGroup
	both.Go(func() { events = c.security.Close(writing) })
	both.Go(func() { uses = c.stopUsage(writing) })
	both.Wait()
	if events > 0 {
		c.log.Error("security events lost", "count", events, "reason", "they could not be written in time")
	}
	for range events {
		c.countLost()
	}
	if uses > 0 {
		c.log.Warn("times of use of keys lost", "count", uses, "reason", "they could not be written in time")
	}
	closing, cancel := e.within(closeGrace)
	defer cancel()
	if !waitFor(closing, c.closeStore) {
		c.log.Warn("connections of the database left to the end of the process")
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
	log := tel.Logger()
	c := &core{closeStore: store.Close, countLost: lost, log: log}
	if c.sample, err = store.sample(ctx); err != nil {
		store.Close()
		return nil, err
	}
	usage, stopUsage := recordUsage(store, log)
	c.stopUsage = stopUsage
	c.security = registry.NewSecurityLog(func(err error) {
		lost()
		log.Error("security event lost", "error", err)
	})
	caps := shareCaps(cfg)
	c.service = registry.New(store, registry.Options{
		MaxKeys: cfg.MaxKeys, Version: version, Signer: signer, Usage: usage, Security: c.security, Shares: &caps,
	})
	return c, nil
}

// shareCaps are the caps as they are set.
func shareCaps(cfg config.Config) registry.ShareCaps {
	return registry.ShareCaps{
		Appends: cfg.Shares["SHARE_APPENDS"], AppendBytes: cfg.Shares["SHARE_APPEND_BYTES"],
		Events: cfg.Shares["SHARE_EVENTS"], Exports: cfg.Shares["SHARE_EXPORTS"],
		Erasures:  cfg.Shares["SHARE_ERASURES"],
		LongPolls: cfg.Shares["SHARE_LONG_POLLS"], WideReads: cfg.Shares["SHARE_WIDE_READS"],
		AuditRows: cfg.Shares["SHARE_AUDIT_ROWS"], Changes: cfg.Shares["SHARE_CHANGES"],
		KeyChanges: share.Caps{Tenant: int64(cfg.MaxKeyChanges)},
	}
}

// recordUsage writes the times of use of keys in the background until stop is called, which writes what is left until
// its context ends, and returns of how many secrets the time of use is lost.
func recordUsage(
	store registry.Store, log *slog.Logger,
) (usage *registry.UsageRecorder, stop func(context.Context) (lost int)) {
	usage = registry.NewUsageRecorder(store, registry.UsageRecorderOptions{Logger: log})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		usage.Run(ctx)
	}()
	return usage, func(last context.Context) int {
		cancel()
		<-ended
		return usage.Close(last)
	}
}
