package lineage

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxFile bounds the files that are read whole: renewal configurations, keys,
// certificates, accounts. The largest sensible ones have a hundredth of it.
const maxFile = 1 << 20

const byteOrderMark = "\ufeff"

// ParseDocument reads a file in the format of ConfigObj.
func ParseDocument(text []byte) (*Document, error) {
	if len(text) > maxFile {
		return nil, fmt.Errorf("the file has more than %d bytes", maxFile)
	}
	if !utf8.Valid(text) {
		return nil, fmt.Errorf("the file is not in UTF-8")
	}
	d := &Document{newline: "\n"}
	rest, marked := strings.CutPrefix(string(text), byteOrderMark)
	if marked {
		d.mark = byteOrderMark
	}
	if first, _, found := strings.Cut(rest, "\n"); found && strings.HasSuffix(first, "\r") {
		d.newline = "\r\n"
	}
	d.root = &Section{document: d}
	p := parser{lines: strings.SplitAfter(rest, "\n"), section: d.root}
	for p.next < len(p.lines) {
		number := p.next + 1
		if err := p.step(); err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
	}
	return d, nil
}

type parser struct {
	lines   []string
	next    int
	section *Section       // where what comes next belongs
	taken   map[place]bool // nil while there are few
}

// place is where a key or a section is, of which there can be only one.
type place struct {
	section *Section
	name    string
}

// few is up to how many lines looking through them is cheaper than to keep a map.
const few = 64

// take reports whether the place was free.
func (p *parser) take(section *Section, name string) bool {
	if len(p.lines) <= few {
		return section.find(name) == nil && section.Section(name) == nil
	}
	if p.taken == nil {
		p.taken = make(map[place]bool)
	}
	at := place{section, name}
	free := !p.taken[at]
	p.taken[at] = true
	return free
}

// step takes in the next line, or several that make one value.
func (p *parser) step() error {
	text := p.lines[p.next]
	p.next++
	bare := strings.TrimRight(text, "\r\n")
	trimmed := strings.TrimFunc(bare, isSpace)
	if trimmed == "" || trimmed[0] == '#' {
		if text != "" {
			p.section.body = append(p.section.body, &line{text: text})
		}
		return nil
	}
	if name, closing, opening, ok := parseHeader(bare); ok {
		if opening != closing {
			return fmt.Errorf("%d brackets are opened and %d closed", opening, closing)
		}
		return p.open(name, opening, text)
	}
	l, err := p.pair(text, bare)
	if err != nil {
		return err
	}
	if !p.take(p.section, l.key) {
		return fmt.Errorf("%s occurs twice", l.key)
	}
	p.section.body = append(p.section.body, l)
	return nil
}

// open begins a section.
func (p *parser) open(name string, depth int, text string) error {
	parent := p.section
	if depth > parent.depth+1 {
		return fmt.Errorf("section %s is nested too deep", name)
	}
	for parent.depth >= depth {
		parent = parent.parent
	}
	if !p.take(parent, name) {
		return fmt.Errorf("section %s occurs twice", name)
	}
	p.section = &Section{document: parent.document, parent: parent, depth: depth, name: name, header: &line{text: text}}
	parent.sections = append(parent.sections, p.section)
	return nil
}

// pair reads key = value.
func (p *parser) pair(text, bare string) (*line, error) {
	key, at, ok := parseKey(bare)
	if !ok {
		return nil, fmt.Errorf("%.60q is neither a section nor key = value", bare)
	}
	l := &line{pair: true, key: key, head: bare[:at]}
	written := bare[at:]
	for _, quotes := range []string{`"""`, `'''`} {
		if strings.HasPrefix(written, quotes) {
			return l, p.triple(l, text, quotes)
		}
	}
	value, comment, err := parseValue(written)
	if err != nil {
		return nil, err
	}
	l.value, l.text = value, text
	l.tail = text[at+len(written)-len(comment):]
	return l, nil
}

// triple reads a value in triple quotes, which may span lines.
func (p *parser) triple(l *line, text, quotes string) error {
	l.text = text
	inner := strings.TrimRight(text, "\r\n")[len(l.head)+3:]
	if value, comment, ok := cutTriple(inner, quotes); ok {
		l.value = String(value)
		l.tail = text[len(l.head)+3+len(inner)-len(comment):]
		return nil
	}
	if strings.Contains(inner, quotes) {
		return fmt.Errorf("something follows the closing %s", quotes)
	}
	for whole := inner; p.next < len(p.lines); {
		text := p.lines[p.next]
		bare := strings.TrimRight(text, "\r\n")
		p.next++
		l.text += text
		if !strings.Contains(bare, quotes) {
			whole += "\n" + bare
			continue
		}
		value, comment, ok := cutTriple(bare, quotes)
		if !ok {
			return fmt.Errorf("something follows the closing %s", quotes)
		}
		l.value = String(whole + "\n" + value)
		l.tail = text[len(bare)-len(comment):]
		return nil
	}
	return fmt.Errorf("there is no closing %s", quotes)
}

