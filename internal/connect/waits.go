package connect

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"waybill/internal/fault"
)

// Waits bounds how long a session waits for locks, and so how long others wait for this session's locks. PostgreSQL
// itself bounds each wait, even if this program is frozen. A second connection adds up the waits of one transaction,
// cancels it if the sum is too long, and finds out who holds the locks.
type Waits struct {
	limit  time.Duration
	pid    uint32
	done   chan struct{}
	ended  chan struct{}
	mu     sync.Mutex
	holder *holder // the last session seen to block this one
	broken bool
}

// DefaultLockWait applies if no bound is configured.
const DefaultLockWait = 3 * time.Second

// LimitWaits bounds the waits of conn's session until [Waits.End].
func LimitWaits(ctx context.Context, databaseURL string, conn *pgx.Conn, limit time.Duration) (*Waits, error) {
	if _, err := conn.Exec(ctx, `SELECT set_config('lock_timeout', $1, false)`, fmt.Sprint(limit.Milliseconds())); err != nil {
		return nil, fault.Database("limit", "waits for locks", err)
	}
	w := &Waits{limit: limit, pid: conn.PgConn().PID(), done: make(chan struct{}), ended: make(chan struct{})}
	go w.watch(ctx, databaseURL)
	return w, nil
}

// End stops the second connection. The session keeps its bound on each wait.
func (w *Waits) End() {
	close(w.done)
	<-w.ended
}

// watch looks ten times per limit. A session that ends before the first look costs no connection. If
// the server has no connection left, only PostgreSQL's own bound applies.
func (w *Waits) watch(ctx context.Context, databaseURL string) {
	defer close(w.ended)
	tick := time.NewTicker(max(w.limit/10, 10*time.Millisecond))
	defer tick.Stop()
	var watcher *pgx.Conn
	defer func() {
		if watcher != nil {
			_ = watcher.Close(context.WithoutCancel(ctx))
		}
	}()
	waited := waiting{}
	for {
		select {
		case <-w.done:
			return
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		var err error
		if watcher == nil {
			watcher, err = connectWatcher(ctx, databaseURL)
		}
		if err == nil {
			err = w.findHolder(ctx, watcher, &waited)
		}
		if err != nil {
			return
		}
	}
}

// connectWatcher opens a connection that crash tests do not count among the program's calls.
func connectWatcher(ctx context.Context, databaseURL string) (*pgx.Conn, error) {
	config, err := Config(databaseURL, marked(ctx, map[string]string{"application_name": "waybill watch"}))
	if err != nil {
		return nil, err
	}
	config.DialFunc = (&net.Dialer{}).DialContext
	return pgx.ConnectConfig(ctx, config)
}

// waiting adds up how long one transaction has waited.
type waiting struct {
	since time.Time // the transaction's begin
	last  time.Time // when it was last seen waiting
	total time.Duration
}

// holder is a session that blocks others and is not blocked itself.
type holder struct {
	PID         int32
	Role        *string
	Application *string
	Age         *time.Duration // of its transaction; nil: another role's, or a prepared transaction's
}

const held = `
	WITH RECURSIVE chain (pid) AS (
		SELECT unnest(pg_blocking_pids($1))
		UNION
		SELECT unnest(pg_blocking_pids(pid)) FROM chain)
	SELECT own.xact_start, clock_timestamp(), chain.pid, a.usename::text, a.application_name, clock_timestamp() - a.xact_start
	FROM pg_stat_activity own CROSS JOIN chain LEFT JOIN pg_stat_activity a ON a.pid = chain.pid
	WHERE own.pid = $1
	ORDER BY cardinality(pg_blocking_pids(chain.pid)), a.xact_start LIMIT 1`

func (w *Waits) findHolder(ctx context.Context, watcher *pgx.Conn, waited *waiting) error {
	var since, now time.Time
	var h holder
	err := watcher.QueryRow(ctx, held, int32(w.pid)).Scan(&since, &now, &h.PID, &h.Role, &h.Application, &h.Age)
	if errors.Is(err, pgx.ErrNoRows) {
		waited.last = time.Time{}
		return nil
	}
	if err != nil {
		return err
	}
	if !since.Equal(waited.since) {
		*waited = waiting{since: since}
	}
	if !waited.last.IsZero() {
		waited.total += now.Sub(waited.last)
	}
	waited.last = now
	over := waited.total >= w.limit
	w.mu.Lock()
	w.holder, w.broken = &h, w.broken || over
	w.mu.Unlock()
	if !over {
		return nil
	}
	*waited = waiting{}
	_, err = watcher.Exec(ctx, `SELECT pg_cancel_backend($1)`, int32(w.pid))
	return err
}

// Explain turns an error caused by waiting too long into one that names the session that held the lock,
// and returns other errors unchanged. It does not read statements, which may hold patients' data.
func (w *Waits) Explain(err error) error {
	const lockNotAvailable, queryCanceled = "55P03", "57014"
	pg, ok := errors.AsType[*pgconn.PgError](err)
	if w == nil || !ok {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.holder == nil || pg.Code != lockNotAvailable && (pg.Code != queryCanceled || !w.broken) {
		return err
	}
	op, subject := "wait for", "a lock"
	if f, classed := errors.AsType[*fault.Error](err); classed {
		op, subject = f.Op, f.Subject
	}
	return fault.New(fault.Transient, op, subject, fmt.Errorf("waited %s for %s", w.limit, w.holder), w.holder.hint())
}

func (h *holder) String() string {
	if h.PID == 0 {
		return "a prepared transaction"
	}
	text := fmt.Sprintf("process %d", h.PID)
	if h.Role != nil && h.Application != nil {
		text += fmt.Sprintf(" (%q, role %s)", *h.Application, *h.Role)
	}
	if h.Age == nil {
		return text + ", whose transaction's age is hidden from this role"
	}
	return text + fmt.Sprintf(", whose transaction has been open for %s", h.Age.Round(time.Second))
}

func (h *holder) hint() string {
	const unchanged = "nothing was changed, and the next run tries again; "
	if h.PID == 0 {
		return unchanged + "if no program will end that transaction: SELECT * FROM pg_prepared_xacts, then ROLLBACK PREPARED"
	}
	return unchanged + fmt.Sprintf("if that transaction was forgotten: SELECT pg_terminate_backend(%d)", h.PID)
}
