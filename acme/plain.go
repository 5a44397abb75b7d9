package acme

import "bytes"

// plainMember is a member of a JSON object whose value is a string.
type plainMember struct{ name, value string }

// maxPlain is how many members the objects that are read by plainMembers have at most.
const maxPlain = 4

// plainMembers reads a JSON object of at most maxPlain members in the form that all clients write: strings of
// printable ASCII without escapes, each name once. All of a request's frame is that (RFC 8555 §6.2), and to read
// it so takes a fifth of the time of a decoder for all of JSON. It is false for whatever
// else there is: that is for the decoder to read, or to refuse.
func plainMembers(data []byte) (members []plainMember, ok bool) {
	s := plainScanner{rest: data}
	if !s.skip('{') {
		return nil, false
	}
	members = make([]plainMember, 0, maxPlain)
	for {
		name, named := s.text()
		if !named || !s.skip(':') {
			return nil, false
		}
		value, valued := s.text()
		if !valued || len(members) == maxPlain {
			return nil, false
		}
		for _, m := range members {
			if m.name == name {
				return nil, false
			}
		}
		members = append(members, plainMember{name, value})
		if s.skip('}') {
			s.space()
			return members, len(s.rest) == 0
		}
		if !s.skip(',') {
			return nil, false
		}
	}
}

// plainScanner goes through JSON, token by token (RFC 8259 §2).
type plainScanner struct{ rest []byte }

func (s *plainScanner) space() { s.rest = bytes.TrimLeft(s.rest, " \t\r\n") }

// skip goes past one structural character and the white space around it, if it is next.
func (s *plainScanner) skip(structural byte) bool {
	s.space()
	if len(s.rest) == 0 || s.rest[0] != structural {
		return false
	}
	s.rest = s.rest[1:]
	return true
}

// text goes past a string and returns what is in it.
func (s *plainScanner) text() (string, bool) {
	if !s.skip('"') {
		return "", false
	}
	for i, c := range s.rest {
		switch {
		case c == '"':
			text := string(s.rest[:i])
			s.rest = s.rest[i+1:]
			return text, true
		case c < ' ' || c > '~' || c == '\\':
			return "", false
		}
	}
	return "", false
}
