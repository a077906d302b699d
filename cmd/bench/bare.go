package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
)

// bareCommand is the argument that makes this program a bare server.
const bareCommand = "bare"

// bareAnswer is what a bare server says to every request.
type bareAnswer struct {
	Status int
	Header http.Header
	Body   string
}

// serveBare reads a bareAnswer from in, says where it listens, and serves until in ends. It is the least that a program
// on net/http can do: read the body, set the headers, write an answer that was made before.
func serveBare(in io.Reader, out io.Writer) error {
	lines := bufio.NewReader(in)
	line, err := lines.ReadBytes('\n')
	if err != nil {
		return err
	}
	var a bareAnswer
	if err := json.Unmarshal(line, &a); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	body := []byte(a.Body)
	web := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.ReadAll(r.Body); err != nil {
			return
		}
		h := w.Header()
		for name, values := range a.Header {
			h[name] = values
		}
		w.WriteHeader(a.Status)
		_, _ = w.Write(body)
	})}
	go func() {
		_, _ = io.Copy(io.Discard, lines)
		_ = web.Close()
	}()
	fmt.Fprintln(out, listener.Addr())
	if err := web.Serve(listener); err != http.ErrServerClosed {
		return err
	}
	return nil
}

// process is a program that was started here.
type process struct {
	cmd   *exec.Cmd
	addr  string // host:port
	admin string // host:port of the server's ADMIN_ADDR, if it has one
	stop  func() error
}

// startBare runs a bare server as a process of its own.
func startBare(ctx context.Context, a bareAnswer) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(a)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, bareCommand)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, stop: func() error { _ = in.Close(); return cmd.Wait() }}
	if _, err := in.Write(append(text, '\n')); err != nil {
		return nil, p.failed(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return nil, p.failed(err)
	}
	p.addr = strings.TrimSpace(line)
	return p, nil
}

// startServer runs the server with this environment and its log in a file, and returns when it has said where it
// listens.
func startServer(ctx context.Context, binary string, env []string, log *os.File) (*process, error) {
	cmd := exec.CommandContext(ctx, binary)
	cmd.Env, cmd.Stderr = env, log
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, stop: sync.OnceValue(func() error {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		return cmd.Wait()
	})}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		word := strings.Fields(lines.Text())
		switch {
		case len(word) == 2 && word[0] == "ready":
			p.addr = host(word[1])
		case len(word) == 2 && word[0] == "metrics":
			p.admin = host(word[1])
		case len(word) == 1 && word[0] == "try": // the addresses are told before
			go func() { _, _ = io.Copy(io.Discard, out) }()
			return p, nil
		}
	}
	_ = p.stop()
	text, _ := os.ReadFile(log.Name())
	return nil, fmt.Errorf("the server did not start: %s", text)
}

// host is host:port of a URL with a path.
func host(url string) string {
	name, _, _ := strings.Cut(strings.TrimPrefix(url, "http://"), "/")
	return name
}

// failed ends a process that did not come up.
func (p *process) failed(err error) error {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
	return err
}
