package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/breakpilot/tenant-registry/internal/migrate"
)

// end says how an action ended, and returns the exit code.
func (c command) end(err error, stderr io.Writer) int {
	var (
		dirty   *migrate.DirtyError
		refused unusable
	)
	_, variable, _ := c.dsn()
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &dirty):
		fmt.Fprintf(stderr, "migrate: %v\n%s", dirty, c.fix(dirty))
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

// fix is the commands that fix a dirty schema, ready to be pasted, and how to choose where there is a choice.
func (c command) fix(dirty *migrate.DirtyError) string {
	commands := func(version uint) string {
		return fmt.Sprintf("  %s force %d\n  %s up\n", c.self, version, c.self)
	}
	switch dirty.Outcome {
	case migrate.RolledBack:
		return "when the cause of the failure is fixed, run:\n" + commands(dirty.Choices[0])
	case migrate.Committed:
		return "to fix it, run:\n" + commands(dirty.Choices[0])
	}
	const compare = "compare the objects that psql (\\d) shows with the files; "
	text := fmt.Sprintf(compare+"if the migration to version %d was done, run:\n", dirty.Version)
	for i, version := range dirty.Choices {
		if i > 0 {
			text += "if nothing of it was done, run:\n"
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
