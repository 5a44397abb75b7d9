package command

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Sources says who set what. Its keys are what options set: see Option.Dest.
type Sources struct {
	by        map[string]Source
	modifiers map[string][]string
}

// Of says who set dest last.
func (s Sources) Of(dest string) Source { return s.by[dest] }

// Set notes that the program set dest.
func (s Sources) Set(dest string) { s.by[dest] = Runtime }

// ByUser reports whether dest was set by anybody, or something else was that counts as setting it.
func (s Sources) ByUser(dest string) bool {
	if s.by[dest] != Default {
		return true
	}
	return slices.ContainsFunc(s.modifiers[dest], s.ByUser)
}

// Overlay orders settings from several places by who wins. files are in the order in which they
// were read: of two that speak of an option the later one alone is heard, and the command line
// over both. So it is with lists, too: they are replaced, not joined.
func (l *Language[T]) Overlay(files [][]Setting, line []Setting) []Setting {
	layers := append(slices.Clone(files), line)
	var result []Setting
	for i, layer := range layers {
		for _, setting := range layer {
			dest := l.destOf(setting)
			later := slices.ContainsFunc(layers[i+1:], func(over []Setting) bool {
				return slices.ContainsFunc(over, func(s Setting) bool { return l.destOf(s) == dest })
			})
			if !later {
				result = append(result, setting)
			}
		}
	}
	return result
}

func (l *Language[T]) destOf(s Setting) string {
	if row := l.Option(s.Name); row != nil {
		return row.dest()
	}
	return s.Name
}

// Apply puts settings into target, in their order. Deprecated are the options that were
// given and do nothing.
func (l *Language[T]) Apply(target *T, settings []Setting) (sources Sources, deprecated []string, err error) {
	sources = Sources{by: make(map[string]Source), modifiers: l.Modifiers}
	for _, setting := range settings {
		row := l.Option(setting.Name)
		if row == nil {
			return sources, nil, Usagef("unrecognized arguments: --%s", setting.Name)
		}
		if row.Deprecated {
			if !slices.Contains(deprecated, row.Name) {
				deprecated = append(deprecated, row.Name)
			}
			continue
		}
		if err := row.apply(target, setting.Value); err != nil {
			return sources, nil, row.wrong(setting, err)
		}
		sources.by[row.dest()] = setting.Source
	}
	return sources, deprecated, nil
}

// errInvalid is a value of the wrong kind.
var errInvalid = errors.New("invalid value")

// apply puts one value into target.
func (o *Option[T]) apply(target *T, value string) error {
	if len(o.Choices) > 0 {
		i := slices.IndexFunc(o.Choices, func(choice string) bool {
			return choice == value || o.AnyCase && strings.EqualFold(choice, value)
		})
		if i < 0 {
			return Usagef("invalid choice: '%s' (choose from '%s')", value, strings.Join(o.Choices, "', '"))
		}
		value = o.Choices[i]
	}
	switch to := o.Target(target).(type) {
	case *bool:
		*to = true
	case Off:
		*to.Bool = false
	case *string:
		*to = value
	case *int:
		n, err := strconv.Atoi(strings.TrimSpace(value))
		if err != nil {
			return Usagef("invalid int value: '%s'", value)
		}
		*to = n
	case Value:
		return to.Set(value)
	default:
		return fmt.Errorf("%w: the table has no place for it", errInvalid)
	}
	return nil
}

// wrong says which option a mistake is in.
func (o *Option[T]) wrong(setting Setting, err error) error {
	var usage *UsageError
	if !errors.As(err, &usage) {
		return err
	}
	where := ""
	if setting.Where != "" {
		where = " (" + setting.Where + ")"
	}
	return Usagef("argument %s: %s%s", o.Spelling(), usage.message, where)
}
