// Package cairn_test enforces which package may import which (DESIGN.md, "The tree").
package cairn_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/cairn-ca/cairn"

// A row says what one package may import. What is not in the table is refused.
type row struct {
	// ours lists packages of this module; "internal/ca/..." takes in all below.
	ours []string
	// others lists modules beyond the standard library; nil allows any.
	others []string
	// not lists packages of the standard library that are refused; what lies under them is too.
	not []string
	why string
}

// Packages that the pure ones do without: they wait, talk, remember or log.
var impure = []string{"context", "net/http", "os", "database/sql", "log"}

// table is the direction of imports: shells → memory → rules → words. It is read, never written.
var table = map[string]row{
	"acme": {others: []string{"github.com/go-jose/go-jose/v4"},
		why: "the words both sides share: the standard library and one JOSE library"},

	"internal/ca/rules": {ours: []string{"acme"}, others: []string{"golang.org/x/net/idna", "golang.org/x/net/publicsuffix"}, not: impure,
		why: "decisions are functions of values and now"},
	"internal/ca/store": {ours: []string{"acme", "internal/ca/rules", "internal/ca/load"},
		why: "remembers what the rules made, and decides nothing"},

	"internal/ca/validate": {ours: []string{"acme", "internal/ca/rpc"},
		why: "an actor: looks at the network, knows neither orders nor the store"},
	"internal/ca/sign": {ours: []string{"acme", "internal/ca/rpc"},
		why: "an actor: holds the key, knows neither orders nor the store"},
	"internal/ca/roles": {ours: []string{"internal/ca/rpc"}, others: []string{},
		why: "who is a role: certificates and tokens, no store"},
	"internal/ca/rpc": {ours: []string{"acme", "internal/ca/trace"},
		why: "carries values, whatever they mean"},

	"internal/ca/load": {ours: []string{}, others: []string{},
		why: "counts what is under way, whatever it is"},
	"internal/ca/health": {ours: []string{}, others: []string{},
		why: "signs of life and checks, whatever they are about"},
	"internal/ca/trace": {ours: []string{}, others: []string{"go.opentelemetry.io/otel"},
		why: "spans, whatever they are about"},
	"internal/ca/trace/collector": {ours: []string{"internal/ca/trace"}, others: []string{"go.opentelemetry.io/otel"},
		why: "sends spans: the SDK that this takes is nobody else's"},
	"internal/ca/metrics": {ours: []string{"acme", "internal/ca/rules", "internal/ca/load"}, others: []string{"github.com/prometheus/client_golang"},
		why: "counts by words of the protocol and of the rules; knows nobody who counts"},
	"internal/ca/members": {ours: []string{"internal/ca/roles", "internal/ca/rpc", "internal/ca/store"}, others: []string{},
		why: "who belongs to a cluster: tokens in, certificates out, both in the store"},
	"internal/ca/presence": {ours: []string{"internal/ca/rpc", "internal/ca/store"}, others: []string{},
		why: "who is there, as the database has it, in the words of who calls them"},

	"internal/ca/profile": {ours: []string{"acme", "internal/ca/rules", "internal/ca/sign"}, not: impure,
		why: "one definition of what is ordered and what is signed"},

	"internal/ca/front": {ours: []string{"acme", "internal/ca/rules", "internal/ca/store", "internal/ca/work", "internal/ca/rpc", "internal/ca/load", "internal/ca/metrics", "internal/ca/trace"},
		why: "a shell: load, decide, save; asks work to take an order up"},
	"internal/ca/work": {ours: []string{"acme", "internal/ca/rules", "internal/ca/store", "internal/ca/validate", "internal/ca/sign", "internal/ca/rpc", "internal/ca/load", "internal/ca/metrics", "internal/ca/health", "internal/ca/trace"},
		why: "a shell: its seams speak in the actors' requests and results"},
	"internal/ca/crl": {ours: []string{"acme", "internal/ca/rules", "internal/ca/store", "internal/ca/sign", "internal/ca/health"},
		why: "a shell: its seam speaks in the signer's requests"},
	"internal/ca/ops": {ours: []string{"acme", "internal/ca/rules", "internal/ca/store", "internal/ca/datadir", "internal/ca/rpc", "internal/ca/roles", "internal/ca/members", "internal/ca/validate"},
		why: "a shell for the operator, over a socket in the data directory"},

	"internal/ca/fill": {ours: []string{"acme", "internal/ca/rules", "internal/ca/store", "internal/ca/datadir"},
		why: "rows as the rules make them, for measurements of a large store"},

	"internal/ca/datadir": {others: []string{"golang.org/x/sys/unix"},
		why: "files and a lock: bytes in, bytes out"},
	"internal/ca/trust": {ours: []string{"acme"}, others: []string{},
		why: "instructions about one root certificate"},
	"internal/ca/catest": {ours: []string{"acme", "internal/ca/..."},
		why: "a whole authority in one process, for tests"},

	"internal/ca": {ours: []string{"acme", "internal/ca/..."},
		why: "wires the roles of one authority in one process"},
	"internal/ca/pebble": {ours: []string{"acme", "internal/ca/crl", "internal/ca/front", "internal/ca/rules", "internal/ca/sign", "internal/ca/store", "internal/ca/validate", "internal/ca/work"},
		why: "wires the same roles in the manner of Pebble, for tests"},

	"internal/bot/atomicfile": {ours: []string{}, others: []string{},
		why: "whole files in their places, whatever is in them"},
	"internal/bot/command": {ours: []string{}, others: []string{},
		why: "the language of the command line; whoever uses it has the words"},
	"internal/bot/renew": {ours: []string{"acme", "internal/bot/lineage", "internal/bot/atomicfile"},
		why: "decides what to obtain and when; declares what solvers and installers do"},
	"internal/bot/lineage": {ours: []string{"acme", "internal/bot/atomicfile"},
		why: "the files on disk, and nothing of the protocol but its words"},
	"internal/bot/dns": {ours: []string{"acme", "internal/bot/renew", "internal/bot/lineage"}, others: []string{"github.com/miekg/dns"},
		why: "proofs in the DNS: where a record belongs, who puts it there, who shows it"},
	"internal/bot/dns/dnstest": {ours: []string{"internal/bot/dns", "internal/freeport"}, others: []string{"github.com/miekg/dns"},
		why: "a small part of the DNS, for tests"},
	"internal/bot/dns/lego": {ours: []string{"acme", "internal/bot/dns"}, others: []string{"github.com/go-acme/lego/v5", "github.com/miekg/dns"},
		why: "other people's clients of DNS services, as ours are used"},
	"internal/bot/dns/lego/generate": {ours: []string{}, others: []string{}, why: "writes the table of those clients, from their source"},
	"internal/bot/dns/responder": {ours: []string{"internal/bot/dns", "internal/freeport"}, others: []string{"github.com/miekg/dns"},
		why: "a name server for proofs alone"},
	"internal/bot/dns/registry": {ours: []string{"internal/bot/dns/..."}, others: []string{},
		why: "lists the providers, and does nothing with them"},
	"internal/bot/ask": {ours: []string{}, others: []string{},
		why: "questions to a person, whatever they are about"},
	"internal/bot/dns/txt": {ours: []string{"internal/bot/dns"}, others: []string{},
		why: "one TXT record: what may be sent, and how it is written"},
	"internal/bot/dns/rest": {ours: []string{}, others: []string{},
		why: "one bounded request to the HTTP interface of a service"},
	"internal/bot/dns/rfc2136": {ours: []string{"internal/bot/dns", "internal/bot/dns/txt"}, others: []string{"github.com/miekg/dns"},
		why: "a DNS provider: dynamic updates"},
	"internal/bot/eff": {ours: []string{}, others: []string{},
		why: "fills in one form of somebody else's"},
	"internal/bot/export": {ours: []string{"internal/bot/atomicfile", "internal/bot/lineage"}, others: []string{"software.sslmate.com/src/go-pkcs12"},
		why: "files in other forms, of what a lineage has"},
	"internal/bot/reference": {ours: []string{}, others: []string{},
		why: "looks for paths in files of others"},
	"internal/bot/revoked": {ours: []string{}, others: []string{"golang.org/x/crypto/ocsp"},
		why: "asks CAs about certificates, whosever they are"},
	"internal/bot/checkpoint": {ours: []string{"internal/bot/atomicfile", "internal/bot/hook"}, others: []string{},
		why: "keeps files and puts them back, whatever they mean"},
	"internal/ca/rehearsal": {ours: []string{"acme", "internal/ca/rules", "internal/ca/validate"}, others: []string{"github.com/miekg/dns"},
		why: "a CA inside the client, for --rehearse: without store, signer and front, which would cost the client its quick start"},

	"internal/bot/adopt": {ours: []string{"acme", "internal/bot/lineage", "internal/bot/atomicfile"}, others: []string{},
		why: "reads other clients' files, and makes lineages of them"},
	"internal/bot/doctor": {ours: []string{"acme", "internal/bot/dns", "internal/bot/renew"}, others: []string{"github.com/miekg/dns"},
		why: "looks, and changes nothing: at names as the DNS has them, and at answers as a solver gives them"},
	"internal/bot/metrics": {ours: []string{"internal/bot/atomicfile"}, others: []string{},
		why: "one file in Prometheus's format, whatever is in it"},
	"internal/bot/notify": {ours: []string{"internal/bot/hook", "internal/bot/lineage", "internal/bot/atomicfile"}, others: []string{},
		why: "tells others what happened; knows nothing of the protocol, and configuration files as lineage reads them"},
	"internal/bot/dns/credential": {ours: []string{"internal/bot/dns/rest", "internal/bot/hook"}, others: []string{},
		why: "tokens that are good for a while, and where they are read: a file, or what a program says"},
	"internal/bot/dns/aws": {ours: []string{"internal/bot/dns/credential", "internal/bot/dns/rest"}, others: []string{},
		why: "who asks Amazon's services: credentials and signatures"},
	"internal/bot/dns/route53": {ours: []string{"internal/bot/dns", "internal/bot/dns/aws", "internal/bot/dns/rest", "internal/bot/dns/txt"}, others: []string{},
		why: "a DNS provider: Amazon"},
	"internal/bot/dns/jwt": {ours: []string{}, others: []string{},
		why: "tokens that a client signs itself"},
	"internal/bot/dns/google": {ours: []string{"internal/bot/dns", "internal/bot/dns/aws", "internal/bot/dns/credential", "internal/bot/dns/jwt", "internal/bot/dns/rest", "internal/bot/dns/txt"}, others: []string{},
		why: "a DNS provider: Google; identities of Amazon's machines are good there, too"},
	"internal/bot/solve": {ours: []string{"acme", "internal/bot/renew", "internal/bot/hook"}, others: []string{"golang.org/x/net/netutil"},
		why: "implements what renew declares"},
	"internal/bot/daemon": {ours: []string{}, others: []string{},
		why: "when to look again, whatever a look is"},
	"internal/bot/served": {ours: []string{}, others: []string{},
		why: "looks at TLS servers, and knows nothing of who asked"},
	"internal/bot/schedule": {ours: []string{"internal/bot/atomicfile"}, others: []string{},
		why: "writes units and lines of cron, for a program that it only knows by its path"},
	"internal/bot/hook": {ours: []string{}, others: []string{},
		why: "runs an operator's command, whatever it is for"},
	"internal/bot/dns/azure": {ours: []string{"internal/bot/dns", "internal/bot/dns/credential", "internal/bot/dns/jwt", "internal/bot/dns/rest", "internal/bot/dns/txt"}, others: []string{},
		why: "a DNS provider: Azure"},
	"internal/bot/dns/program": {ours: []string{"internal/bot/dns", "internal/bot/dns/rest", "internal/bot/dns/txt", "internal/bot/hook"}, others: []string{},
		why: "a DNS provider: programs and hooks that an operator has"},
	"internal/bot/dns/acmesh": {ours: []string{"internal/bot/dns", "internal/bot/dns/program", "internal/bot/dns/rest", "internal/bot/dns/txt", "internal/bot/hook"}, others: []string{},
		why: "a DNS provider: scripts for acme.sh; their settings are those of a program"},
	"internal/bot/dns/dnsimple": {ours: []string{"internal/bot/dns", "internal/bot/dns/rest", "internal/bot/dns/txt"}, others: []string{},
		why: "a DNS provider: DNSimple"},
	"internal/bot/dns/linode": {ours: []string{"internal/bot/dns", "internal/bot/dns/rest", "internal/bot/dns/txt"}, others: []string{},
		why: "a DNS provider: Linode"},
	"internal/bot/dns/sakuracloud": {ours: []string{"internal/bot/dns", "internal/bot/dns/rest", "internal/bot/dns/txt"}, others: []string{},
		why: "a DNS provider: Sakura Cloud"},

	"internal/freeport": {ours: []string{}, others: []string{},
		why: "finds ports for tests of either side"},
	"internal/pebbletest": {ours: []string{"internal/freeport"}, others: []string{"github.com/miekg/dns"},
		why: "runs somebody else's server, for tests of either side"},

	"internal/pgtest": {ours: []string{}, others: []string{"github.com/jackc/pgx/v5"},
		why: "runs PostgreSQL, for tests"},

	"internal/bench": {ours: []string{"acme"}, others: []string{"github.com/miekg/dns"},
		why: "a load generator: a client of any ACME server, neither our authority nor our bot"},

	"cmd/cairn":    {ours: []string{"acme", "internal/ca/...", "internal/bench"}, why: "reads flags, builds roles, wires them"},
	"cmd/cairnbot": {ours: []string{"acme", "internal/bot/...", "internal/ca/rehearsal"}, why: "reads flags, builds the client"},
}

