package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/breakpilot/tenant-registry/internal/config"
	"github.com/breakpilot/tenant-registry/internal/dsn"
	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/store/cache"
	"github.com/breakpilot/tenant-registry/internal/store/memory"
	"github.com/breakpilot/tenant-registry/internal/store/postgres"
	"github.com/breakpilot/tenant-registry/internal/telemetry"
	"github.com/breakpilot/tenant-registry/migrations"
)

// lease is for how long a replica may answer from its cache after the last heartbeat it received.
const lease = time.Second

// openedStore is the store that DATABASE_URL picks, behind the cache.
type openedStore struct {
	*cache.Store
	Close  func()
	memory bool
}

func openStore(ctx context.Context, cfg config.Config, tel *telemetry.Telemetry) (openedStore, error) {
	if !cfg.DatabaseURL.Set() {
		cached := cache.New(memory.New(), cache.Options{Off: !cfg.Cache, Keys: cfg.CacheKeys})
		return openedStore{Store: cached, Close: func() {}, memory: true}, nil
	}
	if _, err := dsn.Parse(cfg.DirectURL.Reveal()); err != nil {
		return openedStore{}, unusable{fmt.Errorf("DATABASE_DIRECT_URL: %w", postgres.ErrDSN)}
	}
	pg, err := openPostgres(ctx, postgres.Config{
		DSN: cfg.DatabaseURL.Reveal(), Reload: reload(cfg.DatabaseURLFile), MaxConns: int32(cfg.MaxConns),
		SchemaVersion: migrations.Latest(), Tracer: tel.PgxTracer(), Logger: tel.Logger(),
	})
	if err != nil {
		return openedStore{}, err
	}
	cached := cache.New(pg, cache.Options{Off: !cfg.Cache, Keys: cfg.CacheKeys, Lease: lease})
	err = errors.Join(tel.ObservePool(pg.Pool()), tel.ObserveCacheLease(cached.LeaseValid))
	if err == nil && cfg.Cache {
		err = listenForInvalidations(pg, cfg, cached)
	}
	if err != nil {
		pg.Close()
		return openedStore{}, err
	}
	return openedStore{Store: cached, Close: pg.Close}, nil
}

// listenForInvalidations makes a cache hear the invalidations of other replicas.
func listenForInvalidations(pg *postgres.Store, cfg config.Config, cached *cache.Store) error {
	direct := postgres.Direct{DSN: cfg.DirectURL.Reveal(), Reload: reload(cfg.DirectURLFile)}
	return pg.Listen(direct, cached)
}

// reload reads a DSN again from the file that it is in, so that a rotated password needs no restart; nil without one.
func reload(file string) func() (string, error) {
	if file == "" {
		return nil
	}
	return func() (string, error) {
		text, err := config.ReadSecret(file)
		return text.Reveal(), err
	}
}

// openPostgres opens a store whose DSN is DATABASE_URL.
func openPostgres(ctx context.Context, cfg postgres.Config) (*postgres.Store, error) {
	pg, err := postgres.Open(ctx, cfg)
	if errors.Is(err, postgres.ErrDSN) {
		return nil, unusable{fmt.Errorf("DATABASE_URL: %w", err)}
	}
	return pg, err
}

// sample fills the in-memory store, which is empty at every start. The limit of keys is for those that come later.
func (s openedStore) sample(ctx context.Context) (registry.Sample, error) {
	if !s.memory {
		return registry.Sample{}, nil
	}
	return registry.Seed(ctx, s, registry.Options{Version: version})
}
