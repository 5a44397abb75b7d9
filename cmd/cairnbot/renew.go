package main

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/big"
	"path/filepath"
	"sync"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/bot/lineage"
	"github.com/cairn-ca/cairn/internal/bot/renew"
)

// renew renews all that is due, or the one that --cert-name names.
func (a *app) renew(ctx context.Context) error {
	if len(a.domains) > 0 {
		return withHint(errors.New("renew takes no -d: it renews every certificate that is due, or the one that is named"),
			"name one with --cert-name, or use certonly")
	}
	a.finishJobs(ctx)
	names, err := a.selected()
	if err != nil {
		return err
	}
	r := &round{a: a, outcomes: make([]renewal, len(names)), said: newTranscripts(len(names), a.out, a.err)}
	r.attended = a.force || a.dryRun || a.certName != "" || a.terminal()
	for i, name := range names {
		r.outcomes[i].name, r.outcomes[i].conf = name, filepath.Join(a.configDir, "renewal", name+".conf")
	}
	err = renew.Round{
		Parallel: a.parallel, Judge: r.judge, Ready: r.ready, Renew: r.renew, Done: r.said.done,
	}.Run(ctx, len(names))
	r.said.end()
	a.log.Debug("all certificates were looked at", "number", len(names))
	a.result = a.renewResult(r.outcomes)
	if err != nil {
		return err
	}
	return a.summarise(r.outcomes)
}

// selected names the lineages that the options speak of.
func (a *app) selected() ([]string, error) {
	if a.certName == "" {
		return a.store.Names()
	}
	if _, err := a.store.Load(a.certName); errors.Is(err, fs.ErrNotExist) {
		return nil, a.noSuch(a.certName)
	}
	return []string{a.certName}, lineage.CheckName(a.certName)
}

// round is one look at many lineages.
type round struct {
	a        *app
	outcomes []renewal // one for each; its own renewal alone changes it
	said     *transcripts
	turns    turns
	// attended is whether somebody asks for it now, rather than a timer: earlier failures keep nobody from trying then.
	attended bool
}

// renewal is what became of one lineage.
type renewal struct {
	name, conf string
	fullchain  string
	verdict    *renew.Verdict // nil where it could not be judged
	server     string         // whom it is from, or was to be from
	expires    time.Time      // of what is live afterwards
	broken     error          // its configuration cannot be used
	skipped    bool           // it is not due
	waits      bool           // it is due, but an earlier failure holds it back
	renewed    bool
	err        error
}

// judge says whether a lineage is to be renewed.
func (r *round) judge(ctx context.Context, i int) bool {
	o, a := &r.outcomes[i], r.a.speaking(r.said, i)
	a.processing(o.conf)
	l, err := a.store.Load(o.name)
	if err != nil {
		o.broken = err
		fmt.Fprintf(a.err, "Renewal configuration file %s is broken: %v. Skipping.\n", o.conf, err)
		return false
	}
	o.fullchain = l.Path(lineage.Fullchain)
	a.watchPersist(l, now())
	if o.verdict, _, err = a.look(ctx, l, true); err != nil {
		o.err = err
		a.renewalFailed(o.name, err)
		return false
	}
	o.expires = o.verdict.Life.NotAfter
	if !a.attempted(o, r.attended) {
		return false
	}
	r.turns.expect(i)
	return true
}

// attempted says what follows from a verdict.
func (a *app) attempted(o *renewal, attended bool) bool {
	v := o.verdict
	if a.verbose > 0 || v.Due(now()) {
		a.log.Info("renewal", "name", o.name, "due", v.At, "why", v.Why)
	}
	switch {
	case !v.Due(now()):
		o.skipped = true
		if !a.quiet && !a.json {
			_, _ = io.WriteString(a.out, "Certificate not yet due for renewal\n") // as for processing
		}
		return false
	case !v.Waits.IsZero() && !attended:
		o.waits = true
		a.sayWaits(o)
		return false
	}
	if advice := v.State.Advice; advice.Given() && advice.Explanation != "" && v.At.Equal(advice.Moment) {
		a.say("The CA suggests to renew it now; it says why at %s", advice.Explanation)
	}
	return true
}

// sayWaits says what went wrong, and when it will be tried again.
func (a *app) sayWaits(o *renewal) {
	next := "once something else is asked for"
	if at := o.verdict.Attempt(); !at.IsZero() {
		next = "at " + at.Local().Format(time.DateTime)
	}
	fmt.Fprintf(a.err, "Certificate %s is due for renewal, but %s: the next attempt is %s. The last error was: %s\n",
		o.name, o.verdict.Holds, next, oneLine(o.verdict.State.Trouble.Error))
	fmt.Fprintf(a.err, "%s: hint: %s renew --cert-name %s tries at once\n", a.name, a.name, o.name)
}

