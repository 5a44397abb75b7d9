package trust

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"net/http"
)

// style is the whole look of the page; its hash is what the policy lets through.
const style = `
:root { color-scheme: light dark; }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 52rem; margin: 2rem auto; padding: 0 1rem; }
h1, h2, h3 { line-height: 1.2; }
h2 { margin-top: 2.5rem; }
pre { overflow-x: auto; padding: .75rem; border: 1px solid #8886; border-radius: .3rem; background: #8881; }
code, pre { font: .9rem/1.45 ui-monospace, monospace; }
dt { font-weight: 600; margin-top: .75rem; }
dd { margin: 0; overflow-wrap: anywhere; }
`

// page is one self-contained document: no script, no image, nothing from elsewhere.
var page = template.Must(template.New("trust").Parse(`<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8"/>
<meta name="viewport" content="width=device-width, initial-scale=1"/>
<title>{{.Subject}}</title>
<style>` + style + `</style>
</head>
<body>
<h1>{{.Subject}}</h1>
<p>This is a certificate authority that speaks ACME (RFC 8555). It issues certificates only for the
names below; programs that trust its root hold it to that.</p>
<dl>
<dt>Directory</dt><dd><a href="{{.Directory}}"><code>{{.Directory}}</code></a></dd>
<dt>Issues only for</dt><dd>{{range $i, $name := .Names}}{{if $i}}, {{end}}<code>{{$name}}</code>{{end}}</dd>
<dt>SHA-256 fingerprint of the root</dt><dd><code>{{.Colons}}</code></dd>
<dd><code>{{.Hex}}</code></dd>
<dt>Root certificate, valid until {{.Expires}}</dt>
<dd><a href="{{.RootPEM}}" download="cairn-root.pem">PEM</a>, <a href="{{.RootDER}}" download="cairn-root.der">DER</a></dd>
{{with .RootFile}}<dt>On this machine</dt><dd><code>{{.}}</code></dd>
{{end}}{{with .Terms}}<dt>Terms of service</dt><dd><a href="{{.}}">{{.}}</a></dd>
{{end}}{{if .KeyNeeded}}<dt>New accounts</dt><dd>need a key (external account binding, EAB): ask the person who runs this authority for one,
and register with it before you ask for a certificate</dd>
{{end}}</dl>
<p>Compare the fingerprint with one that you got another way, from the person who runs this
authority or from the terminal it was started in. This page alone proves nothing: the connection
that brought it is not trusted yet.</p>

<h2>Get a certificate</h2>
<p>NAME stands for the name that the certificate is for, cairn-root.pem for the root certificate.
The name must lead to the machine where the command runs, and port 80 there must be free.</p>
{{range .Clients}}<h3>{{.Title}}</h3>
<pre>{{.Text}}</pre>
{{end}}
<h2>Trust the root</h2>
<p>Each of these compares the fingerprint first and stops if it is another.</p>
{{range .Instructions}}<h3>{{.System}}</h3>
{{with .Before}}<p>{{.}}</p>
{{end}}<pre>{{.Commands}}</pre>
{{with .After}}<p>{{.}}</p>
{{end}}{{end}}</body>
</html>
`))

// WriteHTML writes the page at the root of the authority's listener.
// Nothing is written when it returns an error of the page's own.
func (p Page) WriteHTML(w io.Writer) error {
	if err := p.check(); err != nil {
		return err
	}
	var text bytes.Buffer
	if err := page.Execute(&text, p); err != nil {
		return fmt.Errorf("writing the trust page: %w", err)
	}
	_, err := text.WriteTo(w)
	return err
}

// SetHeaders sets the header fields that WriteHTML's document is served with:
// a policy that allows its own style and nothing else at all.
func SetHeaders(h http.Header) {
	sum := sha256.Sum256([]byte(style))
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+
		"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
}
