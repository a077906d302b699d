package docs_test

import (
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestTexts_sizes(t *testing.T) {
	t.Parallel()
	for document, most := range map[string]int{"README.md": 15_000, "CONTRIBUTING.md": 8_000} {
		if size := len(read(t, document)); size > most {
			t.Errorf("%s has %d bytes, at most %d are wanted: move what is more to a page", document, size, most)
		}
	}
}

func TestTexts_lines(t *testing.T) {
	t.Parallel()
	for _, document := range documents() {
		number := 0
		for line := range strings.Lines(read(t, document)) {
			number++
			exempt := strings.HasPrefix(line, "|") || strings.Contains(line, "://")
			if columns := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); columns > 120 && !exempt {
				t.Errorf("%s:%d has %d columns, 120 at most", document, number, columns)
			}
		}
	}
}

// TestTexts_words asserts that the documents avoid words for which the field has others.
func TestTexts_words(t *testing.T) {
	t.Parallel()
	dialect := regexp.MustCompile(`(?i)\b(whoever|nobody|somebody|mend|mends|for ever|tells? whether|shelf|touched)\b`)
	for _, document := range documents() {
		text := strings.Join(strings.Fields(read(t, document)), " ")
		for _, at := range dialect.FindAllStringIndex(text, -1) {
			t.Errorf("%s says %q: …%s…", document, text[at[0]:at[1]], text[max(0, at[0]-40):min(len(text), at[1]+40)])
		}
	}
}

var heading = regexp.MustCompile(`(?m)^#+ (.+)$`)

// TestTexts_headings asserts that headings are simple enough for every renderer to give them the same id, and distinct.
func TestTexts_headings(t *testing.T) {
	t.Parallel()
	simple := regexp.MustCompile(`^[A-Za-z0-9-]+( [A-Za-z0-9-]+)*$`)
	for _, document := range documents() {
		seen := map[string]bool{}
		for _, m := range heading.FindAllStringSubmatch(prose(t, document), -1) {
			if !simple.MatchString(m[1]) || seen[anchor(m[1])] {
				t.Errorf("%s: the heading %q is not simple, or is there twice", document, m[1])
			}
			seen[anchor(m[1])] = true
		}
	}
}

// anchor is the id that a git host gives a simple heading.
func anchor(heading string) string { return strings.ReplaceAll(strings.ToLower(heading), " ", "-") }

// TestTexts_links asserts that every link between the documents has its target, file and heading.
func TestTexts_links(t *testing.T) {
	t.Parallel()
	for _, document := range documents() {
		for _, m := range regexp.MustCompile(`\]\(([^)\s]+)\)`).FindAllStringSubmatch(prose(t, document), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			file, id, _ := strings.Cut(m[1], "#")
			target := document
			if file != "" {
				target = path.Join(path.Dir(document), file)
			}
			if _, err := os.Stat(filepath.Join(root, target)); err != nil {
				t.Errorf("%s links to %s, which is not there", document, m[1])
				continue
			}
			found := id == ""
			for _, h := range heading.FindAllStringSubmatch(prose(t, target), -1) {
				found = found || anchor(h[1]) == id
			}
			if !found {
				t.Errorf("%s links to %s, and there is no such heading", document, m[1])
			}
		}
	}
}

// TestTexts_decisions asserts that each decision has its date and the code that it binds, and that CONTRIBUTING.md
// leads to them.
func TestTexts_decisions(t *testing.T) {
	t.Parallel()
	entries := strings.Split(prose(t, page("decisions")), "\n- **")[1:]
	binds := regexp.MustCompile("\n  \\*20\\d\\d-\\d\\d-\\d\\d, `[^*]+`\\*\n?$")
	for _, entry := range entries {
		entry, _, _ = strings.Cut(entry, "\n\n")
		if !binds.MatchString(entry) {
			t.Errorf("a decision has no date, or does not say which code it binds: %s", entry)
		}
	}
	_, section, found := strings.Cut(read(t, "CONTRIBUTING.md"), "\n## Decisions\n")
	if !found || !strings.Contains(section, "("+page("decisions")+")") || len(entries) == 0 {
		t.Errorf("CONTRIBUTING.md does not lead to the %d decisions", len(entries))
	}
}

// TestTexts_code asserts that the files and packages that the documents name are there.
func TestTexts_code(t *testing.T) {
	t.Parallel()
	path := regexp.MustCompile("`((?:internal|cmd|migrations)(?:/[a-z0-9/_.]+)?)`")
	for _, document := range documents() {
		for _, m := range path.FindAllStringSubmatch(prose(t, document), -1) {
			if _, err := os.Stat(filepath.Join(root, m[1])); err != nil {
				t.Errorf("%s names %s, which is not there", document, m[1])
			}
		}
	}
}
