package migrate

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
)

// ErrName is what Create returns for a name that is not one of a migration.
var ErrName = errors.New(
	"the name of a migration has 1 to 100 lower case letters, digits and underscores, such as add_team_table",
)

var migrationName = regexp.MustCompile(`^[a-z0-9_]{1,100}$`)

// Create writes the next numbered pair of files into dir, empty but for a comment, and returns their paths. The name is
// of lower case letters, digits and underscores (else ErrName). A file that exists is never overwritten.
func Create(dir, name string) (up, down string, err error) {
	if !migrationName.MatchString(name) {
		return "", "", ErrName
	}
	highest, err := latest(os.DirFS(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return "", "", fmt.Errorf("there is no folder %s here: run this at the root of the repository", dir)
	}
	if err != nil {
		return "", "", err
	}
	base := filepath.Join(dir, fmt.Sprintf("%06d_%s", highest+1, name))
	up, down = base+".up.sql", base+".down.sql"
	const begins = ": what changes. The file is one transaction of its own: no BEGIN, no COMMIT.\n"
	if err := writeNew(up, "-- "+name+begins); err != nil {
		return "", "", err
	}
	if err := writeNew(down, "-- "+name+": how it is undone.\n"); err != nil {
		return "", "", errors.Join(err, os.Remove(up))
	}
	return up, down, nil
}

func writeNew(path, text string) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = file.WriteString(text)
	return errors.Join(err, file.Close())
}
