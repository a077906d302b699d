package dsn

import (
	"errors"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// ErrCharset is why a DSN is refused that asks for another encoding than UTF-8.
var ErrCharset = errors.New("must not have another charset than utf8, the only one that is used")

// ParsePool reads a DSN in either form of libpq, with the pool_ parameters of pgx. The parameter charset, which other
// drivers take and Postgres does not know, may say UTF-8. The error may hold the password, unless it is ErrCharset.
func ParsePool(text string) (*pgxpool.Config, error) {
	pc, err := pgxpool.ParseConfig(text)
	if err != nil {
		return nil, err
	}
	params := pc.ConnConfig.RuntimeParams
	if charset, given := params["charset"]; given &&
		!slices.Contains([]string{"utf8", "utf-8", "utf8mb4"}, strings.ToLower(charset)) {
		return nil, ErrCharset
	}
	delete(params, "charset")
	return pc, nil
}

// Parse is ParsePool for a single connection: the pool_ parameters are ignored.
func Parse(text string) (*pgx.ConnConfig, error) {
	pc, err := ParsePool(text)
	if err != nil {
		return nil, err
	}
	return pc.ConnConfig, nil
}
