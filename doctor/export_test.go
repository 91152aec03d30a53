package doctor

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// OldestTransaction returns what the horizon's advice names.
func OldestTransaction(ctx context.Context, conn *pgx.Conn) (string, error) {
	var s server
	err := s.readHorizon(ctx, conn)
	return s.OldestWhat, err
}
