package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// texts are many of one length, without a pointer for each.
type texts struct {
	all   string
	width int
}

func (t texts) len() int        { return len(t.all) / t.width }
func (t texts) at(i int) string { return t.all[i*t.width : (i+1)*t.width] }

// first are the first n of them, or all if there are fewer.
func (t texts) first(n int) texts { return texts{t.all[:min(n, t.len())*t.width], t.width} }

// request is what a load sends. Its text has places where each request writes something else of the same length.
type request struct {
	text   []byte
	places []place
	many   int // how many different ones there are
}

type place struct {
	at int
	of texts
}

// newRequest writes a request. In its target, headers and body a name in braces stands for one of the texts of this
// name.
func newRequest(target string, headers []string, body string, named map[string]texts) request {
	method, path, _ := strings.Cut(target, " ")
	lines := append([]string{method + " " + path + " HTTP/1.1", "Host: localhost"}, headers...)
	if body != "" {
		size := len(body)
		for name, of := range named {
			size += strings.Count(body, "{"+name+"}") * (of.width - len(name) - 2)
		}
		lines = append(lines, "Content-Type: application/json", "Content-Length: "+strconv.Itoa(size))
	}
	rest := strings.Join(lines, "\r\n") + "\r\n\r\n" + body
	r := request{many: 1}
	for rest != "" {
		before, after, found := strings.Cut(rest, "{")
		name, behind, closed := strings.Cut(after, "}")
		of, known := named[name]
		if r.text = append(r.text, before...); !found {
			break
		}
		if !closed || !known { // a brace of JSON
			r.text, rest = append(r.text, '{'), after
			continue
		}
		r.places, r.many = append(r.places, place{len(r.text), of}), of.len()
		r.text, rest = append(r.text, of.at(0)...), behind
	}
	return r
}

// errNotThere is a route that the server does not have.
var errNotThere = errors.New("not there")

