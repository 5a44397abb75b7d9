package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/bot/ask"
	"github.com/cairn-ca/cairn/internal/bot/dns/registry"
	"github.com/cairn-ca/cairn/internal/bot/renew"
	"github.com/cairn-ca/cairn/internal/bot/solve"
)

// way is a method of proof, as somebody sees it who chooses one.
type way struct {
	name     string // certbot's
	title    string
	obstacle string // why it would not work here as things are; "" if nothing speaks against it
}

// port is what can be done with a port of this machine.
type port int

const (
	portFree port = iota
	portTaken
	portForbidden
)

// lookAt finds out whether we could listen where standalone would.
func lookAt(ctx context.Context, address string, number int) port {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort(address, strconv.Itoa(number)))
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return portTaken
	case errors.Is(err, fs.ErrPermission):
		return portForbidden
	case err == nil:
		_ = listener.Close() // nobody has come
	}
	return portFree // or something that standalone itself will say
}

// ways lists the methods for names, the one that fits best first.
func ways(names []acme.Identifier, at port, number int) []way {
	standalone := way{name: "standalone", title: fmt.Sprintf("Run a small web server of our own for a moment, on port %d", number)}
	webroot := way{name: "webroot", title: "Put files where a web server that runs here serves them"}
	dns := way{name: "dns", title: "Add records to the DNS, through your provider"}
	manual := way{name: "manual", title: "Do by hand what the CA wants to see; not for renewals without you"}
	switch at {
	case portTaken:
		standalone.obstacle = "another program listens there"
	case portForbidden:
		standalone.obstacle = "only root may listen there"
	case portFree:
		webroot.obstacle = fmt.Sprintf("no web server listens on port %d", number)
	}
	wild := hasWildcard(names)
	address := slices.ContainsFunc(names, func(id acme.Identifier) bool { return id.Type == acme.IP })
	switch {
	case wild && !address:
		return []way{dns, manual}
	case wild, address && at == portFree:
		return []way{standalone, webroot, manual}
	case address:
		return []way{webroot, standalone, manual}
	case at == portFree:
		return []way{standalone, webroot, dns, manual}
	default:
		return []way{webroot, standalone, dns, manual}
	}
}

func hasWildcard(names []acme.Identifier) bool {
	return slices.ContainsFunc(names, func(id acme.Identifier) bool { _, wild := id.Base(); return wild })
}

// methodFlags are the options that choose a method.
const methodFlags = "--standalone, --webroot -w DIR, --dns PROVIDER or --manual"

// errNoMethod begins with certbot's words, which scripts look for.
var errNoMethod = withHint(phrase("Missing command line flags. For non-interactive execution, you will need to specify a plugin on the command line.  "+
	"Run with '--help plugins' to see a list of options."), "say how control of the names is proven, with %s", methodFlags)

// askMethod asks how control of names is to be proven.
func (a *app) askMethod(ctx context.Context, names []acme.Identifier) error {
	if !a.ask.Interactive(false) {
		return errNoMethod
	}
	list := ways(names, lookAt(ctx, a.httpAddress, a.httpPort), a.httpPort)
	items := make([]string, len(list))
	for i, w := range list {
		items[i] = fmt.Sprintf("%s (%s)", w.title, w.name)
		if w.obstacle != "" {
			items[i] += " - now: " + w.obstacle
		}
	}
	text := "How would you like to authenticate with the ACME CA?\nIt must see that the names are yours."
	if hasWildcard(names) {
		text += " Where a name begins with \"*.\", it looks into the DNS alone."
	}
	n, err := a.ask.Menu(ctx, ask.Menu{Question: ask.Question{Text: text, Flag: methodFlags}, Items: items, Usual: 1})
	if err != nil {
		return err
	}
	return a.take(ctx, list[n-1].name)
}

// askWebroots asks for the directory of each name that has none.
func (a *app) askWebroots(ctx context.Context, s *settings, names []acme.Identifier) error {
	known := slices.Clone(s.params.WebrootPath)
	has := make(map[string]bool)
	for _, w := range s.params.WebrootMap {
		has[w.Name] = true
		if !slices.Contains(known, w.Path) {
			known = append(known, w.Path)
		}
	}
	if len(s.params.WebrootPath) > 0 {
		return nil // the last one is for all others
	}
	for _, name := range names {
		if has[name.Value] {
			continue
		}
		path, err := a.askWebroot(ctx, name.Value, known)
		if err != nil {
			return err
		}
		if !slices.Contains(known, path) {
			known = append(known, path)
		}
		a.webroots.serve(name.Value, path)
	}
	return nil
}

