package ask

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

var errEmpty = errors.New("something is to be entered here")

// Menu is a question with a list of answers, of which one is taken.
type Menu struct {
	Question
	Items []string
	// Default and Usual are numbers as they are shown, from 1; 0 is none.
	Default int // where nobody is asked
	Usual   int // what Enter means
}

// Menu puts q, and returns the number of an item, as it is shown: from 1.
func (a *Asker) Menu(ctx context.Context, q Menu) (int, error) {
	if a.skips(q.Question) {
		if q.Default == 0 {
			return 0, q.missing(q.Items...)
		}
		return q.Default, nil
	}
	usual := ""
	if q.Usual > 0 {
		usual = strconv.Itoa(q.Usual)
	}
	a.items(q.with(usual), q.Items)
	prompt := fmt.Sprintf("Select the appropriate number [1-%d] then [enter] (press 'c' to cancel): ", len(q.Items))
	if len(q.Items) == 1 {
		prompt = "Press 1 [enter] to confirm the selection (press 'c' to cancel): "
	}
	var chosen int
	err := a.until(ctx, q.Question, prompt, func(line string) (err error) {
		switch {
		case cancels(line):
			return ErrCancelled
		case line == "" && q.Usual > 0:
			chosen = q.Usual
			return nil
		}
		chosen, err = number(line, len(q.Items))
		return err
	})
	if err != nil && q.Default > 0 && a.nobody(err) {
		return q.Default, nil
	}
	return chosen, err
}

// Checklist is a question with a list of answers, of which several may be taken.
type Checklist struct {
	Question
	Items []string
	// Default is what is taken where nobody is asked, as numbers from 1; nil has it fail.
	Default []int
	// AllOnBlank has Enter take all.
	AllOnBlank bool
}

// Checklist puts q, and returns the numbers of items, as they are shown: from 1, in their order, each once.
func (a *Asker) Checklist(ctx context.Context, q Checklist) ([]int, error) {
	if a.skips(q.Question) {
		if q.Default == nil {
			return nil, q.missing(q.Items...)
		}
		return q.Default, nil
	}
	a.items(q.with(""), q.Items)
	prompt := "Select the appropriate numbers separated by commas and/or spaces (Enter 'c' to cancel): "
	if q.AllOnBlank {
		prompt = "Select the appropriate numbers separated by commas and/or spaces, or leave input blank to select all options shown (Enter 'c' to cancel): "
	}
	var chosen []int
	err := a.until(ctx, q.Question, prompt, func(line string) (err error) {
		switch {
		case cancels(line):
			return ErrCancelled
		case line == "" && q.AllOnBlank:
			line = fmt.Sprintf("1-%d", len(q.Items))
		}
		chosen, err = numbers(line, len(q.Items))
		return err
	})
	if err != nil && q.Default != nil && a.nobody(err) {
		return q.Default, nil
	}
	return chosen, err
}

// items shows a message and a numbered list.
func (a *Asker) items(message string, items []string) {
	var b strings.Builder
	b.WriteString("\n" + a.wrap(message) + "\n" + a.frame())
	for i, item := range items {
		b.WriteString(a.wrap(fmt.Sprintf("%d: %s", i+1, oneLine(item))) + "\n")
	}
	a.write(b.String() + a.frame())
}

// numbers reads "1,3 5-7": numbers and ranges, in any order and with any separators between.
func numbers(line string, most int) ([]int, error) {
	var list []int
	for _, part := range strings.FieldsFunc(line, func(r rune) bool { return r == ',' || r == ' ' }) {
		from, to, isRange := strings.Cut(part, "-")
		first, err := number(from, most)
		if err != nil {
			return nil, err
		}
		last := first
		if isRange {
			if last, err = number(to, most); err != nil {
				return nil, err
			}
		}
		if last < first {
			return nil, fmt.Errorf("a range begins with its smaller number: %d-%d", last, first)
		}
		for n := first; n <= last; n++ {
			list = append(list, n)
		}
	}
	if len(list) == 0 {
		return nil, errEmpty
	}
	slices.Sort(list)
	return slices.Compact(list), nil
}

// number reads a number from 1 to most.
func number(text string, most int) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > most {
		if most == 1 {
			return 0, errors.New("enter 1")
		}
		return 0, fmt.Errorf("enter a number from 1 to %d", most)
	}
	return n, nil
}