// source is what this test looks at in one package.
type source struct {
	imports     []string // of the package itself
	testImports []string // of its tests
	environment []string // where it asks for the process's environment or arguments
}

func TestDirectionOfImports(t *testing.T) {
	packages, err := readModule(".")
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := packages["acme"]; !ok {
		t.Fatal("did not find package acme: is this the root of the module?")
	}
	for _, violation := range violations(packages) {
		t.Error(violation)
	}
	for name := range table {
		if _, ok := packages[name]; !ok {
			t.Errorf("%s has a row in the table, but there is no such package: take the row out", name)
		}
	}
}

// rehearsing is the one exception: the client's program, and nothing below it, starts a CA for a rehearsal that needs
// no network. That CA is the rules and the prober of the server with nothing behind them; the client talks to it as to any other.
var rehearsing = [2]string{"cmd/cairnbot", "internal/ca/rehearsal"}

// violations lists what in packages (by path below the module) the rules refuse.
func violations(packages map[string]source) []string {
	var list []string
	for name, pkg := range packages {
		bad := func(format string, args ...any) {
			list = append(list, name+": "+fmt.Sprintf(format, args...))
		}
		for _, imported := range slices.Concat(pkg.imports, pkg.testImports) {
			if name == rehearsing[0] && ours(imported) == rehearsing[1] {
				continue
			}
			if side(name) != "" && side(ours(imported)) != "" && side(name) != side(ours(imported)) {
				bad("imports %s: server and client never import each other, not even in tests", imported)
			}
		}
		if len(pkg.imports) == 0 && len(pkg.environment) == 0 {
			continue // tests alone, or nothing to judge
		}
		if slices.Contains([]string{"util", "utils", "common", "types", "helpers"}, path.Base(name)) {
			bad("a package is named for one idea, not for leftovers")
		}
		rule, ok := table[name]
		if !ok {
			bad("is not in the table of architecture_test.go: give it a row, with a reason")
			continue
		}
		for _, imported := range pkg.imports {
			if why := refused(name, rule, imported); why != "" {
				bad("imports %s: %s", imported, why)
			}
		}
		for _, where := range pkg.environment {
			if !strings.HasPrefix(name, "cmd/") {
				bad("%s: only cmd reads flags and environment; take a Config", where)
			}
		}
	}
	slices.Sort(list)
	return list
}

