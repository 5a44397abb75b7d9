package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	connectTimeout = 2 * time.Second         // to one of the servers of the URL
	acquireTimeout = 2500 * time.Millisecond // for a connection of the pool
	// patienceInAll is how long a transaction is tried again after its first attempt began.
	patienceInAll = 3 * time.Second
	// maxPause bounds the random pause before another attempt.
	maxPause = 50 * time.Millisecond
)

// settings of every connection: how long the server works for one statement, waits for a lock, and
// keeps a transaction open whose client says nothing, a frozen one's say. A client
// gives up later than the server, so that it mostly learns what became of a statement.
const settings = `SET client_encoding = 'UTF8'; SET statement_timeout = '3s'; SET lock_timeout = '2s';
	SET idle_in_transaction_session_timeout = '10s'`

// serverDB is a database of a server: a pool of connections, on which transactions
// run in their callers' goroutines.
type serverDB struct {
	log   *slog.Logger
	pool  *pgxpool.Pool
	clock serverClock

	limit   int64        // how many transactions may run or wait
	present atomic.Int64 // how many do
	closed  atomic.Bool
	renewed atomic.Int64 // when the pool was last emptied, in nanoseconds since started
	started time.Time
	commits atomic.Int64 // transactions that were committed
	keys    keyMemo

	// beforeCommit makes an update fail; tests put their failures here.
	beforeCommit func() error
}

// openServer opens the database at the URL of c.
func openServer(ctx context.Context, c Config) (*serverDB, error) {
	config, err := poolConfig(c)
	if err != nil {
		return nil, fmt.Errorf("opening the database: %w", err)
	}
	where := serverName(config.ConnConfig)
	if err := checkSchema(ctx, config.ConnConfig, c.Create); err != nil {
		return nil, fmt.Errorf("opening database %s: %w", where, err)
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("opening database %s: %w", where, err)
	}
	return &serverDB{log: c.Log, pool: pool, limit: int64(c.Queue + c.Connections), started: time.Now()}, nil
}

// serverName is where a database is, without a password.
func serverName(c *pgx.ConnConfig) string { return fmt.Sprintf("%s on %s", c.Database, c.Host) }

// poolConfig reads the URL of c.
func poolConfig(c Config) (*pgxpool.Config, error) {
	config, err := pgxpool.ParseConfig(c.URL)
	if err != nil {
		return nil, err // without the password
	}
	connecting(config.ConnConfig)
	config.MaxConns = int32(c.Connections)
	config.MaxConnLifetime, config.MaxConnLifetimeJitter = 30*time.Minute, 5*time.Minute // a cluster's new members get their share
	config.MaxConnIdleTime = 5 * time.Minute
	config.PingTimeout = time.Second
	config.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
		s := &serverSession{conn: conn.PgConn(), statements: make(map[string]*serverStatement)}
		s.conn.CustomData()[sessionKey] = s
		setup := settings
		if c.Volatile {
			setup += `; SET synchronous_commit = off`
		}
		return s.conn.Exec(ctx, setup).Close()
	}
	config.ConnConfig.OnNotice = func(conn *pgconn.PgConn, notice *pgconn.Notice) {
		if s, ok := conn.CustomData()[sessionKey].(*serverSession); ok && notice.Severity == "WARNING" {
			s.warned = notice.Message
		}
	}
	return config, nil
}

// sessionKey is where a connection has its serverSession.
const sessionKey = "cairn"

// connecting sets how connections are made: in time, and to a server that can be written to, so that of
// several hosts the one that is the primary now is found.
func connecting(c *pgx.ConnConfig) {
	if c.ConnectTimeout == 0 || c.ConnectTimeout > connectTimeout {
		c.ConnectTimeout = connectTimeout
	}
	if c.ValidateConnect == nil {
		c.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	}
	if c.RuntimeParams["application_name"] == "" {
		c.RuntimeParams["application_name"] = "cairn"
	}
}

func (db *serverDB) committed() int64 { return db.commits.Load() }

func (db *serverDB) close() error {
	db.closed.Store(true)
	db.pool.Close() // waits for what runs
	return nil
}

func (db *serverDB) update(ctx context.Context, fn func(*Tx) error) error {
	return db.transact(ctx, beginUpdate, fn)
}

func (db *serverDB) view(ctx context.Context, fn func(*Tx) error) error {
	return db.transact(ctx, beginView, fn)
}

// look runs fn without a transaction, as far as its first read, and in a view if there is a second one.
func (db *serverDB) look(ctx context.Context, fn func(*Tx) error) error {
	err := db.transact(ctx, noBegin, fn)
	if errors.Is(err, errMore) {
		err = db.view(ctx, fn)
	}
	return err
}

// transact runs fn in transactions that begin with begin, until one comes to an end of its own.
func (db *serverDB) transact(ctx context.Context, begin string, fn func(*Tx) error) error {
	if db.closed.Load() {
		return ErrClosed
	}
	if db.present.Add(1) > db.limit {
		db.present.Add(-1)
		return ErrBusy
	}
	defer db.present.Add(-1)
	var began time.Time
	for attempt := 0; ; attempt++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		worth, err := db.attempt(ctx, begin, fn)
		if err == nil || worth == 0 {
			return err
		}
		if attempt == 0 {
			began = time.Now()
		}
		if attempt+1 >= worth || time.Since(began) > patienceInAll {
			return fmt.Errorf("tried %d times: %w", attempt+1, err)
		}
		pause(ctx, attempt)
	}
}

