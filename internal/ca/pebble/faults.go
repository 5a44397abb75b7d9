package pebble

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/cairn-ca/cairn/acme"
)

// Fault is something that goes wrong on demand, or takes long.
type Fault struct {
	Resource   string `json:"resource,omitempty"`   // as in the directory, or account, orders, order, finalize, authz, challenge, certificate; "" for all
	Status     int    `json:"status,omitempty"`     // of the answer, from 400 to 599; 0 for the right answer, after Delay
	Type       string `json:"type,omitempty"`       // of the problem, such as rateLimited; "" for the usual one of Status
	RetryAfter string `json:"retryAfter,omitempty"` // such as 30s; "" for no such header
	Delay      string `json:"delay,omitempty"`      // before the answer, such as 1.5s
	Times      int    `json:"times,omitempty"`      // how many requests it is for; 0 for all until it is taken back

	retryAfter, delay time.Duration
	path              string // of Resource; "" for all
}

// maxFaults and maxDelay bound what a test can ask for.
const (
	maxFaults = 100
	maxDelay  = 10 * time.Minute
)

// check completes f, or says what is wrong with it.
func (f *Fault) check() (err error) {
	if f.Resource != "" {
		if f.path = pathOf(f.Resource); f.path == "" {
			return fmt.Errorf("there is no resource %q", f.Resource)
		}
	}
	if f.Status != 0 && (f.Status < 400 || f.Status > 599) {
		return fmt.Errorf("status %d is not that of an error", f.Status)
	}
	if f.Status == 0 && (f.Delay == "" || f.Type != "" || f.RetryAfter != "") {
		return fmt.Errorf("a fault has a status, or a delay alone")
	}
	for text, value := range map[*string]*time.Duration{&f.RetryAfter: &f.retryAfter, &f.Delay: &f.delay} {
		if *text == "" {
			continue
		}
		if *value, err = time.ParseDuration(*text); err != nil || *value < 0 || value == &f.delay && *value > maxDelay {
			return fmt.Errorf("%q is not a time such as 2s, of at most %s", *text, maxDelay)
		}
	}
	if f.Times < 0 {
		return fmt.Errorf("%d is not a number of times", f.Times)
	}
	return nil
}

// pathOf is where a resource is; "" if there is none of that name.
func pathOf(resource string) string {
	p := Paths()
	return map[string]string{
		"directory": p.Directory, "newNonce": p.NewNonce, "newAccount": p.NewAccount, "newOrder": p.NewOrder, "newAuthz": p.NewAuthz,
		"revokeCert": p.RevokeCert, "keyChange": p.KeyChange, "renewalInfo": p.RenewalInfo + "/*.*",
		"account": p.Account, "orders": p.Orders, "order": p.Order, "finalize": p.Finalize,
		"authz": p.Authz, "challenge": p.Challenge, "certificate": p.Certificate,
	}[resource]
}

// problem is what the client sees.
func (f Fault) problem() *acme.Problem {
	kind := acme.TypeMalformed
	switch {
	case f.Type != "":
		kind = acme.ProblemType("urn:ietf:params:acme:error:" + f.Type)
	case f.Status == http.StatusTooManyRequests:
		kind = acme.TypeRateLimited
	case f.Status >= 500:
		kind = acme.TypeServerInternal
	}
	p := acme.Problemf(kind, "this answer was asked for at the management interface").WithStatus(f.Status)
	p.RetryAfter = f.retryAfter
	return p
}

// faults are those that are to come. It is safe for concurrent use.
type faults struct {
	mu   sync.Mutex
	list []Fault // guarded by mu
}

// take finds the first fault for a resource and counts it.
func (f *faults) take(resource string) (Fault, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	i := slices.IndexFunc(f.list, func(one Fault) bool { return one.path == "" || one.path == resource })
	if i < 0 {
		return Fault{}, false
	}
	found := f.list[i]
	if found.Times == 1 {
		f.list = slices.Delete(f.list, i, i+1)
	} else if found.Times > 1 {
		f.list[i].Times--
	}
	return found, true
}

// before is front.Manners.Before.
func (f *faults) before(r *http.Request, resource string) *acme.Problem {
	fault, ok := f.take(resource)
	if !ok {
		return nil
	}
	if fault.delay > 0 {
		timer := time.NewTimer(fault.delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-r.Context().Done():
		}
	}
	if fault.Status == 0 {
		return nil
	}
	return fault.problem()
}

// serve lists the faults (GET), adds one (POST) and takes all back (DELETE).
func (f *faults) serve(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch r.Method {
	case http.MethodGet, http.MethodHead:
	case http.MethodDelete:
		f.list = nil
	case http.MethodPost:
		var fault Fault
		err := strict(r.Body, &fault)
		if err == nil {
			err = fault.check()
		}
		if err == nil && len(f.list) >= maxFaults {
			err = fmt.Errorf("there are %d faults already", maxFaults)
		}
		if err != nil {
			writeProblem(w, acme.Problemf(acme.TypeMalformed, "%v", err))
			return
		}
		f.list = append(f.list, fault)
	default:
		w.Header().Set("Allow", "GET, POST, DELETE")
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	writeJSON(w, append([]Fault{}, f.list...))
}

// serve tells the time (GET), or sets or moves it (POST).
func (c *Clock) serve(w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodGet, http.MethodHead:
	case http.MethodPost:
		var asked struct {
			Now     *time.Time `json:"now"`
			Advance string     `json:"advance"`
			Reset   bool       `json:"reset"`
		}
		err := strict(r.Body, &asked)
		var by time.Duration
		if err == nil && asked.Advance != "" {
			by, err = time.ParseDuration(asked.Advance)
		}
		if err != nil {
			writeProblem(w, acme.Problemf(acme.TypeMalformed, `%v: send {"now": TIME}, {"advance": "24h"} or {"reset": true}`, err))
			return
		}
		if asked.Reset {
			c.Set(time.Time{})
		}
		if asked.Now != nil {
			c.Set(*asked.Now)
		}
		c.Move(by)
	default:
		w.Header().Set("Allow", "GET, POST")
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	writeJSON(w, map[string]time.Time{"now": c.Now().UTC()})
}

// strict reads one JSON value without members that nobody knows: a typing mistake in a test must show.
func strict(body io.Reader, value any) error {
	decoder := json.NewDecoder(io.LimitReader(body, maxManagement))
	decoder.DisallowUnknownFields()
	return decoder.Decode(value)
}
