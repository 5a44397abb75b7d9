package ops

import (
	"context"

	"github.com/cairn-ca/cairn/internal/ca/rpc"
	"github.com/cairn-ca/cairn/internal/ca/store"
)

// AuditQuery asks for the newest Limit entries of the audit log.
type AuditQuery struct {
	Limit int `json:"limit"`
}

// AuditLog lists what operators did, newest first.
var AuditLog = Action[AuditQuery, []store.Event]{Name: "audit", Do: auditLog}

// maxEvents bounds how many entries are listed at once.
const maxEvents = 10000

func auditLog(ctx context.Context, env Env, q AuditQuery) (events []store.Event, err error) {
	if q.Limit < 1 || q.Limit > maxEvents {
		return nil, rpc.Refuse("the limit is from 1 to %d", maxEvents)
	}
	err = env.DB.View(ctx, func(tx *store.Tx) (err error) {
		events, err = tx.Events(q.Limit)
		return err
	})
	return events, err
}
