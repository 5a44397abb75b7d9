package main

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// What the YAML library says of a value, as of its version 3.
var (
	yamlLine    = regexp.MustCompile(`^line \d+: |already defined at line \d+$`)
	yamlStart   = regexp.MustCompile(`^line \d+: `)
	yamlNumber  = regexp.MustCompile(`\d+`)
	yamlUnknown = regexp.MustCompile(`field (.+) not found in type \S+$`)
	yamlTime    = regexp.MustCompile(`line \d+: "(.*)" is not a time`)
	yamlType    = regexp.MustCompile("(?s)cannot unmarshal !!(\\S+)(?: `(.*)`)? into (\\S+)$")
)

// inWords says what is wrong with a section that was decoded from text: with the lines of the file, which
// section has, in the place of those of text, and with no names of Go's types.
func inWords(section *yaml.Node, text string, complaints []string) error {
	var again yaml.Node
	lines := map[int]int{}
	if yaml.Unmarshal([]byte(text), &again) == nil && len(again.Content) == 1 {
		matchLines(lines, again.Content[0], section)
	}
	said := make([]string, len(complaints))
	for i, complaint := range complaints {
		field := ""
		if len(again.Content) == 1 {
			field = fieldOf(again.Content[0], complaint)
		}
		complaint = yamlLine.ReplaceAllStringFunc(complaint, func(where string) string {
			return yamlNumber.ReplaceAllStringFunc(where, func(number string) string {
				if n, err := strconv.Atoi(number); err == nil && lines[n] != 0 {
					return strconv.Itoa(lines[n])
				}
				return number
			})
		})
		complaint = yamlUnknown.ReplaceAllString(complaint, `there is no key "$1"`)
		complaint = yamlType.ReplaceAllStringFunc(complaint, func(all string) string {
			parts := yamlType.FindStringSubmatch(all)
			return misfit(parts[1], parts[2], parts[3])
		})
		said[i] = yamlStart.ReplaceAllString(complaint, "${0}"+strings.ReplaceAll(field, "$", "$$"))
	}
	return errors.New(strings.Join(said, "; "))
}

// fieldOf returns the keys that lead to what a complaint is about, such as "devices: validity: ", or "".
func fieldOf(section *yaml.Node, complaint string) string {
	line, err := strconv.Atoi(yamlNumber.FindString(complaint))
	if err != nil {
		return ""
	}
	never := func(*yaml.Node) bool { return false }
	key, value := never, never
	if parts := yamlUnknown.FindStringSubmatch(complaint); parts != nil {
		key = func(n *yaml.Node) bool { return n.Line == line && n.Value == parts[1] }
	} else if parts := yamlType.FindStringSubmatch(complaint); parts != nil {
		kind := map[string]yaml.Kind{"seq": yaml.SequenceNode, "map": yaml.MappingNode}[parts[1]]
		value = func(n *yaml.Node) bool {
			if kind != 0 || n.Kind != yaml.ScalarNode {
				return n.Line == line && n.Kind == kind
			}
			return n.Line == line && strings.HasPrefix(n.Value, strings.TrimSuffix(parts[2], "..."))
		}
	} else if parts := yamlTime.FindStringSubmatch(complaint); parts != nil {
		value = func(n *yaml.Node) bool { return n.Line == line && strconv.Quote(n.Value) == `"`+parts[1]+`"` }
	}
	field, _ := wayTo(section, key, value)
	return field
}

// wayTo returns the keys that lead from node to the first key or value below it that is wanted.
func wayTo(node *yaml.Node, key, value func(*yaml.Node) bool) (string, bool) {
	for i, one := range node.Content {
		way := ""
		if node.Kind == yaml.MappingNode {
			if i%2 == 0 {
				if key(one) {
					return "", true
				}
				continue
			}
			way = node.Content[i-1].Value + ": "
		}
		if value(one) {
			return way, true
		}
		if below, ok := wayTo(one, key, value); ok {
			return way + below, true
		}
	}
	return "", false
}

// syntaxInWords says why a file is no YAML, with what is most often the reason.
func syntaxInWords(err error) string {
	said := strings.TrimPrefix(err.Error(), "yaml: ")
	if !yamlStart.MatchString(said) {
		said = "line 1: " + said // the library does not count it
	}
	switch {
	case strings.Contains(said, "cannot start any token"):
		return said + ": indent with spaces, not tabs, and put a text that begins with @ or ` into quotes"
	case strings.Contains(said, "mapping values are not allowed"), strings.Contains(said, "did not find expected key"):
		return said + ": indent all keys of a section alike, and put a text with a colon in it into quotes"
	}
	return said
}

// matchLines notes which line of b each line of a is, where both have the same content.
func matchLines(lines map[int]int, a, b *yaml.Node) {
	if lines[a.Line] == 0 {
		lines[a.Line] = b.Line
	}
	for i := range min(len(a.Content), len(b.Content)) {
		matchLines(lines, a.Content[i], b.Content[i])
	}
}

// misfit says that a value of a kind does not fit a Go type.
func misfit(kind, value, into string) string {
	found := strconv.Quote(value)
	switch kind {
	case "seq":
		found = "a list"
	case "map":
		found = "`key: value` lines"
	}
	wanted := "`key: value` lines"
	switch into = strings.TrimPrefix(into, "*"); {
	case strings.HasPrefix(into, "[]"):
		wanted = "a list, such as [ONE, ANOTHER]"
	case into == "bool":
		wanted = "true or false"
	case strings.HasPrefix(into, "int"), strings.HasPrefix(into, "uint"):
		wanted = "a whole number"
	case into == "string":
		wanted = "a text"
	}
	return fmt.Sprintf("%s is there, and it takes %s", found, wanted)
}
