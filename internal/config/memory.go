package config

import (
	"bufio"
	"bytes"
	"io/fs"
	"path"
	"strconv"
	"strings"
)

// MemoryLimit is how many bytes the control groups of this process may use, 0 if there is no limit or it cannot be
// read. root is the file system of the machine. Versions 1 and 2 are understood, and every group that contains this
// one.
func MemoryLimit(root fs.FS) int64 {
	var least int64
	for mount, groups := range controlGroups(root) {
		for group := groups.path; ; group = path.Dir(group) {
			limit := readLimit(root, path.Join(mount, group, groups.file))
			if limit > 0 && (least == 0 || limit < least) {
				least = limit
			}
			if group == "/" || group == "." {
				break
			}
		}
	}
	return least
}

// controlGroup is where the limit of a group stands.
type controlGroup struct{ path, file string }

// controlGroups are the groups of this process that may limit memory, by where their hierarchy is mounted.
func controlGroups(root fs.FS) map[string]controlGroup {
	text, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return nil
	}
	groups := map[string]controlGroup{}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		id, rest, _ := strings.Cut(lines.Text(), ":")
		controllers, group, ok := strings.Cut(rest, ":")
		switch {
		case !ok:
		case id == "0" && controllers == "":
			groups["sys/fs/cgroup"] = controlGroup{path.Clean("/" + group), "memory.max"}
		case strings.Contains(","+controllers+",", ",memory,"):
			groups["sys/fs/cgroup/memory"] = controlGroup{path.Clean("/" + group), "memory.limit_in_bytes"}
		}
	}
	return groups
}

// readLimit reads a limit; 0 is none. Version 1 writes "no limit" as a number that no machine has.
func readLimit(root fs.FS, name string) int64 {
	const unlimited = 1 << 60
	text, err := fs.ReadFile(root, name)
	if err != nil {
		return 0
	}
	limit, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	if err != nil || limit <= 0 || limit >= unlimited { // version 2 writes "max"
		return 0
	}
	return limit
}
