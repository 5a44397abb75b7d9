package validate_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/internal/ca/validate"
)

func TestBaselineRule(t *testing.T) {
	for day, want := range map[string]validate.Rule{
		"2025-09-14": {},
		"2025-09-15": {Remotes: 2, Regions: 1},
		"2026-03-14": {Remotes: 2, Regions: 1},
		"2026-03-15": {Remotes: 3, Regions: 2},
		"2026-06-14": {Remotes: 3, Regions: 2},
		"2026-06-15": {Remotes: 4, Regions: 2},
		"2026-12-14": {Remotes: 4, Regions: 2},
		"2026-12-15": {Remotes: 5, Regions: 2},
		"2031-01-01": {Remotes: 5, Regions: 2},
	} {
		at, err := time.Parse(time.DateOnly, day)
		if err != nil {
			t.Fatal(err)
		}
		if got := validate.BaselineRule(at); got != want {
			t.Errorf("BaselineRule(%s) = %+v, want %+v", day, got, want)
		}
	}
}

// ballots reads "ARIN+ RIPE- APNIC? LACNIC.": + corroborated, - refuted, ? silent, . pending.
func ballots(text string) (list []validate.Ballot) {
	votes := map[byte]validate.Vote{
		'+': validate.Corroborated, '-': validate.Refuted, '?': validate.Silent, '.': validate.Pending, 'x': validate.Cancelled,
	}
	for _, field := range strings.Fields(text) {
		end := len(field) - 1
		list = append(list, validate.Ballot{RIR: field[:end], Vote: votes[field[end]]})
	}
	return list
}

func TestDecide(t *testing.T) {
	private, baseline := validate.Rule{}, validate.Rule{Remotes: 3, Regions: 2}
	for _, test := range []struct {
		rule validate.Rule
		text string
		want validate.Verdict
	}{
		// A private authority with fewer than the table begins with: none may fail.
		{private, "", validate.Agreed},
		{private, "+", validate.Agreed},
		{private, ".", validate.Undecided},
		{private, "-", validate.Disagreed},
		{private, "?", validate.Unavailable},
		// 2 to 5: one may.
		{private, "+ ?", validate.Agreed},
		{private, "+ .", validate.Agreed},
		{private, "- -", validate.Disagreed},
		{private, "- ?", validate.Unavailable},
		{private, "+ + + + -", validate.Agreed},
		{private, "+ + + - ?", validate.Unavailable},
		{private, "+ + + - .", validate.Undecided},
		{private, "+ + - - .", validate.Disagreed},
		{private, "+ + + ? x", validate.Unavailable},
		{private, ". . . . .", validate.Undecided},
		// 6 and more: two.
		{private, "+ + + + - -", validate.Agreed},
		{private, "+ + + + - ?", validate.Agreed},
		{private, "+ + + - - -", validate.Disagreed},
		{private, "+ + + - - .", validate.Undecided},
		{private, "+ + + + + + + + + + - - -", validate.Disagreed},
		// So many, in so many regions.
		{baseline, "ARIN+ RIPE+", validate.Unavailable},
		{baseline, "ARIN+ RIPE+ APNIC-", validate.Agreed},
		{baseline, "ARIN+ ARIN+ RIPE.", validate.Undecided},
		{baseline, "ARIN+ ARIN+ RIPE-", validate.Disagreed},
		{baseline, "ARIN+ ARIN+ RIPE?", validate.Unavailable},
		{baseline, "ARIN+ ARIN+ ARIN+", validate.Unavailable},
		{baseline, "ARIN+ ARIN+ +", validate.Unavailable},
		{baseline, "+ + ARIN+ RIPE+", validate.Agreed},
		{baseline, "ARIN+ ARIN+ ARIN- RIPE?", validate.Unavailable},
	} {
		t.Run(test.text, func(t *testing.T) {
			if got := validate.Decide(test.rule, ballots(test.text)); got != test.want {
				t.Errorf("Decide(%+v) = %d, want %d", test.rule, got, test.want)
			}
		})
	}
}

// TestVerdictsAreFinal goes through all votes of up to six perspectives: a verdict does not
// change by what the pending ones say, and once all have voted there is one.
func TestVerdictsAreFinal(t *testing.T) {
	rirs := []string{"ARIN", "ARIN", "RIPE", "APNIC", "", "RIPE"}
	cast := []validate.Vote{validate.Pending, validate.Corroborated, validate.Refuted, validate.Silent}
	checked := 0
	var all func(list []validate.Ballot, rest []string, rule validate.Rule)
	all = func(list []validate.Ballot, rest []string, rule validate.Rule) {
		if len(rest) > 0 {
			for _, vote := range cast {
				all(append(list, validate.Ballot{RIR: rest[0], Vote: vote}), rest[1:], rule)
			}
			return
		}
		verdict, pending := validate.Decide(rule, list), -1
		for i, b := range list {
			if b.Vote == validate.Pending {
				pending = i
			}
		}
		if pending < 0 {
			if verdict == validate.Undecided {
				t.Errorf("%v: all have voted, and nothing is decided", list)
			}
			return
		}
		if verdict == validate.Undecided {
			return
		}
		for _, vote := range cast[1:] {
			checked++
			next := append([]validate.Ballot{}, list...)
			next[pending].Vote = vote
			if later := validate.Decide(rule, next); later != verdict {
				t.Fatalf("%v was %d and became %d by %v", list, verdict, later, next[pending])
			}
		}
	}
	for n := range len(rirs) + 1 {
		for _, rule := range []validate.Rule{{}, {Remotes: 3, Regions: 2}, {Remotes: 4, Regions: 2}} {
			all(nil, rirs[:n], rule)
		}
	}
	if checked < 1000 {
		t.Errorf("only %d cases", checked)
	}
}

func TestCheckRIR(t *testing.T) {
	for _, rir := range append(validate.RIRs(), "") {
		if err := validate.CheckRIR(rir); err != nil {
			t.Error(err)
		}
	}
	for _, rir := range []string{"ripe", "IANA", "ARIN "} {
		if err := validate.CheckRIR(rir); err == nil || !strings.Contains(err.Error(), "LACNIC") {
			t.Error(fmt.Sprint(rir, ": ", err))
		}
	}
}

// TestDecideAll goes through all ballots of up to five perspectives in up to two regions: there is a quorum where the
// table of BR §3.2.2.9 and the regions say so, and nowhere else.
func TestDecideAll(t *testing.T) {
	kinds := []string{"ARIN+", "RIPE+", "ARIN-", "RIPE-", "ARIN?", "RIPE?", "ARIN.", "RIPE."}
	rule := validate.Rule{Remotes: 2, Regions: 2}
	for n := 2; n <= 5; n++ {
		for code := range 1 << (3 * n) {
			var fields []string
			for i := range n {
				fields = append(fields, kinds[code>>(3*i)&7])
			}
			text := strings.Join(fields, " ")
			got := validate.Decide(rule, ballots(text))
			quorum := n-strings.Count(text, "+") <= 1 && strings.Contains(text, "ARIN+") && strings.Contains(text, "RIPE+")
			if quorum != (got == validate.Agreed) {
				t.Fatalf("%s: %d, want a quorum: %v", text, got, quorum)
			}
		}
	}
}
