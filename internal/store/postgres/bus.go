package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

// Invalidator keeps what was read, and is told what others changed. Its methods are called by one goroutine, in the order in which the
// database committed.
type Invalidator interface {
	// Touch tells that these were changed.
	Touch(registry.Touched)
	// Flush tells that anything may have been changed.
	Flush()
	// Renew tells that everything that was committed before sent has been told.
	Renew(sent time.Time)
}

const (
	beatEvery    = 250 * time.Millisecond
	silenceEnds  = 2 * time.Second // of hearing no heartbeat, after which the connections are made anew
	backOffFirst = 100 * time.Millisecond
	backOffMost  = 5 * time.Second
	farewell     = 200 * time.Millisecond
	listenerName = "tenant-registry-listen"
)

// errNotHeard is a connection that takes LISTEN, and hears nothing.
var errNotHeard = errors.New("notifications do not arrive")

// bus hears what is published, on a connection of its own. Heartbeats prove that it does: they are sent by another connection, as the
// changes are, and come in order with them. A connection that sends its own hears it with the answer, even if a pooler swallows
// everything that comes later.
type bus struct {
	listens, sends *pgx.ConnConfig
	to             Invalidator
	log            *slog.Logger
	began          time.Time
	beat           string // how a heartbeat of this replica begins; what follows is when it was sent, in nanoseconds since began

	heard  bool // a heartbeat, since the connections were made
	warned bool // that nothing is heard, since it last was
}

// Listen tells what is committed in this store's database, by whomever, until Close. It needs a connection that goes through no
// pooler of transactions: direct is the DSN for it; empty: that of the store. Only a DSN that makes no sense is an error (ErrDSN): as
// long as nothing is heard, the lease is not renewed, and the log says once what to do.
func (s *Store) Listen(direct string, to Invalidator) error {
	listens := s.probe.config.Copy()
	if direct != "" {
		pc, err := poolConfig(Config{DSN: direct, ConnectTimeout: listens.ConnectTimeout})
		if err != nil {
			return err
		}
		listens = pc.ConnConfig
	}
	for name := range limits { // it waits for as long as it has to
		if name != "tcp_user_timeout" {
			delete(listens.RuntimeParams, name)
		}
	}
	listens.RuntimeParams["idle_session_timeout"] = "0"
	sends := s.probe.config.Copy()
	for _, cc := range []*pgx.ConnConfig{listens, sends} {
		cc.RuntimeParams["application_name"] = listenerName
	}
	b := &bus{listens: listens, sends: sends, to: to, log: s.log, began: time.Now(), beat: "beat " + uuid.NewString() + " "}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		b.run(ctx)
	}()
	s.stopListening = func() { cancel(); <-ended }
	return nil
}

// run hears until ctx ends, over new connections whenever the old ones are no good.
func (b *bus) run(ctx context.Context) {
	for wait := backOffFirst; ; wait = min(2*wait, backOffMost) {
		b.heard = false
		err := b.session(ctx)
		if ctx.Err() != nil {
			return
		}
		b.warn(ctx, err)
		if b.heard {
			wait = backOffFirst
		}
		if pause(ctx, wait) != nil {
			return
		}
	}
}

func (b *bus) warn(ctx context.Context, err error) {
	if b.warned {
		return
	}
	b.warned = true
	remedy := "none: it is tried again until it works"
	if errors.Is(err, errNotHeard) {
		remedy = "set DATABASE_DIRECT_URL to a DSN of the same database that leads to no pooler"
	}
	b.log.WarnContext(ctx, "changes by other replicas are not heard: the cache is off", "error", err, "remedy", remedy)
}

// session hears over two new connections, until one of them is no good.
func (b *bus) session(ctx context.Context) error {
	listener, err := connectPlainly(ctx, b.listens)
	if err != nil {
		return unreached(b.listens, err)
	}
	defer leave(listener)
	if err := briefly(ctx, listener, "LISTEN "+channel); err != nil {
		return fmt.Errorf("LISTEN: %w", err)
	}
	b.to.Flush() // whatever was said while nobody listened
	sender, err := connectPlainly(ctx, b.sends)
	if err != nil {
		return unreached(b.sends, err)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer leave(sender)
		cancel(b.send(ctx, sender))
	}()
	err = b.hear(ctx, listener)
	cancel(err)
	<-ended
	return err
}

// send sends heartbeats. They are committed as changes are: a primary that cannot commit proves nothing.
func (b *bus) send(ctx context.Context, sender *pgx.Conn) error {
	tick := time.NewTicker(beatEvery)
	defer tick.Stop()
	for {
		at := strconv.FormatInt(int64(time.Since(b.began)), 10)
		if err := briefly(ctx, sender, "NOTIFY "+channel+", '"+b.beat+at+"'"); err != nil {
			return fmt.Errorf("NOTIFY: %w", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// hear passes on what arrives, as long as heartbeats are among it.
func (b *bus) hear(ctx context.Context, listener *pgx.Conn) error {
	for last := time.Now(); ; {
		waits, cancel := context.WithDeadline(ctx, last.Add(silenceEnds))
		n, err := listener.WaitForNotification(waits)
		cancel()
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil && waits.Err() == nil:
			return fmt.Errorf("listening: %w", err)
		case err != nil && b.heard:
			return fmt.Errorf("no heartbeat for %s", silenceEnds)
		case err != nil:
			return errNotHeard
		}
		if b.apply(ctx, n.Payload) {
			last = time.Now()
		}
	}
}

// apply passes on one notification, and tells whether it was a heartbeat of this replica.
func (b *bus) apply(ctx context.Context, payload string) bool {
	if !strings.HasPrefix(payload, "beat ") {
		b.to.Touch(touchedBy(payload))
		return false
	}
	text, own := strings.CutPrefix(payload, b.beat)
	at, err := strconv.ParseInt(text, 10, 64)
	if !own || err != nil {
		return false
	}
	b.to.Renew(b.began.Add(time.Duration(at)))
	if b.warned {
		b.log.InfoContext(ctx, "changes by other replicas are heard: the cache is on")
	}
	b.heard, b.warned = true, false
	return true
}

// connectPlainly connects; where a pooler refuses the parameters of the session, without them.
func connectPlainly(ctx context.Context, cc *pgx.ConnConfig) (*pgx.Conn, error) {
	conn, err := connectUntraced(ctx, cc)
	if !hasCode(err, protocolViolation) {
		return conn, err
	}
	cc.RuntimeParams = map[string]string{"application_name": listenerName}
	return connectUntraced(ctx, cc)
}

// briefly runs a statement without parameters, and gives up the connection if it takes too long.
func briefly(ctx context.Context, conn *pgx.Conn, sql string) error {
	ctx, cancel := context.WithTimeout(ctx, silenceEnds)
	defer cancel()
	_, err := conn.Exec(ctx, sql)
	return err
}

func leave(conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), farewell)
	defer cancel()
	_ = conn.Close(ctx)
}
