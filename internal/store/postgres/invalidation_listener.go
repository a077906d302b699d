package postgres

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

// Invalidator is a cache that is notified of what others changed. Its methods are called by one goroutine, in the order
// in which the database committed.
type Invalidator interface {
	// Invalidate is called for a change.
	Invalidate(registry.Invalidation)
	// Flush is called when anything may have been changed.
	Flush()
	// Renew is called when everything that was committed before sent has been passed on.
	Renew(sent time.Time)
}

const (
	heartbeatInterval = 250 * time.Millisecond
	heartbeatTimeout  = 2 * time.Second // without a heartbeat, after which the connections are made anew
	minBackOff        = 100 * time.Millisecond
	maxBackOff        = 5 * time.Second
	poolerBackOff     = 3 * time.Minute // behind a pooler that drops notifications: only its settings change that
	closeTimeout      = 200 * time.Millisecond
	listenerName      = "tenant-registry-listen"
	listenerConns     = 2 // one listens, one sends
)

var (
	// errNotReceived is a connection that accepts LISTEN, and receives nothing of what is committed.
	errNotReceived = errors.New("notifications do not arrive")
	// errNotCommitted is a database that confirms no commit.
	errNotCommitted = errors.New("no heartbeat is committed")
)

// listener receives what is published, on a connection of its own. Heartbeats prove that it does: they are sent by
// another connection, as the changes are, and arrive in order with them. A connection that sent its own would receive
// it with the answer, even behind a pooler that drops every later notification.
type listener struct {
	listens, sends *pgxpool.Config
	to             Invalidator
	log            *slog.Logger
	timeout        time.Duration // heartbeatTimeout

	mu   sync.Mutex
	sent map[string]time.Time // heartbeats that have not come back, by their nonce

	committed atomic.Bool // a heartbeat was, since the connections were made
	received  bool        // and came back
	warned    bool        // since the last heartbeat
}

// Direct is where to listen, if not at the DSN of the store.
type Direct struct {
	DSN    string                 // of the same database, through no pooler of transactions; empty: that of the store
	Reload func() (string, error) // the DSN for each new connection; nil: DSN
}

// Listen passes on what any replica commits in this store's database, until Close. It needs a connection that goes
// through no pooler of transactions. Only a DSN that makes no sense is an error (ErrDSN): while no heartbeat arrives,
// the lease is not renewed, and one warning in the log names the remedy.
func (s *Store) Listen(direct Direct, to Invalidator) error {
	listens, sends := s.config.Copy(), s.config.Copy()
	if direct.DSN != "" {
		var err error
		timeout := sends.ConnConfig.ConnectTimeout
		listens, err = poolConfig(Config{DSN: direct.DSN, Reload: direct.Reload, ConnectTimeout: timeout})
		if err != nil {
			return err
		}
	}
	for name := range sessionLimits { // it waits without a limit
		if name != "tcp_user_timeout" {
			delete(listens.ConnConfig.RuntimeParams, name)
		}
	}
	listens.ConnConfig.OnNotification = nil // it is asked for them
	listens.ConnConfig.RuntimeParams["idle_session_timeout"] = "0"
	for _, pc := range []*pgxpool.Config{listens, sends} {
		pc.ConnConfig.RuntimeParams["application_name"] = listenerName
	}
	l := &listener{
		listens: listens, sends: sends, to: to, log: s.log, timeout: s.heartbeatTimeout, sent: map[string]time.Time{},
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		l.run(ctx)
	}()
	s.stopListening = func() { cancel(); <-ended }
	return nil
}

// run listens until ctx ends, over new connections whenever the old ones fail.
func (l *listener) run(ctx context.Context) {
	for wait := minBackOff; ; wait = min(2*wait, maxBackOff) {
		l.received = false
		l.committed.Store(false)
		err := l.session(ctx)
		if ctx.Err() != nil {
			return
		}
		l.warn(ctx, err)
		if l.received {
			wait = minBackOff
		}
		if pause(ctx, backOff(err, wait)) != nil {
			return
		}
	}
}

// backOff is how long to wait after a session that ended with err; wait is what it is for most.
func backOff(err error, wait time.Duration) time.Duration {
	if errors.Is(err, errNotReceived) {
		return poolerBackOff
	}
	return wait
}

func (l *listener) warn(ctx context.Context, err error) {
	if l.warned {
		return
	}
	l.warned = true
	remedy := "none needed: it is retried until it works"
	if errors.Is(err, errNotReceived) {
		remedy = "set DATABASE_DIRECT_URL to a DSN of the same database that leads to no pooler"
	}
	l.log.WarnContext(ctx, "invalidations not received, cache off", "error", err, "remedy", remedy)
}

