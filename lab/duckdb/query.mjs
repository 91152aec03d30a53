// Runs the SQL on standard input and prints each row of the last statement as a line of JSON,
// all values as text.
import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';

const { DuckDBInstance } = createRequire(process.argv[1] + '/')('@duckdb/node-api');
const connection = await (await DuckDBInstance.create(':memory:')).connect();
const result = await connection.runAndReadAll(readFileSync(0, 'utf8'));
for (const row of result.getRowObjects()) {
  const text = {};
  for (const [name, value] of Object.entries(row)) {
    text[name] = value === null ? null : value.toString();
  }
  console.log(JSON.stringify(text));
}
