// Package dsn has what every program of ours holds a DSN of Postgres to: which of its hosts to try first, whether its
// connections are encrypted and verified, and that no password is readable on the way.
package dsn

import (
	"context"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Hosts remembers which host of a configuration was good last. pgx tries them in the order of the DSN, each time, and
// waits for one that does not answer until connect_timeout; with the last good one first, a dead host costs that wait
// one time only. It is safe for concurrent use.
type Hosts struct {
	mu   sync.Mutex
	of   map[string]string // the host as the DSN writes it, by its network address without the port
	good string            // host and port; empty: none yet
}

// Follow makes the connections of a configuration, and of its copies, report to the Hosts returned. If it has several
// hosts and text, the DSN, does not set target_session_attrs, they connect to the primary only, as accept decides; a
// single host is accepted as it is.
func Follow(cc *pgx.ConnConfig, text string, accept pgconn.ValidateConnectFunc) *Hosts {
	h := &Hosts{of: map[string]string{}}
	if len(List(cc)) < 2 {
		return h
	}
	if cc.ValidateConnect == nil && !strings.Contains(text, "target_session_attrs") {
		cc.ValidateConnect = accept
	}
	lookup := cc.LookupFunc
	cc.LookupFunc = func(ctx context.Context, host string) ([]string, error) {
		addresses, err := lookup(ctx, host)
		h.resolved(host, addresses)
		return addresses, err
	}
	after := cc.AfterConnect
	cc.AfterConnect = func(ctx context.Context, conn *pgconn.PgConn) error {
		if after != nil {
			if err := after(ctx, conn); err != nil {
				return err
			}
		}
		h.connected(conn.Conn().RemoteAddr())
		return nil
	}
	return h
}

func (h *Hosts) resolved(host string, addresses []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, address := range addresses {
		h.of[address] = host
	}
}

func (h *Hosts) connected(to net.Addr) {
	address, port, err := net.SplitHostPort(to.String())
	if err != nil { // a socket of the file system
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if host, known := h.of[address]; known {
		address = host
	}
	h.good = net.JoinHostPort(address, port)
}

// Sort puts the host of the last good connection first in a configuration. It is to be called before each connection,
// on a copy.
func (h *Hosts) Sort(cc *pgx.ConnConfig) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.good == "" {
		return
	}
	all := entries(cc)
	slices.SortStableFunc(all, func(a, b *pgconn.FallbackConfig) int { return h.rank(a) - h.rank(b) })
	cc.Host, cc.Port, cc.TLSConfig, cc.Fallbacks = all[0].Host, all[0].Port, all[0].TLSConfig, all[1:]
}

func (h *Hosts) rank(f *pgconn.FallbackConfig) int {
	if name(f.Host, f.Port) == h.good {
		return 0
	}
	return 1
}

func name(host string, port uint16) string { return net.JoinHostPort(host, strconv.Itoa(int(port))) }

// List lists the hosts of a configuration, each one time: pgx has an entry for each way to encrypt.
func List(cc *pgx.ConnConfig) []string {
	var hosts []string
	for _, f := range entries(cc) {
		if host := name(f.Host, f.Port); !slices.Contains(hosts, host) {
			hosts = append(hosts, host)
		}
	}
	return hosts
}
