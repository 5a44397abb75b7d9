package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// provider is what a row says.
type provider struct {
	name, title string
	wait, ttl   int  // in seconds
	plain       bool // it goes by the domain, not by where its alias leads
	keys, more  []key
}

type key struct {
	name, variable string
	needed         bool
}

// sources reads lego's source text.
type sources struct {
	root    string
	imports map[string][]string // of a directory below root
}

// parse reads the Go files of a directory, without tests.
func (s *sources) parse(directory string) ([]*ast.File, error) {
	names, err := filepath.Glob(filepath.Join(s.root, directory, "*.go"))
	if err != nil {
		return nil, err
	}
	var files []*ast.File
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		files = append(files, file)
	}
	return files, nil
}

// importsOf lists what the packages of a directory import.
func (s *sources) importsOf(directory string) ([]string, error) {
	if list, ok := s.imports[directory]; ok {
		return list, nil
	}
	files, err := s.parse(directory)
	if err != nil {
		return nil, err
	}
	var list []string
	for _, file := range files {
		for _, spec := range file.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return nil, err
			}
			list = append(list, imported)
		}
	}
	s.imports[directory] = list
	return list, nil
}

// closure lists the directories of lego that one needs, and calls foreign for each import of somebody else's.
func (s *sources) closure(directory string, foreign func(string)) ([]string, error) {
	list := []string{directory}
	for i := 0; i < len(list); i++ {
		imports, err := s.importsOf(list[i])
		if err != nil {
			return nil, err
		}
		for _, imported := range imports {
			first, _, _ := strings.Cut(imported, "/")
			if rest, ok := strings.CutPrefix(imported, legoModule+"/"); ok {
				if !slices.Contains(list, rest) {
					list = append(list, rest)
				}
			} else if strings.Contains(first, ".") {
				foreign(imported)
			}
		}
	}
	return list, nil
}

// heavy reports whether a provider needs more than the light modules.
func (s *sources) heavy(name string) (bool, error) {
	base := make(map[string]bool) // what lego itself needs
	if _, err := s.closure("challenge/dns01", func(imported string) { base[imported] = true }); err != nil {
		return false, err
	}
	heavy := false
	_, err := s.closure("providers/dns/"+name, func(imported string) {
		inside := func(module string) bool { return imported == module || strings.HasPrefix(imported, module+"/") }
		heavy = heavy || !base[imported] && !slices.ContainsFunc(light, inside)
	})
	return heavy, err
}

// deprecated reports whether lego says so of a provider, as of one whose service is no more.
func (s *sources) deprecated(name string) (bool, error) {
	names, err := filepath.Glob(filepath.Join(s.root, "providers", "dns", name, "*.go"))
	if err != nil {
		return false, err
	}
	for _, name := range names {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return false, err
		}
		for _, decl := range file.Decls {
			if function, ok := decl.(*ast.FuncDecl); ok && function.Name.Name == "NewDNSProvider" && strings.Contains(function.Doc.Text(), "Deprecated:") {
				return true, nil
			}
		}
	}
	return false, nil
}

// provider reads all about one.
func (s *sources) provider(name string) (*provider, error) {
	directory := "providers/dns/" + name
	text, err := os.ReadFile(filepath.Join(s.root, directory, name+".toml"))
	if err != nil {
		return nil, err
	}
	described := describe(string(text))
	p := &provider{name: name, title: described.title, wait: 60}
	needed, spaces, err := s.constants(directory)
	if err != nil {
		return nil, err
	}
	spaces = append(spaces, strings.ToUpper(name)+"_")
	for _, pair := range described.credentials {
		if strings.HasPrefix(pair.help, "Alias to") {
			p.more = append(p.more, key{strings.ToLower(pair.variable), pair.variable, false})
			continue
		}
		p.keys = append(p.keys, key{short(pair.variable, spaces), pair.variable, slices.Contains(needed, pair.variable)})
	}
	for _, pair := range described.additional {
		switch {
		case strings.HasSuffix(pair.variable, "_PROPAGATION_TIMEOUT"):
			p.wait = seconds(pair.help, p.wait)
			continue // of no use: we wait ourselves
		case strings.HasSuffix(pair.variable, "_TTL"):
			p.ttl = seconds(pair.help, 0)
		case strings.HasSuffix(pair.variable, "_POLLING_INTERVAL"), strings.HasSuffix(pair.variable, "_SEQUENCE_INTERVAL"):
			continue
		}
		p.more = append(p.more, key{short(pair.variable, spaces), pair.variable, false})
	}
	p.plain, err = s.plain(directory)
	return p, err
}

