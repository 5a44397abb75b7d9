package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// mourn returns a context that ends at the signals which end Pebble, and a function that then ends the program as
// the signal would have: Pebble catches none, so who started it sees which one it was. The function is called when
// all is cleared away; without a signal it does nothing.
func mourn(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) { // as below nohup
		signal.Notify(signals, syscall.SIGHUP)
	}
	caught := make(chan os.Signal, 1)
	go func() {
		select {
		case s := <-signals:
			caught <- s
			signal.Stop(signals) // a second one ends the program at once
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, func() {
		cancel()
		signal.Stop(signals)
		select {
		case s := <-caught:
			endBy(s)
		case s := <-signals:
			endBy(s)
		default:
		}
	}
}

// endBy has s end this program, which does not catch it any more.
func endBy(s os.Signal) {
	signal.Reset(s)
	self, err := os.FindProcess(os.Getpid())
	if err == nil && self.Signal(s) == nil {
		time.Sleep(time.Second) // it arrives at once, unless whoever started the program has it ignored
	}
}
