// Package command reads the language of certbot's command line: rows of options, a verb that
// may stand anywhere, names that may be shortened, letters that may be clustered, and the
// files cli.ini behind them. It knows no option of its own: whoever uses it hands it a table.
//
// Nothing here is a peer's: argv and cli.ini are the operator's. They are still read within limits.
package command

import (
	"fmt"
	"slices"
	"strings"
)

// Source says who set an option.
type Source int

// The later ones win over the earlier ones.
const (
	Default Source = iota // nobody
	File                  // a cli.ini
	CLI                   // the command line
	Runtime               // the program, from an answer or from another option
)

// String is the source as messages name it.
func (s Source) String() string {
	return [...]string{"default", "file", "command line", "runtime"}[s]
}

// Option is a row of the table: one option, and all that is known about it. T is what its value goes into.
type Option[T any] struct {
	Name    string
	Aliases []string // other long names
	Short   string   // one letter, or ""
	Arg     string   // what the help calls its value; "" for a switch
	Help    string
	Default string   // what the help calls the default, or ""
	Topics  []string // headings of the help below which it stands; the first is its home
	Choices []string // what its value may be; nothing for anything
	AnyCase bool     // of Choices: in whatever case; the value becomes as Choices has it
	List    bool     // each mention adds to the others
	Hidden  bool     // not in the help: accepted for the sake of old scripts
	// Deprecated is accepted, does nothing, and is warned of.
	Deprecated bool
	Secret     bool // its value is for no log
	// Own is an option that certbot has not. It never makes a shortened name of certbot's ambiguous.
	Own bool
	// Dest names what it sets, where several options set the same. "" is Name.
	Dest string
	// Target is where its value goes: a *bool (set by being there), an Off, an *int, a *string, or a Value.
	Target func(*T) any
}

// Value takes the value of an option, once for each mention. A switch gets "true". An error of
// Usagef is one of usage; any other stays what it is.
type Value interface{ Set(text string) error }

// Off is the target of a switch that says no.
type Off struct{ Bool *bool }

// Dest is what the option sets.
func (o *Option[T]) dest() string {
	if o.Dest != "" {
		return o.Dest
	}
	return o.Name
}

// Spelling is how messages name the option, such as "-d/--domains".
func (o *Option[T]) Spelling() string {
	if o.Short == "" {
		return "--" + o.Name
	}
	return fmt.Sprintf("-%s/--%s", o.Short, o.Name)
}

// names are all of its long names.
func (o *Option[T]) names() []string { return append([]string{o.Name}, o.Aliases...) }

// Verb is a row of the table of verbs.
type Verb struct {
	Name    string
	Aliases []string
	Help    string // in one line
	Hidden  bool   // not in the help
	Removed string // why it is gone, for one that certbot had
	Words   int    // how many words may follow it that belong to no option
}

// Language is all that can be said on a command line.
type Language[T any] struct {
	Options []Option[T]
	Verbs   []Verb
	Topics  []Topic // what --help can be asked about, beside the verbs, "all" and "commands"
	// Explain says more about a long option that is not in the table. It gives "" where it knows nothing.
	Explain func(name string) string
	// Modifiers name, for what an option sets, what else counts as setting it (certbot's VAR_MODIFIERS).
	Modifiers map[string][]string
}

// HelpVerb is the verb that stands for --help.
const HelpVerb = "help"

// Setting is one mention of an option.
type Setting struct {
	Name   string // the full name, without "--"
	Value  string // "" for a switch
	Source Source
	Where  string // of a file: its path and line
}

// Line is a command line in its normal form.
type Line struct {
	Verb     string // its full name, or "" if there is none
	Help     bool   // all else is of no interest then
	Topic    string // of Help, or ""
	Words    []string
	Settings []Setting
}

// Say writes settings with their full names, without the values that are secret.
func (l *Language[T]) Say(settings []Setting) []string {
	var list []string
	for _, setting := range settings {
		text := "--" + setting.Name
		switch row := l.Option(setting.Name); {
		case row == nil || row.Arg == "":
		case row.Secret:
			text += "=(secret)"
		default:
			text += "=" + setting.Value
		}
		list = append(list, text)
	}
	return list
}

// UsageError is a command line, or a cli.ini, that cannot be understood.
type UsageError struct{ message string }

func (e *UsageError) Error() string { return e.message }

// Usagef makes a UsageError.
func Usagef(format string, args ...any) error {
	return &UsageError{fmt.Sprintf(format, args...)}
}

// Verb gives the verb that word is a name of, or nil.
func (l *Language[T]) Verb(word string) *Verb {
	for i := range l.Verbs {
		if l.Verbs[i].Name == word || slices.Contains(l.Verbs[i].Aliases, word) {
			return &l.Verbs[i]
		}
	}
	return nil
}

// Option gives the option with the long name, or nil.
func (l *Language[T]) Option(name string) *Option[T] {
	for i := range l.Options {
		if l.Options[i].Name == name || slices.Contains(l.Options[i].Aliases, name) {
			return &l.Options[i]
		}
	}
	return nil
}

// find finds the option that name is, or that only name can be short for.
func (l *Language[T]) find(name string) (*Option[T], error) {
	if row := l.Option(name); row != nil {
		return row, nil
	}
	// Old files name plugins with the package that they came from: certbot-dns-x:dns-x-credentials.
	if _, plain, ok := strings.Cut(name, ":"); ok {
		if row := l.Option(plain); row != nil {
			return row, nil
		}
	}
	for _, own := range []bool{false, true} {
		candidates, spellings := l.startingWith(name, own)
		switch len(candidates) {
		case 0:
		case 1:
			return candidates[0], nil
		default:
			return nil, Usagef("ambiguous option: --%s could match %s", name, strings.Join(spellings, ", "))
		}
	}
	if l.Explain != nil {
		if more := l.Explain(name); more != "" {
			return nil, Usagef("unrecognized arguments: --%s: %s", name, more)
		}
	}
	return nil, Usagef("unrecognized arguments: --%s", name)
}

// startingWith lists the options, and their names, that begin with prefix.
func (l *Language[T]) startingWith(prefix string, own bool) (rows []*Option[T], spellings []string) {
	if prefix == "" {
		return nil, nil
	}
	for i := range l.Options {
		row := &l.Options[i]
		if row.Own != own {
			continue
		}
		for _, spelling := range row.names() {
			if strings.HasPrefix(spelling, prefix) {
				spellings = append(spellings, "--"+spelling)
				if !slices.Contains(rows, row) {
					rows = append(rows, row)
				}
			}
		}
	}
	return rows, spellings
}

// letter finds the option of one letter, or nil.
func (l *Language[T]) letter(letter string) *Option[T] {
	for i := range l.Options {
		if l.Options[i].Short == letter {
			return &l.Options[i]
		}
	}
	return nil
}