// cutTriple cuts s at the first closing quotes that nothing but a comment
// follows. The comment comes with the spaces before it.
func cutTriple(s, quotes string) (value, comment string, ok bool) {
	for at := 0; ; at++ {
		next := strings.Index(s[at:], quotes)
		if next < 0 {
			return "", "", false
		}
		at += next
		if onlyComment(s[at+3:]) {
			return s[:at], s[at+3:], true
		}
	}
}

// onlyComment reports whether nothing but spaces and a comment is left.
func onlyComment(s string) bool {
	s = strings.TrimLeftFunc(s, isSpace)
	return s == "" || s[0] == '#'
}

// isSpace knows what Python's regular expressions call white space.
func isSpace(r rune) bool { return unicode.IsSpace(r) || r >= 0x1c && r <= 0x1f }

func isQuote(c byte) bool { return c == '"' || c == '\'' }

// unquote takes off one pair of quotes.
func unquote(s string) string {
	if len(s) > 0 && isQuote(s[0]) && s[0] == s[len(s)-1] {
		return s[1:max(1, len(s)-1)]
	}
	return s
}

// Bounds for headers: certbot's have two brackets and a short name.
const (
	maxHeader   = 4 << 10
	maxBrackets = 16
)

// parseHeader reads [name] or [[name]], which a comment may follow.
func parseHeader(s string) (name string, closing, opening int, ok bool) {
	s = strings.TrimLeftFunc(s, isSpace)
	var after []string // what follows the first bracket, the second, …
	if len(s) > maxHeader {
		return "", 0, 0, false
	}
	for rest := s; strings.HasPrefix(rest, "[") && len(after) < maxBrackets; {
		rest = strings.TrimLeftFunc(rest[1:], isSpace)
		after = append(after, rest)
	}
	// A name may itself begin with brackets, where there is no other way to read the line.
	for opening = len(after); opening > 0; opening-- {
		rest := after[opening-1]
		if rest == "" {
			continue
		}
		quoted := isQuote(rest[0])
		for at := 0; at < len(rest); at++ {
			if at == 0 || quoted && (rest[at-1] != rest[0] || strings.TrimFunc(rest[1:max(1, at-1)], isSpace) == "") {
				continue
			}
			if n, ok := closeHeader(rest[at:]); ok {
				return unquote(strings.TrimRightFunc(rest[:at], isSpace)), n, opening, true
			}
		}
	}
	return "", 0, 0, false
}

// closeHeader counts the brackets that close a header, if that and a comment is all there is.
func closeHeader(s string) (closing int, ok bool) {
	for {
		s = strings.TrimLeftFunc(s, isSpace)
		if !strings.HasPrefix(s, "]") {
			return closing, closing > 0 && onlyComment(s)
		}
		s = s[1:]
		closing++
	}
}

// parseKey finds the key of "key = value" and where the value begins.
func parseKey(s string) (key string, value int, ok bool) {
	start := len(s) - len(strings.TrimLeftFunc(s, isSpace))
	if key, value, ok = parseKeyAt(s, start); !ok && start > 0 {
		// Where that is no key, ConfigObj takes the last space of the indentation for its first letter.
		_, size := utf8.DecodeLastRuneInString(s[:start])
		return parseKeyAt(s, start-size)
	}
	return key, value, ok
}

func parseKeyAt(s string, start int) (key string, value int, ok bool) {
	rest := s[start:]
	if rest == "" || rest[0] == '=' {
		return "", 0, false
	}
	for end := 0; ; end++ {
		equals := strings.IndexByte(rest[end:], '=')
		if equals < 0 {
			return "", 0, false
		}
		end += equals
		_, size := utf8.DecodeRuneInString(rest)
		key = rest[:size] + strings.TrimRightFunc(rest[size:end], isSpace)
		if isQuote(rest[0]) && (len(key) < 2 || key[len(key)-1] != key[0]) {
			continue // the sign is within the quotes
		}
		behind := strings.TrimLeftFunc(rest[end+1:], isSpace)
		return unquote(key), len(s) - len(behind), true
	}
}
