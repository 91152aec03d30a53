package importer

import (
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"waybill/schemas"
)

// statements are the SQL texts that follow from the contract.
type statements struct {
	temporary  string // the batch's tables, once per connection
	emptied    string // of an earlier batch's rows
	projection string // the table patient; safe to run again, adds columns of later revisions
	copy       string
	straight   straight
	project    write  // staging → patient, changed
	append     write  // staging → the consumer's table
	complete   string // staging → columns that rows of the consumer's table lack
	erasures   erasures
	doubt      string // makes a resync's snapshot win
}

// write is a statement in three forms: for a table that may hold some rows already, for one that holds most of them, and for an
// empty one, where looking for each row would cost as much as writing it. Where it holds most, columns are filled that an older
// release, which did not know them, has left empty in the same state. Other values, newer states and the erased are left alone.
type write struct{ table, merge, again, fill string }

const orderKey = "generation, version, revision"

func statementsFor(consumer *Consumer) statements {
	contract := consumer.Contract()
	var names, definitions, additions, incoming, filled, same, filling, lacking []string
	for _, c := range contract.Columns {
		definition := c.Name + " " + c.SQLType()
		names = append(names, c.Name)
		definitions = append(definitions, definition)
		incoming = append(incoming, "excluded."+c.Name)
		filled = append(filled, fmt.Sprintf("CASE WHEN excluded.event <> 'erased' AND (excluded.generation, excluded.version, excluded.revision) = (p.generation, p.version, p.revision) "+
			"THEN coalesce(p.%[1]s, excluded.%[1]s) ELSE excluded.%[1]s END", c.Name))
		if c.Name != "event" && c.Name != "baseline" { // these say how a state arose, not what it is
			same = append(same, fmt.Sprintf("s.%[1]s IS NOT DISTINCT FROM p.%[1]s", c.Name))
		}
		if !c.Required {
			filling = append(filling, fmt.Sprintf("%[1]s = coalesce(k.%[1]s, s.%[1]s)", c.Name))
			lacking = append(lacking, fmt.Sprintf("k.%[1]s IS NULL AND s.%[1]s IS NOT NULL", c.Name))
		}
		if c.Name != "patient_id" {
			additions = append(additions, "ALTER TABLE patient ADD COLUMN IF NOT EXISTS "+definition)
		}
	}
	if consumer.Slim { // what was loaded before it was slim would stay as it is for ever
		for _, c := range schemas.ContractOf(consumer.Stream).Columns {
			if !c.Slim {
				additions = append(additions, "ALTER TABLE patient DROP COLUMN IF EXISTS "+c.Name)
			}
		}
	}
	columns := strings.Join(names, ", ")
	straight := straightInto("patient", columns, "patient_id")
	appended := pgx.Identifier{consumer.Append}.Sanitize()
	if consumer.Append != "" {
		straight = straightInto(appended, columns, "generation,patient_id,revision,version")
	}
	return statements{
		straight: straight,
		// A table whose values are all short has no TOAST table, which each commit would empty and index anew. Function sample is
		// what [load.analyze] is, for the consumer's SQL.
		temporary: fmt.Sprintf(`
			CREATE TEMP TABLE IF NOT EXISTS staging (%s) ON COMMIT DELETE ROWS;
			CREATE TEMP TABLE IF NOT EXISTS run (batch bigint, generation integer, kind varchar(20), now timestamptz, act_within interval, zone varchar(80)) ON COMMIT DELETE ROWS;
			CREATE TEMP TABLE IF NOT EXISTS changed (patient_id uuid NOT NULL) ON COMMIT DELETE ROWS;
			CREATE TEMP TABLE IF NOT EXISTS effect (n bigint GENERATED ALWAYS AS IDENTITY, kind text NOT NULL, patient_id uuid, death_no integer, subject text) ON COMMIT DELETE ROWS;
			CREATE OR REPLACE FUNCTION pg_temp.sample(tab regclass) RETURNS void LANGUAGE plpgsql AS $$
			BEGIN
			    IF pg_relation_size(tab) > 8192 OR (SELECT relpages > 1 OR reltuples < 0 FROM pg_class WHERE oid = tab) THEN
			        EXECUTE format('ANALYZE %%s', tab);
			    END IF;
			END $$;
			`, strings.Join(definitions, ", ")),
		emptied: "DELETE FROM staging; DELETE FROM run; DELETE FROM changed; DELETE FROM effect",
		projection: "CREATE TABLE IF NOT EXISTS patient (patient_id uuid PRIMARY KEY);\n" +
			strings.Join(additions, ";\n") +
			";\nCREATE INDEX IF NOT EXISTS patient_merged_into ON patient (merged_into) WHERE merged_into IS NOT NULL;\n" +
			"CREATE INDEX IF NOT EXISTS patient_erased ON patient (patient_id) WHERE event = 'erased'", // apply.sql asks for them in each batch
		copy: "COPY staging (" + columns + ") FROM STDIN (FORMAT binary)",
		project: write{
			table: "patient",
			merge: project(columns, "", update(columns, incoming)+unlessNewer),
			again: project(columns, unlessKnown(lacking), update(columns, filled)),
			fill:  project(columns, "", ""),
		},
		append: write{
			table: appended,
			merge: appendTo(appended, columns, unlessThere),
			again: appendTo(appended, columns, unlessThere),
			fill:  appendTo(appended, columns, ""),
		},
		complete: complete(appended, filling, lacking),
		erasures: erasuresFor(contract, consumer),
		doubt:    doubt(strings.Join(same, " AND ")),
	}
}

