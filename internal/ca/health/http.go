package health

import (
	"encoding/json"
	"net/http"
	"time"
)

// wireState is a State as JSON.
type wireState struct {
	OK    bool   `json:"ok"`
	Error string `json:"error,omitempty"`
	Age   string `json:"age"` // of this answer
}

// Handler answers with every check and its state: 200 if all is well, else 503.
func (c *Checks) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		states, ok := c.Ask(r.Context())
		wire := struct {
			OK     bool                 `json:"ok"`
			Checks map[string]wireState `json:"checks"`
		}{ok, make(map[string]wireState)}
		for _, s := range states {
			wire.Checks[s.Name] = wireState{s.Error == "", s.Error, s.Age.Round(time.Millisecond).String()}
		}
		body, err := json.MarshalIndent(wire, "", "  ")
		if err != nil {
			http.Error(w, "the state cannot be written", http.StatusInternalServerError)
			return
		}
		write(w, ok, "application/json", append(body, '\n'))
	})
}

// Brief answers 200 or 503 with one word, for those whom the reasons do not concern.
func (c *Checks) Brief() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, ok := c.Ask(r.Context())
		word := "ready\n"
		if !ok {
			word = "not ready\n"
		}
		write(w, ok, "text/plain; charset=utf-8", []byte(word))
	})
}

func write(w http.ResponseWriter, ok bool, mediaType string, body []byte) {
	w.Header().Set("Content-Type", mediaType)
	w.Header().Set("Cache-Control", "no-store")
	if !ok {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_, _ = w.Write(body) // whoever has gone needs no answer
}
