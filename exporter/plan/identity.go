package plan

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"waybill/internal/fault"
)

// NewGenerationHint is the next step if this database and the log no longer agree.
const NewGenerationHint = "if this database was restored, rolled back or replaced on purpose, continue with `waybill export --new-generation`"

const adoptHint = "if pg_upgrade or a move changed this, and no other database writes the log: `waybill adopt --reason TEXT`; "

// Identity distinguishes one PostgreSQL database from a copy of it restored elsewhere.
type Identity struct {
	System   int64 // the cluster's system_identifier
	Database uint32
}

// String names cluster and database.
func (i Identity) String() string {
	return fmt.Sprintf("cluster %d, database %d", i.System, i.Database)
}

// Identity returns this database's identity.
func (db DB) Identity(ctx context.Context) (current Identity, err error) {
	err = db.QueryRow(ctx, `SELECT system_identifier, (SELECT oid FROM pg_database WHERE datname = current_database())
		FROM pg_control_system()`).Scan(&current.System, &current.Database)
	return current, fault.Database("read", "system identifier", err)
}

// CheckIdentity refuses a database that is a restored copy of the one that made the plan, or whose
// transaction ids have gone backwards: the plan's cursors would mean other transactions.
func (db DB) CheckIdentity(ctx context.Context, p *Plan) error {
	current, err := db.Identity(ctx)
	if err != nil {
		return err
	}
	if current != p.Identity {
		return fault.New(fault.Poison, "check", "patients database",
			fmt.Errorf("%s was planned in %s; this is %s", p.Name(), p.Identity, current), adoptHint+NewGenerationHint)
	}
	return db.checkForward(ctx, p)
}

func (db DB) checkForward(ctx context.Context, p *Plan) error {
	var forward bool
	err := db.QueryRow(ctx, `SELECT pg_snapshot_xmax(pg_current_snapshot()) >= pg_snapshot_xmax($1::text::pg_snapshot)`,
		p.After).Scan(&forward)
	if err != nil {
		return fault.Database("read", "cursor", err)
	}
	if !forward {
		return backwards(p)
	}
	return nil
}

func backwards(p *Plan) error {
	return fault.New(fault.Poison, "check", "patients database",
		fmt.Errorf("transaction ids have gone backwards since %s was planned", p.Name()), NewGenerationHint)
}

// CheckSuccessor refuses a database that can't replace the one that made the plan.
func (db DB) CheckSuccessor(ctx context.Context, p *Plan) error {
	for _, check := range []func(context.Context, *Plan) error{db.checkReplaced, db.checkForward, db.checkRecorded} {
		if err := check(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

// checkReplaced refuses a copy next to its original: both would write the log.
func (db DB) checkReplaced(ctx context.Context, p *Plan) error {
	var name string
	err := db.QueryRow(ctx, `SELECT datname FROM pg_database, pg_control_system() WHERE oid = $1 AND system_identifier = $2`,
		p.Identity.Database, p.Identity.System).Scan(&name)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil
	case err != nil:
		return fault.Database("read", "pg_database", err)
	}
	return fault.New(fault.Poison, "adopt", "patients database", fmt.Errorf("it is a copy: database %q, which writes the log, still exists in this cluster", name),
		fmt.Sprintf("export from %[1]q; if this copy replaces it, stop its writers and `DROP DATABASE %[1]s` first", name))
}

// checkRecorded refuses events with transaction ids that this cluster has not reached: cursors
// would skip them. A dump that was restored into a younger cluster has such events.
func (db DB) checkRecorded(ctx context.Context, p *Plan) error {
	var forward bool
	err := db.QueryRow(ctx, `SELECT NOT EXISTS (SELECT FROM patients.outbox WHERE tx >= pg_snapshot_xmax(pg_current_snapshot()))`).Scan(&forward)
	if err != nil {
		return fault.Database("read", "outbox", err)
	}
	if !forward {
		return backwards(p)
	}
	return nil
}
