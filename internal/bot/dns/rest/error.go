package rest

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"unicode"
)

// Error is the refusal of a service.
type Error struct {
	Service string
	Call    string // what was asked, without query
	Status  int
	Message string // the service's words, made safe for a terminal, or ""
	Hint    string // what to do
}

func (e *Error) Error() string {
	text := fmt.Sprintf("%s: %s: %d %s", e.Service, e.Call, e.Status, http.StatusText(e.Status))
	if e.Message != "" {
		text += ": " + e.Message
	}
	if e.Hint != "" {
		text += " (" + e.Hint + ")"
	}
	return text
}

// IsStatus reports whether a service refused with one of these statuses.
func IsStatus(err error, statuses ...int) bool {
	var refusal *Error
	if !errors.As(err, &refusal) {
		return false
	}
	for _, status := range statuses {
		if refusal.Status == status {
			return true
		}
	}
	return false
}

// refusal makes an error of an answer that is one.
func (c *Client) refusal(request Request, answer Answer) error {
	find := c.config.Message
	if find == nil {
		find = usualMessage
	}
	e := &Error{Service: c.config.Service, Call: request.method() + " " + c.place(request), Status: answer.Status, Message: Plain(find(answer.Body))}
	switch answer.Status {
	case http.StatusUnauthorized, http.StatusForbidden:
		e.Hint = c.config.Hint
		if e.Hint == "" {
			e.Hint = "check the credentials, and that they may change records of this zone"
		}
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		e.Hint = "the service is busy: try again later"
	}
	if answer.Status >= 300 && answer.Status < 400 {
		e.Hint = "redirections are not followed: check the address of the service"
	}
	return e
}

// usualMessage looks where most services that speak JSON have their words.
func usualMessage(body []byte) string {
	var answer map[string]any
	if json.Unmarshal(body, &answer) != nil {
		return ""
	}
	return words(answer, 3)
}

// words collects what is said in value, which is nested at most depth deep.
func words(value any, depth int) string {
	if depth == 0 {
		return ""
	}
	switch value := value.(type) {
	case string:
		return value
	case []any:
		var said []string
		for _, item := range value[:min(len(value), 5)] {
			if text := words(item, depth); text != "" {
				said = append(said, text)
			}
		}
		return strings.Join(said, "; ")
	case map[string]any:
		for _, member := range []string{"error_description", "message", "reason", "error_msg", "error", "errors"} {
			if text := words(value[member], depth-1); text != "" {
				return text
			}
		}
	}
	return ""
}

// Plain makes a peer's words fit for a terminal and a log: one line, printable, short.
func Plain(text string) string {
	const most = 300
	var b strings.Builder
	for _, c := range strings.TrimSpace(text) {
		switch {
		case b.Len() >= most:
			return b.String() + "…"
		case c == '\n' || c == '\t':
			b.WriteByte(' ')
		case unicode.IsPrint(c):
			b.WriteRune(c)
		default:
			b.WriteByte('?')
		}
	}
	return b.String()
}