// pause waits for a random time, which grows with the attempts, so that those who
// were in each other's way meet no more.
func pause(ctx context.Context, attempt int) {
	timer := time.NewTimer(rand.N(min(time.Millisecond<<min(attempt, 10), maxPause)))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// attempt runs fn in one transaction. It says how many attempts an error is worth in all; 0 is this one.
func (db *serverDB) attempt(ctx context.Context, begin string, fn func(*Tx) error) (worth int, err error) {
	conn, err := db.acquire(ctx)
	if err != nil {
		return db.unreachable(ctx, err)
	}
	defer conn.Release()
	s, ok := conn.Conn().PgConn().CustomData()[sessionKey].(*serverSession)
	if !ok {
		return 0, errors.New("the pool has a connection that was not set up")
	}
	s.ctx, s.begin, s.single = ctx, begin, begin == noBegin
	defer s.undo() // what is not committed, also where fn panics
	now, known := db.clock.now()
	if !known {
		if now, err = db.clock.ask(s); err != nil {
			return db.judge(begin, fmt.Errorf("beginning a transaction: %w", err), err)
		}
	}
	tx := &Tx{Now: now.UTC().Truncate(time.Millisecond), s: s, keys: &db.keys}
	err = fn(tx)
	failed := tx.failed
	tx.failed = errTxEnded
	switch {
	case err != nil && tx.worth > 0:
		return tx.worth, err
	case failed != nil && (err != nil || begin == beginUpdate):
		return db.judge(begin, either(err, failed), failed)
	case err != nil:
		return 0, err
	case begin != beginUpdate:
		return 0, nil
	}
	return db.commit(s)
}

// either is the first error that is one.
func either(err, otherwise error) error {
	if err != nil {
		return err
	}
	return otherwise
}

// commit commits the transaction of s. Once COMMIT is sent, a lost connection leaves open whether it was done.
func (db *serverDB) commit(s *serverSession) (worth int, err error) {
	if db.beforeCommit != nil {
		if err := db.beforeCommit(); err != nil {
			return db.judge(beginUpdate, err, err)
		}
	}
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	if err = s.commit(); err == nil {
		db.commits.Add(1)
		return 0, nil
	}
	var refused *pgconn.PgError
	if errors.As(err, &refused) && !errors.Is(err, errLost) && refused.Code != "40003" { // statement_completion_unknown
		return db.judge(beginUpdate, fmt.Errorf("committing: %w", err), err)
	}
	db.renew()
	return 0, fmt.Errorf("committing, which may have been done: %w: %w", ErrUnavailable, err)
}

// acquire takes a connection out of the pool.
func (db *serverDB) acquire(ctx context.Context) (*pgxpool.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, acquireTimeout)
	defer cancel()
	return db.pool.Acquire(ctx)
}

// unreachable says what comes of a connection that could not be had.
func (db *serverDB) unreachable(ctx context.Context, err error) (worth int, _ error) {
	var refused *pgconn.PgError
	switch {
	case ctx.Err() != nil:
		return 0, ctx.Err()
	case db.closed.Load():
		return 0, ErrClosed
	case errors.As(err, &refused) && refused.Code != "57P03" && refused.Code != "53300":
		// Neither does it start up nor has it too many connections: it knows no such user, say.
	case !errors.Is(err, context.DeadlineExceeded):
		worth = contendedRuns
	}
	return worth, fmt.Errorf("connecting: %w: %w", ErrUnavailable, err)
}

// judge says what comes of a transaction that began with begin and that the database ended because of
// cause. err is what fn made of that.
func (db *serverDB) judge(begin string, err, cause error) (worth int, _ error) {
	var refused *pgconn.PgError
	if !errors.As(cause, &refused) {
		if errors.Is(cause, errLost) {
			db.renew()
			return contendedRuns, fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		return 0, err
	}
	switch refused.Code {
	case "40001", "40P01": // serialization_failure, deadlock_detected
		return contendedRuns, fmt.Errorf("%w: %w", ErrBusy, err)
	case "55P03", "57014": // lock_not_available, query_canceled: enough time has passed
		return 0, fmt.Errorf("%w: %w", ErrUnavailable, err)
	case "42501": // insufficient_privilege
		return 0, fmt.Errorf("%w: %w", ErrDenied, err)
	case "25006": // read_only_sql_transaction: the primary is another one now
		if begin != beginUpdate {
			return 0, err
		}
	case "26000", "0A000": // a pooler, or a change of the schema, has made prepared statements useless
	default:
		if !errors.Is(cause, errLost) {
			return 0, err
		}
	}
	db.renew()
	return contendedRuns, fmt.Errorf("%w: %w", ErrUnavailable, err)
}

// minRenewal is how long a pool is used at least before it is emptied again: those who lose a
// server together empty it once.
const minRenewal = time.Second

// renew has all connections made anew, after one was found to lead nowhere.
func (db *serverDB) renew() {
	now, last := int64(time.Since(db.started)), db.renewed.Load()
	if (last == 0 || now-last > int64(minRenewal)) && db.renewed.CompareAndSwap(last, now) {
		db.clock.forget()
		db.pool.Reset()
	}
}
