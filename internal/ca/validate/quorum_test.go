package validate_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/validate"
)

// vantage sees what it is told to, after a time.
type vantage struct {
	after   time.Duration
	problem *acme.Problem
	err     error
	seen    string
}

func (v vantage) look(ctx context.Context) (validate.Result, error) {
	select {
	case <-time.After(v.after):
	case <-ctx.Done():
		return validate.Result{}, ctx.Err()
	}
	return validate.Result{Problem: v.problem, Seen: v.seen, Evidence: validate.Evidence{Millis: v.after.Milliseconds()}}, v.err
}

func (v vantage) Prove(ctx context.Context, _ validate.Request) (validate.Result, error) {
	return v.look(ctx)
}
func (v vantage) CAA(ctx context.Context, _ validate.CAARequest) (validate.Result, error) {
	return v.look(ctx)
}

// quorumOf is a quorum of local and remotes, called p0, p1 and so on, in regions turn by turn.
func quorumOf(local vantage, baseline bool, remotes ...vantage) *validate.Quorum {
	var list []validate.Perspective
	for i, remote := range remotes {
		place := validate.Place{Name: fmt.Sprintf("p%d", i), RIR: validate.RIRs()[i%5]}
		list = append(list, validate.Perspective{Place: place, Vantage: remote})
	}
	return validate.NewQuorum(validate.QuorumConfig{
		Local: local, Baseline: baseline,
		Remotes: func(context.Context) ([]validate.Perspective, error) { return list, nil },
	})
}

// votes are those in the evidence, in order.
func votes(r validate.Result) string {
	var list []string
	for _, view := range r.Evidence.Perspectives {
		list = append(list, string(view.Vote))
	}
	return strings.Join(list, " ")
}

var (
	yes  = vantage{seen: "it"}
	no   = vantage{problem: acme.Problemf(acme.TypeConnection, "no answer from 192.0.2.1 port 80")}
	slow = vantage{seen: "it", after: 10 * time.Second}
	dead = vantage{err: errors.New("connection refused")}
	late = vantage{seen: "it", after: 300 * time.Millisecond}
)

func TestV15Quorum(t *testing.T) {
	for _, test := range []struct {
		name    string
		quorum  *validate.Quorum
		votes   string
		share   string
		problem string // part of it
		fault   string // part of the error
		took    time.Duration
	}{
		{"alone", quorumOf(yes, false), "", "", "", "", 0},
		{"alone and without proof", quorumOf(no, false), "", "", "no answer", "", 0},
		{"all agree", quorumOf(yes, false, yes, yes, yes), "corroborated corroborated corroborated", "3/3", "", "", 0},
		{"a slow one is not waited for", quorumOf(yes, false, yes, slow, yes), "corroborated cancelled corroborated", "2/3", "", "", 500 * time.Millisecond},
		{"evidence may be a little late", quorumOf(yes, false, yes, late, yes), "corroborated corroborated corroborated", "3/3", "", "", 300 * time.Millisecond},
		{"but waited for where it matters", quorumOf(yes, false, no, slow, yes), "refuted corroborated corroborated", "2/3", "", "", 10 * time.Second},
		{"the local one is waited for", quorumOf(slow, false, yes, yes), "corroborated corroborated", "2/2", "", "", 10 * time.Second},
		{"what the local one does not see is final", quorumOf(no, false, yes, yes, yes), "corroborated corroborated corroborated", "3/3", "no answer", "", 0},
		{"and the slow do not delay it", quorumOf(no, false, slow, slow), "cancelled cancelled", "0/2", "no answer", "", 500 * time.Millisecond},
		{"one is dead", quorumOf(yes, false, yes, dead, yes), "corroborated silent corroborated", "2/3", "", "", 0},
		{"two are dead", quorumOf(yes, false, dead, dead, yes), "silent silent corroborated", "1/3", "", "2 of 3 remote perspectives did not corroborate, where 1 may (p0: connection refused", 0},
		{"one is dead and one sees nothing", quorumOf(yes, false, dead, no, yes), "silent refuted corroborated", "1/3", "", "did not corroborate", 0},
		{"two see nothing", quorumOf(yes, false, no, no, yes), "refuted refuted corroborated", "1/3", "2 of 3 remote perspectives", "", 0},
		{"two see another proof", quorumOf(yes, false, vantage{seen: "that"}, vantage{}, yes), "refuted refuted corroborated", "1/3", "another proof", "", 0},
		{"the local one cannot look", quorumOf(dead, false, yes, yes), "corroborated corroborated", "2/2", "", "connection refused", 0},
		{"too few for the Baseline Requirements", quorumOf(yes, true, yes), "", "", "", "at least", 0},
		{"enough for them", quorumOf(yes, true, yes, yes, yes, yes, yes, no), "corroborated corroborated corroborated corroborated corroborated refuted", "5/6", "", "", 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				// The bubble's clock starts in 2000: at a time when the rules are in force.
				time.Sleep(time.Until(time.Date(2026, time.December, 15, 0, 0, 0, 0, time.UTC)))
				for name, ask := range map[string]func() (validate.Result, error){
					"Prove": func() (validate.Result, error) {
						return test.quorum.Prove(t.Context(), validate.Request{Type: acme.HTTP01})
					},
					"CAA": func() (validate.Result, error) { return test.quorum.CAA(t.Context(), validate.CAARequest{}) },
				} {
					began := time.Now()
					r, err := ask()
					took := time.Since(began)
					if test.fault == "" && err != nil || test.fault != "" && (err == nil || !strings.Contains(err.Error(), test.fault)) {
						t.Errorf("%s: error %v, want %q", name, err, test.fault)
					}
					if problem := fmt.Sprint(r.Problem); test.fault == "" && (test.problem == "" && r.Problem != nil || !strings.Contains(problem, test.problem)) {
						t.Errorf("%s: problem %v, want %q", name, r.Problem, test.problem)
					}
					if votes(r) != test.votes || r.Evidence.Quorum != test.share || took != test.took {
						t.Errorf("%s: votes %q (%s) after %s, want %q (%s) after %s", name, votes(r), r.Evidence.Quorum, took, test.votes, test.share, test.took)
					}
				}
			})
		})
	}
}

