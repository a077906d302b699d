package migrations

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
)

func TestFilesArePairsWithoutGaps(t *testing.T) {
	t.Parallel()
	entries, err := FS.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{} // the versions' names, without direction
	for _, entry := range entries {
		match := regexp.MustCompile(`^(\d{6}_[a-z0-9_]+)\.(up|down)\.sql$`).FindStringSubmatch(entry.Name())
		if match == nil {
			t.Errorf("%s: want a name like 000001_schema.up.sql", entry.Name())
			continue
		}
		names[match[1]] = true
		for _, direction := range []string{"up", "down"} {
			if _, err := FS.Open(match[1] + "." + direction + ".sql"); err != nil {
				t.Errorf("%s has no %s file", match[1], direction)
			}
		}
	}
	if len(names) != int(Latest()) || Latest() == 0 {
		t.Errorf("%d versions and the highest is %d: want each number once", len(names), Latest())
	}
	for version := uint(1); version <= Latest(); version++ {
		found := false
		for name := range names {
			found = found || strings.HasPrefix(name, fmt.Sprintf("%06d_", version))
		}
		if !found {
			t.Errorf("version %d is missing", version)
		}
	}
}

// Each file runs as one transaction of its own; roles belong to the whole cluster, not to a database.
func TestFilesLeaveTransactionsAndRolesAlone(t *testing.T) {
	t.Parallel()
	forbidden := regexp.MustCompile(
		`(?im)^\s*((BEGIN|COMMIT|ROLLBACK|END)\s*;|START\s+TRANSACTION|(CREATE|DROP|ALTER)\s+(ROLE|USER)\b).*`,
	)
	if !forbidden.MatchString("CREATE TABLE t ();\nbegin;\n") ||
		forbidden.MatchString("AS $$\nBEGIN\n  NULL;\nEND\n$$;") {
		t.Fatal("the pattern is wrong")
	}
	entries, err := FS.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		text, err := FS.ReadFile(entry.Name())
		if err != nil {
			t.Fatal(err)
		}
		if line := forbidden.Find(text); line != nil {
			t.Errorf("%s: %s", entry.Name(), line)
		}
	}
}
