package cluster

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/breakpilot/tenant-registry/internal/store/postgres/postgrestest"
)

// host is where servers run: a folder, the binaries and the user of the server's processes.
type host struct {
	folder   string
	binaries string
	owner    *syscall.Credential // nil: the user of this process

	keeper   *exec.Cmd
	lifeline io.WriteCloser
}

// keeper ends what this process started when this process ends, however it ends: then the kernel closes the keeper's
// standard input. A line in it says that there is nothing left to do. $1 is the folder of the binaries.
const keeper = `
read -r line && exit 0
for node in a b; do "$1/pg_ctl" -D "$node" -m immediate -w -t 10 stop; done
rm -rf "$PWD"
`

func newHost() (*host, error) {
	binaries, err := postgrestest.Programs()
	if err != nil {
		return nil, err
	}
	folder, owner, err := postgrestest.Folder()
	if err != nil {
		return nil, err
	}
	h := &host{folder: folder, binaries: binaries, owner: owner}
	h.keeper = h.command("/bin/sh", "-c", keeper, "cluster-keeper", binaries)
	if h.lifeline, err = h.keeper.StdinPipe(); err == nil {
		err = h.keeper.Start()
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(folder))
	}
	return h, nil
}

// close removes the folder, in which no server runs any more.
func (h *host) close() error {
	_, err := io.WriteString(h.lifeline, "done\n")
	return errors.Join(err, h.lifeline.Close(), h.keeper.Wait(), os.RemoveAll(h.folder))
}

// program is a command of the server's binaries.
func (h *host) program(name string, args ...string) *exec.Cmd {
	return h.command(filepath.Join(h.binaries, name), args...)
}

// command is one that runs in the folder as its owner, in a session of its own: an interrupt from the terminal is for
// the tests.
func (h *host) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Dir = h.folder
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "PWD=" + h.folder, "LC_ALL=C", "TZ=UTC"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Credential: h.owner}
	return cmd
}

// run runs a command of the server's binaries to its end.
func (h *host) run(name string, args ...string) error {
	if out, err := h.program(name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, bytes.TrimSpace(out))
	}
	return nil
}

// processes calls visit with each process of the machine that is no zombie.
func processes(visit func(pid, parent int)) error {
	out, err := exec.Command("ps", "-A", "-o", "pid,ppid,stat").Output()
	if err != nil {
		return fmt.Errorf("ps: %w", err)
	}
	for line := range strings.Lines(string(out)) {
		words := strings.Fields(line)
		if len(words) < 3 || strings.HasPrefix(words[2], "Z") {
			continue
		}
		pid, errPID := strconv.Atoi(words[0])
		parent, errParent := strconv.Atoi(words[1])
		if errPID == nil && errParent == nil { // else it is the title
			visit(pid, parent)
		}
	}
	return nil
}

func childrenOf(parent int) (pids []int, err error) {
	err = processes(func(pid, of int) {
		if of == parent {
			pids = append(pids, pid)
		}
	})
	return pids, err
}

// living returns those of the processes that have not ended.
func living(pids []int) (alive []int, err error) {
	err = processes(func(pid, _ int) {
		if slices.Contains(pids, pid) {
			alive = append(alive, pid)
		}
	})
	return alive, err
}

// permanent is an error that ends a poll.
type permanent struct{ error }

// poll repeats a step until it has no error, or a permanent one, or the time is over.
func poll(timeout time.Duration, step func() error) error {
	for deadline := time.Now().Add(timeout); ; time.Sleep(pollInterval) {
		err := step()
		var final permanent
		if err == nil || errors.As(err, &final) || time.Now().After(deadline) {
			return err
		}
	}
}

func splitAddress(address string) (ip, port string) {
	ip, port, _ = net.SplitHostPort(address)
	return ip, port
}
