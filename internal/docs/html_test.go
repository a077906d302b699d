package docs_test

import (
	"crypto/sha256"
	"encoding/base64"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/breakpilot/tenant-registry/internal/docs"
)

// rendered returns the HTML of all pages and of the index, by the path that it is served at.
func rendered(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{docs.Root: string(docs.Index())}
	for _, p := range docs.Pages() {
		html, ok := docs.HTML(p.Slug)
		if !ok {
			t.Fatalf("%s is not rendered", p.Slug)
		}
		all[docs.Root+"/"+p.Slug] = string(html)
	}
	return all
}

func TestPages(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("pages/*.md")
	if err != nil || len(files) != len(docs.Pages()) {
		t.Errorf("there are %d files and %d pages (%v)", len(files), len(docs.Pages()), err)
	}
	for _, p := range docs.Pages() {
		if !regexp.MustCompile(`^[a-z]+(-[a-z]+)*$`).MatchString(p.Slug) || p.Title == "" || p.Summary == "" ||
			strings.ContainsAny(p.Title+p.Summary, "\n`[") {
			t.Errorf("the page is %+v", p)
		}
	}
	if _, ok := docs.HTML("missing"); ok {
		t.Error("a page that is not there is rendered")
	}
	docs.Pages()[0].Slug = "changed"
	if docs.Pages()[0].Slug == "changed" {
		t.Error("a caller can change the pages")
	}
}

// TestHTML_selfContained asserts that a page runs nothing and loads nothing.
func TestHTML_selfContained(t *testing.T) {
	t.Parallel()
	const (
		elements   = `<(script|link|img|iframe|object|embed|base|form|svg|video|audio|meta http-equiv)\b`
		attributes = `<[^>]* (on\w+|src|srcset|style)=`
		addresses  = `url\(|@import|javascript:`
	)
	forbidden := regexp.MustCompile(`(?i)` + elements + `|` + attributes + `|` + addresses)
	for at, html := range rendered(t) {
		for _, found := range forbidden.FindAllString(html, -1) {
			t.Errorf("%s has %q", at, found)
		}
		for _, want := range []string{`<meta name="viewport"`, "prefers-color-scheme: dark", `aria-current="page"`} {
			if !strings.Contains(html, want) {
				t.Errorf("%s has no %s: it is not made for narrow screens, dark mode, or navigation", at, want)
			}
		}
		if strings.Contains(html, "raw HTML omitted") {
			t.Errorf("%s holds HTML that is not rendered", at)
		}
	}
}

// TestHTML_policy asserts that the policy permits the style of every page, and nothing else.
func TestHTML_policy(t *testing.T) {
	t.Parallel()
	for at, html := range rendered(t) {
		styles := regexp.MustCompile(`(?s)<style>(.*?)</style>`).FindAllStringSubmatch(html, -1)
		if len(styles) != 1 {
			t.Fatalf("%s has %d styles", at, len(styles))
		}
		hash := sha256.Sum256([]byte(styles[0][1]))
		want := "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(hash[:]) +
			"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
		if docs.ContentSecurityPolicy() != want {
			t.Errorf("%s needs %s, the policy is %s", at, want, docs.ContentSecurityPolicy())
		}
	}
}

// TestHTML_links asserts that every link of a page leads to a heading of a page, or to what the service serves.
func TestHTML_links(t *testing.T) {
	t.Parallel()
	all := rendered(t)
	ids := map[string]bool{}
	for at, html := range all {
		ids[at] = true
		for _, id := range regexp.MustCompile(` id="([^"]+)"`).FindAllStringSubmatch(html, -1) {
			ids[at+"#"+id[1]] = true
		}
	}
	for at, html := range all {
		links := regexp.MustCompile(` href="([^"]*)"`).FindAllStringSubmatch(html, -1)
		if len(links) <= len(docs.Pages()) {
			t.Errorf("%s has %d links, fewer than the navigation", at, len(links))
		}
		for _, m := range links {
			target := m[1]
			if strings.HasPrefix(target, "#") {
				target = at + target
			}
			if !ids[target] && target != "/openapi.yaml" && target != "/openapi.json" {
				t.Errorf("%s links to %s, which is not there", at, m[1])
			}
		}
	}
}

// TestHTML_content asserts that headings have ids, tables are tables and code is code.
func TestHTML_content(t *testing.T) {
	t.Parallel()
	html, _ := docs.HTML("revocation")
	for _, want := range []string{
		`<h1 id="revocation-and-caching">Revocation and caching</h1>`, `<th>where</th>`, `<code>max_age_seconds</code>`,
		`<a href="/docs/clients">Clients</a>`, `<title>Revocation and caching · tenant-registry</title>`,
	} {
		if !strings.Contains(string(html), want) {
			t.Errorf("the page has no %s", want)
		}
	}
	html, _ = docs.HTML("clients")
	if !strings.Contains(string(html), `<pre><code class="language-go">package verifier`) {
		t.Error("a block of Go is not rendered as code")
	}
	for _, p := range docs.Pages() {
		html, _ := docs.HTML(p.Slug)
		if !strings.Contains(string(html), `" aria-current="page">`+p.Title+`</a>`) ||
			strings.Contains(string(html), "<p>|") {
			t.Errorf("%s is not marked in its navigation, or has a table that is none", p.Slug)
		}
	}
}
