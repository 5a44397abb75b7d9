package validate

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// The Baseline Requirements for TLS server certificates, version 2.2.6, §3.2.2.9, as data.
//
// Table "Quorum Requirements":
//
//	# of Distinct Remote Network Perspectives Used | # of Allowed non-Corroborations
//	2-5                                            | 1
//	6+                                             | 2
//
// "Phased Implementation Timeline", from when it is enforced:
//
//	2025-09-15  at least 2 remote perspectives
//	2026-03-15  at least 3, and those that corroborate in the service regions of at least 2 RIRs
//	2026-06-15  at least 4, and the same
//	2026-12-15  at least 5, and the same

// allowed is the number of allowed non-corroborations of so many remote
// perspectives. The table begins at two; fewer may not fail at all.
func allowed(remotes int) int {
	switch {
	case remotes < 2:
		return 0
	case remotes <= 5:
		return 1
	default:
		return 2
	}
}

// Rule is what a quorum takes beside the table.
type Rule struct {
	Remotes int // how many remote perspectives there must be at least
	Regions int // in how many RIRs' service regions those that corroborate must be at least
}

// phase is a rule from a day on.
type phase struct {
	from time.Time
	rule Rule
}

// phases is the timeline, the newest first. Nothing changes it.
var phases = []phase{
	{day(2026, time.December, 15), Rule{Remotes: 5, Regions: 2}},
	{day(2026, time.June, 15), Rule{Remotes: 4, Regions: 2}},
	{day(2026, time.March, 15), Rule{Remotes: 3, Regions: 2}},
	{day(2025, time.September, 15), Rule{Remotes: 2, Regions: 1}},
}

func day(year int, month time.Month, day int) time.Time {
	return time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
}

// BaselineRule is the rule of BR §3.2.2.9 at a time.
func BaselineRule(now time.Time) Rule {
	for _, p := range phases {
		if !now.Before(p.from) {
			return p.rule
		}
	}
	return Rule{}
}

// Vote is what came of asking one remote perspective.
type Vote string

// The votes. All but Corroborated are non-corroborations once nothing more is waited for.
const (
	Pending      Vote = ""             // it has not answered yet
	Corroborated Vote = "corroborated" // it saw what the primary perspective saw
	Refuted      Vote = "refuted"      // it saw that there is no proof, or another one
	Silent       Vote = "silent"       // it could not be asked, or could not look
	Cancelled    Vote = "cancelled"    // the outcome was clear before it answered
)

// Ballot is the vote of one remote perspective, and the RIR in whose service region it is.
type Ballot struct {
	RIR  string
	Vote Vote
}

// Verdict is what the ballots come to, given that the primary perspective saw a proof.
type Verdict int

// The verdicts. Whatever the pending perspectives will say changes none but Undecided.
const (
	Undecided   Verdict = iota
	Agreed              // there is a quorum
	Disagreed           // there is none, for what perspectives saw: the client's failure
	Unavailable         // there is none, since too few perspectives could look: nobody's failure but ours
)

// Decide counts the ballots of all remote perspectives that are used.
func Decide(rule Rule, ballots []Ballot) Verdict {
	votes := make(map[Vote]int)
	for _, b := range ballots {
		votes[b.Vote]++
	}
	is := func(list ...Vote) func(Ballot) bool {
		return func(b Ballot) bool { return slices.Contains(list, b.Vote) }
	}
	may := allowed(len(ballots))
	switch {
	case len(ballots) < rule.Remotes:
		return Unavailable
	case len(ballots)-votes[Corroborated] <= may && regions(ballots, is(Corroborated)) >= rule.Regions:
		return Agreed
	case votes[Refuted] > may:
		return Disagreed
	case votes[Refuted] > 0 && regions(ballots, is(Corroborated, Pending, Silent, Cancelled)) < rule.Regions &&
		regions(ballots, func(Ballot) bool { return true }) >= rule.Regions:
		return Disagreed // where all that could corroborate are in too few regions, for what the others saw
	case votes[Pending] > 0:
		return Undecided
	default:
		return Unavailable
	}
}

// regions is how many service regions the ballots that count are from. A perspective of unknown region is in none.
func regions(ballots []Ballot, counts func(Ballot) bool) int {
	found := make(map[string]bool)
	for _, b := range ballots {
		if b.RIR != "" && counts(b) {
			found[b.RIR] = true
		}
	}
	return len(found)
}

// RIRs lists the Regional Internet Registries.
func RIRs() []string { return []string{"AFRINIC", "APNIC", "ARIN", "LACNIC", "RIPE"} }

// CheckRIR says what is wrong with the name of an RIR. None is fine.
func CheckRIR(rir string) error {
	if rir != "" && !slices.Contains(RIRs(), rir) {
		return fmt.Errorf("%.20q is no Regional Internet Registry: these are %s", rir, strings.Join(RIRs(), ", "))
	}
	return nil
}
