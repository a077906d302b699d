// Package migrations holds the schema of the database as SQL, compiled into every binary that needs it.
//
// Each version is a pair NNNNNN_name.up.sql and NNNNNN_name.down.sql, numbered from 1 without a gap. A file runs as one
// transaction of its own and therefore holds no BEGIN or COMMIT. Once a version has been released its files never
// change.
package migrations

import (
	"embed"
	"strconv"
	"strings"
)

// FS holds the migration files at its root.
//
//go:embed *.sql
var FS embed.FS

// Latest is the highest version in FS: the schema this build of the program was written for. It is at least 1.
func Latest() uint {
	entries, err := FS.ReadDir(".")
	if err != nil {
		panic("migrations: the embedded root cannot be read: " + err.Error())
	}
	var latest uint64
	for _, entry := range entries {
		number, _, _ := strings.Cut(entry.Name(), "_")
		if version, err := strconv.ParseUint(number, 10, 32); err == nil {
			latest = max(latest, version)
		}
	}
	return uint(latest)
}
