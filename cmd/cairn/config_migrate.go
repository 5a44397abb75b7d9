package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"
)

// versionKey is the key that says for which keys a configuration file was written.
const versionKey = "version"

// configVersion is what changed in the keys of the file with one version.
type configVersion struct {
	number  int
	renamed map[string]string // keys at the top, from the old name to the new one
}

// configHistory lists the versions, the newest last.
type configHistory []configVersion

// configVersions is the history of the file. One without a version is from before they were counted, and has the keys of
// version 1.
func configVersions() configHistory {
	return configHistory{{number: 1}}
}

// newest is the version that is written today.
func (h configHistory) newest() int { return h[len(h)-1].number }

// newName is what key is called today, or "" if it never had another name.
func (h configHistory) newName(key string) (renamed string) {
	for _, version := range h {
		if name := version.renamed[key]; name != "" {
			key, renamed = name, name
		}
	}
	return renamed
}

// read reads the value of the key version.
func (h configHistory) read(value *yaml.Node) (int, error) {
	n, err := strconv.Atoi(value.Value)
	known := slices.ContainsFunc(h, func(v configVersion) bool { return v.number == n })
	switch {
	case value.Kind != yaml.ScalarNode || err != nil:
		return 0, fmt.Errorf("it takes a number: %d is the newest", h.newest())
	case n > h.newest():
		return 0, fmt.Errorf("the file is for a newer program: this one reads up to version %d", h.newest())
	case !known:
		return 0, fmt.Errorf("there is no version %d", n)
	}
	return n, nil
}

func newConfigMigrate() *cobra.Command {
	return &cobra.Command{
		Use:   "migrate FILE",
		Short: "Rewrite a configuration file of an older version to the keys of today, with its comments",
		Args:  takes(1, 1, "one configuration file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return migrateConfig(args[0], cmd.OutOrStdout())
		},
	}
}

// migrateConfig rewrites the file at path. It changes single words and leaves all else as it stands.
func migrateConfig(path string, out io.Writer) error {
	top, err := readYAML(path)
	if err != nil {
		return usageError{err}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	migrated, done, err := configVersions().migrate(text, top)
	if err != nil {
		return usageError{fmt.Errorf("%s: %w", path, err)}
	}
	if len(done) == 0 {
		fmt.Fprintf(out, "%s: nothing to do: it has version %d\n", path, configVersions().newest())
		return nil
	}
	if err := replaceFile(path, migrated); err != nil {
		return err
	}
	for _, change := range done {
		fmt.Fprintf(out, "%s: %s\n", path, change)
	}
	return nil
}

// migrate is text with the keys of today, and what was changed for that.
func (h configHistory) migrate(text []byte, top *yaml.Node) (migrated []byte, done []string, err error) {
	lines := strings.SplitAfter(string(text), "\n")
	version, first := 0, 1
	if top == nil {
		top = &yaml.Node{}
	}
	present := make(map[string]bool)
	for i := 0; i+1 < len(top.Content); i += 2 {
		present[top.Content[i].Value] = true
	}
	for i := 0; i+1 < len(top.Content); i += 2 {
		key, value := top.Content[i], top.Content[i+1]
		if i == 0 {
			first = key.Line
		}
		if key.Value == versionKey {
			if version, err = h.read(value); err != nil {
				return nil, nil, fmt.Errorf("line %d: %s: %w", key.Line, versionKey, err)
			}
			if version != h.newest() {
				replaceWord(lines, value, strconv.Itoa(h.newest()))
				done = append(done, fmt.Sprintf("line %d: the version is %d now", key.Line, h.newest()))
			}
		}
		renamed := h.newName(key.Value)
		if renamed == "" {
			continue
		}
		if present[renamed] {
			return nil, nil, fmt.Errorf("line %d: %s is called %s now, and that is there, too: remove one of them", key.Line, key.Value, renamed)
		}
		replaceWord(lines, key, renamed)
		done = append(done, fmt.Sprintf("line %d: %s is called %s now", key.Line, key.Value, renamed))
	}
	if version == 0 {
		if top.Style&yaml.FlowStyle != 0 {
			return nil, nil, errors.New("the file is one { }: write it as lines of `key: value`")
		}
		lines = slices.Insert(lines, first-1, fmt.Sprintf("%s: %d\n", versionKey, h.newest()))
		done = append(done, fmt.Sprintf("%s: %d was added", versionKey, h.newest()))
	}
	return []byte(strings.Join(lines, "")), done, nil
}

// replaceWord puts word in the place of the key or value that node is in lines.
func replaceWord(lines []string, node *yaml.Node, word string) {
	line := []rune(lines[node.Line-1])
	length := len([]rune(node.Value))
	if node.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0 {
		length += 2
	}
	start := node.Column - 1
	lines[node.Line-1] = string(line[:start]) + word + string(line[start+length:])
}

// replaceFile puts text in the place of the file at path, at once and with its mode.
func replaceFile(path string, text []byte) error {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	file, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.new")
	if err != nil {
		return fmt.Errorf("rewriting %s: %w", path, err)
	}
	defer os.Remove(file.Name())
	_, err = file.Write(text)
	err = errors.Join(err, file.Chmod(info.Mode().Perm()), file.Sync(), file.Close())
	if err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("rewriting %s: %w", path, err)
	}
	return nil
}
