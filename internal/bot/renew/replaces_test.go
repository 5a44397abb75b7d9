package renew_test

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/bot/renew"
	"github.com/cairn-ca/cairn/internal/bot/solve"
)

// replacing renews with "replaces" and gives what the orders that were placed said of it. refuse alters the
// answer to an order that says anything.
func (w *world) replacing(t *testing.T, id string, refuse func(*http.Response)) (said []string, err error) {
	t.Helper()
	w.wire.change = func(r *http.Request, response *http.Response) {
		if r.URL.Path != "/order-plz" || response.StatusCode == http.StatusBadRequest && badNonce(t, response) {
			return
		}
		body, err := r.GetBody()
		if err != nil {
			t.Fatal(err)
		}
		var jws struct{ Payload string }
		var order acme.NewOrder
		if err := json.NewDecoder(body).Decode(&jws); err != nil {
			t.Error(err)
		}
		payload, err := base64.RawURLEncoding.DecodeString(jws.Payload)
		if err != nil || json.Unmarshal(payload, &order) != nil {
			t.Error(err)
		}
		said = append(said, order.Replaces)
		if order.Replaces != "" && refuse != nil {
			refuse(response)
		}
	}
	defer func() { w.wire.change = nil }()
	solver, err := solve.NewStandalone(solve.StandaloneConfig{Address: "127.0.0.1", Port: w.pebble.HTTPPort})
	if err != nil {
		t.Fatal(err)
	}
	o := renew.NewObtainer(renew.ObtainConfig{Client: w.client, Server: w.pebble.Directory, Solver: solver, Jobs: renew.OpenJobs(w.jobs), Replaces: id})
	_, err = o.Obtain(t.Context(), want(t, renew.KeySpec{}, "a.example"), nil)
	if done := o.Done("a.example"); done != nil {
		t.Error(done)
	}
	return said, err
}

// badNonce reports whether an answer is that, and leaves it as it was.
func badNonce(t *testing.T, response *http.Response) bool {
	t.Helper()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Error(err)
	}
	instead(response, response.StatusCode, response.Header.Get("Content-Type"), string(text))
	var problem acme.Problem
	return json.Unmarshal(text, &problem) == nil && problem.Type == acme.TypeBadNonce
}

func TestReplaces(t *testing.T) {
	w := newWorld(t)
	first, err := w.obtainer(t).Obtain(t.Context(), want(t, renew.KeySpec{}, "a.example"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.obtainer(t).Done("a.example"); err != nil {
		t.Fatal(err)
	}
	id, err := acme.CertIDOf(first.Chain.Certificates[0])
	if err != nil {
		t.Fatal(err)
	}
	if said, err := w.replacing(t, id.String(), nil); err != nil || len(said) != 1 || said[0] != id.String() {
		t.Errorf("%q, %v", said, err)
	}
	// Pebble knows what has been replaced, and refuses that itself.
	if said, err := w.replacing(t, id.String(), nil); err != nil || len(said) != 2 || said[1] != "" {
		t.Errorf("replaced twice: %q, %v", said, err)
	}
}

func TestReplacesIsDroppedWhereItIsRefused(t *testing.T) {
	w := newWorld(t)
	for name, c := range map[string]struct {
		problem *acme.Problem
		orders  int
		ok      bool
	}{
		"already replaced":  {acme.Problemf(acme.TypeAlreadyReplaced, "no"), 2, true},
		"409":               {acme.Problemf("about:blank", "no").WithStatus(409), 2, true},
		"malformed":         {acme.Problemf(acme.TypeMalformed, "no"), 2, true},
		"it is mentioned":   {acme.Problemf(acme.TypeUnauthorized, "the replaced certificate is another account's"), 2, true},
		"an internal error": {acme.Problemf(acme.TypeServerInternal, "could not find an order"), 2, true},
		"a proxy's":         {acme.Problemf("about:blank", "no").WithStatus(503), 1, false},
		"another reason":    {acme.Problemf(acme.TypeRejectedIdentifier, "no"), 1, false},
		"a limit":           {acme.Problemf(acme.TypeRateLimited, "too many orders that replace"), 1, false},
	} {
		text, err := json.Marshal(c.problem)
		if err != nil {
			t.Fatal(err)
		}
		said, err := w.replacing(t, "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE", func(response *http.Response) {
			instead(response, c.problem.Status, acme.MediaProblem, string(text))
		})
		if len(said) != c.orders || (err == nil) != c.ok {
			t.Errorf("%s: %q, %v", name, said, err)
		}
	}
}

// TestALimitIsRemembered has the CA answer an order with 429: when it may be asked again is what it says.
func TestALimitIsRemembered(t *testing.T) {
	w := newWorld(t)
	w.wire.change = func(r *http.Request, response *http.Response) {
		if r.URL.Path == "/order-plz" {
			response.Header.Set("Retry-After", "7200")
			instead(response, http.StatusTooManyRequests, acme.MediaProblem, `{"type":"urn:ietf:params:acme:error:rateLimited","detail":"too many"}`)
		}
	}
	_, err := w.obtainer(t).Obtain(t.Context(), want(t, renew.KeySpec{}, "a.example"), nil)
	trouble := renew.Failed(nil, err, w.pebble.Directory, "a", noon)
	if trouble == nil || trouble.Class != renew.ClassRateLimit || !trouble.NotBefore.Equal(noon.Add(2*time.Hour)) {
		t.Fatalf("%+v, %v", trouble, err)
	}
	if until, why := trouble.Waits("a", lifeWithLeft(30*day), noon); !until.Equal(noon.Add(2*time.Hour)) || why != "the CA asks to wait" {
		t.Errorf("waits until %s: %s", until, why)
	}
	if w.job(t) != nil {
		t.Error("an order that was not placed is kept")
	}
}