// project takes the newest state of each patient in the batch, if it meets the condition. Rows are sorted, so that neighbours
// in the index are written together. A re-run of an earlier generation's batch adds no patient: the snapshot that opened the
// present generation was complete, so a patient who is unknown since then was not in it. It answers how many rows it wrote, and
// how many of them were not there before: their xmax is 0, that of an updated one names the lock that ON CONFLICT took.
func project(columns, condition, onConflict string) string {
	return fmt.Sprintf(`
		WITH newest AS (
		    SELECT DISTINCT ON (patient_id) * FROM staging s WHERE generation >= (SELECT generation FROM checkpoint) %[3]s
		    ORDER BY patient_id, event = 'erased' DESC, generation DESC, version DESC, revision DESC),
		projected AS (
		    INSERT INTO patient AS p (%[1]s) SELECT %[1]s FROM newest ORDER BY patient_id %[2]s
		    RETURNING patient_id, xmax = 0 AS inserted),
		noted AS (INSERT INTO changed SELECT patient_id FROM projected)
		SELECT count(*), count(*) FILTER (WHERE inserted) FROM projected`, columns, onConflict, condition)
}

func update(columns string, values []string) string {
	return fmt.Sprintf(`ON CONFLICT (patient_id) DO UPDATE SET (%s) = ROW (%s)`, columns, strings.Join(values, ", "))
}

// unlessNewer updates a known patient only if the batch's state is newer, and never an erased one.
const unlessNewer = `
			    WHERE p.event <> 'erased' AND (excluded.event = 'erased'
			        OR (excluded.generation, excluded.version, excluded.revision) > (p.generation, p.version, p.revision))`

// unlessKnown leaves out the states that the table has, or has newer ones, where that is most of them: they need no sorting, and
// ON CONFLICT would lock the row of each, which is a write.
func unlessKnown(lacking []string) string {
	return fmt.Sprintf(`AND NOT EXISTS (
		        SELECT FROM patient k WHERE k.patient_id = s.patient_id AND (k.event = 'erased' OR s.event <> 'erased'
		            AND ((s.generation, s.version, s.revision) < (k.generation, k.version, k.revision)
		                OR (s.generation, s.version, s.revision) = (k.generation, k.version, k.revision) AND NOT (%s))))`, strings.Join(lacking, " OR "))
}

func appendTo(table, columns, onConflict string) string {
	return fmt.Sprintf(`
		INSERT INTO %[1]s (%[2]s) SELECT DISTINCT ON (patient_id, %[3]s) %[2]s FROM staging
		ORDER BY patient_id, %[3]s %[4]s`, table, columns, orderKey, onConflict)
}

const unlessThere = "ON CONFLICT (patient_id, " + orderKey + ") DO NOTHING"

// complete fills columns of events that an older release has appended, as [project] does; those of the erased stay empty.
func complete(table string, filling, lacking []string) string {
	return fmt.Sprintf(`
		UPDATE %s k SET %s FROM staging s
		WHERE (k.patient_id, k.generation, k.version, k.revision) = (s.patient_id, s.generation, s.version, s.revision) AND (%s)
		  AND NOT EXISTS (SELECT FROM erased e WHERE e.patient_id = k.patient_id)`, table, strings.Join(filling, ", "), strings.Join(lacking, " OR "))
}

