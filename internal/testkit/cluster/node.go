package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	startTimeout = time.Minute      // to start or end a server, which takes a second where nothing else runs
	stepTimeout  = 30 * time.Second // for a statement
	pollInterval = 10 * time.Millisecond
)

// node is one PostgreSQL server and its data.
type node struct {
	host     *host
	name     string // also that of its folder
	port     int
	settings []string

	process *exec.Cmd     // nil: it does not run
	exited  chan struct{} // closed when process has ended and is reaped

	mu    sync.Mutex
	admin *pgx.Conn // of the harness; nil or broken: the next query opens another
}

func (n *node) folder() string { return filepath.Join(n.host.folder, n.name) }

func (n *node) address() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(n.port)) }

func (n *node) dsn() string {
	return "postgres://postgres@" + n.address() + "/postgres?sslmode=disable"
}

// start runs the server, and returns when it accepts connections. The first time it finds a port.
func (n *node) start() error {
	if n.port != 0 {
		return n.run()
	}
	var err error
	for range 3 { // between finding a free port and using it another process may take it
		if n.port, err = freePort(); err != nil {
			return err
		}
		if err = n.run(); err == nil {
			return nil
		}
	}
	return err
}

func (n *node) run() error {
	log, err := os.OpenFile(n.folder()+".log", os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	args := []string{"-D", n.folder()}
	settings := []string{"listen_addresses=127.0.0.1", "unix_socket_directories=", "port=" + strconv.Itoa(n.port)}
	for _, setting := range append(settings, n.settings...) {
		args = append(args, "-c", setting)
	}
	cmd := n.host.program("postgres", args...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return err
	}
	exited := make(chan struct{})
	n.process, n.exited = cmd, exited
	go func() {
		defer close(exited)
		_ = cmd.Wait()
	}()
	if err := n.awaitConnections(); err != nil {
		return errors.Join(fmt.Errorf("server %s: %w: %s", n.name, err, n.lastWords()), n.kill())
	}
	return nil
}

// awaitConnections returns when the server accepts connections, and no other one does on its port.
func (n *node) awaitConnections() error {
	return poll(startTimeout, func() error {
		select {
		case <-n.exited:
			return permanent{errors.New("it has ended")}
		default:
		}
		var data string
		err := n.query(context.Background(), `SELECT current_setting('data_directory')`, nil, &data)
		if err == nil && data != n.folder() {
			n.forget()
			err = fmt.Errorf("on its port is the server of %s", data)
		}
		return err
	})
}

// stop ends the server at once, without a checkpoint.
func (n *node) stop() error {
	n.forget()
	if n.process == nil {
		return nil
	}
	_ = n.process.Process.Signal(syscall.SIGQUIT)
	select {
	case <-n.exited:
		n.process = nil
		return nil
	case <-time.After(10 * time.Second): // longer than the 5 s after which the postmaster kills its children
		return n.kill()
	}
}

// kill ends the postmaster and all its children with SIGKILL, and returns when the last is gone. The postmaster is
// stopped before its children are listed, so that it starts no more of them, and goes first, so that it does not see
// them die.
func (n *node) kill() error {
	n.forget()
	if n.process == nil {
		return nil
	}
	var children []int
	var err error
	select {
	case <-n.exited:
	default:
		_ = n.process.Process.Signal(syscall.SIGSTOP)
		children, err = childrenOf(n.process.Process.Pid)
		_ = n.process.Process.Kill()
		for _, child := range children {
			_ = syscall.Kill(child, syscall.SIGKILL)
		}
		<-n.exited
	}
	n.process = nil
	if err != nil {
		return err
	}
	err = poll(startTimeout, func() error {
		alive, err := living(children)
		if err == nil && len(alive) > 0 {
			err = fmt.Errorf("processes %v of server %s do not end", alive, n.name)
		}
		return err
	})
	return errors.Join(err, n.removeTraces())
}

// removeTraces removes what a killed server leaves outside its data: a segment of shared memory, whose id is the last
// word of the seventh line of postmaster.pid. A restart would remove it, but there may be none.
func (n *node) removeTraces() error {
	path := filepath.Join(n.folder(), "postmaster.pid")
	text, err := os.ReadFile(path)
	if err != nil {
		return nil // it was killed before it wrote one
	}
	if lines := bytes.Split(text, []byte("\n")); len(lines) > 6 {
		if words := bytes.Fields(lines[6]); len(words) == 2 {
			_ = n.host.command("ipcrm", "-m", string(words[1])).Run() // where there is no ipcrm, 56 bytes stay
		}
	}
	return os.Remove(path)
}

// crash kills one child of the postmaster, and returns when the server has recovered from that in place.
func (n *node) crash(pid int) error {
	if n.process == nil {
		return fmt.Errorf("server %s does not run", n.name)
	}
	children, err := childrenOf(n.process.Process.Pid)
	if err != nil {
		return err
	}
	if !slices.Contains(children, pid) {
		return fmt.Errorf("process %d is none of server %s", pid, n.name)
	}
	if err := n.exec(`SELECT 1`); err != nil {
		return err
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		return err
	}
	err = poll(startTimeout, func() error { // all backends end, also this one
		if n.exec(`SELECT 1`) == nil {
			return fmt.Errorf("server %s does not care", n.name)
		}
		return nil
	})
	return errors.Join(err, n.awaitConnections())
}

// query runs a statement on the harness's own connection, whose commits wait for no standby.
func (n *node) query(ctx context.Context, sql string, args []any, results ...any) error {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.admin == nil || n.admin.IsClosed() {
		conn, err := pgx.Connect(ctx, n.dsn()+"&application_name=cluster&synchronous_commit=local")
		if err != nil {
			return err
		}
		n.admin = conn
	}
	if len(results) > 0 {
		return n.admin.QueryRow(ctx, sql, args...).Scan(results...)
	}
	_, err := n.admin.Exec(ctx, sql, args...)
	return err
}

func (n *node) exec(sql string) error { return n.query(context.Background(), sql, nil) }

// forget closes the harness's own connection.
func (n *node) forget() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.admin != nil {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = n.admin.Close(ctx)
		n.admin = nil
	}
}

// setSynchronous names the standbys that commits wait for, and returns when all processes know.
func (n *node) setSynchronous(standbys string) error {
	if err := n.exec(`ALTER SYSTEM SET synchronous_standby_names = '` + standbys + `'`); err != nil {
		return err
	}
	if err := n.exec(`SELECT pg_reload_conf()`); err != nil {
		return err
	}
	err := poll(stepTimeout, func() error {
		n.forget() // a new backend has the setting of the postmaster, which has sent the signal to all when it has it
		var setting string
		err := n.query(context.Background(), `SELECT current_setting('synchronous_standby_names')`, nil, &setting)
		if err == nil && setting != standbys {
			err = fmt.Errorf("synchronous_standby_names is still %q", setting)
		}
		return err
	})
	// Commits wait once the checkpointer has read the setting, between two checkpoints; the first may be under way.
	return errors.Join(err, n.exec(`CHECKPOINT`), n.exec(`CHECKPOINT`))
}

// lastWords are the last lines of the log.
func (n *node) lastWords() string {
	text, _ := os.ReadFile(n.folder() + ".log")
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-5):], "; ")
}

// freePort finds a port below those that the system gives to outgoing connections: one of these could take the port of
// a server that is down for a moment.
func freePort() (int, error) {
	var failure error
	for range 100 {
		port := 20000 + rand.IntN(12000)
		listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil {
			return port, listener.Close()
		}
		failure = err
	}
	return 0, failure
}
