package openapi

import (
	"fmt"
	"html"
	"html/template"
	"regexp"
	"strings"
)

// markdown makes HTML of the part of Markdown that the pages use: headings, paragraphs, lists of one
// level, tables, fenced code, code, bold and links. Everything else is text. Errors: a fence that does
// not end, which would swallow the rest.
func markdown(source string) (template.HTML, error) {
	m := &marks{lines: strings.Split(strings.ReplaceAll(source, "\r\n", "\n"), "\n")}
	for m.at < len(m.lines) {
		if err := m.block(); err != nil {
			return "", err
		}
	}
	return template.HTML(m.out.String()), nil //nolint:gosec // every text in it is escaped below
}

type marks struct {
	lines []string
	at    int
	out   strings.Builder
}

func (m *marks) block() error {
	line := m.lines[m.at]
	switch {
	case strings.TrimSpace(line) == "", strings.HasPrefix(line, "<!--"):
		m.at++
	case strings.HasPrefix(line, "```"):
		return m.fence()
	case strings.HasPrefix(line, "#"):
		level := len(line) - len(strings.TrimLeft(line, "#"))
		text := strings.TrimSpace(line[level:])
		fmt.Fprintf(&m.out, "<h%d id=%q>%s</h%d>\n", level, anchor(text), inline(text), level)
		m.at++
	case strings.HasPrefix(line, "|"):
		m.table()
	case strings.HasPrefix(line, "- "):
		m.list()
	default:
		m.out.WriteString("<p>" + inline(m.until(func(l string) bool {
			return strings.TrimSpace(l) == "" || strings.HasPrefix(l, "```") || strings.HasPrefix(l, "|") || strings.HasPrefix(l, "- ") || strings.HasPrefix(l, "#")
		})) + "</p>\n")
	}
	return nil
}

// until joins lines up to the one that ends them.
func (m *marks) until(end func(string) bool) string {
	first := m.at
	for m.at++; m.at < len(m.lines) && !end(m.lines[m.at]); m.at++ {
	}
	return strings.Join(m.lines[first:m.at], "\n")
}

func (m *marks) fence() error {
	first := m.at + 1
	for m.at++; m.at < len(m.lines); m.at++ {
		if m.lines[m.at] == "```" {
			m.out.WriteString("<pre><code>" + html.EscapeString(strings.Join(m.lines[first:m.at], "\n")) + "</code></pre>\n")
			m.at++
			return nil
		}
	}
	return fmt.Errorf("markdown: the fence at line %d does not end", first)
}

func (m *marks) table() {
	m.out.WriteString("<table>\n")
	for cell := "th"; m.at < len(m.lines) && strings.HasPrefix(m.lines[m.at], "|"); m.at++ {
		row := strings.TrimSpace(m.lines[m.at])
		if strings.Trim(row, "|-: ") == "" {
			continue
		}
		m.out.WriteString("<tr>")
		for text := range strings.SplitSeq(strings.Trim(strings.ReplaceAll(row, `\|`, "\x00"), "|"), "|") {
			text = strings.ReplaceAll(strings.TrimSpace(text), "\x00", "|")
			m.out.WriteString("<" + cell + ">" + inline(text) + "</" + cell + ">")
		}
		m.out.WriteString("</tr>\n")
		cell = "td"
	}
	m.out.WriteString("</table>\n")
}

func (m *marks) list() {
	m.out.WriteString("<ul>\n")
	for m.at < len(m.lines) && strings.HasPrefix(m.lines[m.at], "- ") {
		item := m.until(func(l string) bool { return !strings.HasPrefix(l, "  ") })
		m.out.WriteString("<li>" + inline(strings.TrimPrefix(item, "- ")) + "</li>\n")
	}
	m.out.WriteString("</ul>\n")
}

var (
	codeMark = regexp.MustCompile("`([^`]+)`")
	boldMark = regexp.MustCompile(`\*\*([^*]+)\*\*`)
	linkMark = regexp.MustCompile(`\[([^\]]+)\]\((/[^)\s]*|#[^)\s]*|https://[^)\s]*)\)`)
)

// inline makes the marks within a text. Code comes first, and what stands in it is left alone.
func inline(text string) string {
	var codes []string
	text = codeMark.ReplaceAllStringFunc(text, func(s string) string {
		codes = append(codes, "<code>"+html.EscapeString(strings.Trim(s, "`"))+"</code>")
		return "\x01"
	})
	text = html.EscapeString(text)
	text = boldMark.ReplaceAllString(text, "<strong>$1</strong>")
	text = linkMark.ReplaceAllString(text, `<a href="$2">$1</a>`)
	for _, c := range codes {
		text = strings.Replace(text, "\x01", c, 1)
	}
	return text
}

// anchor is where a heading is linked to: its words in lower case with dashes.
func anchor(text string) string {
	return strings.Trim(regexp.MustCompile(`[^a-z0-9]+`).ReplaceAllString(strings.ToLower(text), "-"), "-")
}