// reapply reconciles the effects of all the batch's patients.
const reapply = `INSERT INTO changed SELECT patient_id FROM staging JOIN patient USING (patient_id) EXCEPT SELECT patient_id FROM changed`

// vanish is for snapshots, which are complete for every event type. So if a patient is known from an earlier generation but
// is not in the snapshot, not even as a bad row, the source has no subscribed state of that patient. The version becomes 0,
// so that any later event is newer; who has that version has vanished before.
const vanish = `
	WITH gone AS (
	    UPDATE patient p SET (generation, version, revision, baseline, event, death_status, death_earliest, death_latest, death_precision, merged_into)
	        = (run.generation, 0, 0, true, 'death_retracted', 'none', NULL, NULL, NULL, NULL)
	    FROM run
	    WHERE p.generation < run.generation AND p.event <> 'erased' AND p.version > 0
	      AND NOT EXISTS (SELECT FROM staging s WHERE s.patient_id = p.patient_id)
	      AND NOT EXISTS (SELECT FROM quarantine q WHERE q.batch = run.batch AND q.patient_id = p.patient_id)
	    RETURNING p.patient_id, p.death_no),
	noted AS (INSERT INTO effect (kind, patient_id, death_no) SELECT 'vanished', patient_id, death_no FROM gone)
	INSERT INTO changed SELECT patient_id FROM gone`

// touched are the patients whose state the batch changed, and those whose death it saw.
const touched = `changed FULL JOIN seen s USING (patient_id) JOIN patient p USING (patient_id)`

// notice stores when each death became known here, and whether it is historic: longer ago than act_within, unless the batch
// saw a known patient die; or found without a date. If a later batch shows that a historic death is not historic, it
// becomes known now. A death that was seen but does not stand any more, because the batch retracts it too, is noted as well: a restored
// patients database may say that it stands after all.
func notice(events, patients string) string {
	return fmt.Sprintf(`
	WITH seen AS (
	    SELECT patient_id, death_no, bool_or(version > 1) AS dying,
	           bool_or(died) AS died, max(death_latest) FILTER (WHERE died) AS latest, bool_or(version > 1) FILTER (WHERE died) AS new
	    FROM (SELECT *, event = 'died' AND generation >= (SELECT generation FROM checkpoint) AS died FROM %[1]s) s, run
	    WHERE NOT baseline AND (event = 'died' OR run.kind = 'snapshot') GROUP BY 1, 2),
	states AS MATERIALIZED (
	    SELECT p.patient_id, p.event, p.death_no, p.death_latest, p.death_status IN ('informal', 'formal') AS dead,
	           coalesce(s.death_no = p.death_no, false) AS same, s.death_no AS seen_no, s.dying, s.died, s.latest, s.new
	    FROM %[2]s
	    WHERE p.death_status IN ('informal', 'formal') OR s.died),
	judged AS (
	    SELECT DISTINCT ON (s.patient_id) s.patient_id, s.death_no, run.now, run.act_within IS NOT NULL
	           AND CASE WHEN s.death_latest IS NULL THEN NOT same
	                    ELSE s.death_latest < run.now - run.act_within AND NOT (same AND s.dying) END AS historic
	    FROM run, states s WHERE dead
	    ORDER BY s.patient_id, same DESC),
	noticed AS (
	    INSERT INTO notice AS n (patient_id, death_no, noticed_at, historic)
	    SELECT * FROM judged
	    ON CONFLICT (patient_id, death_no) DO UPDATE SET noticed_at = excluded.noticed_at, historic = false
	    WHERE n.historic AND NOT excluded.historic
	    RETURNING patient_id, death_no, historic),
	undone AS (
	    INSERT INTO notice (patient_id, death_no, noticed_at, historic)
	    SELECT s.patient_id, s.seen_no, run.now, coalesce(s.latest < run.now - run.act_within AND NOT s.new, false)
	    FROM run, states s WHERE s.died AND s.event <> 'erased' AND NOT (dead AND same)
	    ORDER BY 1, 2
	    ON CONFLICT DO NOTHING),
	acted AS (INSERT INTO changed SELECT patient_id FROM noticed WHERE NOT historic EXCEPT SELECT patient_id FROM changed)
	INSERT INTO effect (kind, patient_id, death_no) SELECT 'historic', patient_id, death_no FROM noticed WHERE historic`, events, patients)
}
