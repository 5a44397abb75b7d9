//go:build !unix

package store_test

import "time"

// processorTime is not measured here.
func processorTime() time.Duration { return 0 }
