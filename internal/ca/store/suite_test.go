package store_test

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/cairn-ca/cairn/internal/ca/store"
)

// opener opens an empty database for a test.
type opener func(t testing.TB, change ...func(*store.Config)) *store.DB

// suite is what every engine promises. Each test gets a database of its own.
func suite(t *testing.T, open opener) {
	for _, c := range []struct {
		name string
		test func(*testing.T, opener)
	}{
		{"Accounts", testAccounts},
		{"AccountChanges", testAccountChanges},
		{"OneKeyOneAccount", testOneKeyOneAccount},
		{"ExternalKeys", testExternalKeys},
		{"Standing", testStanding},
		{"Siblings", testSiblings},
		{"Orders", testOrders},
		{"OrderIsWhole", testOrderIsWhole},
		{"OrderConflicts", testOrderConflicts},
		{"PagesOfOrders", testPagesOfOrders},
		{"Authzs", testAuthzs},
		{"AuthzConflicts", testAuthzConflicts},
		{"Holds", testHolds},
		{"OneTakesTheLease", testOneTakesTheLease},
		{"LapsedLeases", testLapsedLeases},
		{"Overdue", testOverdue},
		{"Observed", testObserved},
		{"LoadOfWhatHangs", testLoadOfWhatHangs},
		{"Certificates", testCertificates},
		{"OneCertificateForAnOrder", testOneCertificateForAnOrder},
		{"CertificateConflicts", testCertificateConflicts},
		{"Revocations", testRevocations},
		{"RevokedUntilOneListLater", testRevokedUntilOneListLater},
		{"CRLs", testCRLs},
		{"Authorities", testAuthorities},
		{"Addresses", testAddresses},
		{"Attempts", testAttempts},
		{"DeleteAttempts", testDeleteAttempts},
		{"AttemptsFor", testAttemptsFor},
		{"Events", testEvents},
		{"BlockedKeys", testBlockedKeys},
		{"Members", testMembers},
		{"Nodes", testNodes},
		{"LimitHoldsForAll", testLimitHoldsForAll},
		{"Buckets", testBuckets},
		{"Overrides", testOverrides},
		{"Paused", testPaused},
		{"CertifiedSets", testCertifiedSets},
		{"OldRecords", testOldRecords},
		{"OldCertificates", testOldCertificates},
		{"ReplacedByWhatIsGone", testReplacedByWhatIsGone},
		{"PastKeysAreBounded", testPastKeysAreBounded},
		{"Ahead", testAhead},
		{"AtOnce", testAtOnce},
		{"Look", testLook},
		{"NotFound", testNotFound},
		{"ViewsSeeOneMoment", testViewsSeeOneMoment},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, open) })
	}
}

func TestSQLite(t *testing.T) { suite(t, open) }

// TestWriter is what the one writer of a SQLite file promises besides.
func TestWriter(t *testing.T) {
	for _, c := range []struct {
		name string
		test func(*testing.T, opener)
	}{
		{"SharedCommit", testSharedCommit},
		{"FailureUndoesOnlyItself", testFailureUndoesOnlyItself},
		{"ConstraintUndoesOnlyItself", testConstraintUndoesOnlyItself},
		{"ErrorIsNotSwallowed", testErrorIsNotSwallowed},
		{"PanicIsTheCallers", testPanicIsTheCallers},
		{"CancelledBeforeStart", testCancelledBeforeStart},
		{"CancelledWhileRunning", testCancelledWhileRunning},
		{"FullQueue", testFullQueue},
		{"Closed", testClosed},
		{"Goexit", testGoexit},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, open) })
	}
}

// update runs fn and fails the test if it fails.
func update(t testing.TB, db *store.DB, fn func(*store.Tx) error) {
	t.Helper()
	if err := db.Update(t.Context(), fn); err != nil {
		t.Fatal(err)
	}
}

// refused runs fn, which has to fail with want.
func refused(t testing.TB, db *store.DB, want error, fn func(*store.Tx) error) {
	t.Helper()
	if err := db.Update(t.Context(), fn); !errors.Is(err, want) {
		t.Errorf("got %v, want %v", err, want)
	}
}

// get is what read finds in a view.
func get[T any](t testing.TB, db *store.DB, read func(*store.Tx) (T, error)) (value T) {
	t.Helper()
	if err := db.View(t.Context(), func(tx *store.Tx) (err error) {
		value, err = read(tx)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return value
}

// databaseIn is where a test keeps its database.
func databaseIn(t testing.TB) string {
	t.Helper()
	return filepath.Join(t.TempDir(), "ca.db")
}
