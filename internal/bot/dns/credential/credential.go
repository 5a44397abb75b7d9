// Package credential has what clients of DNS services do alike with credentials: it reads them from small files and from
// programs that print them, and keeps access tokens for as long as they are good.
//
// Which file and which program is the operator's choice. What is read is in no error.
package credential

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/cairn-ca/cairn/internal/bot/dns/rest"
	"github.com/cairn-ca/cairn/internal/bot/hook"
)

// most bounds a file, and what a program prints.
const most = 1 << 20

// File reads a file with a key or a token in it, without the space around it.
func File(name string) (string, error) {
	info, err := os.Stat(name)
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() || info.Size() > most {
		return "", fmt.Errorf("%s is no small file", name)
	}
	text, err := os.ReadFile(name)
	return strings.TrimSpace(string(text)), err
}

// Output runs a program that prints credentials, without a shell, for a minute at most, and returns what it prints. What it
// says to its standard error is in the error. After the minute it ends with all that it has started. A nil environ is that of this process.
func Output(ctx context.Context, environ, argv []string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	program := exec.CommandContext(ctx, argv[0], argv[1:]...)
	program.Env = environ
	hook.OwnGroup(program)
	program.WaitDelay = time.Second
	var output, said bounded
	program.Stdout, program.Stderr = &output, &said
	if err := program.Run(); err != nil {
		return nil, fmt.Errorf("%s: %w: it says: %s", argv[0], err, rest.Plain(said.String()))
	}
	return output.Bytes(), nil
}

// bounded keeps the beginning of what is written to it.
type bounded struct{ bytes.Buffer }

func (b *bounded) Write(text []byte) (int, error) {
	b.Buffer.Write(text[:min(len(text), max(0, most-b.Len()))])
	return len(text), nil
}

// early is how long before their end tokens are replaced.
const early = 3 * time.Minute

// Token is an access token that is fetched when it is needed, and again shortly before it ends. It can be used by several
// goroutines at once.
type Token struct {
	// Fetch gets one from who issues it, and says for how long it is good. It is required.
	Fetch func(ctx context.Context, now time.Time) (token string, life time.Duration, err error)

	mu      sync.Mutex // guards the others, and is held while one is fetched: the rest wait for it
	token   string
	expires time.Time
}

// Get returns one that is good for some minutes after now.
func (t *Token) Get(ctx context.Context, now time.Time) (string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.token != "" && now.Add(early).Before(t.expires) {
		return t.token, nil
	}
	token, life, err := t.Fetch(ctx, now)
	if err == nil && token == "" {
		err = errors.New("the answer has none in it")
	}
	if err != nil {
		return "", fmt.Errorf("getting an access token: %w", err)
	}
	t.token, t.expires = token, now.Add(life)
	return token, nil
}
