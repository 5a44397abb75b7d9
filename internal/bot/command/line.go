package command

import (
	"regexp"
	"slices"
	"strings"
)

// Read brings a command line into its normal form, by the rules that certbot's users know: the
// verb may stand anywhere, a long option may be shortened as long as it stays unique, and short
// options may be clustered ("-nvv") and joined with their value ("-da.example"). Unlike certbot
// it never takes the value of an option for the verb.
func (l *Language[T]) Read(argv []string) (Line, error) {
	var line Line
	if l.asksHelp(argv, &line) {
		return line, nil
	}
	for len(argv) > 0 {
		token := argv[0]
		argv = argv[1:]
		var err error
		switch {
		case strings.HasPrefix(token, "--") && token != "--":
			argv, err = l.long(&line, token[2:], argv)
		case strings.HasPrefix(token, "-") && len(token) > 1 && token != "--":
			argv, err = l.shorts(&line, token[1:], argv)
		default:
			err = l.word(&line, token)
		}
		if err != nil {
			return line, err
		}
	}
	if line.Verb == HelpVerb {
		line.Help = true
	}
	return line, nil
}

// asksHelp looks for --help, which may be followed by a topic, and wins over all else, mistakes included.
func (l *Language[T]) asksHelp(argv []string, line *Line) bool {
	i := slices.IndexFunc(argv, func(token string) bool { return token == "-h" || token == "--help" })
	if i < 0 {
		return false
	}
	line.Help = true
	if i+1 < len(argv) && l.isTopic(argv[i+1]) {
		line.Topic = argv[i+1]
		return true
	}
	for _, token := range argv {
		if l.isTopic(token) && token != HelpVerb {
			line.Topic = token
			break
		}
	}
	return true
}

func (l *Language[T]) isTopic(word string) bool {
	return word == "all" || word == "commands" || l.Verb(word) != nil ||
		slices.ContainsFunc(l.Topics, func(t Topic) bool { return t.Name == word })
}

// word takes a word that belongs to no option.
func (l *Language[T]) word(line *Line, word string) error {
	verb := l.Verb(word)
	switch {
	case line.Verb == "" && verb != nil:
		line.Verb = verb.Name
	case line.Verb == HelpVerb && line.Topic == "" && l.isTopic(word):
		line.Topic = word
	case line.Verb != "" && len(line.Words) < l.Verb(line.Verb).Words:
		line.Words = append(line.Words, word)
	default:
		return Usagef("unrecognized arguments: %s", word)
	}
	return nil
}

// long takes "name" or "name=value", and the value from rest where it has none.
func (l *Language[T]) long(line *Line, text string, rest []string) ([]string, error) {
	name, value, joined := strings.Cut(text, "=")
	row, err := l.find(name)
	if err != nil {
		return rest, err
	}
	if row.Arg == "" {
		if joined {
			return rest, Usagef("argument --%s: ignored explicit argument %q", row.Name, value)
		}
		line.add(row.Name, "")
		return rest, nil
	}
	if !joined {
		if value, rest, err = l.value(row, rest); err != nil {
			return rest, err
		}
	}
	line.add(row.Name, value)
	return rest, nil
}

// shorts takes a cluster of letters, of which the last may have a value.
func (l *Language[T]) shorts(line *Line, cluster string, rest []string) ([]string, error) {
	for i, letter := range cluster {
		row := l.letter(string(letter))
		if row == nil {
			return rest, Usagef("unrecognized arguments: -%s", cluster[i:])
		}
		if row.Arg == "" {
			if row.Name == HelpVerb {
				line.Help = true
			}
			line.add(row.Name, "")
			continue
		}
		value := strings.TrimPrefix(cluster[i+len(string(letter)):], "=")
		if value == "" {
			var err error
			if value, rest, err = l.value(row, rest); err != nil {
				return rest, err
			}
		}
		line.add(row.Name, value)
		break
	}
	return rest, nil
}

// number is what begins with "-" and still is a value.
var number = regexp.MustCompile(`^-(\d+|\d*\.\d+)$`)

// value takes the value of row from the arguments after it. What begins with "-" is one only if it cannot be an option.
func (l *Language[T]) value(row *Option[T], rest []string) (string, []string, error) {
	if len(rest) == 0 || l.looksLikeOption(rest[0]) {
		return "", rest, Usagef("argument %s: expected one argument", row.Spelling())
	}
	return rest[0], rest[1:], nil
}

func (l *Language[T]) looksLikeOption(text string) bool {
	switch {
	case !strings.HasPrefix(text, "-"), text == "-", number.MatchString(text):
		return false
	case !strings.Contains(text, " "):
		return true
	case strings.HasPrefix(text, "--"):
		name, _, _ := strings.Cut(text[2:], "=")
		_, err := l.find(name)
		return err == nil
	}
	return l.letter(text[1:2]) != nil
}

func (line *Line) add(name, value string) {
	line.Settings = append(line.Settings, Setting{Name: name, Value: value, Source: CLI})
}
