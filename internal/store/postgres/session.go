package postgres

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/breakpilot/tenant-registry/internal/dsn"
)

// sessionLimits are what the server holds every session to. Locks give up before statements, statements before
// Config.CallTimeout, so that the server ends a call that takes too long, and not a broken connection. The idle one is
// what frees the audit log from a replica that was stopped; waits for a lock outlast it. Without them, one replica that
// hangs can block the others.
var sessionLimits = map[string]string{
	"statement_timeout":                   "4s",
	"lock_timeout":                        "3s",
	"idle_in_transaction_session_timeout": "2s",
	"tcp_user_timeout":                    "5s",
}

// sessionSettings are the other parameters of every session.
var sessionSettings = map[string]string{
	"application_name": "tenant-registry",
	"timezone":         "UTC",
}

const (
	defaultMaxConns   = 10
	connLifetime      = 30 * time.Minute
	connJitter        = 5 * time.Minute
	healthCheckPeriod = 15 * time.Second
)

// ErrDSN is what Open returns for a DSN that cannot be read; it does not repeat the DSN.
var ErrDSN = errors.New("the DSN of the database cannot be understood: " +
	"write postgres://USER:PASSWORD@HOST:5432/DATABASE, with special characters of the password percent-encoded")

// poolConfig is what pgx makes of the DSN, and our own settings where the DSN has none. pgx's error is not shown: it
// repeats the DSN and finds most passwords in it, not all.
func poolConfig(cfg Config) (*pgxpool.Config, error) {
	pc, err := dsn.ParsePool(cfg.DSN)
	if err != nil || cfg.DSN == "" {
		return nil, ErrDSN
	}
	dsnSets := func(name string) bool { return strings.Contains(cfg.DSN, name) }
	switch {
	case cfg.MaxConns > 0:
		pc.MaxConns = cfg.MaxConns
	case !dsnSets("pool_max_conns"):
		pc.MaxConns = defaultMaxConns
	}
	if !dsnSets("pool_max_conn_lifetime") {
		pc.MaxConnLifetime, pc.MaxConnLifetimeJitter = connLifetime, connJitter
	}
	if !dsnSets("pool_health_check_period") {
		pc.HealthCheckPeriod = healthCheckPeriod
	}
	if !dsnSets("pool_ping_timeout") { // leaves time to try another connection
		pc.PingTimeout = cfg.AcquireTimeout / 2
	}
	pc.AfterConnect = registerTypes
	cc := pc.ConnConfig
	cc.Tracer = cfg.Tracer
	if cc.ConnectTimeout == 0 {
		cc.ConnectTimeout = cfg.ConnectTimeout
	}
	for _, params := range []map[string]string{sessionLimits, sessionSettings} {
		for name, value := range params {
			if !setsParameter(cc, name) {
				cc.RuntimeParams[name] = value
			}
		}
	}
	cc.OnPgError = closeOnDemotion(cc.OnPgError)
	cc.OnNotification = dropNotification
	dsn.ProtectPassword(cc)
	dialSockets(cc)
	pc.BeforeConnect = beforeConnect(cc, cfg)
	return pc, nil
}

// dropNotification drops what a pooler delivers to a session that did not ask for it: pgx would store it.
func dropNotification(*pgconn.PgConn, *pgconn.Notification) {}

// beforeConnect makes connections to several hosts follow the primary. Before each connection the DSN is read again,
// with the certificates that it names, so that a rotated password or certificate needs no restart.
func beforeConnect(cc *pgx.ConnConfig, cfg Config) func(context.Context, *pgx.ConnConfig) error {
	hosts := dsn.Follow(cc, cfg.DSN, pgconn.ValidateConnectTargetSessionAttrsPrimary)
	return func(_ context.Context, next *pgx.ConnConfig) error {
		text := cfg.DSN
		if cfg.Reload != nil {
			var err error
			if text, err = cfg.Reload(); err != nil {
				return fmt.Errorf("the file of the DSN cannot be read: %w", err)
			}
		}
		now, err := dsn.Parse(text)
		if err != nil {
			return ErrDSN
		}
		next.User, next.Password = now.User, now.Password
		next.Host, next.Port, next.TLSConfig, next.Fallbacks = now.Host, now.Port, now.TLSConfig, now.Fallbacks
		hosts.Sort(next)
		return nil
	}
}

// setsParameter reports whether the DSN, or the environment variables of libpq, set a parameter of the session, be it
// in options.
func setsParameter(cc *pgx.ConnConfig, name string) bool {
	for given := range cc.RuntimeParams {
		if strings.EqualFold(given, name) {
			return true
		}
	}
	options := strings.ReplaceAll(strings.ToLower(cc.RuntimeParams["options"]), "-", "_")
	return strings.Contains(options, name)
}

