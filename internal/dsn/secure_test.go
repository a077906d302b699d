package dsn_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/breakpilot/tenant-registry/internal/dsn"
)

func TestSecure(t *testing.T) {
	t.Parallel()
	for text, names := range map[string]string{
		"postgres://u:secret@db.example.com/d?sslmode=verify-full":              "",
		"postgres://u:secret@a.example.com,b.example.com/d?sslmode=verify-full": "",
		"postgres://u:secret@127.0.0.1/d":                                       "",
		"postgres://u:secret@[::1]:6432/d?sslmode=disable":                      "",
		"postgres://u:secret@localhost/d?sslmode=disable":                       "",
		"host=/var/run/postgresql user=u dbname=d":                              "",
		"postgres://u:secret@db.example.com/d":                                  "db.example.com:5432",
		"postgres://u:secret@db.example.com/d?sslmode=require":                  "db.example.com:5432",
		"postgres://u:secret@db.example.com/d?sslmode=verify-ca":                "db.example.com:5432",
		"postgres://u:secret@127.0.0.1,db.example.com/d?sslmode=disable":        "db.example.com:5432",
		"host=10.0.0.1 port=6432 user=u password=secret sslmode=prefer":         "10.0.0.1:6432",
		"postgres://u:secret@db.example.com/d?sslmode=disable&pool_max_conns=3": "db.example.com:5432",
	} {
		err := dsn.Secure(text)
		switch {
		case names == "" && err != nil:
			t.Errorf("%s: %v", text, err)
		case names != "" && (err == nil || !strings.Contains(err.Error(), names) ||
			!strings.Contains(err.Error(), "sslmode=verify-full")):
			t.Errorf("%s: %v, want an error that names %s", text, err, names)
		case err != nil && strings.Contains(err.Error(), "secret"):
			t.Errorf("the error holds the password: %v", err)
		}
	}
}

// asksFor is a server that asks for the password in one way, and what it was sent.
func asksFor(t *testing.T, ask pgproto3.BackendMessage) (address string, sent <-chan string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	passwords := make(chan string, 10)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			backend := pgproto3.NewBackend(conn, conn)
			if _, err := backend.ReceiveStartupMessage(); err == nil {
				backend.Send(ask)
				_ = backend.Flush()
				_ = backend.SetAuthType(pgproto3.AuthTypeCleartextPassword)
				if message, err := backend.Receive(); err == nil {
					if password, ok := message.(*pgproto3.PasswordMessage); ok {
						passwords <- password.Password
					}
				}
			}
			_ = conn.Close()
		}
	}()
	return listener.Addr().String(), passwords
}

// TestProtectPassword: a server that asks for the password in a readable form is sent none. The control is pgx as it
// is.
func TestProtectPassword(t *testing.T) {
	t.Parallel()
	for name, ask := range map[string]pgproto3.BackendMessage{
		"clear text": &pgproto3.AuthenticationCleartextPassword{},
		"MD5":        &pgproto3.AuthenticationMD5Password{Salt: [4]byte{1, 2, 3, 4}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			address, sent := asksFor(t, ask)
			connect := func(protect bool) error {
				cc, err := dsn.Parse("postgres://u:c4n4ry@" + address + "/d?sslmode=disable")
				if err != nil {
					t.Fatal(err)
				}
				if protect {
					dsn.ProtectPassword(cc)
				}
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				_, err = pgx.ConnectConfig(ctx, cc)
				return err
			}
			err := connect(true)
			if !errors.Is(dsn.Refused(err), dsn.ErrReadablePassword) {
				t.Errorf("the connection failed with %v", err)
			}
			select {
			case password := <-sent:
				t.Errorf("the server was sent %q", password)
			default:
			}
			if err := connect(false); err == nil {
				t.Error("the control connected")
			}
			if password := <-sent; password == "" {
				t.Error("the control was sent nothing")
			}
		})
	}
}

func TestProtectPassword_whereItMayBeReadable(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"postgres://u@db.example.com/d?sslmode=verify-full": "",
		"host=/tmp user=u":                                                          "",
		"postgres://u@127.0.0.1/d?sslmode=disable":                                  "!password,!md5",
		"postgres://u@db.example.com/d?sslmode=prefer":                              "!password,!md5",
		"postgres://u@127.0.0.1/d?sslmode=disable&require_auth=scram-sha-256":       "scram-sha-256",
		"postgres://u@127.0.0.1/d?sslmode=disable&require_auth=password":            "!password,!md5",
		"postgres://u@127.0.0.1/d?sslmode=disable&require_auth=scram-sha-256%2Cmd5": "!password,!md5",
	} {
		cc, err := dsn.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if dsn.ProtectPassword(cc); cc.RequireAuth != want {
			t.Errorf("%s: %q, want %q", text, cc.RequireAuth, want)
		}
	}
}

// TestParse_charset: the parameter that other drivers take is not sent to Postgres, which does not know it.
func TestParse_charset(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"postgres://h/d?charset=utf8", "host=h charset=UTF-8", "host=h"} {
		cc, err := dsn.Parse(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if value, sent := cc.RuntimeParams["charset"]; sent {
			t.Errorf("%s sends charset %s", text, value)
		}
	}
	if _, err := dsn.Parse("postgres://h/d?charset=latin1"); !errors.Is(err, dsn.ErrCharset) {
		t.Errorf("latin1: %v", err)
	}
}
