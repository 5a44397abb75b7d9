package notify_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/internal/bot/notify"
)

const day = 24 * time.Hour

var now = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)

// state is a certificate of 90 days of which some are left.
func state(serial string, left time.Duration) notify.State {
	return notify.State{Lineage: "a.test", Names: []string{"a.test"}, Serial: serial, Server: "https://ca.test/dir",
		NotBefore: now.Add(left - 90*day), NotAfter: now.Add(left)}
}

func failing(s notify.State, failures int) notify.State {
	s.Failures, s.Class, s.Problem = failures, "network", "nobody answers"
	return s
}

// TestEachChangeIsToldOnce goes through the life of a certificate, and tells what is told at each step.
func TestEachChangeIsToldOnce(t *testing.T) {
	with := func(s notify.State, change func(*notify.State)) notify.State {
		change(&s)
		return s
	}
	other := with(state("03", 80*day), func(s *notify.State) { s.Usual, s.Server = s.Server, "https://second.test/dir" })
	var told notify.Told
	known := false
	for i, step := range []struct {
		state notify.State
		want  []notify.Kind
	}{
		{state("01", 80*day), nil}, // what was there before anybody was to be told
		{failing(state("01", 29*day), 1), []notify.Kind{notify.Failed}},
		{failing(state("01", 28*day), 2), nil},
		{failing(state("01", 20*day), 3), nil},
		{failing(state("01", 19*day), 4), []notify.Kind{notify.FailedAgain}},
		{failing(state("01", 14*day), 5), []notify.Kind{notify.ExpiryNear}},
		{failing(state("01", 13*day), 5), nil},
		{failing(state("01", 2*day), 6), []notify.Kind{notify.ExpiryNear}}, // 7 and 3 days in one step are told once
		{failing(state("01", 2*day), 7), []notify.Kind{notify.FailedAgain}},
		{failing(state("01", 23*time.Hour), 7), []notify.Kind{notify.ExpiryNear}},
		{failing(state("01", -time.Hour), 7), []notify.Kind{notify.Expired}},
		{failing(state("01", -2*time.Hour), 8), nil},
		{state("02", 90*day), []notify.Kind{notify.Recovered}},
		{state("02", 80*day), nil},
		{other, []notify.Kind{notify.Renewed, notify.FallbackTaken}},
		{other, nil},
		{with(state("04", 90*day), func(s *notify.State) { s.Deploy = "the web server shows 03" }), []notify.Kind{notify.Renewed, notify.DeployFailed}},
		{with(state("04", 90*day), func(s *notify.State) { s.Deploy = "the web server shows 03 still" }), nil},
		{state("04", 90*day), []notify.Kind{notify.Recovered}},
		{state("04", 13*day), []notify.Kind{notify.ExpiryNear}},
	} {
		var events []notify.Event
		events, told = notify.Judge(step.state, told, known, 3, now)
		known = true
		var got []notify.Kind
		for _, e := range events {
			got = append(got, e.Kind)
		}
		if !slices.Equal(got, step.want) {
			t.Errorf("step %d: told %v, want %v", i, got, step.want)
		}
	}
}

func TestANewCertificateIsToldOnlyByTheRunThatGotIt(t *testing.T) {
	s := state("01", 90*day)
	if events, _ := notify.Judge(s, notify.Told{}, false, 3, now); len(events) != 0 {
		t.Errorf("told %v of a certificate that was there before", events)
	}
	s.Obtained = true
	if events, _ := notify.Judge(s, notify.Told{}, false, 3, now); len(events) != 1 || events[0].Kind != notify.Renewed {
		t.Errorf("told %v of a new certificate, want renewed", events)
	}
}

func TestThresholdsLeaveTimeToRenew(t *testing.T) {
	for _, test := range []struct {
		lifetime time.Duration
		want     string
	}{
		{398 * day, "[336h0m0s 168h0m0s 72h0m0s 24h0m0s]"},
		{90 * day, "[336h0m0s 168h0m0s 72h0m0s 24h0m0s]"},
		{47 * day, "[336h0m0s 168h0m0s 72h0m0s 24h0m0s]"},
		{30 * day, "[168h0m0s 72h0m0s 24h0m0s]"},
		{160 * time.Hour, "[40h0m0s 20h0m0s 10h0m0s]"},
		{time.Hour, "[15m0s 7m30s 3m45s]"},
	} {
		if got := fmt.Sprint(notify.Thresholds(test.lifetime)); got != test.want {
			t.Errorf("Thresholds(%s) = %s, want %s", test.lifetime, got, test.want)
		}
	}
}
