package main

import (
	"bufio"
	"io"
	"log/slog"
	"sync"
)

// transcripts let several renewals speak at once, and put what they say in the order in which certbot, which does one
// after the other, would have said it. Whose turn it is speaks directly.
type transcripts struct {
	err io.Writer

	mu    sync.Mutex
	out   *bufio.Writer
	parts []part // guarded by mu, as is what follows
	head  int    // whose turn it is
	live  bool   // what is said is shown at once, not in large pieces
}

// part is what one has said before its turn.
type part struct {
	said []utterance
	done bool
}

type utterance struct {
	failure bool // to standard error
	text    []byte
}

const pieces = 32 << 10 // bytes that are written at once

func newTranscripts(n int, out, err io.Writer) *transcripts {
	return &transcripts{out: bufio.NewWriterSize(out, pieces), err: err, parts: make([]part, n)}
}

// voice is the output of one of them.
type voice struct {
	t       *transcripts
	i       int
	failure bool
}

func (v voice) Write(text []byte) (int, error) {
	v.t.mu.Lock()
	defer v.t.mu.Unlock()
	if v.i <= v.t.head { // or it has had its turn, and something comes late
		return len(text), v.t.show(utterance{v.failure, text})
	}
	p := &v.t.parts[v.i]
	p.said = append(p.said, utterance{v.failure, append([]byte(nil), text...)})
	return len(text), nil
}

// show writes. Both outputs may be the same terminal, so their order counts.
func (t *transcripts) show(u utterance) error {
	if !u.failure {
		_, err := t.out.Write(u.text)
		if t.live {
			_ = t.out.Flush() // an error comes again with the next write
		}
		return err
	}
	_ = t.out.Flush()
	_, err := t.err.Write(u.text)
	return err
}

// done ends the part of i. Whoever is next may have said everything already.
func (t *transcripts) done(i int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.parts[i].done = true
	for t.head < len(t.parts) && t.parts[t.head].done {
		if t.head++; t.head < len(t.parts) {
			for _, u := range t.parts[t.head].said {
				_ = t.show(u) // who does not listen does not keep certificates from being renewed
			}
			t.parts[t.head].said = nil
		}
	}
}

// begin has everything shown at once from now on: it will take a while.
func (t *transcripts) begin() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.live = true
	_ = t.out.Flush()
}

// end shows what is left.
func (t *transcripts) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	_ = t.out.Flush()
}

// speaking is the app with the voice of one of them.
func (a *app) speaking(t *transcripts, i int) *app {
	own := *a
	own.out, own.err = voice{t, i, false}, voice{t, i, true}
	own.log = onTerminal(a.log, own.err)
	own.hooks = a.hooks.heardBy(own.say, own.log, i)
	return &own
}

// onTerminal is log with another terminal.
func onTerminal(log *slog.Logger, terminal io.Writer) *slog.Logger {
	handler, ok := log.Handler().(tee)
	if !ok {
		return log
	}
	if p, ok := handler.terminal.(*plain); ok {
		other := *p
		other.w = terminal
		handler.terminal = &other
	}
	return slog.New(handler)
}
