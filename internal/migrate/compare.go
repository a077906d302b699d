package migrate

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/breakpilot/tenant-registry/migrations"
)

// compare looks for the tables that the program uses; it is ErrForeign if the database lacks something of what they
// have at a version of the schema.
func (s *session) compare(ctx context.Context, tables []migrations.Table, version uint) error {
	if len(tables) == 0 || version == 0 {
		return nil
	}
	rows, _ := s.conn.Query(ctx, migrations.ColumnsSQL, migrations.TableNames(tables))
	has, err := pgx.CollectRows(rows, pgx.RowToStructByPos[migrations.Column])
	if err != nil {
		return s.lost(ctx, err)
	}
	if problem := migrations.Mismatch(tables, version, has); problem != "" {
		return fmt.Errorf("%w: %s", ErrForeign, problem)
	}
	return nil
}
