package adopt

import (
	"fmt"
	"strings"
)

// assignments reads a file of the shell's that only sets variables, without a shell: NAME=VALUE lines, of which the value
// is plain, in quotes, or has variables in it that were set before or are in known. Anything else is listed, by line, in others: it
// takes a shell to know what it does, and none is started. So is what would be too long.
func assignments(content string, known map[string]string) (values map[string]string, others []int) {
	values = make(map[string]string)
	size := 0
	for name, value := range known {
		values[name] = value
	}
	for i, line := range strings.Split(content, "\n") {
		line = strings.TrimSpace(strings.TrimSuffix(line, "\r"))
		line = strings.TrimPrefix(line, "export ")
		if line == "" || line[0] == '#' {
			continue
		}
		name, rest, ok := strings.Cut(line, "=")
		if !ok || !isName(name) {
			others = append(others, i+1)
			continue
		}
		value, ok := word(rest, values)
		if !ok {
			others = append(others, i+1)
			continue
		}
		if size += len(value); size > maxValues {
			return values, append(others, i+1)
		}
		values[name] = value
	}
	return values, others
}

func isName(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return r != '_' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	}) && (s[0] < '0' || s[0] > '9')
}

// maxValue bounds what variables in variables can grow to.
const maxValue = 64 << 10

// maxValues bounds what all of a file's come to: each can be as long as that, by a few letters.
const maxValues = 4 << 20

// word reads one word of the shell's, to the end of the line.
func word(s string, known map[string]string) (string, bool) {
	var b strings.Builder
	for s != "" && b.Len() < maxValue {
		switch c := s[0]; {
		case c == '\'':
			quoted, rest, ok := strings.Cut(s[1:], "'")
			if !ok {
				return "", false
			}
			b.WriteString(quoted)
			s = rest
		case c == '"':
			rest, ok := doubleQuoted(&b, s[1:], known)
			if !ok {
				return "", false
			}
			s = rest
		case c == '\\':
			if len(s) < 2 {
				return "", false // it goes on in the next line
			}
			b.WriteByte(s[1])
			s = s[2:]
		case c == '$':
			rest, ok := variable(&b, s[1:], known)
			if !ok {
				return "", false
			}
			s = rest
		case c == ' ' || c == '\t':
			rest := strings.TrimLeft(s, " \t")
			return b.String(), rest == "" || rest[0] == '#'
		case strings.IndexByte("`;&|<>()*?[]{}~", c) >= 0:
			return "", false
		default:
			b.WriteByte(c)
			s = s[1:]
		}
	}
	return b.String(), b.Len() < maxValue
}

// doubleQuoted reads up to the closing quote, in which variables count.
func doubleQuoted(b *strings.Builder, s string, known map[string]string) (rest string, ok bool) {
	for s != "" && b.Len() < maxValue {
		switch c := s[0]; {
		case c == '"':
			return s[1:], true
		case c == '\\' && len(s) > 1:
			if strings.IndexByte("$`\"\\", s[1]) < 0 {
				b.WriteByte('\\')
			}
			b.WriteByte(s[1])
			s = s[2:]
		case c == '`' || c == '\\':
			return "", false
		case c == '$':
			if s, ok = variable(b, s[1:], known); !ok {
				return "", false
			}
		default:
			b.WriteByte(c)
			s = s[1:]
		}
	}
	return "", false
}

// variable reads NAME or {NAME} after a dollar sign.
func variable(b *strings.Builder, s string, known map[string]string) (rest string, ok bool) {
	name := s
	if braced, found := strings.CutPrefix(s, "{"); found {
		if name, rest, found = strings.Cut(braced, "}"); !found {
			return "", false
		}
	} else {
		end := 0
		for end < len(s) && isName(s[:end+1]) {
			end++
		}
		name, rest = s[:end], s[end:]
	}
	value, set := known[name]
	if !isName(name) || !set {
		return "", false
	}
	b.WriteString(value)
	return rest, true
}

// lines names lines for people.
func lines(numbers []int) string {
	const most = 5
	text := strings.Trim(fmt.Sprint(numbers[:min(len(numbers), most)]), "[]")
	if len(numbers) > most {
		text += " …"
	}
	return strings.ReplaceAll(text, " ", ", ")
}
