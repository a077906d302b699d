// Package docs holds the documentation of the service: Markdown pages that are read on a git host, and are embedded in
// the binary and served as HTML under Root.
//
// A rendered page is self-contained: its style is inline, it has no script, and it refers to nothing but the other
// pages, what the service itself serves, and links for a reader to follow. It is readable on a narrow screen and in
// dark mode. Serve it with the ContentSecurityPolicy of this package.
//
// The tests of this package compare the README, CONTRIBUTING.md and the pages with the code: the tables with the
// routes, the settings and the Makefile, and every block that can be run is run.
package docs

import (
	"embed"
	"slices"
	"sync"
)

// Root is the path under which the server must serve the pages: the index at Root itself, a page at Root + "/" + its
// slug. Links in the pages rely on it.
const Root = "/docs"

//go:embed pages/*.md
var files embed.FS

// order is the order of the navigation. Every file of pages is in it, by its slug.
var order = []string{
	"concepts", "conventions", "revocation", "clients", "access", "shares", "audit", "audit-checker", "operations",
	"benchmarks", "dependencies", "decisions",
}

// Page is one page of the documentation.
type Page struct {
	Slug    string // names the page in a path; lower-case words with hyphens between them, and stable
	Title   string // the page's first heading, as text
	Summary string // the page's first paragraph, as text on one line
}

// Pages returns all pages in the order of the navigation. The caller may change the slice.
func Pages() []Page { return slices.Clone(site().pages) }

// Index returns the HTML of the list of pages, to be served at Root. The caller must not change the bytes.
func Index() []byte { return site().index }

// HTML returns the page with this slug as a complete HTML document in UTF-8, and false if there is no such page. The
// pages are rendered at the first call and do not change afterwards, so they may be cached as long as the process runs.
// The caller must not change the bytes.
func HTML(slug string) ([]byte, bool) {
	page, ok := site().html[slug]
	return page, ok
}

// ContentSecurityPolicy returns the value of the Content-Security-Policy header under which a rendered page is
// complete: nothing is loaded, and the only style is that of the pages, by its hash.
func ContentSecurityPolicy() string { return site().policy }

// rendered is the whole documentation.
type rendered struct {
	pages  []Page
	index  []byte
	html   map[string][]byte
	policy string
}

var site = sync.OnceValue(func() *rendered {
	sources := map[string][]byte{}
	for _, slug := range order {
		source, err := files.ReadFile("pages/" + slug + ".md")
		if err != nil { // what is embedded can be read, and a test compares order with the files
			panic(err)
		}
		sources[slug] = source
	}
	return render(sources)
})
