package store

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/jackc/pgx/v5/pgtype"
)

// roundTripTimeout bounds the wait for one answer of the server. The server itself gives
// up a statement before (see settings); this is for one that is frozen or cut off.
const roundTripTimeout = 4 * time.Second

// The statements around a transaction. An update has the isolation that the database's operator
// chose: one engine knows only SERIALIZABLE, and compare-and-swaps hold on all levels.
const (
	beginUpdate  = "BEGIN"
	beginView    = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
	commitUpdate = "COMMIT"
	rollback     = "ROLLBACK"
	readClock    = "SELECT clock_timestamp()"
)

// serverSession is one connection to a server with its prepared statements. It is not safe for
// concurrent use. It speaks the extended query protocol through pgconn's framing: for
// three types of values and statements that are all prepared, there is no need for more,
// and BEGIN can travel with what comes after it.
type serverSession struct {
	conn       *pgconn.PgConn
	statements map[string]*serverStatement

	ctx     context.Context // of the transaction; looked at between statements
	begin   string          // the BEGIN that the next statement takes along, or ""
	warned  string          // the last warning of the server's
	params  [][]byte        // for reuse, as are the next two
	encoded []byte
	row     row
}

// serverStatement is a prepared statement.
type serverStatement struct {
	name    string
	params  []uint32 // the types of its parameters
	columns []uint32 // those of its answer
}

// The format codes of Bind: everything is binary.
var binaryFormat = []int16{1}

// exec runs a statement and returns how many rows it changed.
func (s *serverSession) exec(query string, args ...any) (int64, error) {
	tag, err := s.run(query, args, nil)
	return tag.RowsAffected(), err
}

// execAll runs statements in one round trip. Where one fails, those before it are counted.
func (s *serverSession) execAll(list []write) (changed []int64, err error) {
	if err := s.ctx.Err(); err != nil {
		return nil, err
	}
	batch := make([]bound, 0, len(list)+1)
	for _, w := range list {
		statement, err := s.prepare(w.query, w.args)
		if err != nil {
			return nil, err
		}
		batch = append(batch, bound{statement, w.args})
	}
	tags, err := s.send(nil, batch...)
	for _, tag := range tags {
		changed = append(changed, tag.RowsAffected())
	}
	return changed, err
}

// query runs a statement and calls each for every row.
func (s *serverSession) query(query string, args []any, each func(*row) error) error {
	for _, arg := range args {
		if text, ok := arg.(string); ok && !storable(text) {
			return nil // no row has it
		}
	}
	_, err := s.run(query, args, each)
	return err
}

// survives: on PostgreSQL every error ends the transaction.
func (s *serverSession) survives(error) bool { return false }

// storable reports whether PostgreSQL has such a text: one in UTF-8 without the octet 0.
func storable(text string) bool { return utf8.ValidString(text) && strings.IndexByte(text, 0) < 0 }

// run runs a statement in the transaction, together with its BEGIN if that has not been sent.
func (s *serverSession) run(query string, args []any, each func(*row) error) (pgconn.CommandTag, error) {
	if err := s.ctx.Err(); err != nil {
		return pgconn.CommandTag{}, err
	}
	statement, err := s.prepare(query, args)
	if err != nil {
		return pgconn.CommandTag{}, err
	}
	tags, err := s.send(each, bound{statement, args})
	if err != nil {
		return pgconn.CommandTag{}, err
	}
	return tags[0], nil
}

// send runs statements in the transaction, together with its BEGIN if that has not been sent, and returns the tags of
// those that succeeded.
func (s *serverSession) send(each func(*row) error, list ...bound) (tags []pgconn.CommandTag, err error) {
	if s.begin == "" {
		return s.roundTrip(each, list...)
	}
	begin, err := s.prepare(s.begin, nil)
	if err != nil {
		return nil, err
	}
	s.begin = ""
	tags, err = s.roundTrip(each, slices.Insert(list, 0, bound{begin, nil})...)
	return tags[min(1, len(tags)):], err
}

// commit ends the transaction, if it has begun.
func (s *serverSession) commit() error {
	if s.begin != "" {
		s.begin = "" // no statement was run
		return nil
	}
	statement, err := s.prepare(commitUpdate, nil)
	if err != nil {
		return err
	}
	s.warned = ""
	tags, err := s.roundTrip(nil, bound{statement, nil})
	switch {
	case err != nil:
		return err
	case tags[0].String() != commitUpdate:
		return fmt.Errorf("the database answered COMMIT with %s", tags[0])
	case s.warned != "":
		// It was committed here, and not on the standby that the server is to wait for.
		return fmt.Errorf("%w: %s", errLost, s.warned)
	}
	return nil
}

// undo ends the transaction if it goes on.
func (s *serverSession) undo() {
	if s.begin != "" {
		s.begin = ""
		return
	}
	if s.conn.IsClosed() || s.conn.TxStatus() == 'I' {
		return
	}
	statement, err := s.prepare(rollback, nil)
	if err == nil {
		_, err = s.roundTrip(nil, bound{statement, nil})
	}
	if err != nil {
		s.drop()
	}
}

