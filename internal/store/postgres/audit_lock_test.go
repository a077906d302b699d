package postgres_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/store/postgres"
	"github.com/breakpilot/tenant-registry/internal/store/postgres/postgrestest"
	"github.com/breakpilot/tenant-registry/internal/testkit"
)

// holderDSN names the variable that makes of this test program a replica that holds the audit lock.
const holderDSN = "POSTGRES_TEST_HOLDER_DSN"

// holdAuditLock takes the audit lock, says so, waits for a line on standard input, goes on, and returns what came of
// it.
func holdAuditLock(dsn string) string {
	ctx := context.Background()
	store, err := postgres.Open(ctx, postgres.Config{DSN: dsn})
	if err != nil {
		return err.Error()
	}
	defer store.Close()
	err = store.Tx(ctx, func(tx registry.Tx) error {
		if _, err := testkit.LockAuditHead(ctx, tx, uuid.Nil); err != nil {
			return err
		}
		fmt.Println("holding")
		if _, err := bufio.NewReader(os.Stdin).ReadString('\n'); err != nil {
			return err
		}
		_, err := tx.ListProducts(ctx)
		return err
	})
	switch {
	case err == nil:
		return "committed"
	case errors.Is(err, registry.ErrUnavailable):
		return "unavailable " + codeOf(err)
	}
	return err.Error()
}

// holder is the other process.
type holder struct {
	t     *testing.T
	cmd   *exec.Cmd
	input io.Writer
	lines *bufio.Scanner
}

func startHolder(t *testing.T, dsn string) *holder {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), holderDSN+"="+dsn)
	cmd.Stderr = os.Stderr
	input, err := cmd.StdinPipe()
	must(t, err)
	output, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	h := &holder{t, cmd, input, bufio.NewScanner(output)}
	h.expect("holding")
	return h
}

func (h *holder) expect(line string) {
	h.t.Helper()
	if h.lines.Scan(); !strings.HasPrefix(h.lines.Text(), line) {
		h.t.Fatalf("the holder says %q, want %q", h.lines.Text(), line)
	}
}

func (h *holder) signal(s syscall.Signal) {
	h.t.Helper()
	must(h.t, h.cmd.Process.Signal(s))
}

// goOn resumes the holder, which uses its transaction.
func (h *holder) goOn() {
	h.t.Helper()
	h.signal(syscall.SIGCONT)
	_, err := fmt.Fprintln(h.input, "go")
	must(h.t, err)
}

// TestAuditLock_stoppedReplica stops a process that holds the audit lock: the others wait until the server takes the
// lock from it.
func TestAuditLock_stoppedReplica(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.New(t)
	store := open(t, postgres.Config{DSN: dsn})
	h := startHolder(t, dsn)
	h.signal(syscall.SIGSTOP)
	begun := time.Now()
	must(t, appendOne(t.Context(), store))
	took(t, begun, 500*time.Millisecond, 2900*time.Millisecond)
	h.goOn()
	h.expect("unavailable 25P03")
}

// TestAuditLock_stoppedReplicaWithoutLimit is the control: without the session's limit no replica appends for as long
// as the holder is stopped, which is longer than the limit would be.
func TestAuditLock_stoppedReplicaWithoutLimit(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.New(t)
	store := open(t, postgres.Config{DSN: with(dsn, "lock_timeout", "2500ms")})
	h := startHolder(t, with(dsn, "idle_in_transaction_session_timeout", "0"))
	h.signal(syscall.SIGSTOP)
	begun := time.Now()
	err := appendOne(t.Context(), store)
	want(t, err, registry.ErrUnavailable)
	if code := codeOf(err); code != "55P03" {
		t.Errorf("refused with %q: %v", code, err)
	}
	took(t, begun, 2500*time.Millisecond, 10*time.Second) // the limit would be two seconds
	h.goOn()
	h.expect("committed")
	must(t, appendOne(t.Context(), store))
}
