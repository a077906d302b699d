package postgres

import (
	"context"
	"crypto/tls"
	"net"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// socket is the network connection of a session. During a COMMIT it has no address to which a cancel request could be
// sent. pgx sends one also when a connection breaks; Postgres would then end the wait for the standby, and make visible
// what only this server has.
type socket struct {
	net.Conn
	committing atomic.Bool
}

// RemoteAddr implements net.Conn.
func (s *socket) RemoteAddr() net.Addr {
	if s.committing.Load() {
		return noAddress{}
	}
	return s.Conn.RemoteAddr()
}

// noAddress is an address that cannot be dialed.
type noAddress struct{}

func (noAddress) Network() string { return "none" }

func (noAddress) String() string { return "none: a COMMIT must not be cancelled" }

// dialSockets makes a configuration dial sockets.
func dialSockets(cc *pgx.ConnConfig) {
	dial := cc.DialFunc
	cc.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &socket{Conn: conn}, nil
	}
}

// socketOf is the socket of a connection, which is below its encryption.
func socketOf(conn *pgconn.PgConn) *socket {
	network := conn.Conn()
	if encrypted, ok := network.(*tls.Conn); ok {
		network = encrypted.NetConn()
	}
	return network.(*socket)
}
