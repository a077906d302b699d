package docs

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html/template"
	"strings"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/parser"
	"github.com/yuin/goldmark/text"
	"github.com/yuin/goldmark/util"
)

var (
	//go:embed style.css
	style string
	//go:embed page.html
	layout string
)

// served maps files that a page may link to, as seen from the folder of the pages, to where the service serves them.
var served = map[string]string{"../../../openapi.yaml": "/openapi.yaml"}

// render makes the HTML of all pages and of their index.
func render(sources map[string][]byte) *rendered {
	document := template.Must(template.New("page").Parse(layout))
	markdown := goldmark.New(
		// By default cells are aligned by style attributes, which the policy refuses.
		goldmark.WithExtensions(extension.NewTable(extension.WithTableCellAlignMethod(
			extension.TableCellAlignAttribute,
		))),
		goldmark.WithParserOptions(
			parser.WithAutoHeadingID(), parser.WithASTTransformers(util.Prioritized(links{}, 0)),
		),
	)
	site := &rendered{html: map[string][]byte{}, policy: policy()}
	bodies := map[string]template.HTML{}
	for _, slug := range order {
		source := sources[slug]
		parsed := markdown.Parser().Parse(text.NewReader(source))
		site.pages = append(site.pages, describe(slug, source, parsed))
		var body bytes.Buffer
		if err := markdown.Renderer().Render(&body, source, parsed); err != nil { // a buffer accepts every write
			panic(err)
		}
		bodies[slug] = template.HTML(body.String())
	}
	for _, page := range site.pages {
		site.html[page.Slug] = execute(document, view{Page: page, Pages: site.pages, Body: bodies[page.Slug]})
	}
	site.index = execute(document, view{Page: Page{Title: "Documentation"}, Pages: site.pages})
	return site
}

// describe reads the title and the summary of a page: its first heading and its first paragraph.
func describe(slug string, source []byte, document ast.Node) Page {
	page := Page{Slug: slug}
	for node := document.FirstChild(); node != nil && page.Summary == ""; node = node.NextSibling() {
		switch node.Kind() {
		case ast.KindHeading:
			page.Title = plain(source, node)
		case ast.KindParagraph:
			page.Summary = plain(source, node)
		}
	}
	return page
}

// plain returns the text of a node without its markup.
func plain(source []byte, node ast.Node) string {
	var out strings.Builder
	_ = ast.Walk(node, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if segment, ok := n.(*ast.Text); ok && entering {
			out.Write(segment.Segment.Value(source))
			if segment.SoftLineBreak() {
				out.WriteByte(' ')
			}
		}
		return ast.WalkContinue, nil
	})
	return out.String()
}

// view is what page.html is executed with.
type view struct {
	Page  // the index has no Slug
	Pages []Page
	Body  template.HTML
}

func (view) Root() string        { return Root }
func (view) Style() template.CSS { return template.CSS(style) }

func execute(document *template.Template, v view) []byte {
	var out bytes.Buffer
	if err := document.Execute(&out, v); err != nil { // it is executed for every page by the tests
		panic(err)
	}
	return out.Bytes()
}

// policy permits the one style, and nothing else.
func policy() string {
	hash := sha256.Sum256([]byte(style))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(hash[:]) +
		"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}

// links rewrites links between files, as a git host follows them, to where the service serves what they point to.
type links struct{}

// Transform implements parser.ASTTransformer.
func (links) Transform(document *ast.Document, _ text.Reader, _ parser.Context) {
	_ = ast.Walk(document, func(node ast.Node, entering bool) (ast.WalkStatus, error) {
		if link, ok := node.(*ast.Link); ok && entering {
			link.Destination = []byte(rewrite(string(link.Destination)))
		}
		return ast.WalkContinue, nil
	})
}

func rewrite(destination string) string {
	file, heading, found := strings.Cut(destination, "#")
	if at, ok := served[file]; ok {
		return at
	}
	slug, ok := strings.CutSuffix(file, ".md")
	if !ok || strings.Contains(slug, "/") {
		return destination
	}
	if found {
		heading = "#" + heading
	}
	return Root + "/" + slug + heading
}
