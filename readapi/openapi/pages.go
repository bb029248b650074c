package openapi

import (
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"html/template"
	"strings"

	"github.com/gofiber/fiber/v2"
	"github.com/gofiber/fiber/v2/middleware/adaptor"
	"github.com/swaggest/swgui/v5emb"
)

// Where the document and its pages are.
const (
	DocumentPath = "/openapi.json"
	DocsPath     = "/docs"
	SocketsPath  = "/docs/sockets"
)

// uiCSP lets the pages load nothing from elsewhere, nor run what stands in them: what they show comes
// from clients in part. Swagger UI sets styles on elements.
const uiCSP = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; " +
	"connect-src 'self'; font-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

//go:embed page.html
var pageSource string

//go:embed start.js
var startScript []byte

//go:embed page.css
var pageStyle []byte

var page = template.Must(template.New("page").Parse(pageSource))

// pageFile is one file that is served beside the bundle.
type pageFile struct {
	name, mime string
	content    []byte
}

// Register serves the document and its pages, offline: Swagger UI is part of the program. document is
// what Build made; sockets is the text of the page about sockets, in the Markdown that Page reads.
func Register(app fiber.Router, title string, document, sockets []byte) error {
	html, err := markdown(string(sockets))
	if err != nil {
		return err
	}
	socketsPage, err := render(pageData{Title: title + ": sockets", Body: html})
	if err != nil {
		return err
	}
	ui, err := render(pageData{Title: title, UI: true})
	if err != nil {
		return err
	}
	app.Get(DocumentPath, static("application/json", document, ""))
	app.Get(DocsPath, static(fiber.MIMETextHTMLCharsetUTF8, ui, uiCSP))
	app.Get(SocketsPath, static(fiber.MIMETextHTMLCharsetUTF8, socketsPage, uiCSP))
	for _, f := range []pageFile{{"start.js", "text/javascript; charset=utf-8", startScript}, {"page.css", "text/css; charset=utf-8", pageStyle}} {
		app.Get(DocsPath+"/"+f.name, static(f.mime, f.content, ""))
	}
	bundle := adaptor.HTTPHandler(v5emb.New(title, DocumentPath, DocsPath))
	for _, name := range []string{"swagger-ui-bundle.js", "swagger-ui.css", "favicon-32x32.png"} {
		app.Get(DocsPath+"/"+name, safe, bundle)
	}
	return nil
}

// pageData fills page.html.
type pageData struct {
	Title string
	UI    bool
	Body  template.HTML
}

func render(d pageData) ([]byte, error) {
	var b strings.Builder
	err := page.Execute(&b, d)
	return []byte(b.String()), err
}

// static serves bytes that never change while the program runs.
func static(mime string, content []byte, csp string) fiber.Handler {
	sum := sha256.Sum256(content)
	etag := `"` + hex.EncodeToString(sum[:8]) + `"`
	return func(c *fiber.Ctx) error {
		c.Set(fiber.HeaderContentType, mime)
		c.Set(fiber.HeaderETag, etag)
		c.Set(fiber.HeaderCacheControl, "no-cache") // ask again: another version of the server has others
		if csp != "" {
			c.Set(fiber.HeaderContentSecurityPolicy, csp)
			c.Set(fiber.HeaderReferrerPolicy, "no-referrer")
		}
		c.Set(fiber.HeaderXContentTypeOptions, "nosniff")
		if c.Get(fiber.HeaderIfNoneMatch) == etag {
			return c.SendStatus(fiber.StatusNotModified)
		}
		return c.Send(content)
	}
}

func safe(c *fiber.Ctx) error {
	c.Set(fiber.HeaderXContentTypeOptions, "nosniff")
	return c.Next()
}
