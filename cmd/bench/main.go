// Command bench compares the server with what it is made of: a bare net/http server that answers as many bytes to the
// same requests, and pgbench running the same statement. Each figure is a ratio of two things that were measured in
// turn in one run, so that whatever else the machine does disturbs both; see pairs.go for the list and the goals.
//
// It makes a Postgres cluster of its own that writes through to the disk, unless BENCH_DATABASE_URL names a server on
// which databases may be created, and fills it. The server runs as a process of its own, with Postgres, AUTH_MODE=oidc
// against an issuer in this process, telemetry off, and its log, at the usual level and as JSON, in a file. One token
// serves all requests.
//
// The load comes from this process, over 64 connections that stay open. It competes with the server for the same cores,
// in both halves of a pair alike.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"syscall"
	"time"
)

// connections is how many requests are on their way at any time.
const connections = 64

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Getenv, os.Stdout))
}

// options are what the flags say.
type options struct {
	rounds   int
	length   time.Duration // of one side in one round
	only     *regexp.Regexp
	keys     int
	tenants  int
	memory   bool
	shares   bool
	out      string
	settings settings
	database string // a server's DSN; empty: a cluster of our own
}

// settings are more variables for the server, each NAME=VALUE.
type settings []string

// String implements flag.Value.
func (s *settings) String() string { return strings.Join(*s, " ") }

// Set implements flag.Value.
func (s *settings) Set(value string) error {
	if !strings.Contains(value, "=") {
		return fmt.Errorf("%q is not NAME=VALUE", value)
	}
	*s = append(*s, value)
	return nil
}

func parse(args []string, getenv func(string) string, w io.Writer) (options, error) {
	o := options{database: getenv("BENCH_DATABASE_URL")}
	var seconds float64
	var only string
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(w)
	f.IntVar(&o.rounds, "rounds", 5, "how often each pair is measured")
	f.Float64Var(&seconds, "seconds", 2, "how long each half of a pair is measured in a round")
	f.StringVar(&only, "only", "", "a regular expression: the pairs to measure")
	f.IntVar(&o.keys, "keys", 1_000_000, "API keys in the database")
	f.IntVar(&o.tenants, "tenants", 10_000, "tenants in the database")
	f.BoolVar(&o.memory, "memory", false,
		"the server on its in-memory store, without Postgres; only the pairs that need none")
	f.BoolVar(&o.shares, "shares", false,
		"instead of the pairs: an innocent caller beside a hostile one, for each share, for -seconds a phase")
	f.StringVar(&o.out, "out", "bin", "the folder for bench.json and bench.svg")
	f.Var(&o.settings, "set", "NAME=VALUE, a variable for the server; may be repeated")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	var err error
	o.length = time.Duration(seconds * float64(time.Second))
	o.only, err = regexp.Compile(only)
	if o.rounds < 1 || o.length <= 0 || o.keys < 1 || o.tenants < 1 || f.NArg() > 0 {
		return o, fmt.Errorf("-rounds, -seconds, -keys and -tenants are above 0, and there are no arguments")
	}
	return o, err
}

// run is the program; it returns the exit code.
func run(ctx context.Context, args []string, getenv func(string) string, w io.Writer) int {
	if len(args) == 1 && args[0] == bareCommand {
		if err := serveBare(os.Stdin, w); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			return 1
		}
		return 0
	}
	o, err := parse(args, getenv, w)
	if err != nil {
		fmt.Fprintln(w, "bench:", err)
		return 2
	}
	measure := measureAll
	if o.shares {
		measure = measureShares
	}
	if err := measure(ctx, o, w); err != nil {
		fmt.Fprintln(w, "bench:", err)
		return 1
	}
	return 0
}

// measureAll makes the world, measures the pairs in it, and takes it down whatever happens.
func measureAll(ctx context.Context, o options, w io.Writer) (err error) {
	b := &bench{options: o, out: w, began: time.Now()}
	defer func() {
		if failed := b.close(); err == nil {
			err = failed
		}
	}()
	if err := b.open(ctx); err != nil {
		return err
	}
	var rows []row
	for _, p := range pairs {
		if !o.only.MatchString(p.name) || (o.memory && !p.memory) {
			continue
		}
		found, err := b.measure(ctx, p)
		if err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		rows = append(rows, found...)
	}
	b.say("done")
	return b.report(rows)
}
