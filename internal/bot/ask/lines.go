package ask

import (
	"context"
	"errors"
	"io"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// maxLine is how long an answer may be: a hundred names of full length fit in.
const maxLine = 32 << 10

var errLong = errors.New("that line is too long")

// lines reads one line for each question, and no byte beyond it: what comes next may be for
// another reader, such as a hook. A terminal hands over whole lines anyway, and whoever writes into a pipe is not many.
type lines struct {
	in      io.Reader
	reading chan result // of the line that is being read; nil between two
}

type result struct {
	line string
	err  error
}

func newLines(in io.Reader) *lines { return &lines{in: in} }

// next waits for a line, but not longer than ctx and limit allow. A line that comes later belongs to the next question:
// a read cannot be interrupted everywhere.
func (l *lines) next(ctx context.Context, limit time.Duration) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	if l.reading == nil {
		reading := make(chan result, 1)
		l.reading = reading
		go func() {
			line, err := readLine(l.in)
			reading <- result{line, err}
		}()
	}
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return "", ctx.Err()
	case <-timer.C:
		return "", errors.New("nobody answered in " + limit.String())
	case r := <-l.reading:
		l.reading = nil
		return r.line, r.err
	}
}

// readLine reads up to an end of line. A last line without one counts, too.
func readLine(in io.Reader) (string, error) {
	var line []byte
	var one [1]byte
	for {
		n, err := in.Read(one[:])
		ended := n == 1 && one[0] == '\n'
		if n == 1 && !ended && len(line) <= maxLine { // what is beyond is dropped
			line = append(line, one[0])
		}
		switch {
		case (ended || err == io.EOF && len(line) > 0) && len(line) > maxLine:
			return "", errLong
		case ended, err == io.EOF && len(line) > 0:
			return plain(line), nil
		case err != nil:
			return "", err
		}
	}
}

// plain leaves out what is no text, such as the sequences that arrow keys send: an answer is shown again and written to files.
func plain(line []byte) string {
	text := strings.ToValidUTF8(string(line), "")
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		case !unicode.IsPrint(r) || r == utf8.RuneError:
			return -1
		}
		return r
	}, text)
}
