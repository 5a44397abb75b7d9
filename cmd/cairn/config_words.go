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
	yamlNumber  = regexp.MustCompile(`\d+`)
	yamlUnknown = regexp.MustCompile(`field (.+) not found in type \S+$`)
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
		complaint = yamlLine.ReplaceAllStringFunc(complaint, func(where string) string {
			return yamlNumber.ReplaceAllStringFunc(where, func(number string) string {
				if n, err := strconv.Atoi(number); err == nil && lines[n] != 0 {
					return strconv.Itoa(lines[n])
				}
				return number
			})
		})
		complaint = yamlUnknown.ReplaceAllString(complaint, `there is no key "$1"`)
		said[i] = yamlType.ReplaceAllStringFunc(complaint, func(all string) string {
			parts := yamlType.FindStringSubmatch(all)
			return misfit(parts[1], parts[2], parts[3])
		})
	}
	return errors.New(strings.Join(said, "; "))
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
