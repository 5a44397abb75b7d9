package lineage

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// Document is a file in the format of Python's ConfigObj, as certbot's renewal
// configurations are. It is lossless: what is not changed is printed as it was
// read, comments, blank lines, order and quoting included.
type Document struct {
	mark    string // a byte order mark, if there was one
	newline string // what ends a line that is added
	root    *Section
}

// Section is a part of a Document: what is before the first header, or what
// belongs to [name], or to [[name]] within it.
type Section struct {
	document *Document
	parent   *Section // nil for the root
	depth    int      // the number of brackets
	name     string
	header   *line // nil for the root
	body     []*line
	sections []*Section
}

// line is a line of the file, or several where a triple-quoted value spans them.
type line struct {
	text  string // as read, with its end
	pair  bool   // key = value; otherwise blank, a comment or a header
	key   string
	value Value
	// head and tail stand before and after the value in text.
	head, tail string
}

// Value is what stands after a key: a string, or a list of strings.
type Value struct {
	list  bool
	items []string
}

// String makes a Value of one string.
func String(s string) Value { return Value{items: []string{s}} }

// List makes a Value of a list, which is written with a trailing comma if it has one item.
func List(items ...string) Value { return Value{list: true, items: slices.Clone(items)} }

// Items are the members of a list, or the one string.
func (v Value) Items() []string { return slices.Clone(v.items) }

// IsList tells a list of one item ("a,") from a string ("a").
func (v Value) IsList() bool { return v.list }

// String is the string. A list's items are joined with commas, as a string
// that should have been quoted is split at them.
func (v Value) String() string { return strings.Join(v.items, ", ") }

func (v Value) equal(other Value) bool {
	return v.list == other.list && slices.Equal(v.items, other.items)
}

// Root is the part before the first header; all other sections are in it.
func (d *Document) Root() *Section { return d.root }

// Bytes prints the document.
func (d *Document) Bytes() []byte {
	var b bytes.Buffer
	b.WriteString(d.mark)
	for l := range d.lines {
		b.WriteString(l.text)
	}
	return b.Bytes()
}

// lines yields all lines in the order of the file.
func (d *Document) lines(yield func(*line) bool) { d.root.lines(yield) }

func (s *Section) lines(yield func(*line) bool) bool {
	if s.header != nil && !yield(s.header) {
		return false
	}
	for _, l := range s.body {
		if !yield(l) {
			return false
		}
	}
	for _, sub := range s.sections {
		if !sub.lines(yield) {
			return false
		}
	}
	return true
}

// Keys lists the section's keys, without those of the sections in it.
func (s *Section) Keys() []string {
	var keys []string
	for _, l := range s.body {
		if l.pair {
			keys = append(keys, l.key)
		}
	}
	return keys
}

// Sections lists the names of the sections in s.
func (s *Section) Sections() []string {
	names := make([]string, len(s.sections))
	for i, sub := range s.sections {
		names[i] = sub.name
	}
	return names
}

// Section gives the section of that name in s, or nil.
func (s *Section) Section(name string) *Section {
	for _, sub := range s.sections {
		if sub.name == name {
			return sub
		}
	}
	return nil
}

func (s *Section) find(key string) *line {
	for _, l := range s.body {
		if l.pair && l.key == key {
			return l
		}
	}
	return nil
}

// Has reports whether s has a value for key.
func (s *Section) Has(key string) bool { return s != nil && s.find(key) != nil }

// Raw gives the value of key as it stands in the file.
func (s *Section) Raw(key string) (Value, bool) {
	if s == nil {
		return Value{}, false
	}
	l := s.find(key)
	if l == nil {
		return Value{}, false
	}
	return l.value, true
}

// Get gives the value of key with each %(name)s in it replaced, as certbot
// reads it. A reference that leads nowhere is left as it stands, where certbot
// gives up.
func (s *Section) Get(key string) (Value, bool) {
	value, ok := s.Raw(key)
	if !ok {
		return value, false
	}
	value.items = slices.Clone(value.items)
	for i, item := range value.items {
		budget := maxReferences
		if full, ok := s.interpolate(item, maxInterpolation, &budget); ok {
			value.items[i] = full
		}
	}
	return value, true
}

// Bounds for references: how deep they may refer to others (what goes deeper is
// a loop), and how many there may be for one value.
const (
	maxInterpolation = 10
	maxReferences    = 1000
)

