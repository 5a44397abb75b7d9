package command

import (
	"fmt"
	"io"
	"strings"
)

// Shells are those for which Completion has something.
func Shells() []string { return []string{"bash", "zsh", "fish"} }

// Completion writes what makes a shell complete the program's command lines.
func (m *Manual[T]) Completion(w io.Writer, shell string) error {
	write := map[string]func(*strings.Builder){"bash": m.bash, "zsh": m.zsh, "fish": m.fish}[shell]
	if write == nil {
		return Usagef("there is completion for %s, and not for %q", strings.Join(Shells(), ", "), shell)
	}
	var b strings.Builder
	write(&b)
	_, err := io.WriteString(w, b.String())
	return err
}

// completed are the options that are completed.
func (m *Manual[T]) completed() []*Option[T] {
	return m.rows(func(*Option[T]) bool { return true })
}

// values says what can follow an option: words, or a file, or a directory.
func values[T any](o *Option[T]) (words []string, file, dir bool) {
	return o.Choices, o.Arg == "FILE" || o.Arg == "PROGRAM", o.Arg == "DIR"
}

// single is text in a shell's single quotes.
func single(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

func (m *Manual[T]) verbNames() []string {
	var names []string
	for _, v := range m.Advertised() {
		names = append(names, v.Name)
	}
	return names
}

// certificateNames is how a shell finds the names of certificates. It fails where others may not look.
const certificateNames = `(ls /etc/letsencrypt/renewal 2>/dev/null | sed -n 's/\.conf$//p')`

func (m *Manual[T]) bash(b *strings.Builder) {
	var options, files, dirs []string
	choices := ""
	for _, row := range m.completed() {
		options = append(options, row.spellings()...)
		words, file, dir := values(row)
		pattern := strings.Join(row.spellings(), "|")
		switch {
		case row.Name == "cert-name":
			choices += fmt.Sprintf("\t%s) COMPREPLY=($(compgen -W \"$%s\" -- \"$cur\")); return ;;\n", pattern, certificateNames)
		case len(words) > 0:
			choices += fmt.Sprintf("\t%s) COMPREPLY=($(compgen -W %s -- \"$cur\")); return ;;\n", pattern, single(strings.Join(words, " ")))
		case file:
			files = append(files, pattern)
		case dir:
			dirs = append(dirs, pattern)
		case row.Arg != "":
			choices += fmt.Sprintf("\t%s) return ;;\n", pattern)
		}
	}
	fmt.Fprintf(b, `# Completion of %[1]s for bash, made by "%[1]s completion bash".
_%[1]s() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} word verb=
	COMPREPLY=()
	case $prev in
%[2]s	%[3]s) COMPREPLY=($(compgen -f -- "$cur")); return ;;
	%[4]s) COMPREPLY=($(compgen -d -- "$cur")); return ;;
	esac
	for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
		case " %[5]s " in *" $word "*) verb=$word ;; esac
	done
	case $cur in
	-*) COMPREPLY=($(compgen -W %[6]s -- "$cur")) ;;
	*) [ -n "$verb" ] || COMPREPLY=($(compgen -W %[7]s -- "$cur")) ;;
	esac
}
complete -o filenames -F _%[1]s %[1]s
`, m.Program, choices, strings.Join(files, "|"), strings.Join(dirs, "|"), strings.Join(m.verbNames(), " "),
		single(strings.Join(options, " ")), single(strings.Join(m.verbNames(), " ")))
}

func (m *Manual[T]) zsh(b *strings.Builder) {
	plain := strings.NewReplacer("[", `\[`, "]", `\]`, ":", `\:`)
	fmt.Fprintf(b, "#compdef %[1]s\n# Completion of %[1]s for zsh, made by \"%[1]s completion zsh\".\n_%[1]s() {\n\tlocal -a verbs\n\tverbs=(\n", m.Program)
	for _, v := range m.Advertised() {
		fmt.Fprintf(b, "\t\t%s\n", single(v.Name+":"+plain.Replace(v.Help)))
	}
	b.WriteString("\t)\n\t_arguments -s \\\n")
	for _, row := range m.completed() {
		words, file, dir := values(row)
		action := ""
		switch {
		case row.Name == "cert-name":
			action = ":" + row.Arg + ":($" + certificateNames + ")"
		case len(words) > 0:
			action = ":" + row.Arg + ":(" + strings.Join(words, " ") + ")"
		case file:
			action = ":" + row.Arg + ":_files"
		case dir:
			action = ":" + row.Arg + ":_files -/"
		case row.Arg != "":
			action = ":" + row.Arg + ": "
		}
		for _, name := range row.spellings() {
			fmt.Fprintf(b, "\t\t%s \\\n", single("*"+name+"["+plain.Replace(row.explanation())+"]"+action))
		}
	}
	fmt.Fprintf(b, "\t\t%s\n}\nif [ \"$funcstack[1]\" = _%[2]s ]; then\n\t_%[2]s \"$@\"\nelse\n\tcompdef _%[2]s %[2]s\nfi\n",
		single("1:verb:{_describe verb verbs}"), m.Program)
}

func (m *Manual[T]) fish(b *strings.Builder) {
	quoted := func(text string) string { return "'" + strings.NewReplacer(`\`, `\\`, "'", `\'`).Replace(text) + "'" }
	fmt.Fprintf(b, "# Completion of %[1]s for fish, made by \"%[1]s completion fish\".\ncomplete -c %[1]s -f\n", m.Program)
	names := strings.Join(m.verbNames(), " ")
	for _, v := range m.Advertised() {
		fmt.Fprintf(b, "complete -c %s -n %s -a %s -d %s\n", m.Program, quoted("not __fish_seen_subcommand_from "+names), v.Name, quoted(v.Help))
	}
	for _, row := range m.completed() {
		for _, name := range row.names() {
			fmt.Fprintf(b, "complete -c %s -l %s", m.Program, name)
			if row.Short != "" && name == row.Name {
				fmt.Fprintf(b, " -s %s", row.Short)
			}
			words, file, dir := values(row)
			switch {
			case row.Name == "cert-name":
				fmt.Fprintf(b, " -x -a %s", quoted(certificateNames))
			case len(words) > 0:
				fmt.Fprintf(b, " -x -a %s", quoted(strings.Join(words, " ")))
			case dir:
				fmt.Fprintf(b, " -x -a %s", quoted("(__fish_complete_directories)"))
			case file:
				b.WriteString(" -r -F")
			case row.Arg != "":
				b.WriteString(" -x")
			}
			fmt.Fprintf(b, " -d %s\n", quoted(row.explanation()))
		}
	}
}
