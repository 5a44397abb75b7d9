package main

import (
	"io"
	"slices"
	"strings"
	"unicode"
)

// screen is where a person reads. What a CA, a certificate or a file says goes through
// it in many places, and none of it may control the terminal.
type screen struct{ w io.Writer }

// Write passes text on, with a space for each control character but tabs and ends of lines.
func (s screen) Write(text []byte) (int, error) {
	if !slices.ContainsFunc(text, func(c byte) bool { return (c < ' ' || c > '~') && c != '\n' && c != '\t' }) {
		return s.w.Write(text) // as most is
	}
	clean := strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) || r == '\n' || r == '\t' {
			return r
		}
		return ' '
	}, string(text))
	if _, err := io.WriteString(s.w, clean); err != nil {
		return 0, err
	}
	return len(text), nil
}
