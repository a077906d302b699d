package main

import (
	"encoding/json"
	"errors"
	"flag"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/breakpilot/tenant-registry/internal/store/postgres/postgrestest"
	"github.com/breakpilot/tenant-registry/internal/testkit"
)

// patience is how long a test waits for what must happen sooner or later, on a busy machine.
const patience = 20 * time.Second

const acme = "00000000-0000-0000-0000-000000000001"

var binary string // the path of the program

func TestMain(m *testing.M) {
	os.Exit(testkit.RunWithProgram("tenant-registry", main, func(path string) int {
		binary = path
		raiseParallelism()
		return postgrestest.Main(m)
	}))
}

// raiseParallelism runs more tests at once than there are processors, unless -parallel says otherwise: these mostly
// wait for another process.
func raiseParallelism() {
	flag.Parse()
	asked := false
	flag.Visit(func(f *flag.Flag) { asked = asked || f.Name == "test.parallel" })
	if !asked {
		_ = flag.Set("test.parallel", strconv.Itoa(max(6, runtime.GOMAXPROCS(0))))
	}
}

// eventually tries until check has no complaint, and fails with the last one when the time is over.
func eventually(t *testing.T, within time.Duration, check func() error) {
	t.Helper()
	over := time.After(within)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-over:
			t.Fatalf("still so after %s: %v", within, err)
		case <-tick.C:
		}
	}
}

// program is one run of the program as a process.
type program struct {
	cmd            *exec.Cmd
	stdout, stderr testkit.Output
	ended          chan struct{}
	URL, Admin     string // from when it serves
	distant        string // where a test puts a network between it and its callers
	client         *http.Client
}

// start runs the program with nothing in its environment but what is named. If it still runs when the test ends it is
// told to end, and must then exit with 0. However it ended, it must not have panicked or raced.
func start(t *testing.T, env []string, args ...string) *program {
	t.Helper()
	p := &program{cmd: exec.Command(binary, args...), ended: make(chan struct{})}
	p.cmd.Env = append([]string{testkit.QuickExit, "ADDR=127.0.0.1:0", "DRAIN_DELAY=0s"}, env...)
	p.cmd.Stdout, p.cmd.Stderr = &p.stdout, &p.stderr
	p.client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}, Timeout: patience}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.ended)
		_ = p.cmd.Wait() // its verdict is in ProcessState
	}()
	t.Cleanup(func() {
		p.client.CloseIdleConnections()
		if p.running() {
			p.signal(t, syscall.SIGTERM)
			if code := p.exit(t); code != 0 {
				t.Errorf("told to end, the program exits with %d", code)
			}
		}
		p.checkTraces(t)
		if t.Failed() {
			t.Logf("standard output:\n%s\nstandard error:\n%s", &p.stdout, lastLines(p.stderr.String(), 20))
		}
	})
	return p
}

func (p *program) running() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

func (p *program) signal(t *testing.T, s os.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Error(err)
	}
}

// exit waits for the end and returns the exit code, which is -1 if a signal ended it.
func (p *program) exit(t *testing.T) int {
	t.Helper()
	select {
	case <-p.ended:
	case <-time.After(2 * patience):
		_ = p.cmd.Process.Kill()
		<-p.ended
		t.Errorf("the program did not end within %s", 2*patience)
	}
	return p.cmd.ProcessState.ExitCode()
}

var traces = regexp.MustCompile(`(?m)^panic:|goroutine \d+|^fatal error:|msg=panic|DATA RACE`)

// checkTraces fails if anything that was printed holds a stack.
func (p *program) checkTraces(t *testing.T) {
	t.Helper()
	for _, text := range []string{p.stdout.String(), p.stderr.String()} {
		if found := traces.FindStringIndex(text); found != nil {
			t.Errorf("the program printed a stack: %s", text[found[0]:min(len(text), found[0]+3000)])
		}
	}
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

var (
	greeted = regexp.MustCompile(`(?m)^  ready +(http://\S+)/readyz$`)
	metrics = regexp.MustCompile(`(?m)^  metrics +(http://\S+)/metrics$`)
)

// launch starts the server and returns when it says that it listens.
func launch(t *testing.T, env ...string) *program {
	t.Helper()
	p := start(t, env)
	eventually(t, patience, func() error {
		found := greeted.FindStringSubmatch(p.stdout.String())
		switch {
		case !p.running():
			t.Fatalf("the server ended: %s", &p.stderr)
		case found == nil:
			return errors.New("the server does not say that it listens")
		}
		p.URL = found[1]
		if found := metrics.FindStringSubmatch(p.stdout.String()); found != nil {
			p.Admin = found[1]
		}
		return nil
	})
	return p
}

// reply is an answer with its body read.
type reply struct {
	status int
	header http.Header
	text   string
	closes bool // it says Connection: close, which the header does not show
}

// member is the value at a path of names in the JSON body, nil if there is none.
func (r reply) member(names ...string) any {
	var at any
	_ = json.Unmarshal([]byte(r.text), &at)
	for _, name := range names {
		object, _ := at.(map[string]any)
		at = object[name]
	}
	return at
}

// items is the list of a page.
func (r reply) items() (all []map[string]any) {
	items, _ := r.member("items").([]any)
	for _, item := range items {
		object, _ := item.(map[string]any)
		all = append(all, object)
	}
	return all
}

// try sends a request, with a JSON body unless that is empty.
func (p *program) try(method, path, body string, change ...func(*http.Request)) (reply, error) {
	req, err := http.NewRequest(method, p.URL+path, strings.NewReader(body))
	if err != nil {
		return reply{}, err
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for _, c := range change {
		c(req)
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return reply{resp.StatusCode, resp.Header, string(text), resp.Close}, err
}

// call is try that must have an answer with this status.
func (p *program) call(t *testing.T, status int, method, path, body string) reply {
	t.Helper()
	r, err := p.try(method, path, body)
	if err != nil {
		t.Fatal(err)
	}
	if r.status != status {
		t.Fatalf("%s %s answers %d, want %d: %s", method, path, r.status, status, r.text)
	}
	return r
}

func (p *program) get(t *testing.T, path string) reply {
	t.Helper()
	return p.call(t, http.StatusOK, http.MethodGet, path, "")
}
