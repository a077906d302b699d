package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/breakpilot/tenant-registry/internal/config"
	"github.com/breakpilot/tenant-registry/internal/dsn"
	"github.com/breakpilot/tenant-registry/internal/migrate"
	"github.com/breakpilot/tenant-registry/migrations"
)

// change is an action that moves the schema and says where it is then.
func (c command) change(wait time.Duration, move func(migrate.Schema, context.Context) (migrate.Result, error)) action {
	return func(ctx context.Context) error {
		schema, err := c.schema(wait)
		if err != nil {
			return err
		}
		result, err := move(schema, ctx)
		if err != nil {
			return err
		}
		switch {
		case result.Fixed:
			fmt.Fprintf(c.out, "schema is recorded as clean at version %d (was dirty at %d)\n", result.To, result.From)
		case result.From != result.To:
			fmt.Fprintf(c.out, "schema is at version %d (was %d)\n", result.To, result.From)
		case result.To > result.Latest:
			fmt.Fprintf(
				c.out, "schema is at version %d, newer than the %d this build knows; nothing to do\n", result.To,
				result.Latest,
			)
		default:
			fmt.Fprintf(c.out, "schema is at version %d; nothing to do\n", result.To)
		}
		return nil
	}
}

func (c command) version(wait time.Duration) action {
	return func(ctx context.Context) error {
		schema, err := c.schema(wait)
		if err != nil {
			return err
		}
		state, err := schema.Version(ctx)
		var dirty *migrate.DirtyError
		switch {
		case errors.As(err, &dirty):
			fmt.Fprintf(c.out, "%d (dirty)\n", state.Version)
		case err != nil:
		case state.Running:
			fmt.Fprintf(c.out, "%d (dirty: a migration to it is under way)\n", state.Version)
		default:
			fmt.Fprintf(c.out, "%d\n", state.Version)
		}
		return err
	}
}

func (c command) create(name string) error {
	up, down, err := migrate.Create("migrations", name)
	if err != nil {
		return err
	}
	fmt.Fprintf(c.out, "created %s\ncreated %s\n", up, down)
	return nil
}

func (c command) schema(wait time.Duration) (migrate.Schema, error) {
	text, variable, err := c.dsn()
	if err != nil {
		return migrate.Schema{}, unusable{err}
	}
	if text == "" {
		return migrate.Schema{}, unusable{fmt.Errorf("%s is not set, and the in-memory store needs no migrations: "+
			"set it to the database to migrate, "+
			"such as postgres://user:password@localhost:5432/tenant_registry", variable)}
	}
	env := cmp.Or(c.getenv("APP_ENV"), "dev")
	if !slices.Contains([]string{"dev", "stage", "prod"}, env) {
		return migrate.Schema{}, unusable{errors.New("APP_ENV: must be one of dev, stage, prod")}
	}
	if err := dsn.Secure(text); err != nil && env != "dev" && c.getenv("DB_TLS") != "insecure" {
		return migrate.Schema{}, unusable{fmt.Errorf("%s: %w, or set DB_TLS=insecure", variable, err)}
	}
	return migrate.Schema{
		DSN: text, Files: migrations.FS, Tables: migrations.Tables, Env: env, LockWait: wait,
	}, nil
}

// dsn is the DSN and the variable it comes from, whose name may end in _FILE.
func (c command) dsn() (text, variable string, err error) {
	for _, variable := range []string{"MIGRATE_DATABASE_URL", "DATABASE_URL"} {
		if text := strings.TrimRight(c.getenv(variable), "\r\n"); text != "" {
			return text, variable, nil
		}
		file := variable + "_FILE"
		if path := c.getenv(file); path != "" {
			secret, err := config.ReadSecret(path)
			if err != nil {
				return "", file, fmt.Errorf("%s: cannot be read: %w", file, err)
			}
			return secret.Reveal(), file, nil
		}
	}
	return "", "DATABASE_URL", nil
}

func (c command) lockWait() (time.Duration, error) {
	text := c.getenv("MIGRATE_LOCK_WAIT")
	if text == "" {
		return migrate.DefaultLockWait, nil
	}
	wait, err := time.ParseDuration(text)
	if err != nil || wait <= 0 {
		return 0, errors.New("MIGRATE_LOCK_WAIT has to be a duration such as 30s or 5m")
	}
	return wait, nil
}
