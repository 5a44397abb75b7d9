package ca

import (
	"context"

	"github.com/cairn-ca/cairn/internal/ca/ops"
)

// opsPart answers the commands that the operator runs beside this process.
func (c *CA) opsPart() part {
	return part{
		role: RoleOps,
		loops: func() []func(context.Context) {
			return []func(context.Context){c.operate}
		},
	}
}

func (c *CA) operate(ctx context.Context) {
	server := ops.NewServer(ops.Env{DB: c.db, Dir: c.dir, Log: c.log, Limits: c.config.Limits, JoinURL: c.joinURL()})
	if err := server.Serve(ctx); err != nil {
		c.log.Error("commands beside this process do not work", "error", err)
	}
}
