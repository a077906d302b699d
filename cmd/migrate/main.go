// Command migrate applies the embedded SQL migrations to Postgres. It runs as an init container before the server, and by hand.
//
// It exits 0 when the schema is where the command wanted it, 1 on a failure, 2 when the arguments or the environment are not usable, and 3 when the
// schema is dirty; then it prints the commands that mend it.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/breakpilot/tenant-registry/internal/migrate"
	"github.com/breakpilot/tenant-registry/migrations"
)

func main() {
	os.Exit(run(context.Background(), os.Args, os.Getenv, os.Stdout, os.Stderr))
}

// Exit codes.
const (
	exitOK = iota
	exitFailure
	exitUsage
	exitDirty
)

const usage = `usage: migrate COMMAND

  up           apply all pending migrations; a newer schema is left alone
  down         roll back the most recent migration (APP_ENV dev or stage)
  down-all     roll back everything, with all data (APP_ENV dev)
  version      print the version of the schema
  create NAME  write the next pair of empty files under ./migrations
  force N      record that the schema is at version N and clean; runs nothing

MIGRATE_DATABASE_URL, else DATABASE_URL, is the DSN; it has to lead to Postgres itself, not to a connection pooler.
MIGRATE_LOCK_WAIT bounds the wait for another migration (2m0s).
`

// run does one command. args[0] is the program's own name, as in os.Args.
func run(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process at once

	cmd := command{self: self(args[0]), getenv: getenv, out: stdout}
	action, err := cmd.parse(args[1:])
	if errors.Is(err, errHelp) {
		fmt.Fprint(stdout, usage)
		return exitOK
	}
	if err != nil {
		fmt.Fprintf(stderr, "migrate: %v\n\n%s", err, usage)
		return exitUsage
	}
	err = action(ctx)
	return cmd.end(err, stderr)
}

// end says how an action ended, and returns the exit code.
func (c command) end(err error, stderr io.Writer) int {
	var (
		dirty   *migrate.DirtyError
		refused unusable
	)
	_, variable := c.dsn()
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &dirty):
		fmt.Fprintf(stderr, "migrate: %v\n%s", dirty, c.mending(dirty))
		return exitDirty
	case errors.As(err, &refused), errors.Is(err, migrate.ErrName):
		fmt.Fprintf(stderr, "migrate: %v\n", err)
		return exitUsage
	case errors.Is(err, migrate.ErrDSN):
		fmt.Fprintf(stderr, "migrate: %s: %v\n", variable, err)
		return exitUsage
	case errors.Is(err, migrate.ErrReadOnly):
		fmt.Fprintf(stderr, "migrate: %v: point %s at the primary, or make it writable\n", err, variable)
		return exitFailure
	case errors.Is(err, migrate.ErrConnect):
		fmt.Fprintf(stderr, "migrate: %v; put %s right, or start the Postgres it names\n", err, variable)
		return exitFailure
	default:
		fmt.Fprintf(stderr, "migrate: %v\n", err)
		return exitFailure
	}
}

type command struct {
	self   string // what to type to run this program again
	getenv func(string) string
	out    io.Writer
}

type action func(context.Context) error

var errHelp = errors.New("help")

// unusable is an environment that the program refuses to work with.
type unusable struct{ error }

// arguments are the commands and how many arguments each takes.
var arguments = map[string]int{"up": 0, "down": 0, "down-all": 0, "version": 0, "create": 1, "force": 1}

// parse finds the action that the arguments ask for; its errors are the caller's mistakes.
func (c command) parse(args []string) (action, error) {
	if len(args) == 0 {
		return nil, errors.New("a command is missing")
	}
	name, rest := args[0], args[1:]
	if slices.Contains([]string{"help", "-h", "-help", "--help"}, name) {
		return nil, errHelp
	}
	count, known := arguments[name]
	if !known {
		return nil, errors.New("there is no such command")
	}
	if len(rest) != count {
		return nil, fmt.Errorf("%s takes %d arguments", name, count)
	}
	if name == "create" {
		return func(context.Context) error { return c.create(rest[0]) }, nil
	}
	wait, err := c.lockWait()
	if err != nil {
		return nil, err
	}
	switch name {
	case "up":
		return c.change(wait, migrate.Schema.Up), nil
	case "down":
		return c.change(wait, migrate.Schema.Down), nil
	case "down-all":
		return c.change(wait, migrate.Schema.DownAll), nil
	case "version":
		return c.version(wait), nil
	}
	version, err := strconv.ParseUint(rest[0], 10, 31)
	if err != nil {
		return nil, errors.New("force takes the number of a version, 0 for the empty schema")
	}
	return c.change(wait, func(s migrate.Schema, ctx context.Context) (migrate.Result, error) {
		return s.Force(ctx, uint(version))
	}), nil
}

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
		case result.Mended:
			fmt.Fprintf(c.out, "schema is recorded as clean at version %d (was dirty at %d)\n", result.To, result.From)
		case result.From != result.To:
			fmt.Fprintf(c.out, "schema is at version %d (was %d)\n", result.To, result.From)
		case result.To > result.Latest:
			fmt.Fprintf(c.out, "schema is at version %d, newer than the %d this build knows; nothing to do\n", result.To, result.Latest)
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
	dsn, variable := c.dsn()
	if dsn == "" {
		return migrate.Schema{}, unusable{fmt.Errorf("%s is not set, and the in-memory store needs no migrations: set it to the database to migrate, such as postgres://user:password@localhost:5432/tenant_registry", variable)}
	}
	env := cmp.Or(c.getenv("APP_ENV"), "dev")
	if !slices.Contains([]string{"dev", "stage", "prod"}, env) {
		return migrate.Schema{}, unusable{errors.New("APP_ENV: must be one of dev, stage, prod")}
	}
	return migrate.Schema{DSN: dsn, Files: migrations.FS, Env: env, LockWait: wait}, nil
}

// dsn is the DSN and the variable it comes from.
func (c command) dsn() (dsn, variable string) {
	if dsn := c.getenv("MIGRATE_DATABASE_URL"); dsn != "" {
		return dsn, "MIGRATE_DATABASE_URL"
	}
	return c.getenv("DATABASE_URL"), "DATABASE_URL"
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

// mending are the commands that mend a dirty schema, ready to be pasted, and how to choose where there is a choice.
func (c command) mending(dirty *migrate.DirtyError) string {
	commands := func(version uint) string {
		return fmt.Sprintf("  %s force %d\n  %s up\n", c.self, version, c.self)
	}
	switch dirty.Outcome {
	case migrate.RolledBack:
		return "once what made it fail is put right, this mends it:\n" + commands(dirty.Choices[0])
	case migrate.Committed:
		return "this mends it:\n" + commands(dirty.Choices[0])
	}
	text := fmt.Sprintf("look with psql (\\d) which objects are there and compare with the files; if the migration to version %d was done, this mends it:\n", dirty.Version)
	for i, version := range dirty.Choices {
		if i > 0 {
			text += "if nothing of it is there, this does:\n"
		}
		text += commands(version)
	}
	return text
}

// self is how to call this program again: "go run" removes the binary it made.
func self(name string) string {
	if strings.Contains(name, "/go-build") {
		return "go run ./cmd/migrate"
	}
	return name
}
