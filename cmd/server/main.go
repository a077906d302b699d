// Command server runs the tenant registry: `tenant-registry` serves the API, `tenant-registry healthcheck [PATH]` asks
// a running one on this machine, `tenant-registry seed` fills an empty development database with sample data,
// `tenant-registry audit` verifies exports of the audit log and makes keys for its checkpoints.
//
// Exit codes: 0 it ended as asked, 1 it failed (one sentence on standard error says why and what to do next), 2 the
// arguments or the environment are not usable. `audit verify` prints its verdict on standard output and ends with 0 if
// the export is good, 1 if it has a fault, 2 if it cannot be read, 3 if it is unproven.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/breakpilot/tenant-registry/internal/config"
)

// version is set by the linker: -X main.version=v1.2.3.
var version = "dev"

func main() {
	os.Exit(run(untilSignal(), os.Args[1:], os.Environ(), os.Stdout, os.Stderr))
}

// untilSignal ends at the first signal. A second one, however soon after the first was acted on, ends the program.
func untilSignal() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, os.Interrupt)
	go func() {
		<-signals
		signal.Stop(signals)
		cancel()
	}()
	return ctx
}

const usage = `usage: tenant-registry                     serve the API
       tenant-registry healthcheck [PATH]  ask the server on this machine; PATH is /healthz unless given
       tenant-registry seed                put sample data into an empty development database
       tenant-registry audit verify [--part] [--key VERIFIERKEY [--checkpoint NOTEFILE]] FILE…
                                           verify exports (NDJSON) of the audit log; - is standard input; with --part
                                           one may end before the head. Exit code: 0 ok, 1 fault, 2 cannot be read,
                                           3 unproven: nothing is wrong, but this file does not show all it should
       tenant-registry audit keygen [NAME] make a key for AUDIT_SIGNING_KEY, and its verifier key
`

// run is the program with the operating system as its arguments; it returns the exit code.
func run(ctx context.Context, args, environ []string, stdout, stderr io.Writer) int {
	getenv := config.Getenv(environ)
	command := "serve"
	if len(args) > 0 {
		command = args[0]
	}
	switch {
	case command == "serve" && len(args) <= 1:
		return fail(stderr, serve(ctx, environ, stdout, stderr))
	case command == "healthcheck" && len(args) <= 2:
		return fail(stderr, healthcheck(ctx, args[1:], getenv))
	case command == "seed" && len(args) == 1:
		return fail(stderr, seed(ctx, getenv, stdout))
	case command == "audit":
		return auditCommand(args[1:], os.Stdin, stdout, stderr)
	case command == "help" || command == "-h" || command == "--help":
		fmt.Fprint(stdout, usage)
		return 0
	}
	fmt.Fprint(stderr, usage)
	return 2
}

// unusable is an environment that the program refuses to start with.
type unusable struct{ error }

func fail(stderr io.Writer, err error) int {
	if err == nil {
		return 0
	}
	fmt.Fprintf(stderr, "tenant-registry: %v\n", err)
	if _, ok := err.(unusable); ok {
		return 2
	}
	return 1
}
