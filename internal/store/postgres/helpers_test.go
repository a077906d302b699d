package postgres_test

import (
	"net/url"
)

// with sets a parameter of a DSN in URL form.
func with(dsn, name, value string) string {
	parsed, err := url.Parse(dsn)
	if err != nil {
		panic(err)
	}
	query := parsed.Query()
	query.Set(name, value)
	parsed.RawQuery = query.Encode()
	return parsed.String()
}
