package command

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// Pages are the names of the manual pages: the program's, and one for each verb.
func (m *Manual[T]) Pages() []string {
	names := []string{m.Program}
	for _, v := range m.Advertised() {
		names = append(names, m.Program+"-"+v.Name)
	}
	return names
}

// Page writes a manual page, one of Pages, in roff (man(7)).
func (m *Manual[T]) Page(w io.Writer, name string) error {
	if !slices.Contains(m.Pages(), name) {
		return Usagef("there is no manual page %s; there are %s", name, strings.Join(m.Pages(), ", "))
	}
	p := &page{w: w}
	p.line(".TH %s 1 %s %s", quote(strings.ToUpper(name)), quote(m.Date), quote(m.Program+" "+m.Version))
	if name == m.Program {
		m.programPage(p)
	} else {
		m.verbPage(p, m.Verb(strings.TrimPrefix(name, m.Program+"-")))
	}
	return p.err
}

func (m *Manual[T]) programPage(p *page) {
	p.section("NAME")
	p.text(m.Program + ` \- ` + escape(m.Summary))
	p.section("SYNOPSIS")
	p.line(".B %s", escape(m.Program))
	p.line(".RI [ VERB ]\n.RI [ option " + `\|.\|.\|.]`)
	p.section("DESCRIPTION")
	for _, paragraph := range strings.Split(strings.TrimSpace(m.Intro), "\n\n") {
		p.paragraph(paragraph)
	}
	p.section("VERBS")
	for _, v := range m.Advertised() {
		p.item(bold(v.Name), v.Help)
	}
	p.section("OPTIONS")
	p.text(escape("Long options may be shortened as long as they stay unique."))
	for _, topic := range m.allTopics() {
		p.line(".SS %s", quote(escape(topic.Heading)))
		m.pageOptions(p, m.at(topic.Name))
	}
	for _, s := range m.Sections {
		p.section(s.Title)
		for _, paragraph := range strings.Split(s.Text, "\n\n") {
			p.paragraph(paragraph)
		}
	}
	p.section("SEE ALSO")
	p.references(m.Pages()[1:])
}

func (m *Manual[T]) verbPage(p *page, v *Verb) {
	p.section("NAME")
	p.text(escape(m.Program+"-"+v.Name) + ` \- ` + escape(v.Help))
	p.section("SYNOPSIS")
	p.line(".B %s", escape(m.Program+" "+v.Name))
	p.line(".RI [ option " + `\|.\|.\|.]`)
	p.section("DESCRIPTION")
	about := m.about(v)
	if about == "" {
		about = m.Program + " " + v.Name + ": " + v.Help + "."
	}
	for _, paragraph := range strings.Split(about, "\n\n") {
		p.paragraph(paragraph)
	}
	p.section("OPTIONS")
	rows := m.under(v.Name)
	if len(rows) == 0 {
		p.text("It has no options of its own.")
	}
	m.pageOptions(p, rows)
	p.paragraph(fmt.Sprintf("All other options are described in %s(1).", m.Program))
	p.section("SEE ALSO")
	p.references([]string{m.Program})
}

func (m *Manual[T]) pageOptions(p *page, rows []*Option[T]) {
	for _, row := range rows {
		names := row.spellings()
		for i, name := range names {
			names[i] = bold(name)
			if row.Arg != "" {
				names[i] += " " + `\fI` + escape(row.Arg) + `\fR`
			}
		}
		p.item(strings.Join(names, ", "), row.explanation())
	}
}

// page writes roff and keeps the first error.
type page struct {
	w     io.Writer
	fresh bool // a section has just begun, and so has its paragraph
	err   error
}

func (p *page) line(format string, args ...any) {
	p.fresh = strings.HasPrefix(format, ".SH") || strings.HasPrefix(format, ".SS")
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format+"\n", args...)
	}
}

func (p *page) section(title string) { p.line(".SH %s", quote(title)) }

// text writes a line of text that is escaped already.
func (p *page) text(text string) { p.line("%s", text) }

// paragraph writes one; indented lines in it stay as they are.
func (p *page) paragraph(text string) {
	if !p.fresh {
		p.line(".PP")
	}
	literal := false
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if indented := strings.HasPrefix(line, "  "); indented != literal {
			literal = indented
			p.line(map[bool]string{true: ".RS 4\n.nf", false: ".fi\n.RE"}[literal])
		}
		p.text(escape(strings.TrimSpace(line)))
	}
	if literal {
		p.line(".fi\n.RE")
	}
}

// item writes an entry of a list. Its head is roff already.
func (p *page) item(head, text string) {
	p.line(".TP\n%s\n%s", head, escape(text))
}

func (p *page) references(names []string) {
	for i, name := range names {
		comma := ""
		if i < len(names)-1 {
			comma = " ,"
		}
		p.line(".BR %s (1)%s", escape(name), comma)
	}
}

func bold(text string) string { return `\fB` + escape(text) + `\fR` }

// escape makes text stand for itself in roff: no character of it is a request, and "-" is the one that can be typed.
func escape(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`, "\u2026", `\|.\|.\|.`).Replace(text)
	if strings.HasPrefix(text, ".") || strings.HasPrefix(text, "'") {
		text = `\&` + text
	}
	return text
}

// quote makes text one argument of a request.
func quote(text string) string { return `"` + strings.ReplaceAll(text, `"`, `\(dq`) + `"` }
