package front_test

import (
	"slices"
	"testing"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/front"
)

func FuzzAccept(f *testing.F) {
	for _, seed := range []string{"", "*/*", acme.MediaCertificate + ";q=0.5, */*;q=0", "a/b;q=NaN", `a/b;q="1`, ",,,;;;", "application/*;q=1e9"} {
		f.Add(seed, seed)
	}
	offered := []string{acme.MediaChain, acme.MediaCertificate, acme.MediaPKCS7}
	f.Fuzz(func(t *testing.T, first, second string) {
		got := front.Preferred([]string{first, second}, offered...)
		if !slices.Contains(offered, got) {
			t.Errorf("%q, %q: %q", first, second, got)
		}
	})
}
