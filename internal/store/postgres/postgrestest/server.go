package postgrestest

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const (
	oldest        = 14          // the oldest major version that the schema and the tests work on
	emptyTemplate = "template0" // unlike template1 no client is ever connected to it

	insufficientPrivilege = "42501"
)

// server is a running Postgres.
type server struct {
	dsn   string // of a role that may create databases
	about string // one line for people
	stop  func() error

	mu   sync.Mutex
	conn *pgx.Conn // for one admin at a time; nil: none yet
}

// way is one place where a server may come from.
type way func(context.Context) (*server, error)

// find takes the first of the three ways that works. TEST_DATABASE_URL and TEST_REQUIRE_CONTAINER=1 are explicit: if
// one fails nothing else is tried.
func find(getenv func(string) string, container, binaries way) (*server, error) {
	ctx := context.Background()
	if dsn := getenv("TEST_DATABASE_URL"); dsn != "" {
		return fromURL(ctx, dsn)
	}
	srv, noContainer := container(ctx)
	if noContainer == nil {
		return srv, nil
	}
	if getenv("TEST_REQUIRE_CONTAINER") == "1" {
		return nil, fmt.Errorf("TEST_REQUIRE_CONTAINER=1 and there is no container: %w", noContainer)
	}
	srv, noBinaries := binaries(ctx)
	if noBinaries == nil {
		srv.about += fmt.Sprintf(" (no container: %v)", noContainer)
		return srv, nil
	}
	return nil, fmt.Errorf(`there is no Postgres for this test. Do one of these:
  - set TEST_DATABASE_URL to a server on which databases may be created;
  - start Docker (%v);
  - install the PostgreSQL server, %d or later, such as with "apt-get install postgresql" (%v);
or leave such tests out with -short`, noContainer, oldest, noBinaries)
}

// fromURL uses a server that is run elsewhere, and stops nothing.
func fromURL(ctx context.Context, dsn string) (*server, error) {
	srv := &server{about: "the server of TEST_DATABASE_URL", stop: func() error { return nil }}
	if err := srv.await(ctx, 0, dsn); err != nil {
		return nil, fmt.Errorf("TEST_DATABASE_URL: %w", err)
	}
	return srv, nil
}

// await connects to the first of the DSNs that answers, trying again for as long as patience says, and refuses a
// version that is too old.
func (s *server) await(ctx context.Context, patience time.Duration, dsns ...string) error {
	deadline := time.Now().Add(patience)
	for try := 0; ; try++ {
		s.dsn = dsns[try%len(dsns)]
		number, version, err := s.version(ctx)
		if err == nil {
			s.about = fmt.Sprintf("PostgreSQL %s from %s", version, s.about)
			if number < oldest*10000 {
				return fmt.Errorf("PostgreSQL %s is too old, %d is the oldest that will do", version, oldest)
			}
			return nil
		}
		if time.Now().After(deadline) {
			return err
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func (s *server) version(ctx context.Context) (number int, version string, err error) {
	err = s.admin(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		return conn.QueryRow(ctx, `
			SELECT current_setting('server_version_num')::int, split_part(current_setting('server_version'), ' ', 1)`).
			Scan(&number, &version)
	})
	return number, version, err
}

// create makes a database as a copy of another one.
func (s *server) create(ctx context.Context, name, template string) error {
	return s.admin(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, fmt.Sprintf(`CREATE DATABASE %s TEMPLATE %s ENCODING 'UTF8'`, name, template))
		var pgErr *pgconn.PgError
		if errors.As(err, &pgErr) && pgErr.Code == insufficientPrivilege {
			return errors.New("the role of TEST_DATABASE_URL may not create databases: give it CREATEDB")
		}
		return err
	})
}

// drop removes a database, and ends the connections to it.
func (s *server) drop(name string) error {
	ctx, cancel := context.WithTimeout(context.Background(), statementTimeout)
	defer cancel()
	return s.admin(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, fmt.Sprintf(`DROP DATABASE IF EXISTS %s WITH (FORCE)`, name))
		return err
	})
}

// admin runs statements in the database that the DSN names, which must be left as it is.
func (s *server) admin(ctx context.Context, do func(context.Context, *pgx.Conn) error) error {
	ctx, cancel := context.WithTimeout(ctx, statementTimeout)
	defer cancel()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn == nil || s.conn.IsClosed() {
		conn, err := pgx.Connect(ctx, s.dsn)
		if err != nil {
			return err
		}
		s.conn = conn
	}
	return do(ctx, s.conn)
}

// close ends the server, if it is ours.
func (s *server) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn != nil {
		_ = s.conn.Close(context.Background())
	}
	return s.stop()
}

// withDatabase names another database of the same server, in either form of a DSN.
func withDatabase(dsn, name string) string {
	if !strings.HasPrefix(dsn, "postgres://") && !strings.HasPrefix(dsn, "postgresql://") {
		return dsn + " dbname=" + name // the last one counts
	}
	parsed, err := url.Parse(dsn)
	if err != nil {
		return dsn // unreachable: a connection was made with it
	}
	query := parsed.Query()
	query.Del("dbname")
	query.Del("database")
	parsed.RawQuery = query.Encode()
	parsed.Path, parsed.RawPath = "/"+name, ""
	return parsed.String()
}

// withParameter sets a parameter of the session, in either form of a DSN.
func withParameter(dsn, name, value string) string {
	if !strings.HasPrefix(dsn, "postgres://") && !strings.HasPrefix(dsn, "postgresql://") {
		return dsn + " " + name + "=" + value
	}
	parsed, err := url.Parse(dsn)
	if err != nil {
		return dsn // unreachable: a connection was made with it
	}
	query := parsed.Query()
	query.Set(name, value)
	parsed.RawQuery = query.Encode()
	return parsed.String()
}