// refused says why the package name, ruled by rule, may not import imported, or "".
func refused(name string, rule row, imported string) string {
	inside := func(list []string, wild bool) bool {
		return slices.ContainsFunc(list, func(item string) bool {
			root, all := strings.CutSuffix(item, "/...")
			return imported == root || (all || wild) && strings.HasPrefix(imported, root+"/")
		})
	}
	if mine := ours(imported); mine != "" {
		imported = mine
		if strings.HasSuffix(mine, "test") && !strings.HasSuffix(name, "test") {
			return "it is for tests"
		}
		if mine == name || inside(rule.ours, false) {
			return ""
		}
		return fmt.Sprintf("it may import %q of ours (%s)", rule.ours, rule.why)
	}
	flags := []string{"flag", "github.com/spf13/pflag", "github.com/spf13/cobra"}
	if inside(flags, true) && !strings.HasPrefix(name, "cmd/") {
		return "only cmd reads flags; take a Config"
	}
	if first, _, _ := strings.Cut(imported, "/"); !strings.Contains(first, ".") {
		if inside(rule.not, true) {
			return "not here: " + rule.why
		}
		return ""
	}
	if rule.others != nil && !inside(rule.others, true) {
		return fmt.Sprintf("it may import %q beyond the standard library (%s)", rule.others, rule.why)
	}
	return ""
}