// short is the name of a variable without the namespace, in lower case.
func short(variable string, spaces []string) string {
	for _, space := range spaces {
		if rest, ok := strings.CutPrefix(variable, space); ok && rest != "" {
			return strings.ToLower(rest)
		}
	}
	return strings.ToLower(variable)
}

// pair is a line of a description.
type pair struct{ variable, help string }

// description is what is of use in a provider's TOML file.
type description struct {
	title                   string
	credentials, additional []pair
}

var (
	titleLine = regexp.MustCompile(`(?m)^Name\s*=\s*"(.*)"$`)
	pairLine  = regexp.MustCompile(`^\s*([A-Z][A-Z0-9_]*)\s*=\s*"(.*)"\s*$`)
	otherwise = regexp.MustCompile(`\(Default: (\d+)\)`)
)

// describe reads a TOML file as lego writes them.
func describe(text string) description {
	var d description
	if found := titleLine.FindStringSubmatch(text); found != nil {
		d.title = found[1]
	}
	_, configuration, _ := strings.Cut(text, "[Configuration.Credentials]")
	credentials, additional, _ := strings.Cut(configuration, "[Configuration.Additional]")
	additional, _, _ = strings.Cut(additional, "[Links]")
	d.credentials, d.additional = pairs(credentials), pairs(additional)
	return d
}

func pairs(text string) []pair {
	var list []pair
	for line := range strings.Lines(text) {
		if found := pairLine.FindStringSubmatch(line); found != nil {
			list = append(list, pair{found[1], strings.ReplaceAll(found[2], `\"`, `"`)})
		}
	}
	return list
}

// seconds is the default that a line of help names.
func seconds(help string, unknown int) int {
	if found := otherwise.FindStringSubmatch(help); found != nil {
		if n, err := strconv.Atoi(found[1]); err == nil {
			return n
		}
	}
	return unknown
}

// constants finds which variables a provider cannot do without, and the beginnings that its variables share.
func (s *sources) constants(directory string) (needed, spaces []string, err error) {
	files, err := s.parse(directory)
	if err != nil {
		return nil, nil, err
	}
	values := make(map[string]string)
	for _, file := range files {
		for _, decl := range file.Decls {
			if group, ok := decl.(*ast.GenDecl); ok && group.Tok == token.CONST {
				define(values, group)
			}
		}
	}
	for name, value := range values {
		if strings.HasSuffix(strings.ToLower(name), "namespace") {
			spaces = append(spaces, value)
		}
	}
	slices.SortFunc(spaces, func(a, b string) int { return len(b) - len(a) })
	return neededIn(files, values), spaces, nil
}

// define takes the strings among constants.
func define(values map[string]string, group *ast.GenDecl) {
	for _, spec := range group.Specs {
		constant, ok := spec.(*ast.ValueSpec)
		if !ok {
			continue
		}
		for i, name := range constant.Names {
			if i < len(constant.Values) {
				if value, ok := text(values, constant.Values[i]); ok {
					values[name.Name] = value
				}
			}
		}
	}
}

