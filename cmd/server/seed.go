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
	"github.com/breakpilot/tenant-registry/internal/store/postgres"
	"github.com/breakpilot/tenant-registry/migrations"
)

// seedTimeout is for an answer of a database that may be busy: unlike a probe, seed is in no hurry.
const seedTimeout = 5 * time.Second

// seed puts the sample data of the in-memory store into a development database.
func seed(ctx context.Context, getenv func(string) string, stdout io.Writer) error {
	cfg, err := config.Load(getenv)
	if err != nil {
		return unusable{err}
	}
	if cfg.Env != "dev" || !cfg.DatabaseURL.Set() {
		return unusable{errors.New("seed needs APP_ENV=dev and DATABASE_URL, the DSN of a database that was migrated")}
	}
	pg, err := openPostgres(ctx, postgres.Config{
		DSN: cfg.DatabaseURL.Reveal(), SchemaVersion: migrations.Latest(), PingTimeout: seedTimeout,
		AcquireTimeout: seedTimeout,
	})
	if err != nil {
		return err
	}
	defer pg.Close()
	if _, err := pg.Ping(ctx); err != nil {
		return fmt.Errorf("the database cannot take sample data (make migrate-up): %w", err)
	}
	// Running servers may have cached that there is no such tenant: they receive the invalidation.
	sample, err := registry.Seed(ctx, cache.New(pg, cache.Options{Off: true}), registry.Options{Version: version})
	switch {
	case errors.Is(err, registry.ErrDuplicate):
		return errors.New("the database has the tenant acme already; nothing was changed")
	case err != nil:
		return fmt.Errorf(
			"the sample data is incomplete: empty the database (make migrate-down-all migrate-up) and seed again: %w",
			err,
		)
	}
	_, err = fmt.Fprintf(stdout, "tenant   acme %s\nAPI key  %s\n", sample.Tenant, sample.LiveKey)
	return err
}
