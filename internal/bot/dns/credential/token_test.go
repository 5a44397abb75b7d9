package credential_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/internal/bot/dns/credential"
)

func TestTokensAreKeptUntilShortlyBeforeTheirEnd(t *testing.T) {
	fetched := 0
	token := credential.Token{Fetch: func(context.Context, time.Time) (string, time.Duration, error) {
		fetched++
		return strconv.Itoa(fetched), time.Hour, nil
	}}
	begin := time.Now()
	for _, c := range []struct {
		after time.Duration
		want  string
	}{{0, "1"}, {56 * time.Minute, "1"}, {58 * time.Minute, "2"}, {59 * time.Minute, "2"}, {3 * time.Hour, "3"}} {
		if got, err := token.Get(t.Context(), begin.Add(c.after)); got != c.want || err != nil {
			t.Errorf("after %s: %q, %v; want %s", c.after, got, err, c.want)
		}
	}
	var asking sync.WaitGroup
	for range 10 {
		asking.Go(func() {
			if got, err := token.Get(t.Context(), begin.Add(5*time.Hour)); got != "4" || err != nil {
				t.Errorf("of many at once: %q, %v", got, err)
			}
		})
	}
	asking.Wait()
}

func TestNoTokenIsAnError(t *testing.T) {
	refused := errors.New("refused")
	answers := []error{refused, nil}
	token := credential.Token{Fetch: func(context.Context, time.Time) (string, time.Duration, error) {
		err := answers[0]
		answers = answers[1:]
		return "", time.Hour, err
	}}
	if _, err := token.Get(t.Context(), time.Now()); !errors.Is(err, refused) {
		t.Errorf("got %v", err)
	}
	if got, err := token.Get(t.Context(), time.Now()); err == nil {
		t.Errorf("got %q of an answer without one", got)
	}
}

func TestFilesAreSmall(t *testing.T) {
	dir := t.TempDir()
	good, large := filepath.Join(dir, "good"), filepath.Join(dir, "large")
	if err := os.WriteFile(good, []byte(" the token\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(large, make([]byte, 1<<20+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := credential.File(good); got != "the token" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	for _, name := range []string{large, dir, "/dev/zero", filepath.Join(dir, "none")} {
		if got, err := credential.File(name); err == nil {
			t.Errorf("%s: %d bytes were read", name, len(got))
		}
	}
}