// registerTypes makes times come back in UTC, and lists of ids encodable in the modes that do not describe a statement
// first.
func registerTypes(_ context.Context, conn *pgx.Conn) error {
	for _, list := range []any{[]uuid.UUID{}, [][16]byte{}, []*[16]byte{}} {
		conn.TypeMap().RegisterDefaultPgType(list, "_uuid")
	}
	conn.TypeMap().RegisterType(&pgtype.Type{
		Name: "timestamptz", OID: pgtype.TimestamptzOID, Codec: &pgtype.TimestamptzCodec{ScanLocation: time.UTC},
	})
	return nil
}

// closeOnDemotion closes a connection whose server became read-only or goes down: it would fail permanently, and still
// look healthy.
func closeOnDemotion(otherwise pgconn.PgErrorHandler) pgconn.PgErrorHandler {
	return func(conn *pgconn.PgConn, e *pgconn.PgError) bool {
		switch e.Code {
		case readOnlyTransaction, adminShutdown, crashShutdown, cannotConnectNow:
			return false
		}
		return otherwise(conn, e)
	}
}

// connect makes the first connection. A pooler that refuses session parameters is sent none of ours from now on. If it
// shares its server connections, a statement prepared on one does not exist on the next, so unless the DSN says
// otherwise none are prepared. A pooler that accepts the parameters and ignores them is treated alike.
func connect(ctx context.Context, pc *pgxpool.Config, cfg Config) (*pgx.Conn, error) {
	conn, err := connectUntraced(ctx, pc)
	if err == nil && ignoresParameters(ctx, conn, pc.ConnConfig) {
		closeConn(conn)
	} else if !hasCode(err, protocolViolation) {
		return conn, err
	}
	cc := pc.ConnConfig
	for _, params := range []map[string]string{sessionLimits, sessionSettings} {
		maps.DeleteFunc(cc.RuntimeParams, func(name, value string) bool { return params[name] == value })
	}
	if !strings.Contains(cfg.DSN, "default_query_exec_mode") {
		cc.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
	}
	conn, err = connectUntraced(ctx, pc)
	if err == nil {
		cfg.Logger.InfoContext(ctx, "session parameters refused or ignored by a pooler, connected without them")
	}
	return conn, err
}

// ignoresParameters reports whether a session does not have a parameter that it was opened with.
func ignoresParameters(ctx context.Context, conn *pgx.Conn, cc *pgx.ConnConfig) bool {
	const name = "statement_timeout"
	if cc.RuntimeParams[name] != sessionLimits[name] {
		return false // the DSN's own
	}
	var value string
	err := conn.QueryRow(ctx, `SELECT current_setting($1)`, pgx.QueryExecModeExec, name).Scan(&value)
	return err == nil && value != sessionLimits[name]
}

func connectUntraced(ctx context.Context, pc *pgxpool.Config) (*pgx.Conn, error) {
	cc := pc.ConnConfig.Copy()
	cc.Tracer = nil
	if err := pc.BeforeConnect(ctx, cc); err != nil {
		return nil, err
	}
	return pgx.ConnectConfig(ctx, cc)
}

// unreached is one sentence about a database that cannot be reached.
func unreached(cc *pgx.ConnConfig, err error) error {
	why, next := reason(err)
	return fmt.Errorf(
		"the database %q at %s cannot be reached as user %q (%s): %s",
		cc.Database, strings.Join(dsn.List(cc), ", "), cc.User, why, next,
	)
}

// reason is why a connection failed, in few words, and what to do about it.
func reason(err error) (why, next string) {
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) {
		switch {
		case strings.HasPrefix(pgErr.Code, "28"):
			return pgErr.Message, "correct the user or password in the DSN"
		case pgErr.Code == "3D000":
			return pgErr.Message, "create the database, or correct its name in the DSN"
		case pgErr.Code == protocolViolation:
			return pgErr.Message, "if the DSN sets what a pooler refuses, leave it out there and set it by ALTER ROLE"
		}
		return pgErr.Message, "see the database's log"
	}
	if refused := dsn.Refused(err); refused != nil {
		why, next, _ = strings.Cut(refused.Error(), ": ")
		return why, next
	}
	text := err.Error()
	if strings.Contains(text, pgconn.ErrReadOnlyConnection.Error()) ||
		strings.Contains(text, pgconn.ErrStandbyConnection.Error()) {
		return "it takes no writes, and the DSN asks for a server that does",
			"name the primary in the DSN, or promote a standby"
	}
	next = "start it, or correct the host and port in the DSN"
	var (
		network *net.OpError
		dns     *net.DNSError
		tlsErr  *tls.CertificateVerificationError
	)
	switch {
	case errors.As(err, &tlsErr):
		return tlsErr.Err.Error(),
			"name the certificate's authority by sslrootcert, and the host as the certificate does"
	case errors.As(err, &dns):
		return dns.Err, next
	case errors.Is(err, context.DeadlineExceeded):
		return "no answer in time", next
	case errors.As(err, &network):
		return network.Err.Error(), next
	}
	lines := strings.Split(err.Error(), "\n")
	return strings.TrimSpace(lines[len(lines)-1]), next
}
