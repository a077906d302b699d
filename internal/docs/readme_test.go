package docs_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/breakpilot/tenant-registry/internal/config"
	"github.com/breakpilot/tenant-registry/internal/docs"
	"github.com/breakpilot/tenant-registry/internal/server"
)

func TestReadme_endpoints(t *testing.T) {
	t.Parallel()
	var listed []string
	for _, row := range table(t, "README.md", "Endpoints") {
		listed = append(listed, row[0]+" "+bare(row[1]))
	}
	if !slices.Equal(listed, server.Routes()) {
		t.Errorf(
			"the endpoint table and the route table differ (the order counts):\nREADME %q\nroutes %q", listed,
			server.Routes(),
		)
	}
}

func TestPages_policies(t *testing.T) {
	t.Parallel()
	policies, routes := server.Policies(), server.Routes()
	rows := table(t, page("access"), "Routes and roles")
	if len(rows) != len(routes) {
		t.Fatalf("the page lists %d routes, the code has %d", len(rows), len(routes))
	}
	for i, name := range routes {
		want := strings.Join(policies[name], ", ")
		if bare(rows[i][0]) != name || strings.ReplaceAll(rows[i][1], "`", "") != want {
			t.Errorf("row %d is %q, the route table says %s: %s", i+1, rows[i], name, want)
		}
	}
}

func TestReadme_variables(t *testing.T) {
	t.Parallel()
	rows := table(t, "README.md", "Configuration")
	if len(rows) != len(config.Variables) {
		t.Errorf("the README lists %d variables, the code has %d", len(rows), len(config.Variables))
	}
	for i, v := range config.Variables[:min(len(rows), len(config.Variables))] {
		got, want := [3]string{bare(rows[i][0]), bare(rows[i][1]), rows[i][2]}, [3]string{v.Name, v.Default, v.Purpose}
		if got != want {
			t.Errorf("row %d is %q, the code says %q", i+1, got, v)
		}
	}
}

func TestReadme_make(t *testing.T) {
	t.Parallel()
	var targets, listed []string
	for _, m := range regexp.MustCompile(`(?m)^([a-z-]+):.*## `).FindAllStringSubmatch(read(t, "Makefile"), -1) {
		targets = append(targets, m[1])
	}
	for _, row := range table(t, "README.md", "Make") {
		listed = append(listed, strings.TrimPrefix(bare(row[0]), "make "))
	}
	slices.Sort(targets)
	slices.Sort(listed)
	if !slices.Equal(targets, listed) {
		t.Errorf("the make table and the Makefile differ:\nREADME   %q\nMakefile %q", listed, targets)
	}
}

func TestPages_dependencies(t *testing.T) {
	t.Parallel()
	var listed []string
	for _, row := range table(t, page("dependencies"), "Dependencies") {
		listed = append(listed, bare(row[0]))
	}
	const otel = "go.opentelemetry.io/" // one row for all of its modules
	mod := read(t, "go.mod")
	for _, m := range regexp.MustCompile(`(?m)^\t(\S+) v\S+$`).FindAllStringSubmatch(mod, -1) {
		covered := slices.ContainsFunc(listed, func(l string) bool {
			return m[1] == l || strings.HasPrefix(m[1], l+"/") ||
				(strings.HasPrefix(m[1], otel) && strings.HasPrefix(l, otel))
		})
		if !covered {
			t.Errorf("the page does not say why %s is required", m[1])
		}
	}
	for _, l := range listed {
		if !strings.Contains(mod, "\t"+l+" ") && !strings.Contains(mod, "\t"+l+"/") {
			t.Errorf("the page explains %s, which go.mod does not require", l)
		}
	}
}

// TestReadme_pages asserts that the README lists every page, in the order of the navigation.
func TestReadme_pages(t *testing.T) {
	t.Parallel()
	var listed []string
	for _, row := range table(t, "README.md", "Pages") {
		listed = append(listed, row[0])
	}
	var want []string
	for _, p := range docs.Pages() {
		want = append(want, "["+p.Title+"]("+page(p.Slug)+")")
	}
	if !slices.Equal(listed, want) {
		t.Errorf("the README lists %q, the pages are %q", listed, want)
	}
}
