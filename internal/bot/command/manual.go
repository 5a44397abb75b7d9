package command

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// Topic is a heading of the help that --help can be asked about.
type Topic struct{ Name, Heading string }

// Section is a part of the manual page with text of its own.
type Section struct{ Title, Text string }

// Manual is what a program says about its language: as help, as manual pages, and to shells.
type Manual[T any] struct {
	*Language[T]
	Program string // its name
	Version string
	Date    string // of the text, such as 2026-11-29
	Summary string // in one line, without its name
	Usage   string // what follows the name on a command line
	Intro   string // what --help says first: a person may read no further
	Common  []string
	About   map[string]string // what a verb does, in paragraphs
	Outro   string            // what every help ends with
	// Sections end the program's manual page, and the pages of verbs say where they are.
	Sections []Section
}

const (
	helpColumn = 24 // where the explanations begin
	helpWidth  = 80
)

// Help writes what --help says about a topic, which Read has found to be one: a verb, "all", "commands",
// one of Topics, or "" for the start.
func (m *Manual[T]) Help(w io.Writer, topic string) {
	verb := m.Verb(topic)
	usage := m.Usage
	if verb != nil && verb.Name != HelpVerb {
		usage = verb.Name + " [options]"
	}
	fmt.Fprintf(w, "usage: %s %s\n\n", m.Program, usage)
	switch {
	case topic == "" || topic == HelpVerb:
		fmt.Fprint(w, m.Intro)
		m.helpVerbs(w)
		fmt.Fprintln(w, "\nthe options that are needed most:")
		for _, name := range m.Common {
			m.helpOption(w, m.Option(name))
		}
		m.helpTopics(w)
	case topic == "all":
		fmt.Fprint(w, m.Intro)
		m.helpVerbs(w)
		for _, topic := range m.allTopics() {
			m.helpRows(w, topic.Heading, m.at(topic.Name))
		}
	case topic == "commands":
		m.helpVerbs(w)
	case verb != nil:
		fmt.Fprintf(w, "%s %s: %s\n", m.Program, verb.Name, verb.Help)
		if about := m.about(verb); about != "" {
			fmt.Fprintf(w, "\n%s\n", wrap(about, ""))
		}
		m.helpRows(w, "its options", m.under(verb.Name))
		fmt.Fprintf(w, "\nWhat every verb takes: --help general, paths, testing. All options: --help all.\n")
	default:
		for _, t := range m.Topics {
			if t.Name == topic {
				m.helpRows(w, t.Heading, m.under(topic))
			}
		}
	}
	fmt.Fprint(w, m.Outro)
}

// about is what there is to say of a verb beyond its line.
func (m *Manual[T]) about(v *Verb) string {
	text := m.About[v.Name]
	switch {
	case v.Removed != "":
		return strings.TrimSpace(text + " This verb is gone: " + v.Removed + ".")
	case v.Hidden:
		return strings.TrimSpace(text + " This verb is not part of this program yet.")
	case len(v.Aliases) > 0:
		return strings.TrimSpace(text + " Another name for it is " + strings.Join(v.Aliases, ", ") + ".")
	}
	return text
}

// Advertised are the verbs that the help shows.
func (m *Manual[T]) Advertised() []Verb {
	return slices.DeleteFunc(slices.Clone(m.Verbs), func(v Verb) bool { return v.Hidden || v.Removed != "" })
}

// allTopics are the headings below which options have their home.
func (m *Manual[T]) allTopics() []Topic {
	list := slices.Clone(m.Topics)
	for _, v := range m.Advertised() {
		list = append(list, Topic{v.Name, v.Name + ": " + v.Help})
	}
	return slices.DeleteFunc(list, func(t Topic) bool { return len(m.at(t.Name)) == 0 })
}

// home is the first topic of an option that the help shows.
func (m *Manual[T]) home(o *Option[T]) string {
	for _, topic := range o.Topics {
		if v := m.Verb(topic); v == nil || !v.Hidden {
			return topic
		}
	}
	return o.Topics[0]
}

// at are the options with their home at a topic; under are those that belong to it, too.
func (m *Manual[T]) at(topic string) []*Option[T] {
	return m.rows(func(o *Option[T]) bool { return m.home(o) == topic })
}

func (m *Manual[T]) under(topic string) []*Option[T] {
	return m.rows(func(o *Option[T]) bool { return slices.Contains(o.Topics, topic) })
}

func (m *Manual[T]) rows(which func(*Option[T]) bool) []*Option[T] {
	var rows []*Option[T]
	for i := range m.Options {
		if row := &m.Options[i]; !row.Hidden && len(row.Topics) > 0 && which(row) {
			rows = append(rows, row)
		}
	}
	return rows
}

func (m *Manual[T]) helpVerbs(w io.Writer) {
	fmt.Fprintln(w, "verbs:")
	for _, v := range m.Advertised() {
		entry(w, "  "+v.Name, v.Help, 18)
	}
}

// helpTopics lists what else can be asked about.
func (m *Manual[T]) helpTopics(w io.Writer) {
	var names []string
	for _, t := range m.Topics {
		if len(m.under(t.Name)) > 0 {
			names = append(names, t.Name)
		}
	}
	fmt.Fprintf(w, "\nfurther help: %s --help TOPIC, where TOPIC is a verb, all, commands, or\n%s\n", m.Program, wrap(strings.Join(names, ", "), "  "))
}

func (m *Manual[T]) helpRows(w io.Writer, heading string, rows []*Option[T]) {
	if len(rows) == 0 {
		fmt.Fprintf(w, "\n%s: there are no options for it\n", heading)
		return
	}
	fmt.Fprintf(w, "\n%s:\n", heading)
	for _, row := range rows {
		m.helpOption(w, row)
	}
}

func (m *Manual[T]) helpOption(w io.Writer, row *Option[T]) {
	entry(w, "  "+strings.Join(row.spellings(), ", ")+value(row, " "), row.explanation(), helpColumn)
}

// spellings are all its names as they are typed, the short one first.
func (o *Option[T]) spellings() []string {
	var list []string
	if o.Short != "" {
		list = append(list, "-"+o.Short)
	}
	for _, name := range o.names() {
		list = append(list, "--"+name)
	}
	return list
}

// value is what follows a name.
func value[T any](o *Option[T], between string) string {
	if o.Arg == "" {
		return ""
	}
	return between + o.Arg
}

// explanation is what the help says of an option.
func (o *Option[T]) explanation() string {
	if o.Default == "" {
		return o.Help
	}
	return o.Help + " (default: " + o.Default + ")"
}

// entry writes a head, with its explanation wrapped beside it.
func entry(w io.Writer, head, text string, column int) {
	if len(head) >= column {
		fmt.Fprintln(w, head)
		head = ""
	}
	indent := strings.Repeat(" ", column)
	wrapped := wrap(text, indent)
	fmt.Fprintln(w, strings.TrimRight(fmt.Sprintf("%-*s%s", column, head, strings.TrimPrefix(wrapped, indent)), " "))
}

// wrap breaks the paragraphs of text into lines of helpWidth, each with the indent.
func wrap(text, indent string) string {
	var b strings.Builder
	for i, paragraph := range strings.Split(text, "\n\n") {
		if i > 0 {
			b.WriteString("\n\n")
		}
		line := indent
		for _, word := range strings.Fields(paragraph) {
			if len(line)+len(word) > helpWidth && line != indent {
				b.WriteString(strings.TrimRight(line, " ") + "\n")
				line = indent
			}
			line += word + " "
		}
		b.WriteString(strings.TrimRight(line, " "))
	}
	return b.String()
}