// interpolate replaces the references in text, and gives up where one leads nowhere.
func (s *Section) interpolate(text string, depth int, budget *int) (string, bool) {
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(text, "%(")
		if !found {
			b.WriteString(text)
			return b.String(), true
		}
		name, after, closed := strings.Cut(rest, ")")
		b.WriteString(before)
		if !closed || !strings.HasPrefix(after, "s") {
			// Not a reference; another may begin right behind these two characters.
			b.WriteString("%(")
			text = rest
			continue
		}
		value, where := s.lookUp(name)
		*budget--
		if where == nil || depth == 0 || *budget < 0 || b.Len() > maxFile {
			return "", false
		}
		full, ok := where.interpolate(value, depth-1, budget)
		if !ok {
			return "", false
		}
		b.WriteString(full)
		text = after[1:]
	}
}

// lookUp finds what a reference in s means: a string in s, in its section
// DEFAULT, or in those of the sections around it.
func (s *Section) lookUp(name string) (string, *Section) {
	for at := s; at != nil; at = at.parent {
		for _, where := range []*Section{at, at.Section("DEFAULT")} {
			if value, ok := where.Raw(name); ok && !value.list {
				return value.items[0], at
			}
		}
	}
	return "", nil
}

// Set gives key a value. An existing line keeps its place, indentation and
// comment; a new one goes behind the section's last. The error says that the
// format has no way to write the value.
func (s *Section) Set(key string, value Value) error {
	l := s.find(key)
	if l != nil && l.value.equal(value) {
		return nil
	}
	if s.Section(key) != nil {
		return fmt.Errorf("%s is a section", key)
	}
	written, err := quote(value)
	if err != nil {
		return fmt.Errorf("writing %s: %w", key, err)
	}
	s.document.closeLastLine()
	changed := line{pair: true, key: key, value: value, tail: s.document.newline}
	if l != nil {
		changed.head, changed.tail = l.head, l.tail
		if strings.Trim(changed.tail, "\r\n") == changed.tail {
			changed.tail += s.document.newline
		}
	} else {
		name, err := quoteItem(key)
		if err != nil {
			return fmt.Errorf("writing the key %s: %w", key, err)
		}
		changed.head = s.indentation() + name + " = "
	}
	changed.text = changed.head + written + changed.tail
	// The rules of quoting have holes: only what reads back as it was meant is written.
	if again, err := ParseDocument([]byte(changed.text)); err != nil || !again.root.holds(key, value) {
		return fmt.Errorf("writing %s: the format has no way to write %q", key, value.items)
	}
	if l != nil {
		*l = changed
		return nil
	}
	s.body = slices.Insert(s.body, s.end(), &changed)
	return nil
}

func (s *Section) holds(key string, value Value) bool {
	got, ok := s.Raw(key)
	return ok && got.equal(value)
}

// end is where in the body the next pair goes: behind the last one, or at the
// top. In the root's case the comments at the top of the file stay above.
func (s *Section) end() int {
	for i := len(s.body); i > 0; i-- {
		if s.body[i-1].pair {
			return i
		}
	}
	if s.header == nil {
		return len(s.body)
	}
	return 0
}

func (s *Section) indentation() string {
	from := s.header
	for _, l := range s.body {
		if l.pair {
			from = l
		}
	}
	if from == nil {
		return ""
	}
	return from.text[:len(from.text)-len(strings.TrimLeft(from.text, " \t"))]
}

// closeLastLine ends the last line of the file, for another may be put behind it.
func (d *Document) closeLastLine() {
	var last *line
	for l := range d.lines {
		last = l
	}
	if last != nil && !strings.HasSuffix(last.text, "\n") {
		last.text += d.newline
		last.tail += d.newline
	}
}

// Delete removes key. Comments above it stay.
func (s *Section) Delete(key string) {
	s.body = slices.DeleteFunc(s.body, func(l *line) bool { return l.pair && l.key == key })
}

// Add gives the section of that name in s, and makes it if there is none.
func (s *Section) Add(name string) (*Section, error) {
	if sub := s.Section(name); sub != nil {
		return sub, nil
	}
	if s.find(name) != nil {
		return nil, fmt.Errorf("%s is a key, not a section", name)
	}
	written, err := quoteItem(name)
	if err != nil {
		return nil, fmt.Errorf("writing the header of section %s: %w", name, err)
	}
	s.document.closeLastLine()
	depth := s.depth + 1
	header := strings.Repeat("[", depth) + written + strings.Repeat("]", depth)
	if got, _, brackets, ok := parseHeader(header); !ok || got != name || brackets != depth {
		return nil, fmt.Errorf("the format has no way to write a section named %q", name)
	}
	sub := &Section{document: s.document, parent: s, depth: depth, name: name, header: &line{text: header + s.document.newline}}
	s.sections = append(s.sections, sub)
	return sub, nil
}

// Remove removes the section of that name, with all that is in it.
func (s *Section) Remove(name string) {
	s.sections = slices.DeleteFunc(s.sections, func(sub *Section) bool { return sub.name == name })
}
