package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/cairn-ca/cairn/internal/ca/datadir"
	filler "github.com/cairn-ca/cairn/internal/ca/fill"
)

// fill puts certificates that nobody asked for into the database of an authority.
func (f *benchFlags) fill(ctx context.Context, out, errs io.Writer) error {
	if f.count < 1 {
		return usageError{fmt.Errorf("--fill %d: it takes the number of certificates", f.count)}
	}
	if f.config.Directory != "" {
		return usageError{errors.New("--fill needs a CA that does not run, and --directory one that does: choose one of them")}
	}
	told := time.Now()
	filled, err := filler.Run(ctx, filler.Config{Dir: f.data, URL: f.database, Count: f.count, Log: quietLog(errs), Progress: func(done int) {
		if time.Since(told) > 5*time.Second {
			told = time.Now()
			fmt.Fprintf(errs, "cairn: note: %d of %d certificates\n", done, f.count)
		}
	}})
	switch {
	case errors.Is(err, datadir.ErrLocked):
		return withHint(err, "stop the CA: a fill is for its database alone")
	case errors.Is(err, datadir.ErrNotMade):
		return withHint(err, "say with --data where the CA keeps its data; `cairn up` makes the directory")
	case ctx.Err() != nil:
		return withHint(fmt.Errorf("interrupted after %d certificates", filled.Before+filled.Made), "the same command goes on there")
	case err != nil:
		return err
	}
	if filled.Before > 0 {
		fmt.Fprintf(out, "%d certificates were there\n", filled.Before)
	}
	_, err = fmt.Fprintf(out, "%d certificates in %.1f s: %.0f/s\n", filled.Made, filled.Took.Seconds(),
		float64(filled.Made)/max(filled.Took.Seconds(), 1e-9))
	return err
}
