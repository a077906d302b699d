package postgres

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"
)

// warnOfSession warns of what the role or the server of a session should have otherwise.
func warnOfSession(ctx context.Context, conn *pgx.Conn, most int32, cfg Config) {
	ctx, cancel := context.WithTimeout(ctx, cfg.CallTimeout)
	defer cancel()
	warnOfMissingLimits(ctx, conn, cfg)
	warnOfConnectionLimit(ctx, conn, most, cfg)
	warnOfPower(ctx, conn, cfg)
}

// warnOfMissingLimits checks which limits the session really has. Behind a pooler only the role can carry them.
func warnOfMissingLimits(ctx context.Context, conn *pgx.Conn, cfg Config) {
	log := cfg.Logger
	for _, name := range slices.Sorted(maps.Keys(sessionLimits)) {
		if name == "tcp_user_timeout" && conn.PgConn().Conn().RemoteAddr().Network() == "unix" {
			continue
		}
		var value, role string
		if err := conn.QueryRow(ctx, `SELECT current_setting($1), current_user`, name).Scan(&value, &role); err != nil {
			log.WarnContext(ctx, "session limit unreadable", "setting", name, "error", err)
			continue
		}
		if value == "0" {
			remedy := fmt.Sprintf(
				"ALTER ROLE %s SET %s = '%s'", pgx.Identifier{role}.Sanitize(), name, sessionLimits[name],
			)
			log.WarnContext(ctx, "session limit missing", "setting", name, "remedy", remedy)
		}
	}
}

// warnOfConnectionLimit checks whether the server allows as many connections as this program may open.
func warnOfConnectionLimit(ctx context.Context, conn *pgx.Conn, most int32, cfg Config) {
	const limits = `
		SELECT least(nullif(r.rolconnlimit, -1), nullif(d.datconnlimit, -1),
			current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int)
		FROM pg_roles r, pg_database d WHERE r.rolname = current_user AND d.datname = current_database()`
	var allowed int32
	err := conn.QueryRow(ctx, limits, pgx.QueryExecModeExec).Scan(&allowed)
	if needed := most + probeConns + listenerConns; err == nil && allowed < needed {
		cfg.Logger.WarnContext(ctx, "fewer connections allowed than needed", "allowed", allowed, "needed", needed,
			"remedy", "raise the limit of the role, the database or the server, or lower DB_MAX_CONNS")
	}
}

// warnOfPower warns of a role that could change the audit log, or switch off the triggers that refuse it.
func warnOfPower(ctx context.Context, conn *pgx.Conn, cfg Config) {
	const sql = `
		SELECT current_user FROM pg_class c WHERE c.oid = to_regclass('audit_log')
			AND (pg_has_role(c.relowner, 'USAGE') OR has_any_column_privilege(c.oid, 'UPDATE'))`
	var role string
	switch err := conn.QueryRow(ctx, sql).Scan(&role); {
	case errors.Is(err, pgx.ErrNoRows): // it could not, or there is no log yet
	case err != nil:
		cfg.Logger.WarnContext(ctx, "privileges unreadable", "error", err)
	default:
		cfg.Logger.WarnContext(ctx, "audit log changeable by this role", "role", role,
			"remedy", "run the server as a role that owns nothing: migrate grants --app=ROLE")
	}
}
