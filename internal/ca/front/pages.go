package front

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"html/template"
	"net/http"
	"strings"
	"time"

	"github.com/cairn-ca/cairn/internal/ca/rules"
	"github.com/cairn-ca/cairn/internal/ca/store"
)

// Where the pages for people are, below https://host[:port]/.
const (
	limitsPath  = "limits"
	unpausePath = "unpause"
)

// limitsStyle is the whole look of the pages; its hash is what their policy lets through.
const limitsStyle = `
:root { color-scheme: light dark; }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 52rem; margin: 2rem auto; padding: 0 1rem; }
h1 { line-height: 1.2; }
th, td { text-align: left; vertical-align: top; padding: .25rem 1rem .25rem 0; overflow-wrap: anywhere; }
code { font: .9rem/1.45 ui-monospace, monospace; }
button { font: inherit; padding: .4rem 1rem; }
`

const pageHead = `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8"/>
<meta name="viewport" content="width=device-width, initial-scale=1"/>
<title>{{.Title}}</title>
<style>` + limitsStyle + `</style>
</head>
<body>
<h1>{{.Title}}</h1>
`

var limitsTemplate = template.Must(template.New("limits").Parse(pageHead + `
<p>This certificate authority limits how often some things can be done. Each limit comes back bit by bit:
of "50 in 7d", one more is possible after each fiftieth part of seven days. A refused request uses up nothing.</p>
<table>
<tr><th>Limit</th><th>What it counts</th><th>How many</th></tr>
{{range .Limits}}<tr><td><code>{{.Name}}</code></td><td>{{.Counts}}</td><td>{{.Words}}</td></tr>
{{end}}</table>
<p>A renewal that names the certificate it replaces (RFC 9773), at the time that the authority suggests, is not
limited. A response that a limit applies to says in <code>RateLimit</code> what is left; a refusal says in
<code>Retry-After</code> when the same request is possible. The person who runs this authority can change a limit for you.</p>
</body>
</html>
`))

var unpauseTemplate = template.Must(template.New("unpause").Parse(pageHead + `
{{with .Message}}<p>{{.}}</p>
{{end}}{{if .Paused}}<p>Account <code>{{.Account}}</code> has asked again and again for certificates for these names, and has
never proven that it controls them. Until somebody looks at it, its orders for them are refused. Put right what
the last failure was about, or remove the name from your client. Then go on here.</p>
<table>
<tr><th>Name</th><th>Paused since</th><th>Last failure</th></tr>
{{range .Paused}}<tr><td><code>{{.Identifier}}</code></td><td>{{.Since.UTC.Format "2006-01-02 15:04 UTC"}}</td><td>{{.Reason}}</td></tr>
{{end}}</table>
{{if .More}}<p>There are more names; what you do here is done to all of them.</p>
{{end}}<form method="post" action="/unpause">
<input type="hidden" name="token" value="{{.Token}}"/>
<button>Let the account order these names again</button>
</form>
{{end}}</body>
</html>
`))

// limitsPage finds the page that a request is for; nil if it is for none.
func (f *Front) limitsPage(r *http.Request) http.HandlerFunc {
	if r.TLS == nil || !f.Limits.Stored() {
		return nil
	}
	reads := r.Method == http.MethodGet || r.Method == http.MethodHead
	switch {
	case r.URL.Path == "/"+limitsPath && reads:
		return f.showLimits
	case r.URL.Path == "/"+unpausePath && reads:
		return f.showUnpause
	case r.URL.Path == "/"+unpausePath && r.Method == http.MethodPost:
		return f.unpause
	}
	return nil
}

// writePage sends a page: no script, nothing from elsewhere, no frame, and forms that lead here alone.
func (f *Front) writePage(w http.ResponseWriter, status int, page *template.Template, content any) {
	var text bytes.Buffer
	if err := page.Execute(&text, content); err != nil {
		f.Log.Error("writing a page failed", "error", err)
		http.Error(w, "the page cannot be shown", http.StatusInternalServerError)
		return
	}
	sum := sha256.Sum256([]byte(limitsStyle))
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+
		"'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer") // the token is in the URL
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = text.WriteTo(w) // a peer that has gone needs no page
}

