package main

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/cairn-ca/cairn/internal/bot/lineage"
)

// statusJSON is the result of status.
type statusJSON struct {
	Certificates []*explanationJSON `json:"certificates"`
	Invalid      []invalidJSON      `json:"invalid"`
}

// status shows all certificates in a table: what is due, when what expires, and what has failed.
func (a *app) status(ctx context.Context) error {
	lineages, broken, err := a.store.List()
	if err != nil {
		return err
	}
	r := statusJSON{Certificates: make([]*explanationJSON, 0, len(lineages))}
	for _, l := range lineages {
		e, err := a.explained(ctx, l)
		if err != nil {
			broken = append(broken, lineage.Broken{Path: l.ConfPath(), Err: err})
			continue
		}
		r.Certificates = append(r.Certificates, e)
	}
	r.Invalid = invalidList(broken)
	a.result = r
	if len(r.Certificates)+len(broken) == 0 {
		a.say("No certificates found.")
		return nil
	}
	rows := [][]string{{"NAME", "EXPIRES", "RENEWAL", "CA", "LAST FAILURE"}}
	for _, e := range r.Certificates {
		rows = append(rows, e.row(now()))
	}
	if len(rows) > 1 {
		a.say("%s", strings.Join(aligned(rows, a.columns), "\n"))
	}
	for _, b := range broken {
		a.say("%s: %s", b.Path, oneLine(b.Err.Error()))
	}
	return nil
}

// row is a certificate in few words.
func (e *explanationJSON) row(now time.Time) []string {
	expires := e.NotAfter.Local().Format(time.DateOnly)
	if left := e.NotAfter.Sub(now); left <= 0 {
		expires += " EXPIRED"
	} else {
		expires += " in " + span(left)
	}
	renewal := "never"
	switch {
	case e.Due && e.Held != "" && e.NextAttempt.IsZero():
		renewal = "due, waits for a change"
	case e.Due && e.Held != "":
		renewal = "due, waits " + span(e.NextAttempt.Sub(now))
	case e.Due:
		renewal = "due"
	case !e.DueAt.IsZero():
		renewal = "in " + span(e.DueAt.Sub(now))
	}
	failure := "-"
	if t := e.Trouble; t != nil {
		failure = fmt.Sprintf("%s ago, %s", span(max(now.Sub(t.Last), 0)), t.Class)
	}
	ca := e.Server
	if u, err := url.Parse(e.Server); err == nil && u.Host != "" {
		ca = u.Host
	}
	return []string{e.Name, expires, renewal, ca, failure}
}

// aligned lays rows out in columns of plain text. Where they are wider than the terminal, which is 0 where there is
// none, each certificate gets a line of its own, and its values those below.
func aligned(rows [][]string, terminal int) []string {
	widths := make([]int, len(rows[0]))
	total := 2 * (len(widths) - 1)
	for i := range widths {
		for _, row := range rows {
			widths[i] = max(widths[i], utf8.RuneCountInString(row[i]))
		}
		total += widths[i]
	}
	var lines []string
	if terminal > 0 && total > terminal {
		for _, row := range rows[1:] {
			lines = append(lines, row[0])
			for i, value := range row[1:] {
				lines = append(lines, fmt.Sprintf("  %-13s %s", strings.ToLower(rows[0][i+1])+":", value))
			}
		}
		return lines
	}
	for _, row := range rows {
		var b strings.Builder
		for i, value := range row {
			b.WriteString(value)
			if i < len(row)-1 {
				b.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(value)+2))
			}
		}
		lines = append(lines, b.String())
	}
	return lines
}