// prepare finds or makes the statement of a query. The types of its parameters are those of
// args: no engine has to guess.
func (s *serverSession) prepare(query string, args []any) (*serverStatement, error) {
	if statement, ok := s.statements[query]; ok {
		return statement, nil
	}
	params := make([]uint32, len(args))
	for i, arg := range args {
		if params[i] = kindOf(arg); params[i] == 0 {
			return nil, fmt.Errorf("there is no type for argument %d, a %T", i+1, arg)
		}
	}
	if err := s.patience(); err != nil {
		return nil, err
	}
	description, err := s.conn.Prepare(context.Background(), "cairn"+strconv.Itoa(len(s.statements)+1), query, params)
	if err != nil {
		return nil, fmt.Errorf("preparing %.60q: %w", query, s.lost(err))
	}
	statement := &serverStatement{name: description.Name, params: params}
	for _, field := range description.Fields {
		statement.columns = append(statement.columns, field.DataTypeOID)
	}
	s.statements[query] = statement
	return statement, nil
}

// kindOf is the type of an argument, 0 for none that is stored.
func kindOf(arg any) uint32 {
	switch arg.(type) {
	case string:
		return pgtype.TextOID
	case int64:
		return pgtype.Int8OID
	case []byte:
		return pgtype.ByteaOID
	}
	return 0
}

// bound is a statement with its arguments.
type bound struct {
	statement *serverStatement
	args      []any
}

// roundTrip sends statements and reads all of their answers. each is called for the rows of the last one. It
// returns the tags of those that succeeded: all, where there is no error.
func (s *serverSession) roundTrip(each func(*row) error, list ...bound) (tags []pgconn.CommandTag, err error) {
	if err := s.patience(); err != nil {
		return nil, err
	}
	for _, b := range list {
		if err := s.bind(b); err != nil {
			s.drop() // something may be in the buffer
			return nil, err
		}
	}
	frontend := s.conn.Frontend()
	frontend.SendSync(&pgproto3.Sync{})
	if err := frontend.Flush(); err != nil {
		return nil, s.lost(err)
	}
	return s.answers(each, list)
}

// answers reads the answers to what roundTrip has sent, up to the server's being ready for more.
func (s *serverSession) answers(each func(*row) error, list []bound) (tags []pgconn.CommandTag, err error) {
	keep := func(e error) {
		if err == nil {
			err = e
		}
	}
	tags = make([]pgconn.CommandTag, 0, len(list))
	for {
		msg, lost := s.conn.ReceiveMessage(context.Background())
		if lost != nil {
			keep(s.lost(lost)) // what the server said before it hung up counts more
			s.drop()
			return tags, err
		}
		switch msg := msg.(type) {
		case *pgproto3.DataRow:
			if err == nil && each != nil && len(tags) == len(list)-1 {
				keep(s.read(each, list[len(tags)].statement, msg.Values))
			}
		case *pgproto3.CommandComplete:
			tags = append(tags, pgconn.NewCommandTag(string(msg.CommandTag)))
		case *pgproto3.ErrorResponse:
			keep(pgconn.ErrorResponseToPgError(msg))
		case *pgproto3.ReadyForQuery:
			if err == nil && len(tags) != len(list) {
				err = fmt.Errorf("the database answered %d of %d statements", len(tags), len(list))
			}
			return tags, err
		}
	}
}

func (s *serverSession) read(each func(*row) error, statement *serverStatement, values [][]byte) error {
	s.row = row{raw: values, kinds: statement.columns}
	if err := each(&s.row); err != nil {
		return err
	}
	return s.row.err
}

// bind puts a statement into the buffer that is sent next.
func (s *serverSession) bind(b bound) error {
	if len(b.args) != len(b.statement.params) {
		return fmt.Errorf("%d arguments for a statement with %d", len(b.args), len(b.statement.params))
	}
	s.params, s.encoded = s.params[:0], s.encoded[:0]
	for i, arg := range b.args {
		if kindOf(arg) != b.statement.params[i] {
			return fmt.Errorf("argument %d is a %T, and was of another type before", i+1, arg)
		}
		begin := len(s.encoded)
		switch arg := arg.(type) {
		case string:
			s.encoded = append(s.encoded, arg...)
		case int64:
			s.encoded = binary.BigEndian.AppendUint64(s.encoded, uint64(arg))
		case []byte:
			s.encoded = append(s.encoded, arg...) // none is no octets, and not NULL
		}
		// The buffer may move as it grows; what it was before keeps its content.
		s.params = append(s.params, s.encoded[begin:len(s.encoded):len(s.encoded)])
	}
	for i := range s.params {
		if s.params[i] == nil {
			s.params[i] = []byte{}
		}
	}
	frontend := s.conn.Frontend()
	frontend.SendBind(&pgproto3.Bind{
		PreparedStatement: b.statement.name, ParameterFormatCodes: binaryFormat, Parameters: s.params, ResultFormatCodes: binaryFormat,
	})
	frontend.SendExecute(&pgproto3.Execute{})
	return nil
}

// patience begins the wait for the next answer.
func (s *serverSession) patience() error {
	if err := s.conn.Conn().SetDeadline(time.Now().Add(roundTripTimeout)); err != nil {
		return s.lost(err)
	}
	return nil
}

// errLost: the connection is of no use any more. What was sent last may have been done.
var errLost = errors.New("the connection to the database was lost")

// lost closes the connection if it failed, which the pool notices.
func (s *serverSession) lost(err error) error {
	var refused *pgconn.PgError
	if errors.As(err, &refused) && refused.Severity != "FATAL" && refused.Severity != "PANIC" {
		return err // the server's word on a statement
	}
	s.drop()
	return fmt.Errorf("%w: %w", errLost, err)
}

// drop closes the connection without waiting for the server's farewell.
func (s *serverSession) drop() {
	if s.conn.IsClosed() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	_ = s.conn.Close(ctx) // of no use, whatever it says
}