// ask sends the request once and returns the answer, waiting for a server that is not ready yet.
func (r request) ask(addr string) (*bareAnswer, error) {
	deadline := time.Now().Add(10 * time.Second)
	for {
		a, err := r.once(addr)
		if err != nil || a.Status != http.StatusServiceUnavailable || time.Now().After(deadline) {
			return a, err
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (r request) once(addr string) (*bareAnswer, error) {
	conn, err := net.DialTimeout("tcp", addr, 5*time.Second)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if _, err := conn.Write(r.text); err != nil {
		return nil, err
	}
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(answer.Body)
	answer.Header.Del("Date")
	if answer.StatusCode == http.StatusNotFound || answer.StatusCode == http.StatusMethodNotAllowed {
		return nil, errNotThere
	}
	return &bareAnswer{answer.StatusCode, answer.Header, string(body)}, err
}

// load sends requests to one server over connections that stay open.
type load struct {
	clients []*client
	pid     int // of the server, whose CPU is measured; 0: none is
	worth   int // what one request counts for
}

// open connects a load. Every answer must be like a.
func (r request) open(to *process, a *bareAnswer, worth int) (*load, error) {
	l := &load{pid: to.cmd.Process.Pid, worth: worth}
	for range connections {
		c := &client{addr: to.addr, request: r, answer: make([]byte, 64<<10), status: strconv.Itoa(a.Status)}
		c.request.text = bytes.Clone(r.text)
		if i := strings.IndexByte(a.Body, ','); i >= 0 && strings.HasPrefix(a.Body, `{"valid"`) {
			c.begins = a.Body[:i]
		}
		l.clients = append(l.clients, c)
	}
	return l, nil
}

func (l *load) close() {
	for _, c := range l.clients {
		if c.conn != nil {
			_ = c.conn.Close()
		}
	}
}

// connect opens what is not open yet, directly before the first request: the server does not wait for that for long.
func (l *load) connect() error {
	for _, c := range l.clients {
		if c.conn != nil {
			continue
		}
		var err error
		if c.conn, err = net.Dial("tcp", c.addr); err != nil {
			return err
		}
	}
	return nil
}

// measure implements side: random requests for a time.
func (l *load) measure(ctx context.Context, length time.Duration) (sample, error) {
	end := time.Now().Add(length)
	return l.run(ctx, func(now time.Time, many int) int {
		if now.After(end) {
			return -1
		}
		return rand.IntN(many)
	})
}

// each sends every different request once.
func (l *load) each(ctx context.Context) (sample, error) {
	var next atomic.Int64
	return l.run(ctx, func(_ time.Time, many int) int {
		if i := int(next.Add(1)) - 1; i < many {
			return i
		}
		return -1
	})
}

// run lets all clients send what next picks until it says -1.
func (l *load) run(ctx context.Context, next func(now time.Time, many int) int) (sample, error) {
	if err := l.connect(); err != nil {
		return sample{}, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := context.AfterFunc(ctx, func() {
		for _, c := range l.clients {
			_ = c.conn.SetDeadline(time.Unix(1, 0))
		}
	})
	defer stop()
	before, began := cpuOf(l.pid), time.Now()
	var clients sync.WaitGroup
	for _, c := range l.clients {
		clients.Go(func() {
			if err := c.run(next); err != nil {
				cancel(err)
			}
		})
	}
	clients.Wait()
	took := time.Since(began)
	if ctx.Err() != nil {
		return sample{}, context.Cause(ctx)
	}
	var all histogram
	for _, c := range l.clients {
		all.add(&c.took)
	}
	done := float64(all.count())
	s := sample{Rate: done * float64(l.worth) / took.Seconds(), P50: all.quantile(0.5), P99: all.quantile(0.99)}
	if l.pid != 0 {
		s.CPU = time.Duration(float64(cpuOf(l.pid)-before) / done)
	}
	return s, nil
}

// client is one connection. It parses no more of an answer than it must, because what it costs the server cannot have.
type client struct {
	addr    string
	conn    net.Conn // nil: not open yet
	request request
	answer  []byte
	status  string
	begins  string // of every body
	took    histogram
}

func (c *client) run(next func(now time.Time, many int) int) error {
	c.took = histogram{}
	now := time.Now()
	for {
		i := next(now, c.request.many)
		if i < 0 {
			return nil
		}
		for _, p := range c.request.places {
			copy(c.request.text[p.at:], p.of.at(i))
		}
		if _, err := c.conn.Write(c.request.text); err != nil {
			return err
		}
		if err := c.read(); err != nil {
			return err
		}
		then := now
		now = time.Now()
		c.took.note(now.Sub(then))
	}
}

var (
	headerEnd     = []byte("\r\n\r\n")
	contentLength = []byte("\r\nContent-Length: ")
)

// read takes one answer.
func (c *client) read() error {
	have, body := 0, -1
	for {
		n, err := c.conn.Read(c.answer[have:])
		if err != nil {
			return err
		}
		have += n
		if body < 0 {
			if body = bytes.Index(c.answer[:have], headerEnd); body < 0 {
				continue
			}
			body += len(headerEnd)
		}
		if want := body + length(c.answer[:body]); have >= want {
			return c.check(c.answer[:have], body)
		} else if want > len(c.answer) {
			return fmt.Errorf("an answer of %d bytes", want)
		}
	}
}

func (c *client) check(answer []byte, body int) error {
	if status := string(answer[9:12]); status != c.status {
		return fmt.Errorf("the status %s instead of %s: %s", status, c.status, answer[body:])
	}
	if !bytes.HasPrefix(answer[body:], []byte(c.begins)) {
		return fmt.Errorf("an answer that does not begin with %s: %s", c.begins, answer[body:])
	}
	return nil
}

// length is what a header says of its body.
func length(header []byte) int {
	i := bytes.Index(header, contentLength)
	if i < 0 {
		return 0
	}
	n := 0
	for _, digit := range header[i+len(contentLength):] {
		if digit < '0' || digit > '9' {
			break
		}
		n = n*10 + int(digit-'0')
	}
	return n
}