// ready waits for a moment before the first renewal, so that not all the world asks its CA at the full hour. The locks
// are free meanwhile.
func (r *round) ready(ctx context.Context) error {
	defer r.said.begin()
	a := r.a
	if a.terminal() || a.noRandomSleep || a.dryRun {
		return nil
	}
	random, err := rand.Int(rand.Reader, big.NewInt(int64(longestSleep-shortestSleep)))
	if err != nil {
		return err
	}
	sleep := shortestSleep + time.Duration(random.Int64())
	r.said.begin()
	a.log.Info(fmt.Sprintf("Non-interactive renewal: random delay of %.1f seconds", sleep.Seconds()))
	err = a.store.Pause(ctx, func() {
		select {
		case <-time.After(sleep):
		case <-ctx.Done():
		}
	}, a.lockWait)
	if err != nil {
		return err
	}
	return context.Cause(ctx)
}

// The bounds of that moment are certbot's.
const (
	shortestSleep = time.Second
	longestSleep  = 480 * time.Second
)

// renew renews one lineage, which is loaded again: certbot may have been at work meanwhile.
func (r *round) renew(ctx context.Context, i int) {
	o, a := &r.outcomes[i], r.a.speaking(r.said, i)
	defer r.turns.pass(i)
	l, err := a.store.Load(o.name)
	if err == nil {
		o.verdict, _, err = a.look(ctx, l, o.verdict.Revoked) // what is live may not be what was revoked
	}
	if err == nil && !o.verdict.Due(now()) {
		o.skipped = true
		a.say("Certificate not yet due for renewal")
		return
	}
	if err == nil {
		if err = r.preHooks(ctx, a, l, i); err == nil {
			o.server, err = a.renewOne(ctx, l, o.verdict, r.attended)
		}
	}
	var held *heldError
	switch {
	case errors.As(err, &held):
		o.waits, o.verdict.Waits, o.verdict.Holds = true, held.until, held.why
		o.verdict.State.Trouble = held.trouble
		a.sayWaits(o)
	case err != nil:
		o.err = err
		a.renewalFailed(o.name, err)
	default:
		o.renewed = true
	}
	l, err = a.store.Load(o.name)
	if err != nil {
		return // it is told already
	}
	if leaf, err := l.Leaf(); err == nil {
		o.expires = leaf.NotAfter
		if o.err != nil {
			a.hooks.missed(values(acme.CertificateIdentifiers(leaf)))
		}
	}
}

// preHooks runs what is to be run before a renewal when all lineages before have come that far: in certbot's order.
func (r *round) preHooks(ctx context.Context, a *app, l *lineage.Lineage, i int) error {
	s, err := a.settle(l.Conf)
	if err == nil {
		err = a.hooks.check(&s.params)
	}
	if err != nil {
		return err
	}
	r.turns.wait(i)
	a.hooks.before(ctx, &s.params)
	r.turns.pass(i)
	return nil
}

// turns let those that run at once come to one point in order. Places that never come there have passed.
type turns struct {
	mu      sync.Mutex
	changed sync.Cond // L is mu
	waiting map[int]bool
	first   int // nobody before it is waited for
}

// expect says that a place will come. Nobody waits yet.
func (t *turns) expect(i int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.waiting == nil {
		t.waiting = make(map[int]bool)
		t.changed.L = &t.mu
	}
	t.waiting[i] = true
}

// pass says that a place has been there, or will not come.
func (t *turns) pass(i int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.waiting, i)
	t.changed.Broadcast()
}

// wait waits until all that are before i have passed. Who renews is begun in order, so these are under way.
func (t *turns) wait(i int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for {
		for t.first < i && !t.waiting[t.first] {
			t.first++
		}
		if t.first >= i {
			return
		}
		t.changed.Wait()
	}
}

// look judges a lineage. Where the CA is to be asked when to renew, it asks if online is set.
func (a *app) look(ctx context.Context, l *lineage.Lineage, online bool) (*renew.Verdict, *x509.Certificate, error) {
	leaf, err := l.Leaf()
	if err != nil {
		return nil, nil, err
	}
	params, err := l.Conf.Params()
	if err != nil {
		return nil, leaf, err
	}
	if a.dryRun { // nothing of what was before counts, and the CA is not the one to ask
		v, err := renew.Judge(renew.Subject{Lineage: l, Leaf: leaf, Params: &params, Force: true}, renew.State{}, now())
		return v, leaf, err
	}
	state := a.shared.memory.Load(l.Name)
	id, idErr := acme.CertIDOf(leaf)
	if idErr != nil || !state.Advice.About(id.String(), params.Server) {
		state.Advice = nil
	}
	if online && idErr == nil && !a.force && !params.NoAutoRenew && now().Before(leaf.NotAfter) {
		state = a.advise(ctx, l, leaf, id, params.Server, state)
	}
	asked := ""
	if state.Trouble != nil {
		asked = a.fingerprint(l, leaf)
	}
	v, err := renew.Judge(renew.Subject{Lineage: l, Leaf: leaf, Params: &params, Force: a.force, Asked: asked}, state, now())
	// A CA that suggests when to renew tells of what it revokes in that way, and is not asked twice.
	if err == nil && online && !v.Due(now()) && !params.NoAutoRenew && !state.Advice.Given() && a.isRevoked(ctx, l, leaf) {
		v.At, v.Why, v.Revoked = now(), "the CA has revoked it", true
	}
	return v, leaf, err
}