// text evaluates strings, constants and their sums.
func text(values map[string]string, e ast.Expr) (string, bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		value, err := strconv.Unquote(e.Value)
		return value, err == nil && e.Kind == token.STRING
	case *ast.Ident:
		value, ok := values[e.Name]
		return value, ok
	case *ast.BinaryExpr:
		left, ok := text(values, e.X)
		right, also := text(values, e.Y)
		return left + right, ok && also && e.Op == token.ADD
	}
	return "", false
}

// neededIn finds the one call by which NewDNSProvider asks for what it needs. Where there are several, each will do.
func neededIn(files []*ast.File, values map[string]string) []string {
	var calls [][]string
	for _, file := range files {
		for _, decl := range file.Decls {
			function, ok := decl.(*ast.FuncDecl)
			if !ok || function.Name.Name != "NewDNSProvider" {
				continue
			}
			ast.Inspect(function, func(node ast.Node) bool {
				if call, ok := node.(*ast.CallExpr); ok {
					switch fmt.Sprint(called(call)) {
					case "env.Get", "env.GetWithFallback":
						calls = append(calls, arguments(values, call))
					}
				}
				return true
			})
		}
	}
	if len(calls) != 1 {
		return nil
	}
	return calls[0]
}

// arguments are the variables of a call, of each group the first.
func arguments(values map[string]string, call *ast.CallExpr) []string {
	var list []string
	for _, argument := range call.Args {
		if group, ok := argument.(*ast.CompositeLit); ok && len(group.Elts) > 0 {
			argument = group.Elts[0]
		}
		if value, ok := text(values, argument); ok {
			list = append(list, value)
		}
	}
	return list
}

// called is the name of what is called, with its package.
func called(call *ast.CallExpr) string {
	selector, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return ""
	}
	if left, ok := selector.X.(*ast.Ident); ok {
		return left.Name + "." + selector.Sel.Name
	}
	return "." + selector.Sel.Name
}

// byAccount are providers that use the domain to find an account, or tell it to a program, and nothing else.
var byAccount = []string{"providers/dns/acmedns", "providers/dns/httpreq"}

// plain reports whether a provider uses the domain for anything but to learn of its record: such a
// one cannot write where an alias leads, or under another label.
func (s *sources) plain(directory string) (bool, error) {
	if slices.Contains(byAccount, directory) {
		return false, nil
	}
	directories, err := s.closure(directory, func(string) {})
	if err != nil {
		return false, err
	}
	plain := false
	for _, directory := range directories {
		if !strings.HasPrefix(directory, "providers/dns/") {
			continue
		}
		files, err := s.parse(directory)
		if err != nil {
			return false, err
		}
		for _, file := range files {
			for _, decl := range file.Decls {
				function, ok := decl.(*ast.FuncDecl)
				if ok && (function.Name.Name == "Present" || function.Name.Name == "CleanUp") && function.Recv != nil {
					plain = plain || usesDomain(function)
				}
			}
		}
	}
	return plain, nil
}

// usesDomain looks for other uses of the first name that Present and CleanUp are given than to
// pass it on, or to name it in an error.
func usesDomain(function *ast.FuncDecl) bool {
	domain := ""
	if list := function.Type.Params.List; len(list) > 1 && len(list[1].Names) > 0 {
		domain = list[1].Names[0].Name
	}
	uses := false
	ast.Inspect(function.Body, func(node ast.Node) bool {
		switch node := node.(type) {
		case *ast.CallExpr:
			for _, allowed := range []string{".GetChallengeInfo", ".Errorf", ".Present", ".CleanUp", ".DomainAttr"} {
				if strings.HasSuffix(called(node), allowed) {
					return false
				}
			}
		case *ast.SelectorExpr:
			left, ok := node.X.(*ast.Ident)
			if ok && left.Name == "info" && (node.Sel.Name == "FQDN" || node.Sel.Name == "Domain") {
				uses = true
			}
		case *ast.Ident:
			uses = uses || node.Name == domain && domain != "_"
		}
		return true
	})
	return uses
}