// ours returns the path of an import below the module, or "" for everybody else's.
func ours(imported string) string {
	rest, _ := strings.CutPrefix(imported, module+"/")
	if rest == imported {
		return ""
	}
	return rest
}

// side returns which program a package belongs to: "ca", "bot" or neither.
func side(name string) string {
	switch {
	case name == "cmd/cairn", name == "internal/ca", strings.HasPrefix(name, "internal/ca/"):
		return "ca"
	case name == "cmd/cairnbot", strings.HasPrefix(name, "internal/bot/"):
		return "bot"
	default:
		return ""
	}
}

// readModule parses every Go file under root, whatever system it is for.
func readModule(root string) (map[string]source, error) {
	packages := make(map[string]source)
	err := filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		base := entry.Name()
		if entry.IsDir() {
			// As the go command does (`go help packages`).
			if file != root && (strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") || base == "testdata") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(base, ".go") {
			return nil
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		name := filepath.ToSlash(filepath.Dir(file))
		pkg := packages[name]
		if err := pkg.add(file, text); err != nil {
			return err
		}
		packages[name] = pkg
		return nil
	})
	return packages, err
}

// add parses one file and notes what it imports and asks.
func (s *source) add(file string, text []byte) error {
	fset := token.NewFileSet()
	tree, err := parser.ParseFile(fset, file, text, parser.SkipObjectResolution)
	if err != nil {
		return fmt.Errorf("parsing: %w", err)
	}
	osName := ""
	for _, spec := range tree.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return err
		}
		if strings.HasSuffix(file, "_test.go") {
			s.testImports = append(s.testImports, imported)
			continue
		}
		s.imports = append(s.imports, imported)
		if imported == "os" {
			osName = "os"
			if spec.Name != nil {
				osName = spec.Name.Name
			}
		}
	}
	asks := []string{"Getenv", "LookupEnv", "Environ", "ExpandEnv", "Args", "UserHomeDir", "UserConfigDir", "UserCacheDir"}
	ast.Inspect(tree, func(node ast.Node) bool {
		if selector, ok := node.(*ast.SelectorExpr); ok && osName != "" && slices.Contains(asks, selector.Sel.Name) {
			if left, ok := selector.X.(*ast.Ident); ok && left.Name == osName {
				s.environment = append(s.environment, fset.Position(node.Pos()).String()+" asks os."+selector.Sel.Name)
			}
		}
		return true
	})
	return nil
}

