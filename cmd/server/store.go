package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/breakpilot/tenant-registry/internal/config"
	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/store/cache"
	"github.com/breakpilot/tenant-registry/internal/store/memory"
	"github.com/breakpilot/tenant-registry/internal/store/postgres"
	"github.com/breakpilot/tenant-registry/internal/telemetry"
	"github.com/breakpilot/tenant-registry/migrations"
)

// lease is for how long a replica may answer from its cache after it last heard what the others change.
const lease = time.Second

// openedStore is the store that DATABASE_URL picks, behind the cache.
type openedStore struct {
	registry.Store
	Close  func()
	memory bool
}

func openStore(ctx context.Context, cfg config.Config, tel *telemetry.Telemetry) (openedStore, error) {
	if !cfg.DatabaseURL.Set() {
		kept := cache.New(memory.New(), cache.Options{Off: !cfg.Cache, Keys: cfg.CacheKeys})
		return openedStore{Store: kept, Close: func() {}, memory: true}, nil
	}
	pg, err := openPostgres(ctx, postgres.Config{
		DSN: cfg.DatabaseURL.Reveal(), MaxConns: int32(cfg.MaxConns), SchemaVersion: migrations.Latest(),
		Tracer: tel.PgxTracer(), Logger: tel.Logger(),
	})
	if err != nil {
		return openedStore{}, err
	}
	kept := cache.New(pg, cache.Options{Off: !cfg.Cache, Keys: cfg.CacheKeys, Lease: lease})
	err = errors.Join(tel.ObservePool(pg.Pool()), tel.ObserveCache(kept.Keeping))
	if err == nil && cfg.Cache {
		err = hearChanges(pg, cfg.DirectURL.Reveal(), kept)
	}
	if err != nil {
		pg.Close()
		return openedStore{}, err
	}
	return openedStore{Store: kept, Close: pg.Close}, nil
}

// hearChanges tells a cache what other replicas change.
func hearChanges(pg *postgres.Store, direct string, kept *cache.Store) error {
	err := pg.Listen(direct, kept)
	if errors.Is(err, postgres.ErrDSN) {
		return unusable{fmt.Errorf("DATABASE_DIRECT_URL: %w", err)}
	}
	return err
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

// seed puts the sample data of the in-memory store into a development database.
func seed(ctx context.Context, getenv func(string) string, stdout io.Writer) error {
	cfg, err := config.Load(getenv)
	if err != nil {
		return unusable{err}
	}
	if cfg.Env != "dev" || !cfg.DatabaseURL.Set() {
		return unusable{errors.New("seed needs APP_ENV=dev and DATABASE_URL, the DSN of a database that was migrated")}
	}
	pg, err := openPostgres(ctx, postgres.Config{DSN: cfg.DatabaseURL.Reveal(), SchemaVersion: migrations.Latest()})
	if err != nil {
		return err
	}
	defer pg.Close()
	if _, err := pg.Ping(ctx); err != nil {
		return fmt.Errorf("the database cannot take sample data (make migrate-up): %w", err)
	}
	// Servers that run may keep that there is no such tenant: they hear of it.
	sample, err := registry.Seed(ctx, cache.New(pg, cache.Options{Off: true}), registry.Options{Version: version})
	switch {
	case errors.Is(err, registry.ErrDuplicate):
		return errors.New("the database has the tenant acme already; nothing was changed")
	case err != nil:
		return fmt.Errorf("the sample data is incomplete: empty the database (make migrate-down-all migrate-up) and seed again: %w", err)
	}
	_, err = fmt.Fprintf(stdout, "tenant   acme %s\nAPI key  %s\n", sample.Tenant, sample.LiveKey)
	return err
}
