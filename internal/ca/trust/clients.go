package trust

import "strings"

// Client is how one ACME client gets a certificate from this authority.
type Client struct {
	Name string // of the program
	Note string // where Text goes when it is not a command; may be empty
	Text string // a command line, or lines of a file; NAME stands for the name wanted
}

// Title is the client's name with its note.
func (c Client) Title() string {
	if c.Note == "" {
		return c.Name
	}
	return c.Name + ", " + c.Note
}

// downloaded is what the instructions call the root once it was fetched and checked.
const downloaded = "cairn-root.pem"

// Clients lists the common ACME clients with the line that gets a certificate
// for NAME by http-01. They need the root as a file, and only that: it is
// RootFile on the authority's machine, else the file that the instructions make.
func (p Page) Clients() []Client {
	root := downloaded
	if p.RootFile != "" {
		root = p.RootFile
	}
	fill := strings.NewReplacer(
		"{directory}", Quote(p.Directory),
		"{root}", Quote(root),
		"{caddyroot}", caddyQuote(root),
	).Replace
	return []Client{
		{Name: "certbot", Text: fill("REQUESTS_CA_BUNDLE={root} certbot certonly --standalone --server {directory}" +
			" -d NAME --agree-tos -m you@example.com -n")},
		{Name: "lego", Note: "version 4", Text: fill("LEGO_CA_CERTIFICATES={root} lego --server {directory}" +
			" --email you@example.com --accept-tos --domains NAME --http run")},
		{Name: "acme.sh", Text: fill("acme.sh --issue --server {directory} --ca-bundle {root} --standalone -d NAME")},
		{Name: "Caddy", Note: "in the global options of the Caddyfile (the root must be readable by Caddy's user: copy it)",
			Text: fill("acme_ca " + p.Directory + "\nacme_ca_root {caddyroot}")},
		{Name: "cairnbot", Text: fill("cairnbot certonly --standalone --server {directory} --ca-bundle {root}" +
			" -d NAME --agree-tos -m you@example.com -n")},
	}
}

// Quote makes one word of s for a POSIX shell, and leaves plain words alone.
func Quote(s string) string {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._:/@%+=,"
	if s != "" && strings.Trim(s, plain) == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// caddyQuote makes one token of s for a Caddyfile: backquotes take anything but themselves.
func caddyQuote(s string) string {
	switch {
	case !strings.ContainsAny(s, " \t\n\"`{}#"):
		return s
	case !strings.Contains(s, "`"):
		return "`" + s + "`"
	default:
		return `"` + strings.ReplaceAll(s, `"`, `\"`) + `"`
	}
}
