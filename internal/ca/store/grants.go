package store

import "context"

// grant gives the database's users the privileges of their roles.
func (m migrator) grant(ctx context.Context, users map[string]string) error { return nil }
