package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// relay is one of the small programs of other routes. This command runs as each of them, so that they can be killed.
func relay(ctx context.Context, what string, arguments []string) error {
	switch what {
	case "link":
		return polling(ctx, arguments[0], pgx.TxOptions{}, func(ctx context.Context, tx pgx.Tx) error {
			_, err := tx.Exec(ctx, "SELECT pull()")
			return err
		})
	case "service":
		return serve(ctx, arguments[0], arguments[1])
	case "caller":
		return outbox(ctx, arguments[0], func(ctx context.Context, ids []string) error { return post(ctx, arguments[1], ids, 1) })
	case "broker":
		return broker(ctx, arguments[0], arguments[1], arguments[2] == "always")
	case "publisher":
		return publish(ctx, arguments[0], arguments[1])
	case "subscriber":
		return subscribe(ctx, arguments[0], arguments[1])
	}
	return fmt.Errorf("no program %q", what)
}

// polling does something again and again, in a transaction each time. What fails is tried again.
func polling(ctx context.Context, database string, options pgx.TxOptions, do func(context.Context, pgx.Tx) error) error {
	conn, err := pgx.Connect(ctx, database)
	if err != nil {
		return err
	}
	for tick := time.Tick(relayEvery); ; {
		if err := pgx.BeginTxFunc(ctx, conn, options, func(tx pgx.Tx) error { return do(ctx, tx) }); err != nil && conn.IsClosed() {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick:
		}
	}
}

// outbox hands over who died since the last time, by the transactions that a snapshot sees, so that none is passed over.
func outbox(ctx context.Context, database string, send func(context.Context, []string) error) error {
	return polling(ctx, database, pgx.TxOptions{IsoLevel: pgx.RepeatableRead}, func(ctx context.Context, tx pgx.Tx) error {
		var cursor string
		if err := tx.QueryRow(ctx, `SELECT cursor::text FROM sent`).Scan(&cursor); err != nil {
			return err
		}
		rows, _ := tx.Query(ctx, `SELECT patient_id::text FROM patients.outbox WHERE tx >= pg_snapshot_xmin($1::text::pg_snapshot)
			AND NOT pg_visible_in_snapshot(tx, $1::text::pg_snapshot) AND event = 'died' ORDER BY position`, cursor)
		ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil || len(ids) == 0 {
			return err
		}
		if err := send(ctx, ids); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `UPDATE sent SET cursor = pg_current_snapshot()`)
		return err
	})
}

func arrive(ctx context.Context, conn *pgx.Conn, ids []string) error {
	_, err := conn.Exec(ctx, `INSERT INTO arrived (patient_id) SELECT unnest($1::uuid[]) ON CONFLICT DO NOTHING`, ids)
	return err
}

// serve answers a POST of ids once they are committed.
func serve(ctx context.Context, database, address string) error {
	conn, err := pgx.Connect(ctx, database)
	if err != nil {
		return err
	}
	turn := make(chan struct{}, 1) // one connection, one statement at a time
	s := &http.Server{Addr: address, ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var ids []string
		err := json.NewDecoder(r.Body).Decode(&ids)
		turn <- struct{}{}
		if err == nil {
			err = arrive(r.Context(), conn, ids)
		}
		<-turn
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
		}
	})}
	context.AfterFunc(ctx, func() { _ = s.Close() })
	return s.ListenAndServe()
}

// post sends ids, and tries again after a tenth of a second.
func post(ctx context.Context, address string, ids []string, tries int) error {
	body, err := json.Marshal(ids)
	for try := range tries {
		if try > 0 {
			pause(ctx, 100*time.Millisecond)
		}
		var r *http.Request
		if r, err = http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body)); err != nil {
			return err
		}
		var answer *http.Response
		if answer, err = http.DefaultClient.Do(r); err != nil {
			continue
		}
		if err = answer.Body.Close(); err == nil && answer.StatusCode == http.StatusOK {
			return nil
		}
		err = errors.Join(err, fmt.Errorf("answered by %s", answer.Status))
	}
	return err
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

const deaths = "deaths" // the subject, and the stream's name

// broker is a NATS server. It writes each message to the disk before it confirms it only if it always syncs, which is not its default.
func broker(ctx context.Context, folder, address string, always bool) error {
	u, err := url.Parse("nats://" + address)
	if err != nil {
		return err
	}
	options := &server.Options{JetStream: true, StoreDir: folder, SyncAlways: always, NoSigs: true, Host: u.Hostname()}
	if _, err := fmt.Sscan(u.Port(), &options.Port); err != nil {
		return err
	}
	s, err := server.NewServer(options)
	if err != nil {
		return err
	}
	s.Start()
	<-ctx.Done()
	s.Shutdown()
	return nil
}

