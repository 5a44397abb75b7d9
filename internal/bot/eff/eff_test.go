package eff_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/cairn-ca/cairn/internal/bot/eff"
)

func TestSubscribe(t *testing.T) {
	for _, test := range []struct {
		status       int
		answer, want string // want is in the error; "" means that there is none
	}{
		{200, `{"status":true,"more":1}`, ""},
		{200, `{"status":false}`, "me@example.org"},
		{200, `{}`, "does not say"},
		{200, `<html>`, "cannot be read"},
		{200, `{"status":true,` + strings.Repeat(" ", 1<<20) + `"x":1}`, "cannot be read"},
		{503, `{"status":true}`, "503"},
	} {
		var form string
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			form = r.FormValue("email") + " " + r.FormValue("form_id")
			w.WriteHeader(test.status)
			_, _ = io.WriteString(w, test.answer)
		}))
		err := eff.Subscribe(t.Context(), server.URL, "me@example.org")
		server.Close()
		if form != "me@example.org eff_supporters_library_subscribe_form" {
			t.Errorf("%.40s: the form has %q", test.answer, form)
		}
		if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%d %.40s: %v, want %q", test.status, test.answer, err, test.want)
		}
	}
}