// TestRulesBite shows that each rule can fail, and does not where it should not.
func TestRulesBite(t *testing.T) {
	ca, bot := module+"/internal/ca/", module+"/internal/bot/"
	for _, test := range []struct {
		name string
		pkg  string
		src  string // of one file; the tests' with a leading "_test:"
		want string // part of the only violation, or "" for none
	}{
		{"the words may use JOSE", "acme", `import _ "github.com/go-jose/go-jose/v4"`, ""},
		{"and the standard library", "acme", `import _ "net/http"`, ""},
		{"but nothing else", "acme", `import _ "golang.org/x/sync/errgroup"`, "beyond the standard library"},
		{"nor of ours", "acme", `import _ "` + ca + `rules"`, "of ours"},
		{"rules know the words", "internal/ca/rules", `import _ "` + module + `/acme"`, ""},
		{"rules may use idna", "internal/ca/rules", `import _ "golang.org/x/net/idna"`, ""},
		{"but not the store", "internal/ca/rules", `import _ "` + ca + `store"`, "of ours"},
		{"nor a context", "internal/ca/rules", `import _ "context"`, "not here"},
		{"nor what lies under a refused package", "internal/ca/rules", `import _ "log/slog"`, "not here"},
		{"nor another's idea of a log", "internal/ca/rules", `import _ "go.uber.org/zap"`, "beyond the standard library"},
		{"the store knows the rules", "internal/ca/store", `import _ "` + ca + `rules"`, ""},
		{"but not the shells", "internal/ca/store", `import _ "` + ca + `work"`, "of ours"},
		{"an actor does not know the store", "internal/ca/sign", `import _ "` + ca + `store"`, "of ours"},
		{"nor the rules", "internal/ca/validate", `import _ "` + ca + `rules"`, "of ours"},
		{"work does not know the door", "internal/ca/work", `import _ "` + ca + `front"`, "of ours"},
		{"a wildcard takes in what lies below", "cmd/cairn", `import _ "` + ca + `front"`, ""},
		{"but not what is for tests", "cmd/cairn", `import _ "` + ca + `catest"`, "it is for tests"},
		{"which tests use", "cmd/cairn", `_test:import _ "` + ca + `catest"`, ""},
		{"the whole authority may be wired", "cmd/cairn", `import _ "` + module + `/internal/ca"`, ""},
		{"server and client are strangers", "cmd/cairn", `import _ "` + bot + `renew"`, "never import each other"},
		{"nor does the client know the whole server", "internal/bot/solve", `import _ "` + module + `/internal/ca"`, "never import each other"},
		{"but for the rehearsal, in the program alone", "cmd/cairnbot", `import _ "` + ca + `rehearsal"`, ""},
		{"and nowhere below it", "internal/bot/renew", `import _ "` + ca + `rehearsal"`, "never import each other"},
		{"nor anything else", "cmd/cairnbot", `import _ "` + ca + `rules"`, "never import each other"},
		{"in tests too", "internal/bot/renew", `_test:import _ "` + ca + `catest"`, "never import each other"},
		{"tests import what they like besides", "internal/ca/rules", `_test:import _ "os"`, ""},
		{"flags are read in cmd", "cmd/cairn", `import _ "github.com/spf13/pflag"`, ""},
		{"and nowhere else", "internal/ca/work", `import _ "flag"`, "only cmd reads flags"},
		{"the environment is read in cmd", "cmd/cairnbot", `import "os"; var _ = os.Getenv("X")`, ""},
		{"and nowhere else, whatever it is called", "internal/ca/work", `import o "os"; var _ = o.Args`, "only cmd reads flags"},
		{"another package's Args are its own", "internal/ca/work", `import "os"; var _ = os.Stdin; var _ = x.Args`, ""},
		{"every package has a row", "internal/ca/surprise", `import _ "fmt"`, "not in the table"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var pkg source
			file, text := "x.go", test.src
			if rest, ok := strings.CutPrefix(text, "_test:"); ok {
				file, text = "x_test.go", rest
			}
			if err := pkg.add(file, []byte("package x; "+text)); err != nil {
				t.Fatal(err)
			}
			got := violations(map[string]source{test.pkg: pkg})
			// A client that imports the server breaks two rules at once.
			if (test.want == "") != (len(got) == 0) || !strings.Contains(strings.Join(got, "\n"), test.want) {
				t.Errorf("violations = %q, want one with %q", got, test.want)
			}
		})
	}
	got := violations(map[string]source{"internal/ca/util": {imports: []string{"fmt"}}})
	if len(got) != 2 || !strings.Contains(got[0], "named for one idea") {
		t.Errorf("a package called util: violations = %q", got)
	}
}
