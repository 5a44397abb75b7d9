package validate

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/cairn-ca/cairn/acme"
)

// Vantage is a place on the network from which to look. A failed proof is a Result
// with a Problem; an error means that it could not look. Prover, Remote and
// Quorum are such, and safe for concurrent use.
type Vantage interface {
	Prove(ctx context.Context, r Request) (Result, error)
	CAA(ctx context.Context, r CAARequest) (Result, error)
}

// Perspective is a remote vantage of a quorum.
type Perspective struct {
	Place   Place
	Vantage Vantage
}

// QuorumConfig says who looks. Local and Remotes are required.
type QuorumConfig struct {
	Local Vantage
	// Remotes lists the remote perspectives that are used. It is called for each question.
	Remotes func(context.Context) ([]Perspective, error)
	// Baseline asks for what BR §3.2.2.9 asks for on the day: so many remote
	// perspectives, in so many regions. Without it, as many as there are vote by its table.
	Baseline bool
	// Grace is how long evidence is waited for once the outcome is clear; 0 means 500 ms.
	Grace time.Duration
}

// Quorum looks from one local and any number of remote perspectives, all side by
// side, and decides as BR §3.2.2.9 does.
//
// The local perspective is trusted: who deceives it and enough remote ones gets a
// certificate. A remote one is not trusted: it can add to the non-corroborations, or
// fail to, and nothing else.
type Quorum struct{ config QuorumConfig }

// NewQuorum makes a Quorum.
func NewQuorum(c QuorumConfig) *Quorum {
	if c.Grace == 0 {
		c.Grace = 500 * time.Millisecond
	}
	return &Quorum{config: c}
}

// View is what one remote perspective saw, for the evidence.
type View struct {
	Place
	Vote     Vote          `json:"vote"`
	Millis   int64         `json:"millis"`
	Problem  *acme.Problem `json:"problem,omitempty"`
	Error    string        `json:"error,omitempty"` // why it is silent
	Evidence *Evidence     `json:"evidence,omitempty"`
}

// Prove implements Vantage. What a problem says of remote perspectives is how many
// did not see the proof, and what one of them saw.
func (q *Quorum) Prove(ctx context.Context, r Request) (Result, error) {
	if Offline(r.Type) {
		return q.config.Local.Prove(ctx, r)
	}
	return q.ask(ctx, func(ctx context.Context, v Vantage) (Result, error) { return v.Prove(ctx, r) })
}

// CAA implements Vantage. What remote perspectives have to corroborate is that the records permit the issuance.
func (q *Quorum) CAA(ctx context.Context, r CAARequest) (Result, error) {
	return q.ask(ctx, func(ctx context.Context, v Vantage) (Result, error) { return v.CAA(ctx, r) })
}

// askOne asks one vantage.
type askOne func(context.Context, Vantage) (Result, error)

// ask puts a question to every perspective.
func (q *Quorum) ask(ctx context.Context, ask askOne) (Result, error) {
	remotes, err := q.config.Remotes(ctx)
	if err != nil {
		return Result{}, fmt.Errorf("listing the remote perspectives: %w", err)
	}
	var rule Rule
	if q.config.Baseline {
		rule = BaselineRule(time.Now())
	}
	if len(remotes) < rule.Remotes {
		return Result{}, fmt.Errorf("%d remote perspectives are in use, at least %d are needed (BR §3.2.2.9)", len(remotes), rule.Remotes)
	}
	if len(remotes) == 0 {
		return ask(ctx, q.config.Local)
	}
	c := &poll{rule: rule, remotes: remotes, seen: make([]*seen, len(remotes)+1), started: time.Now()}
	return c.run(ctx, q, ask)
}

// seen is what came of asking one perspective.
type seen struct {
	result Result
	err    error
	millis int64
}

// poll is one question under way. Only the goroutine of run touches it.
type poll struct {
	rule    Rule
	remotes []Perspective
	seen    []*seen // by perspective, the local one last; nil until it has answered
	started time.Time
}

// local is what the local perspective saw, or nil.
func (c *poll) local() *seen { return c.seen[len(c.remotes)] }

func (c *poll) run(ctx context.Context, q *Quorum, ask askOne) (Result, error) {
	inner, cancel := context.WithCancel(ctx)
	defer cancel()
	type arrival struct {
		who int
		seen
	}
	arrivals := make(chan arrival, len(c.seen)) // nobody is held up when nobody waits any more
	for who := range c.seen {
		vantage := q.config.Local
		if who < len(c.remotes) {
			vantage = c.remotes[who].Vantage
		}
		go func() {
			began := time.Now()
			result, err := ask(inner, vantage)
			arrivals <- arrival{who, seen{result, err, time.Since(began).Milliseconds()}}
		}()
	}
	var enough <-chan time.Time // once the outcome is clear
	for missing := len(c.seen); missing > 0; missing-- {
		select {
		case a := <-arrivals:
			c.seen[a.who] = &a.seen
		case <-enough:
			return c.outcome(ctx)
		case <-ctx.Done():
			return c.outcome(ctx)
		}
		if enough == nil && c.clear() {
			enough = time.After(q.config.Grace)
		}
	}
	return c.outcome(ctx)
}

// clear reports whether the outcome does not depend on who is still to answer. What the local
// perspective says goes first: if it sees no proof, that is final.
func (c *poll) clear() bool {
	local := c.local()
	if local == nil {
		return false
	}
	return local.err != nil || local.result.Problem != nil || Decide(c.rule, c.ballots(Pending)) != Undecided
}