// fingerprint stands for what a renewal of l would ask for.
func (a *app) fingerprint(l *lineage.Lineage, leaf *x509.Certificate) string {
	s, err := a.settle(l.Conf)
	if err != nil {
		return ""
	}
	return s.fingerprint(acme.CertificateIdentifiers(leaf))
}

func (s *settings) fingerprint(names []acme.Identifier) string {
	params := s.params
	params.Account = "" // a new one, where the CA has forgotten it, is not another request
	return renew.Fingerprint(params, s.bundle, s.key, s.methods, names)
}

// now is the time; tests of what depends on it are those of the rules.
func now() time.Time { return time.Now() }

// processing says which configuration is looked at. It goes into no log: there may be ten thousand.
func (a *app) processing(path string) {
	if !a.quiet && !a.json {
		_, _ = io.WriteString(a.out, "\n"+frameLine+"\nProcessing "+path+"\n"+frameLine+"\n") // as for say
	}
}

// renewalFailed says so at once, for the others may take a while.
func (a *app) renewalFailed(name string, err error) {
	a.log.Debug("renewal failed", "name", name, "error", err)
	fmt.Fprintf(a.err, "Failed to renew certificate %s with error: %s\n", name, describe(err))
	if hint := hintFor(err); hint != "" {
		fmt.Fprintf(a.err, "%s: hint: %s\n", a.name, hint)
	}
}

// summarise prints what became of each lineage, in certbot's words.
func (a *app) summarise(outcomes []renewal) error {
	var renewed, failed, skipped, held, invalid []string
	for _, o := range outcomes {
		switch {
		case o.broken != nil:
			invalid = append(invalid, o.conf+" (parsefail)")
		case o.err != nil:
			failed = append(failed, o.fullchain+" (failure)")
		case o.renewed:
			renewed = append(renewed, o.fullchain+" (success)")
		case o.waits:
			held = append(held, fmt.Sprintf("%s expires on %s (waiting)", o.fullchain, o.expires.UTC().Format(time.DateOnly)))
		case o.skipped:
			skipped = append(skipped, fmt.Sprintf("%s expires on %s (skipped)", o.fullchain, o.expires.UTC().Format(time.DateOnly)))
		}
	}
	a.say("")
	a.frame()
	a.list("The following certificates are not due for renewal yet:", skipped)
	if len(held) > 0 {
		listTo(a.err, "The following certificates are due, but wait after earlier failures:", held)
	}
	kind := "renewals"
	if a.dryRun {
		kind = "simulated renewals"
	}
	switch {
	case len(renewed) == 0 && len(failed) == 0:
		a.say("No %s were attempted.", kind)
		if a.preHook+a.deployHook+a.postHook != "" {
			a.say("No hooks were run.")
		}
	case len(failed) == 0:
		a.list("Congratulations, all "+kind+" succeeded: ", renewed)
	case len(renewed) == 0:
		listTo(a.err, "All "+kind+" failed. The following certificates could not be renewed:", failed)
	default:
		a.list("The following "+kind+" succeeded:", renewed)
		listTo(a.err, "The following "+kind+" failed:", failed)
	}
	a.list("Additionally, the following renewal configurations were invalid: ", invalid)
	a.frame()
	if n := len(failed) + len(held); n+len(invalid) > 0 {
		return fmt.Errorf("%d renew failure(s), %d parse failure(s)", n, len(invalid))
	}
	return nil
}

// list says a heading and what belongs under it; nothing if that is nothing.
func (a *app) list(heading string, lines []string) {
	if len(lines) > 0 && !a.quiet && !a.json {
		listTo(a.out, heading, lines)
	}
}

func listTo(w io.Writer, heading string, lines []string) {
	text := []byte(heading + "\n")
	for _, line := range lines {
		text = append(text, "  "+line+"\n"...)
	}
	_, _ = w.Write(text) // who does not listen does not change the outcome
}
