"""Moves the rows of a query into a file, or a file's rows into a table with a key, as its tools' own pages show it."""

import glob
import os
import sys
from urllib.parse import urlsplit

source, target, rows, file = (os.environ[name] for name in ("SOURCE", "TARGET", "ROWS", "FILE"))


def duckdb(statement, url):
    import duckdb as library
    import duckdb_extension_postgres_scanner as extension

    connection = library.connect()
    connection.execute(f"LOAD '{glob.glob(extension.__path__[0] + '/extensions/*/*')[0]}'")
    connection.execute(f"ATTACH '{url}' AS pg (TYPE postgres)")
    connection.execute(statement)


def adbc(url):
    from adbc_driver_postgresql import dbapi

    return dbapi.connect(url)


def duckdb_out():
    quoted = rows.replace("'", "''")
    duckdb(f"COPY (SELECT * FROM postgres_query('pg', '{quoted}')) TO '{file}' (FORMAT parquet, COMPRESSION zstd)", source)


def duckdb_in():
    duckdb(f"INSERT INTO pg.keyed SELECT * FROM '{file}'", target)


def adbc_out():
    import pyarrow.parquet

    with adbc(source) as connection, connection.cursor() as cursor:
        cursor.execute(rows)
        reader = cursor.fetch_record_batch()
        with pyarrow.parquet.ParquetWriter(file, reader.schema, compression="zstd", compression_level=1) as writer:
            for batch in reader:
                writer.write_batch(batch)


def adbc_in():
    import pyarrow.parquet

    with adbc(target) as connection, connection.cursor() as cursor:
        parquet = pyarrow.parquet.ParquetFile(file)
        reader = pyarrow.RecordBatchReader.from_batches(parquet.schema_arrow, parquet.iter_batches())
        cursor.adbc_ingest("keyed", reader, mode="append")
        connection.commit()


def chdb(statement):
    import chdb as library

    library.query(statement)


def chdb_table(url, schema, name):
    at = urlsplit(url)
    return f"postgresql('{at.hostname}:{at.port}', '{at.path[1:]}', '{name}', '{at.username}', '{at.password}', '{schema}')"


def chdb_out():
    query = rows.replace("patients.outbox", chdb_table(source, "patients", "outbox"))
    chdb(f"INSERT INTO FUNCTION file('{file}', 'Parquet') {query} SETTINGS output_format_parquet_compression_method='zstd'")


def chdb_in():
    # Times are text to it; it is to find out by itself how they are written.
    chdb(f"""INSERT INTO FUNCTION {chdb_table(target, "public", "keyed")} SELECT * FROM file('{file}', 'Parquet')
        SETTINGS use_structure_from_insertion_table_in_table_functions=0, cast_string_to_date_time_mode='best_effort'""")


def dlt_out():
    import dlt
    import psycopg2

    @dlt.resource(name="rows")
    def read():
        with psycopg2.connect(source) as connection, connection.cursor("rows") as cursor:
            cursor.itersize = 10_000
            cursor.execute(rows)
            names = None
            while found := cursor.fetchmany(10_000):
                names = names or [column.name for column in cursor.description]
                yield [dict(zip(names, row)) for row in found]

    pipeline = dlt.pipeline("peers", pipelines_dir=file + ".state", destination=dlt.destinations.filesystem(file), dataset_name="rows")
    pipeline.run(read, loader_file_format="parquet")


globals()[sys.argv[1].replace("-", "_")]()