// ballots lists the votes; rest is that of who has not answered.
func (c *poll) ballots(rest Vote) []Ballot {
	ballots := make([]Ballot, len(c.remotes))
	for i, remote := range c.remotes {
		ballots[i] = Ballot{RIR: remote.Place.RIR, Vote: c.vote(i, rest)}
	}
	return ballots
}

func (c *poll) vote(who int, rest Vote) Vote {
	s, local := c.seen[who], c.local()
	switch {
	case s == nil:
		return rest
	case s.err != nil:
		return Silent
	case s.result.Problem != nil:
		return Refuted
	case local != nil && local.err == nil && local.result.Problem == nil && s.result.Seen != local.result.Seen:
		return Refuted // BR §3.2.2.4.19: it must observe the same token as the primary perspective
	default:
		return Corroborated
	}
}

// outcome is the result, with every perspective's view in its evidence.
func (c *poll) outcome(ctx context.Context) (Result, error) {
	local := c.local()
	if local == nil {
		return Result{}, fmt.Errorf("the local perspective did not answer: %w", context.Cause(ctx))
	}
	result := local.result
	rest := Cancelled
	if ctx.Err() != nil {
		rest = Silent // they had all the time there was
	}
	ballots := c.ballots(rest)
	corroborated := 0
	for i, ballot := range ballots {
		if ballot.Vote == Corroborated {
			corroborated++
		}
		result.Evidence.Perspectives = append(result.Evidence.Perspectives, c.view(i, ballot.Vote))
	}
	result.Evidence.Quorum = fmt.Sprintf("%d/%d", corroborated, len(ballots))
	if local.err != nil || result.Problem != nil {
		return result, local.err
	}
	switch Decide(c.rule, ballots) {
	case Agreed:
		return result, nil
	case Disagreed:
		result.Problem, result.Temporary = c.problem(ballots)
		return result, nil
	default:
		return result, c.unavailable(ballots)
	}
}

func (c *poll) view(who int, vote Vote) View {
	view := View{Place: c.remotes[who].Place, Vote: vote, Millis: time.Since(c.started).Milliseconds()}
	if s := c.seen[who]; s != nil {
		view.Millis = s.millis
		view.Problem = clipProblem(s.result.Problem)
		if s.err != nil {
			view.Error = printable(s.err.Error())
		} else {
			view.Evidence = &s.result.Evidence
			view.Evidence.Perspectives = nil // it has none of its own
		}
	}
	return view
}

// problem says to the client that remote perspectives did not see what the local one saw.
// It is temporary if there could be a quorum once what is temporary is gone: one perspective
// that lies must not make final what another try would put right.
func (c *poll) problem(ballots []Ballot) (p *acme.Problem, temporary bool) {
	refuted, first := 0, (*acme.Problem)(nil)
	later := slices.Clone(ballots)
	for i, ballot := range ballots {
		if ballot.Vote != Refuted {
			continue
		}
		refuted++
		if c.seen[i].result.Temporary {
			later[i].Vote = Pending
		}
		if first == nil {
			first = c.seen[i].result.Problem
		}
	}
	temporary = Decide(c.rule, later) != Disagreed
	kind, what := acme.TypeUnauthorized, "it saw another proof"
	if first != nil {
		kind, what = remoteType(first.Type), printable(first.Detail)
	}
	may := fmt.Sprintf("where %d may", allowed(len(ballots)))
	if refuted <= allowed(len(ballots)) {
		may = "and those that did are all in one part of the world"
	}
	return acme.Problemf(kind, "the authority itself found what it looked for, but %d of %d remote perspectives on the network did not, "+
		"%s (one of them: %s): everybody on the network must be able to see the same", refuted, len(ballots), may, what), temporary
}

// unavailable says to the operator why there is no quorum.
func (c *poll) unavailable(ballots []Ballot) error {
	var missing []string
	for i, ballot := range ballots {
		if ballot.Vote == Corroborated {
			continue
		}
		why := string(ballot.Vote)
		if s := c.seen[i]; s != nil && s.err != nil {
			why = printable(s.err.Error())
		}
		missing = append(missing, c.remotes[i].Place.Name+": "+why)
	}
	if len(missing) == 0 {
		return fmt.Errorf("the remote perspectives are not in the regions of %d RIRs", c.rule.Regions)
	}
	return fmt.Errorf("%d of %d remote perspectives did not corroborate, where %d may (%s)",
		len(missing), len(ballots), allowed(len(ballots)), strings.Join(missing, "; "))
}

// remoteType lets pass the types that a failed proof has (RFC 8555 §6.7). A hostile perspective could send any.
func remoteType(kind acme.ProblemType) acme.ProblemType {
	switch kind {
	case acme.TypeConnection, acme.TypeDNS, acme.TypeTLS, acme.TypeCAA, acme.TypeIncorrectResponse:
		return kind
	}
	return acme.TypeUnauthorized
}

// clipProblem bounds a problem that another machine made.
func clipProblem(p *acme.Problem) *acme.Problem {
	if p == nil {
		return nil
	}
	return acme.Problemf(remoteType(p.Type), "%s", printable(p.Detail))
}

// maxRemoteText bounds a sentence of a perspective's, in octets.
const maxRemoteText = 512

// printable bounds a sentence that another machine wrote, and drops what cannot be printed.
func printable(s string) string {
	if len(s) > maxRemoteText {
		s = strings.ToValidUTF8(s[:maxRemoteText], "") + "…"
	}
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || r == utf8.RuneError {
			return -1
		}
		return r
	}, s)
}
