package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"

	"github.com/cairn-ca/cairn/internal/ca"
)

// section is a part of the configuration file that is more than a flag: a pointer to
// a struct that YAML is decoded into, strictly.
type section interface {
	// apply checks the section and puts it into c. An error names the field and what it takes.
	apply(c *ca.Config) error
}

// sections lists the sections by their names, empty.
func sections() map[string]section {
	return map[string]section{
		"caa":               new(caaSection),
		"challenges":        new(challengesSection),
		"dns":               new(dnsSection),
		"evidence":          new(evidenceSection),
		"perspectives":      new(perspectivesSection),
		"external_accounts": new(externalAccountsSection),
		"limits":            new(limitsSection),
		"profiles":          new(profilesSection),
		"front":             new(frontSection),
		"work":              new(workSection),
		"signer":            new(signerSection),
		"validator":         new(validatorSection),
		"crl":               new(crlSection),
		"retention":         new(retentionSection),
	}
}

// maxConfig bounds the configuration file, in octets.
const maxConfig = 1 << 20

// notInFile are the flags that make no sense in the file.
var notInFile = []string{"config", "help", "new-root", "roles", "calls", "advertise"}

// configFile is a configuration file that has been read: its sections, to be applied.
type configFile struct {
	path     string
	sections map[string]section // those that the file has
	lines    map[string]int
	nodes    map[string]*yaml.Node
}

// readConfig reads the configuration file at path. What has the name of a flag of `cairn up`, with
// "_" for "-", stands for the flag; one that was given on the command line wins. The rest
// are sections. Whatever else is in the file is an error that says where.
func readConfig(path string, flags *pflag.FlagSet) (configFile, error) {
	c, wrong := readWholeConfig(path, flags)
	if len(wrong) > 0 {
		return c, wrong[0]
	}
	return c, nil
}

// readWholeConfig is readConfig that goes on after what is wrong with one key.
func readWholeConfig(path string, flags *pflag.FlagSet) (c configFile, wrong []error) {
	c = configFile{path: path, sections: map[string]section{}, lines: map[string]int{}, nodes: map[string]*yaml.Node{}}
	top, err := readYAML(path)
	if err != nil {
		return c, []error{err}
	}
	if top == nil {
		return c, nil
	}
	known := sections()
	for i := 0; i+1 < len(top.Content); i += 2 {
		key, value := top.Content[i], top.Content[i+1]
		if err := c.take(known, flags, key.Value, value); err != nil {
			err = fmt.Errorf("%s: line %d: %s: %w", path, key.Line, key.Value, err)
			wrong = append(wrong, withHint(err, "%s shows what can be in the file", pageOf(key.Value)))
		}
		if c.lines[key.Value] == 0 {
			c.lines[key.Value], c.nodes[key.Value] = key.Line, value
		}
	}
	return c, wrong
}

// take reads one key of the file.
func (c configFile) take(known map[string]section, flags *pflag.FlagSet, key string, value *yaml.Node) error {
	flag := flags.Lookup(strings.ReplaceAll(key, "_", "-"))
	switch {
	case c.lines[key] != 0:
		return errors.New("it is there twice")
	case key == versionKey:
		_, err := configVersions().read(value)
		return err
	case known[key] != nil:
		c.sections[key] = known[key]
		return decodeStrictly(value, known[key])
	case flag != nil && !strings.Contains(key, "-") && !slices.Contains(notInFile, flag.Name):
		return setFlag(flag, value)
	case flag != nil && slices.Contains(notInFile, flag.Name):
		return fmt.Errorf("it is said on the command line alone, as --%s", flag.Name)
	case flag != nil:
		return fmt.Errorf("here it is written %s", strings.ReplaceAll(flag.Name, "-", "_"))
	}
	if renamed := configVersions().newName(key); renamed != "" {
		return fmt.Errorf("it is called %s now: `cairn config migrate %s` rewrites the file", renamed, c.path)
	}
	return fmt.Errorf("there is no such key: the sections are %s, all others are flags of `cairn up`, with _ for -",
		strings.Join(sectionNames(known), ", "))
}

// apply puts the sections into config.
func (c configFile) apply(config *ca.Config) error {
	if wrong := c.applyAll(config); len(wrong) > 0 {
		return wrong[0]
	}
	return nil
}

// applyAll is apply that goes on after what is wrong with one section.
func (c configFile) applyAll(config *ca.Config) (wrong []error) {
	for _, name := range sectionNames(c.sections) {
		if err := c.sections[name].apply(config); err != nil {
			wrong = append(wrong, usageError{fmt.Errorf("%s: line %d: %s: %w", c.path, c.lines[name], name, err)})
		}
	}
	return wrong
}

// pageOf returns the page of the documentation about a section; of all else it is that about the file.
func pageOf(section string) string {
	switch section {
	case "challenges":
		return "docs/validation.md"
	case "front", "work", "signer", "validator", "crl", "database":
		return "docs/cluster.md"
	case "limits", "perspectives", "profiles":
		return "docs/" + section + ".md"
	}
	return "docs/operating.md"
}

func sectionNames(of map[string]section) []string {
	var names []string
	for name := range of {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// readYAML reads the one mapping that the file is; nil for an empty file.
func readYAML(path string) (*yaml.Node, error) {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: there is no such file", path)
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxConfig+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	if len(text) > maxConfig {
		return nil, fmt.Errorf("%s: it is larger than %d octets", path, maxConfig)
	}
	var document, another yaml.Node
	documents := yaml.NewDecoder(bytes.NewReader(text))
	if err := documents.Decode(&document); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: %s", path, syntaxInWords(err))
	}
	if len(document.Content) == 0 {
		return nil, nil
	}
	if err := documents.Decode(&another); err == nil {
		return nil, fmt.Errorf("%s: line %d: it goes on after a line ---, and only one document is read: remove that line", path, another.Line)
	} else if !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: %s", path, syntaxInWords(err))
	}
	if top := document.Content[0]; top.Kind == yaml.MappingNode {
		return top, nil
	}
	return nil, fmt.Errorf("%s: it is not a list of `key: value` lines", path)
}

// decodeStrictly refuses what into does not have.
func decodeStrictly(value *yaml.Node, into any) error {
	text, err := yaml.Marshal(value)
	if err != nil {
		return err
	}
	decoder := yaml.NewDecoder(strings.NewReader(string(text)))
	decoder.KnownFields(true)
	err = decoder.Decode(into)
	var wrong *yaml.TypeError
	if errors.As(err, &wrong) {
		return inWords(value, string(text), wrong.Errors)
	}
	if errors.Is(err, io.EOF) {
		return nil // the section is empty
	}
	return err
}

// setFlag gives flag what stands in the file, one value or a list, unless the command line had its say.
func setFlag(flag *pflag.Flag, value *yaml.Node) error {
	values := []*yaml.Node{value}
	if value.Kind == yaml.SequenceNode {
		values = value.Content
		if !strings.HasSuffix(flag.Value.Type(), "Array") && !strings.HasSuffix(flag.Value.Type(), "Slice") {
			return errors.New("it takes one value, not a list")
		}
	}
	if flag.Changed {
		return nil
	}
	for _, one := range values {
		if one.Kind != yaml.ScalarNode {
			return errors.New("it takes a value, or a list of values")
		}
		if one.Tag == "!!null" {
			return errors.New("it has no value: write one, or remove the line")
		}
		if err := flag.Value.Set(one.Value); err != nil {
			return err
		}
	}
	return nil
}
