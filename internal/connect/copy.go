package connect

import (
	"context"
	"io"
	"sync"

	"github.com/jackc/pgx/v5"
)

// CopyFrom copies all of r to the server by a COPY … FROM STDIN. After it returns, nobody reads r:
// pgx's own CopyFrom leaves a goroutine reading if the connection breaks.
func CopyFrom(ctx context.Context, conn *pgx.Conn, r io.Reader, sql string) error {
	source := &source{r: r}
	defer source.end()
	_, err := conn.PgConn().CopyFrom(ctx, source, sql)
	return err
}

type source struct {
	mu    sync.Mutex
	r     io.Reader
	ended bool
}

func (s *source) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return 0, io.ErrClosedPipe
	}
	return s.r.Read(p)
}

func (s *source) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
}
