package internal_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/breakpilot/tenant-registry/internal/config"
	"github.com/breakpilot/tenant-registry/internal/server"
)

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// table returns the rows of the table under a heading of the README, each as its cells without the backquotes around whole cells.
func table(t *testing.T, heading string) [][]string {
	t.Helper()
	_, section, found := strings.Cut(read(t, "../README.md"), "\n## "+heading+"\n")
	if !found {
		t.Fatalf("the README has no section %q", heading)
	}
	section, _, _ = strings.Cut(section, "\n## ")
	var rows [][]string
	for line := range strings.Lines(section) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "|") || strings.HasPrefix(line, "|---") {
			continue
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		rows = append(rows, cells)
	}
	if len(rows) < 2 {
		t.Fatalf("no table under %q", heading)
	}
	return rows[1:]
}

func bare(cell string) string { return strings.Trim(cell, "`") }

func TestReadme_endpoints(t *testing.T) {
	t.Parallel()
	var listed []string
	for _, row := range table(t, "Endpoints") {
		listed = append(listed, row[0]+" "+bare(row[1]))
	}
	if !slices.Equal(listed, server.Routes()) {
		t.Errorf("the endpoint table and the route table differ (the order counts):\nREADME %q\nroutes %q", listed, server.Routes())
	}
}

func TestReadme_policies(t *testing.T) {
	t.Parallel()
	policies := server.Policies()
	rows := table(t, "Who may call")
	for i, name := range server.Routes() {
		want := strings.Join(policies[name], ", ")
		if bare(rows[i][0]) != name || strings.ReplaceAll(rows[i][1], "`", "") != want {
			t.Errorf("row %d is %q, the route table says %s: %s", i+1, rows[i], name, want)
		}
	}
}

func TestReadme_variables(t *testing.T) {
	t.Parallel()
	rows := table(t, "Configuration")
	if len(rows) != len(config.Variables) {
		t.Errorf("the README lists %d variables, the code has %d", len(rows), len(config.Variables))
	}
	for i, v := range config.Variables[:min(len(rows), len(config.Variables))] {
		if got := [3]string{bare(rows[i][0]), bare(rows[i][1]), rows[i][2]}; got != [3]string{v.Name, v.Default, v.Purpose} {
			t.Errorf("row %d is %q, the code says %q", i+1, got, v)
		}
	}
}

func TestReadme_make(t *testing.T) {
	t.Parallel()
	target := regexp.MustCompile(`(?m)^([a-z-]+):.*## `)
	var targets, listed []string
	for _, m := range target.FindAllStringSubmatch(read(t, "../Makefile"), -1) {
		targets = append(targets, m[1])
	}
	for _, row := range table(t, "Make") {
		listed = append(listed, strings.TrimPrefix(bare(row[0]), "make "))
	}
	slices.Sort(targets)
	slices.Sort(listed)
	if !slices.Equal(targets, listed) {
		t.Errorf("the make table and the Makefile differ:\nREADME   %q\nMakefile %q", listed, targets)
	}
}

func TestReadme_dependencies(t *testing.T) {
	t.Parallel()
	var listed []string
	for _, row := range table(t, "Dependencies") {
		listed = append(listed, bare(row[0]))
	}
	direct := regexp.MustCompile(`(?m)^\t(\S+) v\S+$`)
	for _, m := range direct.FindAllStringSubmatch(read(t, "../go.mod"), -1) {
		covered := slices.ContainsFunc(listed, func(l string) bool {
			return m[1] == l || strings.HasPrefix(m[1], l+"/") || (strings.HasPrefix(m[1], "go.opentelemetry.io/") && strings.HasPrefix(l, "go.opentelemetry.io/"))
		})
		if !covered {
			t.Errorf("the README does not say why %s is here", m[1])
		}
	}
	for _, l := range listed {
		if !strings.Contains(read(t, "../go.mod"), "\t"+l+" ") && !strings.Contains(read(t, "../go.mod"), "\t"+l+"/") {
			t.Errorf("the README explains %s, which go.mod does not have", l)
		}
	}
}