// showLimits lists the limits that are on.
func (f *Front) showLimits(w http.ResponseWriter, _ *http.Request) {
	type row struct {
		Name          rules.LimitName
		Counts, Words string
	}
	content := struct {
		Title  string
		Limits []row
	}{Title: "Rate limits"}
	for _, name := range rules.LimitNames() {
		if limit := f.Limits[name]; limit.On() {
			content.Limits = append(content.Limits, row{name, name.Description(), limit.Words()})
		}
	}
	f.writePage(w, http.StatusOK, limitsTemplate, content)
}

// unpauseContent is what the page about paused names shows.
type unpauseContent struct {
	Title, Message, Account, Token string
	Paused                         []store.Paused
	More                           bool
}

const (
	tokenInvalid = "This link is not one of this authority's. Use the whole of it, as the refusal of the order has it."
	tokenExpired = "This link has expired. The next order that is refused brings a new one."
)

// showUnpause shows what is paused. It changes nothing: programs that look at links do no harm.
func (f *Front) showUnpause(w http.ResponseWriter, r *http.Request) {
	token := r.URL.Query().Get("token")
	content := unpauseContent{Title: "Paused names", Token: token}
	err := f.DB.View(r.Context(), func(tx *store.Tx) (err error) {
		content.Paused = nil
		if content.Account, content.Message = f.tokenAccount(token, tx.Now); content.Message == "" {
			content.Paused, err = tx.PausedOf(content.Account, "", maxPaused+1)
		}
		return err
	})
	switch {
	case err != nil:
		f.pageFailed(w, err)
		return
	case content.Message != "":
		f.writePage(w, http.StatusForbidden, unpauseTemplate, content)
		return
	}
	if content.More = len(content.Paused) > maxPaused; content.More {
		content.Paused = content.Paused[:maxPaused]
	}
	if len(content.Paused) == 0 {
		content.Message = "No name of this account is paused."
	}
	f.writePage(w, http.StatusOK, unpauseTemplate, content)
}

// maxForm bounds the one form that there is: a token.
const maxForm = 4 << 10

// unpause lets an account order its paused names again. Whoever has the token may ask for
// it, and nobody else has it: that is what protects the form from other sites.
func (f *Front) unpause(w http.ResponseWriter, r *http.Request) {
	content := unpauseContent{Title: "Paused names"}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if !strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") || r.ParseForm() != nil {
		content.Message = "Send the form as it is."
		f.writePage(w, http.StatusBadRequest, unpauseTemplate, content)
		return
	}
	account, count, why, err := f.unpauseAll(r.Context(), r.PostForm.Get("token"))
	switch {
	case err != nil:
		f.pageFailed(w, err)
		return
	case why != "":
		content.Message = why
		f.writePage(w, http.StatusForbidden, unpauseTemplate, content)
		return
	}
	f.Log.Info("names unpaused by their owner", "account", account, "names", count)
	content.Message = "No name of this account is paused any more. Its next order for them is taken."
	f.writePage(w, http.StatusOK, unpauseTemplate, content)
}

// unpauseAll unpauses all names of the account that a token is for, a batch in each
// transaction, and counts them. why says what is wrong with the token, if it is.
func (f *Front) unpauseAll(ctx context.Context, token string) (account string, count int, why string, err error) {
	for {
		var batch int
		err := f.change(ctx, func(tx *store.Tx) (err error) {
			batch = 0
			if account, why = f.tokenAccount(token, tx.Now); why == "" {
				batch, err = tx.UnpauseSome(account, maxPaused)
			}
			return err
		})
		if count += batch; err != nil || why != "" || batch < maxPaused {
			return account, count, why, err
		}
	}
}

// tokenAccount is the account that a token is for, or what is wrong with the token.
func (f *Front) tokenAccount(token string, now time.Time) (account, why string) {
	account, expired, ok := readUnpauseToken(f.LinkKey, token, now)
	switch {
	case !ok:
		return "", tokenInvalid
	case expired:
		return "", tokenExpired
	}
	return account, ""
}

// pageFailed says that a page cannot be shown for now.
func (f *Front) pageFailed(w http.ResponseWriter, err error) {
	status := http.StatusInternalServerError
	if errors.Is(err, store.ErrBusy) || errors.Is(err, store.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) {
		status = http.StatusServiceUnavailable
	}
	f.Log.Error("a page failed", "error", err)
	http.Error(w, "this does not work now: try again later", status)
}