// stream connects, and makes the stream unless it exists.
func stream(ctx context.Context, address string) (jetstream.JetStream, jetstream.Stream, error) {
	conn, err := nats.Connect("nats://"+address, nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1), nats.ReconnectWait(relayEvery))
	if err != nil {
		return nil, nil, err
	}
	js, err := jetstream.New(conn, jetstream.WithPublishAsyncMaxPending(500), jetstream.WithPublishAsyncTimeout(10*time.Second))
	for err == nil {
		var s jetstream.Stream
		if s, err = js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{Name: deaths, Subjects: []string{deaths}}); err == nil {
			return js, s, nil
		}
		if ctx.Err() == nil { // it is not up yet
			err = nil
		}
	}
	return nil, nil, err
}

// publish sends a message per patient, and has sent them when the broker has confirmed all.
func publish(ctx context.Context, database, address string) error {
	js, _, err := stream(ctx, address)
	if err != nil {
		return err
	}
	return outbox(ctx, database, func(ctx context.Context, ids []string) error {
		for part := range slices.Chunk(ids, 500) {
			var waiting []jetstream.PubAckFuture
			for _, id := range part {
				f, err := js.PublishAsync(deaths, []byte(id), jetstream.WithMsgID(id))
				if err != nil {
					return err
				}
				waiting = append(waiting, f)
			}
			for _, f := range waiting {
				select {
				case <-f.Ok():
				case err := <-f.Err():
					return err
				}
			}
		}
		return nil
	})
}

// subscribe confirms messages once their rows are committed.
func subscribe(ctx context.Context, database, address string) error {
	conn, err := pgx.Connect(ctx, database)
	if err != nil {
		return err
	}
	_, s, err := stream(ctx, address)
	if err != nil {
		return err
	}
	c, err := s.CreateOrUpdateConsumer(ctx, jetstream.ConsumerConfig{Durable: "service", AckPolicy: jetstream.AckExplicitPolicy, AckWait: 2 * time.Second, MaxAckPending: 1000})
	for err == nil && ctx.Err() == nil {
		err = take(ctx, c, conn)
	}
	return err
}

// take inserts a batch of messages. What fails comes again.
func take(ctx context.Context, c jetstream.Consumer, conn *pgx.Conn) error {
	batch, err := c.Fetch(500, jetstream.FetchMaxWait(relayEvery))
	if err != nil {
		pause(ctx, relayEvery) // the broker is away
		return nil
	}
	var ids []string
	var messages []jetstream.Msg
	for m := range batch.Messages() {
		ids, messages = append(ids, string(m.Data())), append(messages, m)
	}
	if len(ids) == 0 {
		return nil
	}
	if err := arrive(ctx, conn, ids); err != nil {
		return err
	}
	for _, m := range messages {
		_ = m.Ack() // else it comes again, and changes nothing
	}
	return nil
}

// linkDatabases gives the second database a view of the outbox in the first, and a function that takes what is new there.
func (s *site) linkDatabases(ctx context.Context) error {
	from, err := pgx.ParseConfig(s.urls[patients])
	if err != nil {
		return err
	}
	to, err := pgx.ParseConfig(s.urls["plain"])
	if err != nil {
		return err
	}
	super, err := pgx.Connect(ctx, s.server.SuperURL(to.Database))
	if err != nil {
		return err
	}
	defer super.Close(ctx)
	if _, err := super.Exec(ctx, fmt.Sprintf(`CREATE EXTENSION IF NOT EXISTS postgres_fdw; DROP SERVER IF EXISTS patients CASCADE;
		CREATE SERVER patients FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '%s', port '%d', dbname '%s');
		CREATE USER MAPPING FOR %s SERVER patients OPTIONS (user '%s', password '%s'); GRANT USAGE ON FOREIGN SERVER patients TO %s`,
		from.Host, from.Port, from.Database, to.User, from.User, from.Password, to.User)); err != nil {
		return err
	}
	const createSent = `CREATE TABLE IF NOT EXISTS sent (cursor pg_snapshot NOT NULL);`
	if _, err := s.conn[patients].Exec(ctx, createSent+`CREATE OR REPLACE VIEW public.present AS SELECT pg_current_snapshot() AS cursor`); err != nil {
		return err
	}
	_, err = s.conn["plain"].Exec(ctx, createSent+`
		CREATE FOREIGN TABLE outbox (position bigint, tx xid8, event text, patient_id uuid) SERVER patients OPTIONS (schema_name 'patients', table_name 'outbox');
		CREATE FOREIGN TABLE present (cursor pg_snapshot) SERVER patients OPTIONS (schema_name 'public', table_name 'present');
		CREATE OR REPLACE FUNCTION pull() RETURNS void LANGUAGE plpgsql AS $$
		DECLARE
		    old pg_snapshot := (SELECT cursor FROM sent);
		    new pg_snapshot := (SELECT cursor FROM present);
		BEGIN
		    INSERT INTO arrived (patient_id)
		    SELECT patient_id FROM outbox WHERE tx >= pg_snapshot_xmin(old) AND NOT pg_visible_in_snapshot(tx, old) AND event = 'died'
		    ORDER BY position ON CONFLICT DO NOTHING;
		    UPDATE sent SET cursor = new;
		END $$`)
	return err
}
