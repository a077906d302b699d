package migrate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/golang-migrate/migrate/v4/database"
	"github.com/jackc/pgx/v5"
)

// ledger records which version's objects are really there, in the comment of golang-migrate's own table. The record is
// written in the transaction of the file itself, so both are committed or neither is, whatever happens to the process.
type ledger struct {
	database.Driver
	table string // schema_migrations, qualified and quoted
	there int    // the version whose objects are there
	next  int    // the version that the file about to run leads to
}

// SetVersion notes where the next file leads while dirty, and brings the record up to date once clean: after a forced
// version, and after a file that could not carry the record itself.
func (l *ledger) SetVersion(version int, dirty bool) error {
	l.next = version
	if err := l.Driver.SetVersion(version, dirty); err != nil || dirty {
		return err
	}
	return l.write(version)
}

// Run sends the file and the record as one query of several statements, which Postgres runs as one transaction. A file
// that cannot be in a transaction leaves a record of both possibilities while it runs.
func (l *ledger) Run(file io.Reader) error {
	body, err := io.ReadAll(file)
	if err != nil {
		return err
	}
	if transactional(body) {
		body = append(body, "\n;\n"+l.comment("applied: %d", l.next)...)
	} else if err := l.Driver.Run(strings.NewReader(l.comment("applied: %d or %d", l.next, l.there))); err != nil {
		return err
	}
	return l.Driver.Run(bytes.NewReader(body))
}

func (l *ledger) write(version int) error {
	l.there = version
	return l.Driver.Run(strings.NewReader(l.comment("applied: %d", version)))
}

// comment is the statement that makes the record; golang-migrate's version -1 is written as 0.
func (l *ledger) comment(format string, versions ...int) string {
	args := make([]any, len(versions))
	for i, version := range versions {
		args[i] = max(version, 0)
	}
	return "COMMENT ON TABLE " + l.table + " IS '" + fmt.Sprintf(format, args...) + "'"
}

// record is what the ledger says: one version, two possible ones, or none if another tool made the table.
func record(ctx context.Context, conn *pgx.Conn, table string) ([]uint, error) {
	var comment string
	err := conn.QueryRow(ctx, `SELECT coalesce(obj_description(to_regclass($1), 'pg_class'), '')`, table).Scan(&comment)
	if err != nil {
		return nil, errors.New(sentence(err))
	}
	versions := make([]uint, 2)
	n, _ := fmt.Sscanf(comment, "applied: %d or %d", &versions[0], &versions[1])
	return versions[:n], nil
}

// Postgres refuses these inside a transaction, so such a file is one statement that nothing can be added to.
var outsideTransactions = regexp.MustCompile(`(?im)\bconcurrently\b|^\s*vacuum\b`)

func transactional(file []byte) bool { return !outsideTransactions.Match(file) }
