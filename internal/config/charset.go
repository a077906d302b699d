package config

import (
	"regexp"
	"strings"
)

// The parameter charset in both forms of a DSN. Other drivers take it; to Postgres it is unknown, and ends every
// connection.
var (
	charsetInURL   = regexp.MustCompile(`([?&])charset=([^&]*)(&|$)`)
	charsetInWords = regexp.MustCompile(`(^|\s)charset\s*=\s*'?([^\s']*)'?(\s|$)`)
)

// withoutCharset takes the parameter charset out of a DSN. It is not ok if that is not UTF-8, which is what is spoken.
func withoutCharset(dsn string) (rest string, ok bool) {
	pattern := charsetInWords
	if strings.Contains(dsn, "://") {
		pattern = charsetInURL
	}
	found := pattern.FindStringSubmatchIndex(dsn)
	if found == nil {
		return dsn, true
	}
	switch strings.ToLower(dsn[found[4]:found[5]]) {
	case "utf8", "utf-8", "utf8mb4":
	default:
		return dsn, false
	}
	rest = dsn[:found[3]] + dsn[found[7]:]
	if pattern == charsetInURL {
		rest = strings.TrimRight(rest, "?&")
	}
	return rest, true
}
