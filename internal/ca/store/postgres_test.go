package store_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/internal/ca/store"
	"github.com/cairn-ca/cairn/internal/pgtest"
)

// migrated lends a database with the present schema on the shared server and returns its URL.
func migrated(t testing.TB) string {
	t.Helper()
	server := pgtest.Shared(t)
	return server.URL(server.Lend(t, pgtest.Schema{Name: "present", Keep: "schema_versions", Make: func(url string) error {
		return store.Migrate(t.Context(), store.MigrateConfig{URL: url})
	}}), "")
}

// openShared opens a database on the shared server.
func openShared(t testing.TB, change ...func(*store.Config)) *store.DB {
	t.Helper()
	return openURL(t, migrated(t), change...)
}

func openURL(t testing.TB, url string, change ...func(*store.Config)) *store.DB {
	t.Helper()
	config := store.Config{URL: url}
	for _, f := range change {
		f(&config)
	}
	db, err := store.Open(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	if config.Now != nil {
		db.SetClock(config.Now)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func TestPostgreSQL(t *testing.T) { suite(t, openShared) }

// TestSerializable runs the suite as an engine has it that knows only SERIALIZABLE, on which every third
// commit of an update is refused.
func TestSerializable(t *testing.T) {
	var refused atomic.Int64
	suite(t, func(t testing.TB, change ...func(*store.Config)) *store.DB {
		db := openURL(t, migrated(t)+"&default_transaction_isolation=serializable", change...)
		var commits atomic.Int64
		db.FailCommits(func() string {
			if commits.Add(1)%3 != 0 {
				return ""
			}
			refused.Add(1)
			return "40001"
		})
		return db
	})
	if refused.Load() < 50 {
		t.Errorf("only %d commits were refused", refused.Load())
	}
}

var errOwnFault = errors.New("own fault")

func TestServerUpdates(t *testing.T) {
	db := openShared(t)
	ctx, cancel := context.WithCancel(t.Context())
	if err := db.Update(ctx, func(tx *store.Tx) error { cancel(); return block(1)(tx) }); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled while it ran: %v", err)
	}
	refused(t, db, errOwnFault, func(tx *store.Tx) error { return errors.Join(block(2)(tx), errOwnFault) })
	func() {
		defer func() {
			if recover() == nil {
				t.Error("a panic is lost")
			}
		}()
		_ = db.Update(t.Context(), func(tx *store.Tx) error { _ = block(3)(tx); panic("own fault") })
	}()
	if err := db.Update(t.Context(), func(tx *store.Tx) error {
		_, _ = tx.Exec("INSERT INTO missing VALUES (1)")
		return nil
	}); err == nil {
		t.Error("an error of the database's is lost")
	}
	for n := range byte(3) {
		if blocked(t, db, n+1) {
			t.Errorf("update %d was not undone", n+1)
		}
	}
}

// eventually waits until ok, for at most a minute.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("it never came to it: %s", what)
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-t.Context().Done():
		}
	}
}
