package rpc_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/rpc"
)

type question struct {
	Text string `json:"text"`
}

type answer struct {
	Length int `json:"length"`
}

// serve starts a server whose one method measures a text, and refuses or fails at some.
func serve(t *testing.T) rpc.Client {
	t.Helper()
	var server rpc.Server
	rpc.Handle(&server, "measure", func(_ context.Context, q question) (answer, error) {
		switch q.Text {
		case "":
			return answer{}, rpc.Refuse("there is no text")
		case "problem":
			return answer{}, acme.Problemf(acme.TypeMalformed, "a problem")
		case "secret":
			return answer{}, errors.New("the password is 1234")
		}
		return answer{Length: len(q.Text)}, nil
	})
	listener := httptest.NewServer(&server)
	t.Cleanup(listener.Close)
	return rpc.Client{URL: listener.URL, HTTP: listener.Client()}
}

func TestCall(t *testing.T) {
	client := serve(t)
	got, err := rpc.Call[question, answer](t.Context(), client, "measure", question{Text: "four"})
	if err != nil || got.Length != 4 {
		t.Errorf("Call = %+v, %v", got, err)
	}
}

func TestRefusalReachesTheCallerAndAnErrorDoesNot(t *testing.T) {
	client := serve(t)
	for text, want := range map[string]string{"": "there is no text", "problem": "a problem"} {
		_, err := rpc.Call[question, answer](t.Context(), client, "measure", question{Text: text})
		var refusal *rpc.Refusal
		if !errors.As(err, &refusal) || refusal.Reason != want {
			t.Errorf("Call(%q) = %v, want the refusal %q", text, err, want)
		}
	}
	_, err := rpc.Call[question, answer](t.Context(), client, "measure", question{Text: "secret"})
	if err == nil || strings.Contains(err.Error(), "1234") || !strings.Contains(err.Error(), "internal error") {
		t.Errorf("Call = %v, want an internal error that tells nothing", err)
	}
	if _, err := rpc.Call[question, answer](t.Context(), client, "unknown", question{}); err == nil {
		t.Error("a method that is not there answered")
	}
}

func TestBounds(t *testing.T) {
	client := serve(t)
	_, err := rpc.Call[question, answer](t.Context(), client, "measure", question{Text: strings.Repeat("x", 9<<20)})
	if err == nil {
		t.Error("a request of 9 MiB was taken")
	}
	for _, test := range []struct{ contentType, body string }{
		{"text/plain", `{"text":"x"}`},
		{"application/json", `{"text":"x"} {}`},
		{"application/json", `{"text":1}`},
	} {
		response, err := client.HTTP.Post(client.URL+"/measure", test.contentType, strings.NewReader(test.body))
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != http.StatusBadRequest {
			t.Errorf("%s of %s: status %d, want 400", test.body, test.contentType, response.StatusCode)
		}
	}
	endless := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		for range 9 << 10 {
			_, _ = w.Write([]byte(strings.Repeat(" ", 1024)))
		}
	}))
	defer endless.Close()
	if _, err := rpc.Call[question, answer](t.Context(), rpc.Client{URL: endless.URL, HTTP: endless.Client()}, "measure", question{Text: "x"}); err == nil {
		t.Error("an answer of 9 MiB was taken")
	}
	small := rpc.Client{URL: client.URL, HTTP: client.HTTP, Limit: 5}
	if _, err := rpc.Call[question, answer](t.Context(), small, "measure", question{Text: "x"}); err == nil || !strings.Contains(err.Error(), "larger than 5 octets") {
		t.Errorf("an answer of more octets than 5: %v", err)
	}
}