// askWebroot asks for one of them. The directories of other names are offered: often it is the same.
func (a *app) askWebroot(ctx context.Context, name string, known []string) (string, error) {
	const flag = "--webroot-path"
	if len(known) > 0 {
		n, err := a.ask.Menu(ctx, ask.Menu{
			Question: ask.Question{Text: fmt.Sprintf("Select the webroot for %s:", name), Flag: flag, Force: true},
			Items:    append([]string{"Enter a new webroot"}, known...), Usual: 1 + len(known),
		})
		if err != nil || n > 1 {
			return known[max(n-2, 0)], err
		}
	}
	return a.ask.Input(ctx, ask.Input{
		Question: ask.Question{Text: fmt.Sprintf("Input the webroot for %s:", name), Flag: flag, Force: true},
		Usual:    guessWebroot(name, isDirectory), Check: checkWebroot,
	})
}

func checkWebroot(path string) (string, error) {
	if path == "" {
		return "", errors.New("the directory is needed whose files the web server shows under this name")
	}
	path, err := filepath.Abs(path)
	if err == nil && !isDirectory(path) {
		err = fmt.Errorf("%s does not exist or is not a directory", path)
	}
	return path, err
}

func isDirectory(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// usualWebroots are where systems and people put a site's files.
var usualWebroots = []string{
	"/var/www/NAME/public_html", "/var/www/NAME/htdocs", "/var/www/NAME/public", "/var/www/NAME/html", "/var/www/NAME",
	"/srv/www/NAME/htdocs", "/srv/www/NAME", "/srv/http/NAME",
	"/var/www/html", "/usr/share/nginx/html", "/var/www/localhost/htdocs", "/srv/www/htdocs", "/srv/http",
	"/usr/local/www/nginx", "/usr/local/www/apache24/data", "/usr/local/var/www",
}

// guessWebroot finds a likely directory for a name, or "".
func guessWebroot(name string, exists func(string) bool) string {
	for _, root := range usualWebroots {
		if root = strings.ReplaceAll(root, "NAME", filepath.Base(name)); exists(root) {
			return root
		}
	}
	return ""
}

// take notes the method that was chosen, and asks what chooses it in full.
func (a *app) take(ctx context.Context, name string) error {
	if name == "dns" {
		return a.askProvider(ctx)
	}
	a.authenticator = name
	a.set("authenticator")
	return nil
}

// askProvider asks who has the records of the names.
func (a *app) askProvider(ctx context.Context) error {
	name, err := a.ask.Input(ctx, ask.Input{
		Question: ask.Question{
			Text: "Which DNS provider has the records of your domain? Such as cloudflare, hetzner, ovh, route53; rfc2136 for a server of your own. \"?\" lists all.",
			Flag: "--dns PROVIDER",
		},
		Check: checkProvider,
	})
	if err != nil {
		return err
	}
	return (&providerName{a.options}).Set(name)
}

func checkProvider(answer string) (string, error) {
	name := strings.ToLower(strings.TrimPrefix(answer, "dns-"))
	if name == "?" {
		var names []string
		for _, entry := range registry.Entries() {
			names = append(names, entry.Name)
		}
		return "", errors.New("these are known: " + strings.Join(names, ", "))
	}
	if _, ok := registry.Find(name); !ok || name == "" {
		return "", fmt.Errorf("there is no DNS provider %q%s", answer, resembling(name))
	}
	return name, nil
}

// patient is a standalone server that asks what to do where its port is taken.
type patient struct {
	renew.Solver
	ask     *ask.Asker
	numbers map[acme.ChallengeType]int
}

// Present tries again as often as somebody says so.
func (p *patient) Present(ctx context.Context, c renew.Challenge) error {
	for {
		err := p.Solver.Present(ctx, c)
		if !errors.Is(err, solve.ErrPortTaken) {
			return err
		}
		again, askErr := p.ask.YesNo(ctx, ask.YesNo{
			Question: ask.Question{
				Text: fmt.Sprintf("Could not bind TCP port %d because it is already in use by another process on this system (such as a web server). "+
					"Please stop the program in question and then try again.", p.numbers[c.Type]),
				Flag: "--webroot -w DIR, which lets that program answer",
			},
			Yes: "Retry", No: "Cancel", Default: ask.No,
		})
		if askErr != nil {
			return errors.Join(err, askErr)
		}
		if !again {
			return err
		}
	}
}
