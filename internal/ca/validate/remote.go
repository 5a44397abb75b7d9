package validate

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cairn-ca/cairn/internal/ca/rpc"
)

// Place is where a remote perspective is, as the authority knows it.
type Place struct {
	Name string `json:"name"`
	RIR  string `json:"rir,omitempty"` // in whose service region it is; "" is unknown
}

// Remote is a perspective on another host. It implements Vantage by calls to that host.
type Remote struct {
	Place   Place
	Client  rpc.Client
	Timeout time.Duration // for one question; 0 means 15 s
}

// answer is what a perspective answers: it says who it is, since evidence and quorum name it.
type answer[T any] struct {
	Place  Place `json:"place"`
	Result T     `json:"result"`
}

// Prove implements Vantage.
func (r Remote) Prove(ctx context.Context, req Request) (Result, error) {
	return askRemote[Request, Result](ctx, r, "prove", req)
}

// CAA implements Vantage.
func (r Remote) CAA(ctx context.Context, req CAARequest) (Result, error) {
	return askRemote[CAARequest, Result](ctx, r, "caa", req)
}

func askRemote[Req, Res any](ctx context.Context, r Remote, method string, req Req) (none Res, err error) {
	timeout := r.Timeout
	if timeout == 0 {
		timeout = 15 * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	got, err := rpc.Call[Req, answer[Res]](ctx, r.Client, method, req)
	if err != nil {
		return none, err
	}
	if got.Place != r.Place {
		return none, fmt.Errorf("it says that it is %.63q in %.20q, not %q in %q", got.Place.Name, got.Place.RIR, r.Place.Name, r.Place.RIR)
	}
	return got.Result, nil
}

// ServeConfig says how a Vantage is offered to an authority.
type ServeConfig struct {
	Vantage Vantage
	Place   Place
	Limit   int // questions in parallel; 0 means 256. What is beyond is refused at once.
}

// Serve offers the vantage of c to whoever may call s: the other side of Remote.
func Serve(s *rpc.Server, c ServeConfig) {
	if c.Limit == 0 {
		c.Limit = 256
	}
	tokens := make(chan struct{}, c.Limit)
	serveMethod(s, "prove", c.Place, tokens, c.Vantage.Prove)
	serveMethod(s, "caa", c.Place, tokens, c.Vantage.CAA)
}

func serveMethod[Req, Res any](s *rpc.Server, method string, place Place, tokens chan struct{}, do func(context.Context, Req) (Res, error)) {
	rpc.Handle(s, method, func(ctx context.Context, req Req) (answer[Res], error) {
		select {
		case tokens <- struct{}{}:
			defer func() { <-tokens }()
		default:
			return answer[Res]{}, errors.New("too many questions at once")
		}
		result, err := do(ctx, req)
		if err != nil {
			// The authority may know why: it is told to nobody but its operator.
			return answer[Res]{}, rpc.Refuse("it could not look: %.1024v", err)
		}
		return answer[Res]{Place: place, Result: result}, nil
	})
}
