//go:build unix

package acmesh_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cairn-ca/cairn/internal/bot/dns"
	"github.com/cairn-ca/cairn/internal/bot/dns/acmesh"
)

// probe runs a script's function with the given body, and gives what it wrote into the file $OUT.
func probe(t *testing.T, shell, body string, config acmesh.Config) (string, error) {
	t.Helper()
	dir := t.TempDir()
	out := filepath.Join(dir, "out")
	config.Script = filepath.Join(dir, "dns_probe.sh")
	config.Variables = append(config.Variables, "OUT="+out)
	if err := os.WriteFile(config.Script, []byte("#!/usr/bin/env "+shell+"\ndns_probe_add() {\n"+body+"\n}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := acmesh.New(config)
	if err != nil {
		t.Fatal(err)
	}
	err = p.Add(t.Context(), dns.Record{Name: name, Value: "x"})
	text, _ := os.ReadFile(out) // it may not be there
	return string(text), err
}

// TestAnswersAreNotCalculatedWith gives to _math what a service could answer: bash runs what stands in an index.
func TestAnswersAreNotCalculatedWith(t *testing.T) {
	for _, shell := range []string{"sh", "bash"} {
		for _, answer := range []string{`a[$(echo run >"$OUT")]`, `response`, "1 `echo run >$OUT`", `$(echo run >"$OUT")`, `1, b[$(echo run >"$OUT")]`} {
			body := "response=" + `'a[$(echo run >"$OUT")]'` + "\nanswer='" + answer + "'\n_math \"$answer\" + 1 || return 0"
			if got, err := probe(t, shell, body, acmesh.Config{}); err != nil || got != "" {
				t.Errorf("%s: %s was run: %q, %v", shell, answer, got, err)
			}
		}
		got, err := probe(t, shell, `{ _math 3 + 4; _math "(2+3)*4 - 10/2"; } >"$OUT"`, acmesh.Config{})
		if err != nil || got != "715" {
			t.Errorf("%s: got %q, %v", shell, got, err)
		}
	}
}

// TestSecretsAreInNoArgument compares _hmac with openssl's own, and looks at the arguments that openssl gets.
func TestSecretsAreInNoArgument(t *testing.T) {
	body := `
	real=$(command -v openssl)
	openssl() { printf '%s\n' "$*" >>"$CAIRNBOT_DIR/arguments"; "$real" "$@"; }
	for algorithm in md5 sha256 sha512; do
		for size in 1 64 65 129; do
			key=$(head -c $size /dev/urandom | _hex_dump | tr -d ' ')
			got=$(printf 'a message' | _hmac $algorithm "$key" hex)
			[ "$got" = "$(printf 'a message' | "$real" dgst -$algorithm -mac HMAC -macopt "hexkey:$key" -r | cut -d ' ' -f 1)" ] || echo "$algorithm $size is wrong" >>"$OUT"
			[ "$got" = "$(printf 'a message' | _hmac $algorithm "$key" | _hex_dump | tr -d ' ')" ] || echo "$algorithm $size differs in octets" >>"$OUT"
			[ $size -lt 63 ] || ! grep -q "$key" "$CAIRNBOT_DIR/arguments" || echo "an argument has the secret" >>"$OUT"
		done
	done`
	for _, shell := range []string{"sh", "bash"} {
		if got, err := probe(t, shell, body, acmesh.Config{}); err != nil || got != "" {
			t.Errorf("%s: %s, %v", shell, got, err)
		}
	}
}

// TestScriptsHaveTheEnvironmentOfBefore: what is put into that of the process for another provider is not theirs.
func TestScriptsHaveTheEnvironmentOfBefore(t *testing.T) {
	before := []string{"PATH=" + os.Getenv("PATH"), "MINE=1"}
	t.Setenv("ANOTHER_TOKEN", "secret-of-another")
	got, err := probe(t, "sh", `env >"$OUT"`, acmesh.Config{Environ: before})
	if err != nil || strings.Contains(got, "secret-of-another") || !strings.Contains(got, "MINE=1\n") {
		t.Errorf("the script has\n%s%v", got, err)
	}
}
