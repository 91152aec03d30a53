package hospital

import (
	"context"
	"fmt"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// Scene is a rare situation that was played.
type Scene struct {
	Name  string
	Shown bool // it had its consequence
}

// Play plays every rare situation once, all at the same time. It calls exchange between their acts; with observe,
// the importers must only observe. It leaves out scenes about someone long dead if there are too few.
func Play(ctx context.Context, services map[string]*pgx.Conn, opt Options, exchange func(observe bool) error) ([]Scene, error) {
	p := &play{services: services, opt: opt.withDefaults()}
	if err := p.cast(ctx); err != nil {
		return nil, err
	}
	for round := range rounds {
		for i, scene := range p.scenes {
			for _, act := range scene.acts[round] {
				if _, err := services[act.service].Exec(ctx, p.names[i].Replace(act.sql)); err != nil {
					return nil, failed("play", scene.name, err)
				}
			}
		}
		if err := exchange(round == rounds-1); err != nil {
			return nil, err
		}
	}
	if err := exchange(false); err != nil {
		return nil, err
	}
	return p.outcome(ctx)
}

type play struct {
	services map[string]*pgx.Conn
	opt      Options
	scenes   []scene
	names    []*strings.Replacer // of each scene: who plays
}

// cast registers two people for each scene, and finds the long dead for those that name one.
func (p *play) cast(ctx context.Context) error {
	old, err := p.longDead(ctx)
	if err != nil {
		return err
	}
	serial, err := countPatients(ctx, p.services["patients"])
	if err != nil {
		return err
	}
	for _, scene := range scenes() {
		names := []string{}
		if strings.Contains(scene.shown.sql, "{old}") {
			drawn := old.draw(1)
			if len(drawn) == 0 {
				continue
			}
			names = append(names, "{old}", literal(drawn[0]))
		}
		for _, name := range []string{"{a}", "{b}"} {
			person := newPerson(p.opt.Seed, p.opt.Apart+serial, birthYears)
			serial++
			if err := pgx.BeginFunc(ctx, p.services["patients"], func(tx pgx.Tx) error { return insertPerson(ctx, tx, person) }); err != nil {
				return failed("cast", scene.name, err)
			}
			names = append(names, name, literal(person.id))
		}
		p.scenes, p.names = append(p.scenes, scene), append(p.names, strings.NewReplacer(names...))
	}
	return nil
}

func (p *play) longDead(ctx context.Context) (deck, error) {
	rows, err := p.services["patients"].Query(ctx, `SELECT id FROM patients.patient p
		WHERE death_status IN ('informal', 'formal') AND death_latest < $1
		AND NOT EXISTS (SELECT FROM patients.alias WHERE p.id IN (retired_id, survivor_id))
		ORDER BY id`, p.opt.Now.AddDate(0, 0, -2*recentDays))
	if err != nil {
		return nil, failed("read", "patients", err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowTo[id])
	if err != nil {
		return nil, failed("read", "patients", err)
	}
	return found, nil
}

func literal(u id) string { return fmt.Sprintf("'%s'", uuid.UUID(u)) }

// outcome checks the result of each scene.
func (p *play) outcome(ctx context.Context) ([]Scene, error) {
	played := make([]Scene, len(p.scenes))
	for i, scene := range p.scenes {
		played[i].Name = scene.name
		query := fmt.Sprintf("SELECT EXISTS (%s)", p.names[i].Replace(scene.shown.sql))
		if err := p.services[scene.shown.service].QueryRow(ctx, query).Scan(&played[i].Shown); err != nil {
			return nil, failed("look at", scene.name, err)
		}
	}
	return played, nil
}
