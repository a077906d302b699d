package migrations_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/breakpilot/tenant-registry/internal/store/postgres/postgrestest"
)

// erasures of the log that seed makes: one that is committed, with a mark on Acme's first event, one that has a mark on
// the other tenant's and no event, and one that is committed in Acme's chain and has no mark.
const (
	committed = "00000000-0000-4000-8000-00000000000e"
	open      = "00000000-0000-4000-8000-00000000000f"
	unmarked  = "00000000-0000-4000-8000-00000000000d"
)

func seedErasures(t *testing.T, conn *pgx.Conn) {
	t.Helper()
	seed(t, conn)
	exec(t, conn, `SELECT audit_log_erase('`+acme+`', '`+committed+`', '{1}', '{actor}', NULL)`)
	exec(t, conn, `SELECT audit_log_erase('`+other+`', '`+open+`', '{1}', '{actor}', NULL)`)
	exec(t, conn, eraseEvent(3, acme, 2, committed))
	exec(t, conn, eraseEvent(4, acme, 3, unmarked))
}

// eraseEvent inserts the event of an erasure.
func eraseEvent(pos int, group string, seq int, id string) string {
	return fmt.Sprintf(`INSERT INTO audit_log (pos, id, group_id, seq, action, area, crud, is_failure, is_anonymous,
			created, received, prev_chain_hash, chain_hash, erase)
		VALUES (%d, '%s', '%s', %d, 'audit.erase', 'audit', 'd', false, true, now(), now(), sha256('c'), sha256('c'),
			'{"events": 1, "first": 1, "parts": 1, "set": "`+digest+`"}')`, pos, id, group, seq)
}

const digest = `0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef`

// TestAuditLog_erase: as the owner, whom privileges do not stop, and as the role of the server, every change of an
// event is refused but those that an erasure makes.
func TestAuditLog_erase(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.New(t)
	owner := connect(t, dsn)
	seedErasures(t, owner)
	app := connectAs(t, dsn, newRole(t, dsn, `SELECT, INSERT ON audit_log`,
		`EXECUTE ON FUNCTION audit_log_erase(uuid, uuid, bigint[], text[], text[])`))
	erase := func(chain, erasure, part, digests string) string {
		return `SELECT audit_log_erase('` + chain + `', '` + erasure + `', '{1}', '{` + part + `}', ` + digests + `)`
	}
	const (
		none    = `, fields = NULL, fields_salt = NULL`
		stored  = `'{` + digest + `}'`
		gone    = `digests = '{"actor": "` + digest + `"}', actor_id = NULL, actor_salt = NULL`
		set     = `UPDATE audit_log SET `
		first   = ` WHERE pos = 1`
		merging = `MERGE INTO audit_log a USING (SELECT 1) AS x ON a.pos = 1 WHEN MATCHED THEN `
	)
	refused := map[string]string{
		"a value without its mark":   `UPDATE audit_log SET fields = NULL, fields_salt = NULL WHERE pos = 1`,
		"a value without its digest": `UPDATE audit_log SET actor_id = NULL, actor_salt = NULL WHERE pos = 1`,
		"a value changed, marked":    `UPDATE audit_log SET actor_id = 'another' WHERE pos = 1`,
		"a salt changed":             set + `actor_salt = uuid_send(gen_random_uuid())` + first,
		"a digest beside its value":  set + `digests = '{"actor": "` + digest + `"}'` + first,
		"no digest":                  set + `digests = '{"actor": "x"}', actor_id = NULL, actor_salt = NULL` + first,
		"more than the part":         set + gone + none + first,
		"a mark without an event":    `UPDATE audit_log SET ` + gone + ` WHERE pos = 2`,
		"no mark":                    set + `digests = '{"fields": "` + digest + `"}'` + none + first,
		"a mark taken away":          `UPDATE audit_log SET marks = NULL WHERE pos = 1`,
		"a mark of an old event":     set + `marks = marks || '{"fields": "` + unmarked + `"}'` + first,
		"an effective mark changed":  `UPDATE audit_log SET marks = '{"actor": "` + open + `"}' WHERE pos = 1`,
		"a mark of no part":          `UPDATE audit_log SET marks = '{"source": "` + open + `"}' WHERE pos = 2`,
		"the skeleton":               `UPDATE audit_log SET is_failure = true WHERE pos = 1`,
		"skeleton and mark":          set + `is_failure = true, marks = '{"fields": "` + open + `"}' WHERE pos = 2`,
		"the event of an erasure":    `UPDATE audit_log SET erase = NULL WHERE pos = 3`,
		"a conflict that updates": `INSERT INTO audit_log SELECT * FROM audit_log WHERE pos = 1
			ON CONFLICT (pos) DO UPDATE SET action = 'x.y'`,
		"a row":                         `DELETE FROM audit_log WHERE pos = 2`,
		"every row":                     `TRUNCATE audit_log`,
		"by merging":                    merging + `UPDATE SET action = 'x.y'`,
		"by merging away":               merging + `DELETE`,
		"called without a mark":         erase(acme, committed, "fields", stored),
		"called without an event":       erase(other, open, "actor", stored),
		"called to mark for an event":   erase(acme, unmarked, "fields", `NULL`),
		"called to mark for no erasure": erase(acme, acme, "fields", `NULL`),
		"called for an absent part":     erase(acme, open, "source", `NULL`),
		"called for no part":            erase(acme, open, "action", `NULL`),
		"called with no digest":         erase(acme, committed, "actor", `'{x}'`),
	}
	for name, statement := range refused {
		for who, conn := range map[string]*pgx.Conn{"owner": owner, "server": app} {
			tag, err := conn.Exec(t.Context(), statement)
			if !slices.Contains([]string{"42501", "23505", "23514"}, code(err)) {
				t.Errorf("%s as the %s: %v %v, want it refused", name, who, tag, err)
			}
		}
	}
	got := list(t, owner, `SELECT actor_id || (fields ->> 'k') FROM audit_log WHERE seq = 1`)
	if len(got) != 2 || got[0] != "u1v" {
		t.Fatalf("the events are now %q", got)
	}
	exec(t, app, erase(acme, open, "fields", `NULL`))
	exec(t, app, erase(acme, committed, "actor", stored))
	exec(t, app, erase(acme, committed, "actor", stored)) // again
	got = list(t, owner, `SELECT coalesce(actor_id, '-') || coalesce(actor_salt::text, '-') || digests FROM audit_log
		WHERE pos = 1`)
	if want := `--{"actor": "` + digest + `"}`; len(got) != 1 || got[0] != want {
		t.Errorf("the event is now %q, want %q", got, want)
	}
	other := connectAs(t, dsn, newRole(t, dsn, `SELECT, INSERT ON audit_log`))
	if _, err := other.Exec(t.Context(), erase(acme, open, "fields", `NULL`)); code(err) != "42501" {
		t.Errorf("a role without the privilege erases: %v", err)
	}
}
