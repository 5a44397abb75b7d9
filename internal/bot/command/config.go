package command

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// maxConfig bounds a cli.ini. Those that people write have a dozen lines.
const maxConfig = 1 << 20

// pair is a line of a cli.ini.
type pair struct {
	key    string
	values []string
	list   bool // written in brackets
	line   int
}

// ReadConfig reads the text of a cli.ini: "key = value", a line each, where a key is the long
// name of an option. Switches are "key = true" or the key alone, lists are in brackets; "#" and
// ";" begin comments. A key that is no option is an error: it would be a setting without effect.
func (l *Language[T]) ReadConfig(path string, text []byte) ([]Setting, error) {
	if len(text) > maxConfig {
		return nil, Usagef("%s: it has more than %d bytes", path, maxConfig)
	}
	pairs, err := splitConfig(path, string(text))
	if err != nil {
		return nil, err
	}
	var settings []Setting
	for _, p := range pairs {
		where := fmt.Sprintf("%s:%d", path, p.line)
		row := l.Option(p.key)
		switch {
		case row == nil:
			return nil, l.unknownKey(where, p)
		case row.Arg == "":
			times, err := switched(where, p)
			if err != nil {
				return nil, err
			}
			for range times {
				settings = append(settings, Setting{Name: row.Name, Source: File, Where: where})
			}
		case p.list && !row.List:
			return nil, Usagef("%s: %s takes one value, and no list", where, p.key)
		default:
			for _, value := range p.values {
				settings = append(settings, Setting{Name: row.Name, Value: value, Source: File, Where: where})
			}
		}
	}
	return settings, nil
}

func (l *Language[T]) unknownKey(where string, p pair) error {
	more := ""
	if l.Explain != nil {
		if more = l.Explain(p.key); more != "" {
			more = ": " + more
		}
	}
	return Usagef("unrecognized arguments: --%s=%s (%s)%s", p.key, strings.Join(p.values, ","), where, more)
}

// maxTimes is how often a file can count a switch, such as "verbose = 3".
const maxTimes = 10

// switched reads the value of a switch: how often it is set.
func switched(where string, p pair) (int, error) {
	if !p.list {
		switch value := strings.ToLower(p.values[0]); value {
		case "true", "yes", "1":
			return 1, nil
		case "false", "no", "0":
			return 0, nil
		default:
			if n, err := strconv.Atoi(value); err == nil && n > 0 && n <= maxTimes {
				return n, nil
			}
		}
	}
	return 0, Usagef("%s: unexpected value for %s: %q. Expecting 'true', 'false', 'yes', 'no', '1' or '0'",
		where, p.key, strings.Join(p.values, ","))
}

// splitConfig finds the pairs of a file. Of a key that is there twice, the last counts.
func splitConfig(path, text string) ([]pair, error) {
	var pairs []pair
	number := 0
	for line := range strings.Lines(strings.TrimPrefix(text, "\ufeff")) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || strings.ContainsRune("#;[", rune(line[0])) || strings.HasPrefix(line, "---") {
			continue // blank, a comment, or a heading, which means nothing
		}
		p, ok := splitPair(line)
		if !ok {
			return nil, Usagef("%s:%d: this line is not understood: %s", path, number, line)
		}
		p.line = number
		for i := range pairs {
			if pairs[i].key == p.key {
				pairs = append(pairs[:i], pairs[i+1:]...)
				break
			}
		}
		pairs = append(pairs, p)
	}
	return pairs, nil
}

const blanks = " \t\r\f\v"

// splitPair reads one line, which is not blank.
func splitPair(line string) (pair, bool) {
	end := strings.IndexAny(line, ":=;#"+blanks)
	if end < 0 {
		end = len(line)
	}
	p := pair{key: strings.TrimPrefix(line[:end], "--"), values: []string{"true"}}
	if p.key == "" {
		return p, false
	}
	rest := strings.TrimLeft(line[end:], blanks)
	switch {
	case rest == "" || end < len(line) && len(rest) < len(line[end:]) && isComment(rest):
		return p, true
	case rest[0] == ':' || rest[0] == '=':
		rest = strings.TrimLeft(rest[1:], blanks)
	case isComment(rest):
		return p, false // "key#"
	}
	value := cutComment(rest)
	if strings.HasPrefix(value, "[") && strings.HasSuffix(value, "]") {
		p.list, p.values = true, splitList(value)
		return p, true
	}
	p.values = []string{value}
	return p, true
}

func isComment(text string) bool { return text[0] == ';' || text[0] == '#' }

// cutComment takes a comment, which follows a blank, and quotes, if they are around all of it, off a value.
func cutComment(text string) string {
	if text != "" && (text[0] == '"' || text[0] == '\'') {
		for i := 1; i < len(text); i++ {
			if text[i] != text[0] {
				continue
			}
			rest := strings.TrimLeft(text[i+1:], blanks)
			if rest == "" || len(rest) < len(text[i+1:]) && isComment(rest) {
				return text[1:i]
			}
		}
	}
	for i := range text {
		if i > 0 && isComment(text[i:]) && strings.ContainsRune(blanks, rune(text[i-1])) {
			text = text[:i]
			break
		}
	}
	return strings.TrimRight(text, blanks)
}

// splitList reads "[a, b]", or the same in JSON.
func splitList(text string) []string {
	var items []any
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	var values []string
	if decoder.Decode(&items) == nil {
		for _, item := range items {
			values = append(values, fmt.Sprint(item))
		}
		return values
	}
	for item := range strings.SplitSeq(text[1:len(text)-1], ",") {
		values = append(values, strings.TrimSpace(item))
	}
	return values
}