// session listens over two new connections, until one of them fails.
func (l *listener) session(ctx context.Context) error {
	receiver, err := connectPlainly(ctx, l.listens)
	if err != nil {
		return unreached(l.listens.ConnConfig, err)
	}
	defer closeConn(receiver)
	if err := l.exec(ctx, receiver, "LISTEN "+channel); err != nil {
		return fmt.Errorf("LISTEN: %w", err)
	}
	l.to.Flush() // what was published while no connection listened
	sender, err := connectPlainly(ctx, l.sends)
	if err != nil {
		return unreached(l.sends.ConnConfig, err)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer closeConn(sender)
		cancel(l.send(ctx, sender))
	}()
	err = l.receive(ctx, receiver)
	cancel(err)
	<-ended
	return err
}

// send sends heartbeats. They are committed as changes are: a primary that cannot commit proves nothing.
func (l *listener) send(ctx context.Context, sender *pgx.Conn) error {
	tick := time.NewTicker(heartbeatInterval)
	defer tick.Stop()
	for {
		if err := l.beat(ctx, sender); err != nil {
			return fmt.Errorf("NOTIFY: %w", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// beat commits one heartbeat. A notification alone writes nothing to the log of the database, so that its commit would
// wait for no standby; the emitted message does. A heartbeat that cannot be committed in time is forgotten before it is
// cancelled: Postgres delivers it all the same.
func (l *listener) beat(ctx context.Context, sender *pgx.Conn) error {
	nonce := rand.Text()
	l.remember(nonce)
	waits, end := context.WithTimeout(ctx, l.timeout)
	defer end()
	commits, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stop := context.AfterFunc(waits, func() {
		l.forget(nonce)
		cancel()
	})
	defer stop()
	notify := "NOTIFY " + channel + ", '" + heartbeatWord + nonce + "'"
	_, err := sender.Exec(commits, notify+"; "+emitMessage) // one transaction, since it is one text
	if err != nil {
		l.forget(nonce)
		return err
	}
	l.committed.Store(true)
	return nil
}

// remember notes when a heartbeat was sent. Those that would renew nothing any more are forgotten.
func (l *listener) remember(nonce string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	maps.DeleteFunc(l.sent, func(_ string, at time.Time) bool { return now.Sub(at) > l.timeout })
	l.sent[nonce] = now
}

// forget makes a heartbeat count no more, and returns when it was sent; false if it is unknown: another replica sent
// it, it was forgotten, or it is forged.
func (l *listener) forget(nonce string) (time.Time, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	at, known := l.sent[nonce]
	delete(l.sent, nonce)
	return at, known
}

// receive passes on what arrives, as long as heartbeats are among it.
func (l *listener) receive(ctx context.Context, receiver *pgx.Conn) error {
	for last := time.Now(); ; {
		waits, cancel := context.WithDeadline(ctx, last.Add(l.timeout))
		n, err := receiver.WaitForNotification(waits)
		inTime := waits.Err() == nil
		cancel()
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil && inTime:
			return fmt.Errorf("the listening connection was lost: %w", err)
		case err != nil && l.received:
			return fmt.Errorf("no heartbeat for %s", l.timeout)
		case err != nil && !l.committed.Load():
			return errNotCommitted
		case err != nil:
			return errNotReceived
		}
		if l.apply(ctx, n.Payload) {
			last = time.Now()
		}
	}
}

// apply passes on one notification, and reports whether it was a heartbeat of this replica.
func (l *listener) apply(ctx context.Context, payload string) bool {
	nonce, heartbeat := strings.CutPrefix(payload, heartbeatWord)
	if !heartbeat {
		l.to.Invalidate(parsePayload(payload))
		return false
	}
	at, own := l.forget(nonce)
	if !own {
		return false
	}
	l.to.Renew(at)
	if l.warned {
		l.log.InfoContext(ctx, "invalidations received, cache on")
	}
	l.received, l.warned = true, false
	return true
}

// connectPlainly connects; where a pooler refuses the parameters of the session, without them.
func connectPlainly(ctx context.Context, pc *pgxpool.Config) (*pgx.Conn, error) {
	conn, err := connectUntraced(ctx, pc)
	if !hasCode(err, protocolViolation) {
		return conn, err
	}
	pc.ConnConfig.RuntimeParams = map[string]string{"application_name": listenerName}
	return connectUntraced(ctx, pc)
}

// exec runs a statement without parameters, and gives up the connection if it takes too long.
func (l *listener) exec(ctx context.Context, conn *pgx.Conn, sql string) error {
	ctx, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	_, err := conn.Exec(ctx, sql)
	return err
}

func closeConn(conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	_ = conn.Close(ctx)
}
