// Command migrate applies the embedded SQL migrations to Postgres. It runs as an init container before the server, and
// by hand.
//
// It exits 0 when the schema is where the command wanted it, 1 on a failure, 2 when the arguments or the environment
// are not usable, and 3 when the schema is dirty; then it prints the commands that fix it.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"syscall"

	"github.com/breakpilot/tenant-registry/internal/migrate"
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
  down         roll back the most recent migration (APP_ENV dev)
  down-all     roll back everything, with all data (APP_ENV dev)
  version      print the version of the schema
  grants --app=ROLE [--auditor=ROLE]
               give the roles the least privileges that work, and take CONNECT
               on the database from all others
  create NAME  write the next pair of empty files under ./migrations
  force N      record that the schema is at version N and clean; runs nothing

MIGRATE_DATABASE_URL, else DATABASE_URL, is the DSN; it has to lead to Postgres itself, not to a connection pooler. With
_FILE after its name it names a file that holds the DSN. Outside dev it needs sslmode=verify-full, or DB_TLS=insecure.
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

type command struct {
	self   string // what to type to run this program again
	getenv func(string) string
	out    io.Writer
}

type action func(context.Context) error

var errHelp = errors.New("help")

// unusable is an environment that the program refuses to work with.
type unusable struct{ error }

// arguments are the commands and how many arguments each takes; -1: it takes flags.
var arguments = map[string]int{
	"up": 0, "down": 0, "down-all": 0, "version": 0, "grants": -1, "create": 1, "force": 1,
}

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
	if count >= 0 && len(rest) != count {
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
	case "grants":
		return c.grants(rest, wait)
	}
	version, err := strconv.ParseUint(rest[0], 10, 31)
	if err != nil {
		return nil, errors.New("force takes the number of a version, 0 for the empty schema")
	}
	return c.change(wait, func(s migrate.Schema, ctx context.Context) (migrate.Result, error) {
		return s.Force(ctx, uint(version))
	}), nil
}
