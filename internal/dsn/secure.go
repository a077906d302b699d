package dsn

import (
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Secure is an error unless every host of a DSN is reached over TLS that verifies its name (sslmode=verify-full), over
// a socket of the file system, or over the loopback interface. Its text names the host, and nothing else of the DSN.
// One that cannot be parsed is left to the program that connects.
func Secure(text string) error {
	cc, err := Parse(text)
	if err != nil {
		return nil
	}
	for _, to := range entries(cc) {
		if !local(to.Host) && (to.TLSConfig == nil || to.TLSConfig.InsecureSkipVerify) {
			return fmt.Errorf("the connection to %s is not verified: add sslmode=verify-full", name(to.Host, to.Port))
		}
	}
	return nil
}

// local reports whether a host is this machine: no one else reads what is sent to it.
func local(host string) bool {
	ip := net.ParseIP(host)
	return strings.HasPrefix(host, "/") || host == "localhost" || ip != nil && ip.IsLoopback()
}

// ErrReadablePassword is why a connection failed whose server asked for a password in a form that others could read or
// use, where the connection may be without TLS.
var ErrReadablePassword = errors.New("the server asks for the password in clear text or as MD5, without TLS: " +
	"set sslmode=verify-full in the DSN, or scram-sha-256 in pg_hba.conf")

// ProtectPassword makes connections fail instead of sending a password in clear text or as MD5 where they may be
// without TLS. A socket of the file system may carry one.
func ProtectPassword(cc *pgx.ConnConfig) {
	readable := false
	for _, to := range entries(cc) {
		readable = readable || to.TLSConfig == nil && !strings.HasPrefix(to.Host, "/")
	}
	own := cc.RequireAuth
	if strict := own != "" && !strings.Contains(own, "!") && !strings.Contains(own, "password") &&
		!strings.Contains(own, "md5"); readable && !strict {
		cc.RequireAuth = "!password,!md5"
	}
}

// Refused is ErrReadablePassword if that is why a connection failed, else nil.
func Refused(err error) error {
	if err != nil && strings.Contains(err.Error(), "require_auth check failed") {
		return ErrReadablePassword
	}
	return nil
}

// entries are all ways that a configuration has to connect.
func entries(cc *pgx.ConnConfig) []*pgconn.FallbackConfig {
	return append([]*pgconn.FallbackConfig{{Host: cc.Host, Port: cc.Port, TLSConfig: cc.TLSConfig}}, cc.Fallbacks...)
}
