package inbox

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"waybill/internal/connect"
	"waybill/internal/fault"
	"waybill/internal/migrate"
	"waybill/internal/spool"
	"waybill/partner/intake/register"
)

// session is one call's connection to the register, and its folder for files being read.
type session struct {
	Config
	conn  *pgx.Conn
	waits *connect.Waits
	spool *spool.Folder
}

// connected calls do with a session.
func (in *Inbox) connected(ctx context.Context, do func(*session) error) (err error) {
	s := &session{Config: in.Config}
	if s.spool, err = spool.Open(in.Spool, "intake-"+in.Partner); err != nil {
		return err
	}
	defer s.spool.Close()
	s.conn, err = migrate.Connect(ctx, in.DatabaseURL, in.Partner, map[string]string{"application_name": "waybill intake " + in.Partner}, register.CheckTables)
	if err != nil {
		return err
	}
	defer s.conn.Close(context.WithoutCancel(ctx))
	if s.waits, err = connect.LimitWaits(ctx, in.DatabaseURL, s.conn, connect.DefaultLockWait); err != nil {
		return err
	}
	defer s.waits.End()
	return do(s)
}

// errRunning means that another session has the partner's lock.
var errRunning = errors.New("another intake of this partner is running")

// locked calls do with the only session that may change the partner's data.
func (in *Inbox) locked(ctx context.Context, do func(*session) error) error {
	return in.connected(ctx, func(s *session) error {
		locked, err := register.Lock(ctx, s.conn, s.Partner)
		if err != nil {
			return s.failed(err)
		}
		if !locked {
			return fault.New(fault.Transient, "take in", s.Partner, errRunning, "run again when it is done")
		}
		// Ending the session unlocks too, but perhaps only after the next command has started.
		defer func() { _ = register.Unlock(context.WithoutCancel(ctx), s.conn) }()
		return do(s)
	})
}

func (s *session) failed(err error) error {
	return s.waits.Explain(fault.Database("take in", s.Partner, err))
}