// TestQuorumInTime ends with its context: who has not answered by then is silent.
func TestQuorumInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		r, err := quorumOf(yes, false, slow, slow).Prove(ctx, validate.Request{Type: acme.HTTP01})
		if err == nil || r.Problem != nil || votes(r) != "silent silent" {
			t.Errorf("two slow: %v, %v, %s", err, r.Problem, votes(r))
		}
		if _, err := quorumOf(slow, false, yes).Prove(ctx, validate.Request{Type: acme.HTTP01}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the local one is slow: %v", err)
		}
	})
}

// TestQuorumTemporary says that a problem may go away if there can be a quorum once what is temporary is gone:
// one perspective that says otherwise, lying or not, does not decide that.
func TestQuorumTemporary(t *testing.T) {
	passing := temporaryVantage{no}
	for _, test := range []struct {
		remotes []validate.Vantage
		want    bool
	}{
		{[]validate.Vantage{passing, passing}, true},
		{[]validate.Vantage{passing}, true},
		{[]validate.Vantage{no}, false},
		{[]validate.Vantage{passing, no}, true},
		{[]validate.Vantage{yes, no, passing}, true},
		{[]validate.Vantage{no, no}, false},
		{[]validate.Vantage{no, passing, no, yes}, false},
	} {
		q := validate.NewQuorum(validate.QuorumConfig{Local: yes, Remotes: func(context.Context) (list []validate.Perspective, _ error) {
			for _, v := range test.remotes {
				list = append(list, validate.Perspective{Vantage: v})
			}
			return list, nil
		}})
		r, err := q.Prove(t.Context(), validate.Request{Type: acme.HTTP01})
		if err != nil || r.Problem == nil || r.Temporary != test.want {
			t.Errorf("%v: %v, %v, temporary %v", test.remotes, err, r.Problem, r.Temporary)
		}
	}
}

type temporaryVantage struct{ vantage }

func (v temporaryVantage) Prove(ctx context.Context, r validate.Request) (validate.Result, error) {
	result, err := v.vantage.Prove(ctx, r)
	result.Temporary = true
	return result, err
}

// TestSignedChallengesAreNotLookedFor: from everywhere they are the same.
func TestSignedChallengesAreNotLookedFor(t *testing.T) {
	for _, kind := range []acme.ChallengeType{acme.OnionCSR01, acme.ProofOfPossession01} {
		r, err := quorumOf(yes, true, dead).Prove(t.Context(), validate.Request{Type: kind})
		if err != nil || r.Problem != nil || r.Evidence.Quorum != "" {
			t.Errorf("%s: %v, %v, %q", kind, err, r.Problem, r.Evidence.Quorum)
		}
	}
}

// TestHostilePerspective bounds and cleans what a perspective says before the client or the operator sees it.
func TestHostilePerspective(t *testing.T) {
	hostile := vantage{problem: &acme.Problem{
		Type: acme.TypeUserActionRequired, Detail: "\x1b]0;owned\a" + strings.Repeat("é\u202e", 4000), Instance: "https://evil.example/",
		Subproblems: []*acme.Problem{{Type: acme.TypeCAA}},
	}}
	r, err := quorumOf(yes, false, hostile, hostile).Prove(t.Context(), validate.Request{Type: acme.HTTP01})
	if err != nil || r.Problem == nil {
		t.Fatal(r, err)
	}
	evidence, err := r.Evidence.Encode(32 << 10)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{r.Problem.Detail, string(evidence)} {
		if strings.ContainsAny(text, "\x1b\a\u202e") || len(text) > 2500 || strings.Contains(text, "evil") {
			t.Errorf("%d octets: %.300q", len(text), text)
		}
	}
	if r.Problem.Type != acme.TypeUnauthorized || len(r.Problem.Subproblems) > 0 {
		t.Errorf("problem %+v", r.Problem)
	}
}

// TestEvidenceOfPerspectivesIsBounded leaves the votes when the rest is too much.
func TestEvidenceOfPerspectivesIsBounded(t *testing.T) {
	e := validate.Evidence{Quorum: "20/20"}
	for i := range 20 {
		seen := validate.Evidence{Hops: []validate.Hop{{First: strings.Repeat("x", 200)}, {First: strings.Repeat("y", 200)}}}
		e.Perspectives = append(e.Perspectives, validate.View{Place: validate.Place{Name: fmt.Sprint("p", i)}, Vote: validate.Corroborated, Evidence: &seen})
	}
	text, err := e.Encode(4 << 10)
	if err != nil || len(text) > 4<<10 {
		t.Fatalf("%d octets: %v", len(text), err)
	}
	var short validate.Evidence
	if err := json.Unmarshal(text, &short); err != nil || len(short.Perspectives) != 20 || !short.Shortened || short.Perspectives[19].Vote != validate.Corroborated {
		t.Errorf("%v: %.200s", err, text)
	}
}
