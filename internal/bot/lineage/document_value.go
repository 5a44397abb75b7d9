package lineage

import (
	"errors"
	"fmt"
	"iter"
	"strings"
)

var errValue = errors.New("the value is badly quoted, or is a list with an empty item")

// Bounds for one value on one line. Those that people write have a hundredth of
// the length, and lead to no more than a few tries.
const (
	maxValue = 16 << 10
	maxTries = 1 << 20
)

// parseValue reads what stands after the equals sign: a string, a list, with or
// without a comment. The comment comes with the spaces before it.
func parseValue(s string) (value Value, comment string, err error) {
	if len(s) > maxValue {
		return Value{}, "", fmt.Errorf("the value has more than %d bytes", maxValue)
	}
	if plain := strings.TrimRightFunc(s, isSpace); plain != "" && !strings.ContainsAny(s, `,#"'`) {
		return String(plain), s[len(plain):], nil // as most are
	}
	v := valueReader{text: s, dead: make(map[int]bool)}
	if !v.read(0) {
		if rest, found := strings.CutPrefix(s, ","); found && onlyComment(rest) {
			return List(), rest, nil // a comma alone is the empty list
		}
		return Value{}, "", errValue
	}
	last := unquote(s[v.last:v.end])
	if v.last == 0 {
		return String(last), s[v.end:], nil
	}
	items, err := splitItems(s[:v.last])
	if err != nil {
		return Value{}, "", err
	}
	if v.end > v.last {
		items = append(items, last)
	}
	return List(items...), s[v.end:], nil
}

// valueReader finds the last item of a value, and its end. Whether a quote ends
// an item is known only when what follows makes sense, so it tries one after
// the other; dead keeps what did not lead anywhere.
type valueReader struct {
	text      string
	dead      map[int]bool
	tries     int
	last, end int
}

// read reads from at, where an item begins.
func (v *valueReader) read(at int) bool {
	if v.dead[at] {
		return false
	}
	for end := range v.ends(at) {
		if v.tries++; v.tries > maxTries {
			return false
		}
		rest := strings.TrimLeftFunc(v.text[end:], isSpace)
		if !strings.HasPrefix(rest, ",") {
			continue
		}
		behind := len(v.text) - len(rest) + 1
		next := len(v.text) - len(strings.TrimLeftFunc(rest[1:], isSpace))
		for ; next >= behind; next-- {
			if v.read(next) {
				return true
			}
		}
	}
	for end := range v.lastEnds(at) {
		if onlyComment(v.text[end:]) {
			v.last, v.end = at, end
			return true
		}
	}
	v.dead[at] = true
	return false
}

// ends yields where an item that begins at the given place, and has another
// behind it, may end.
func (v *valueReader) ends(at int) iter.Seq[int] {
	rest := v.text[at:]
	if rest != "" && isQuote(rest[0]) {
		return v.quotes(at)
	}
	comma := strings.IndexAny(rest, ",#")
	if comma <= 0 || rest[comma] == '#' {
		return none
	}
	return one(at + max(1, len(strings.TrimRightFunc(rest[:comma], isSpace))))
}

// lastEnds is ends for the last item, which may be empty.
func (v *valueReader) lastEnds(at int) iter.Seq[int] {
	rest := v.text[at:]
	if onlyComment(rest) {
		return one(at)
	}
	if isQuote(rest[0]) {
		return v.quotes(at)
	}
	end := strings.IndexAny(rest, ",#")
	switch {
	case strings.TrimLeftFunc(rest, isSpace) != rest:
		return none
	case end < 0:
		end = len(rest)
	case end == 0 || rest[end] == ',':
		return none
	}
	return one(at + len(strings.TrimRightFunc(rest[:end], isSpace)))
}

// quotes yields the ends of a quoted item.
func (v *valueReader) quotes(at int) iter.Seq[int] {
	return func(yield func(int) bool) {
		for end := at + 1; end < len(v.text); end++ {
			if v.text[end] == v.text[at] && !yield(end+1) {
				return
			}
		}
	}
}

func none(func(int) bool) {}

func one(end int) iter.Seq[int] { return func(yield func(int) bool) { yield(end) } }

// splitItems cuts the part of a list in which each item has a comma behind it.
func splitItems(s string) ([]string, error) {
	var items []string
	for s != "" {
		end := -1
		for at := 0; at < len(s) && end < 0; at++ {
			if rest := strings.TrimLeftFunc(s[at:], isSpace); strings.HasPrefix(rest, ",") &&
				(!isQuote(s[0]) || at > 1 && s[at-1] == s[0]) {
				end = at
			}
		}
		if end < 0 && isQuote(s[0]) { // a quote that nothing closes
			unquoted, _, _ := strings.Cut(s, ",")
			end = len(strings.TrimRightFunc(unquoted, isSpace))
		}
		if end <= 0 {
			return nil, errValue
		}
		items = append(items, unquote(s[:end]))
		_, behind, _ := strings.Cut(s[end:], ",")
		s = strings.TrimLeftFunc(behind, isSpace)
	}
	return items, nil
}

// quote writes a value as ConfigObj would, or says that it has no way to.
func quote(v Value) (string, error) {
	if !v.list {
		return quoteString(v.items[0])
	}
	if len(v.items) == 0 {
		return ",", nil
	}
	written := make([]string, len(v.items))
	for i, item := range v.items {
		var err error
		if written[i], err = quoteItem(item); err != nil {
			return "", err
		}
	}
	if len(written) == 1 {
		return written[0] + ",", nil
	}
	return strings.Join(written, ", "), nil
}

// quoteString writes a string that stands alone: it may have several lines, or both kinds of quotes.
func quoteString(s string) (string, error) {
	if !strings.Contains(s, "\n") && !(strings.Contains(s, `"`) && strings.Contains(s, `'`)) {
		return quoteItem(s)
	}
	for _, quotes := range []string{`"""`, `'''`} {
		if !strings.Contains(s, quotes) {
			return quotes + s + quotes, nil
		}
	}
	return "", fmt.Errorf("%q cannot be quoted", s)
}

// quoteItem writes an item of a list, a key or the name of a section: on one line.
func quoteItem(s string) (string, error) {
	switch {
	case s == "":
		return `""`, nil
	case strings.Contains(s, "\n"):
		return "", fmt.Errorf("%q cannot be quoted on one line", s)
	case !strings.ContainsAny(s, ",#") && strings.TrimFunc(s, isSpace) == s && !isQuote(s[0]) && !isQuote(s[len(s)-1]):
		return s, nil
	case !strings.Contains(s, `"`):
		return `"` + s + `"`, nil
	case !strings.Contains(s, `'`):
		return `'` + s + `'`, nil
	}
	return "", fmt.Errorf("%q has both kinds of quotes and cannot be quoted", s)
}
