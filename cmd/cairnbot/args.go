package main

import (
	"fmt"
	"slices"
	"strings"
)

// invocation is a command line in its one normal form.
type invocation struct {
	verb      string   // "" if there was none
	topic     string   // after "help"
	arguments []string // "--name", "--name=value" with full names, in their order
}

// normalise brings a command line into its normal form, by the rules that certbot's
// users know: the verb may stand anywhere, a long option may be shortened as long
// as it stays unique, and short options may be clustered ("-nvv") and joined with
// their value ("-da.example"). Unlike certbot it never takes the value of an option for the verb.
func normalise(argv []string) (invocation, error) {
	var in invocation
	for len(argv) > 0 {
		token := argv[0]
		argv = argv[1:]
		var err error
		switch {
		case strings.HasPrefix(token, "--") && token != "--":
			argv, err = in.long(token[2:], argv)
		case strings.HasPrefix(token, "-") && len(token) > 1 && token != "--":
			argv, err = in.shorts(token[1:], argv)
		default:
			err = in.positional(token)
		}
		if err != nil {
			return in, err
		}
	}
	return in, nil
}

// positional takes a word that belongs to no option.
func (in *invocation) positional(word string) error {
	switch {
	case in.verb == "" && isVerb(word):
		in.verb = canonicalVerb(word)
	case in.verb == "help" && in.topic == "":
		in.topic = word
	default:
		return usagef("unrecognized arguments: %s", word)
	}
	return nil
}

// long takes "name" or "name=value", and the value from rest where it has none.
func (in *invocation) long(text string, rest []string) ([]string, error) {
	name, value, joined := strings.Cut(text, "=")
	row, err := findLong(name)
	if err != nil {
		return rest, err
	}
	if row.arg == "" {
		if joined {
			return rest, usagef("argument --%s: ignored explicit argument %q", row.name, value)
		}
		in.arguments = append(in.arguments, "--"+row.name)
		return rest, nil
	}
	if !joined {
		if value, rest, err = takeValue(row, rest); err != nil {
			return rest, err
		}
	}
	in.arguments = append(in.arguments, "--"+row.name+"="+value)
	return rest, nil
}

// shorts takes a cluster of letters, of which the last may have a value.
func (in *invocation) shorts(cluster string, rest []string) ([]string, error) {
	for i, letter := range cluster {
		index := slices.IndexFunc(table, func(row option) bool { return row.short == string(letter) })
		if index < 0 {
			return rest, usagef("unrecognized arguments: -%s", cluster[i:])
		}
		row := &table[index]
		if row.arg == "" {
			in.arguments = append(in.arguments, "--"+row.name)
			continue
		}
		value := strings.TrimPrefix(cluster[i+len(string(letter)):], "=")
		if value == "" {
			var err error
			if value, rest, err = takeValue(row, rest); err != nil {
				return rest, err
			}
		}
		in.arguments = append(in.arguments, "--"+row.name+"="+value)
		break
	}
	return rest, nil
}

// takeValue takes the value of row from the arguments after it.
func takeValue(row *option, rest []string) (string, []string, error) {
	if len(rest) == 0 || strings.HasPrefix(rest[0], "-") && len(rest[0]) > 1 {
		return "", rest, usagef("argument %s: expected one argument", row.spelling())
	}
	return rest[0], rest[1:], nil
}

// findLong finds the option that name is, or that only name can be short for.
func findLong(name string) (*option, error) {
	var candidates []*option
	var spellings []string
	for i := range table {
		row := &table[i]
		for _, spelling := range append([]string{row.name}, row.aliases...) {
			if spelling == name {
				return row, nil
			}
			if name != "" && strings.HasPrefix(spelling, name) {
				spellings = append(spellings, "--"+spelling)
				if !slices.Contains(candidates, row) {
					candidates = append(candidates, row)
				}
			}
		}
	}
	switch len(candidates) {
	case 0:
		return nil, usagef("unrecognized arguments: --%s", name)
	case 1:
		return candidates[0], nil
	default:
		return nil, usagef("ambiguous option: --%s could match %s", name, strings.Join(spellings, ", "))
	}
}

// spelling is how messages name the option: "-d/--domains".
func (row *option) spelling() string {
	if row.short == "" {
		return "--" + row.name
	}
	return fmt.Sprintf("-%s/--%s", row.short, row.name)
}
