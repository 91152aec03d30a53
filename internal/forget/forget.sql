-- What an erasure does to a table. The catalog lists its columns, so columns of a later release and custom ones are
-- blanked, too: all except the primary key's and those that the caller keeps.

-- blanks returns the assignments that blank a row, and the condition under which it is not blank. A column that must not
-- be NULL gets its default; one whose default is computed, as a time or a number, does not count as personal data.
CREATE OR REPLACE FUNCTION blanks(tab regclass, kept name[], OUT assignments text, OUT filled text)
LANGUAGE sql STABLE AS $$
    SELECT string_agg(format('%I = %s', a.attname, v.blank), ', '),
           string_agg(format('t.%I IS DISTINCT FROM %s', a.attname, v.blank), ' OR ') FILTER (WHERE v.blank <> 'DEFAULT')
    FROM pg_attribute a
    LEFT JOIN pg_attrdef d ON (d.adrelid, d.adnum) = (a.attrelid, a.attnum) AND pg_get_expr(d.adbin, d.adrelid) !~ '\('
    CROSS JOIN LATERAL (SELECT CASE
        WHEN a.attgenerated <> '' THEN 'DEFAULT'
        WHEN a.attname = 'death_status' THEN '''none''' -- the contract requires this value for erased patients, too
        WHEN a.attname = 'death_no' THEN '0'
        WHEN a.attname = 'identifiers' THEN '''[]'''
        WHEN NOT a.attnotnull THEN 'NULL'
        ELSE coalesce(pg_get_expr(d.adbin, d.adrelid), 'DEFAULT') END AS blank) v
    WHERE a.attrelid = tab AND a.attnum > 0 AND NOT a.attisdropped AND a.attname <> ALL (kept)
      AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = tab AND i.indisprimary AND a.attnum = ANY (i.indkey))
$$;

-- forget blanks the patients' rows that are not blank, and returns how many.
CREATE OR REPLACE FUNCTION forget(tab regclass, key name, kept name[], patients uuid[]) RETURNS bigint
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    found bigint := 0;
    statement text := (SELECT format('UPDATE %s t SET ', tab) || b.assignments || format(' WHERE t.%I = ANY ($1) AND (', key) || b.filled || ')'
                       FROM blanks(tab, kept) b);
BEGIN
    IF statement IS NOT NULL THEN -- NULL: the table has a key and nothing else
        EXECUTE statement USING patients;
        GET DIAGNOSTICS found = ROW_COUNT;
    END IF;
    RETURN found;
END $$;

-- remembered returns the patients who have a row that is not blank.
CREATE OR REPLACE FUNCTION remembered(tab regclass, key name, kept name[], patients uuid[]) RETURNS SETOF uuid
LANGUAGE plpgsql STABLE SET search_path FROM CURRENT AS $$
BEGIN
    RETURN QUERY EXECUTE (
        SELECT format('SELECT DISTINCT t.%1$I FROM %2$s t WHERE t.%1$I = ANY ($1) AND (%3$s)', key, tab, coalesce(b.filled, 'false'))
        FROM blanks(tab, kept) b) USING patients;
END $$;
