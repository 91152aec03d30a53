"""Parts: schemas/SPEC.md, section 6, and the rules in schemas/contract.md."""
import copy
import datetime
import io
import json
import re
import struct

import pyarrow as pa
import pyarrow.parquet as pq

from sealed import Invalid, micros, sha256, slim, time, want

EPOCH_2000 = 946_684_800_000_000
MAX_PAGE = 8 << 20
TYPES = {  # physical type, the logical types that are taken, and what to do with a value in COPY
    "text": ("BYTE_ARRAY", ("STRING", "ENUM", "NONE")),
    "jsonb": ("BYTE_ARRAY", ("JSON", "STRING", "ENUM", "NONE")),
    "uuid": ("FIXED_LEN_BYTE_ARRAY", ("UUID", "NONE")),
    "timestamptz": ("INT64", ("TIMESTAMP",)),
    "integer": ("INT32", ("INT", "NONE")),
    "bigint": ("INT64", ("INT", "NONE")),
    "boolean": ("BOOLEAN", ("NONE",)),
}


class Column:
    def __init__(self, name, kind, required, rule):
        self.name, self.kind, self.required, self.rule = name, kind, required == "yes", rule.replace("\\|", "|")
        self.enum, self.pattern, self.longest, self.least, self.most = None, None, None, None, None
        if self.rule.startswith("`"):
            self.pattern = re.compile(self.rule.strip("`"))
        elif match := re.fullmatch(r"at most ([0-9]+) characters", self.rule):
            self.longest = int(match[1])
        elif match := re.fullmatch(r"([0-9]+) to 9999", self.rule):
            self.least = micros(datetime.datetime(int(match[1]), 1, 1, tzinfo=datetime.timezone.utc))
            self.most = micros(datetime.datetime.max.replace(tzinfo=datetime.timezone.utc))
        elif match := re.fullmatch(r"([0-9]+) and up", self.rule):
            self.least = int(match[1])
        elif match := re.fullmatch(r"array of at most ([0-9]+) \{(.*)\}", self.rule):
            self.longest, self.members = int(match[1]), match[2].split(", ")
        elif self.rule:
            self.enum = self.rule.split(", ")


class Contract:
    """The contract, from its table."""

    def __init__(self, path):
        with open(path, encoding="utf-8") as file:
            text = file.read()
        self.name, self.version = re.search(r"# Contract `(.*)` (.*)", text).groups()
        self.columns, self.withheld = [], []  # columns, and names of those that parts must not have
        for line in text.splitlines():
            if line.startswith("| `"):
                name, kind, _, required, rule = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:6]]
                self.columns.append(Column(name.strip("`"), kind, required, rule))
        self.slim = re.findall("`(.*?)`", re.search("Columns of slim parts: (.*)", text)[1])
        self.events = next(column for column in self.columns if column.name == "event").enum

    def of(self, entry):
        """The contract of the columns that a part has."""
        if not slim(entry):
            return self
        narrow = copy.copy(self)
        narrow.columns = [column for column in self.columns if column.name in self.slim]
        narrow.withheld = [column.name for column in self.columns if column.name not in self.slim]
        return narrow


def read(data, entry, contract):
    """The rows of a part, a dict per row, whose bytes are data and whose entry in the manifest this is."""
    contract = contract.of(entry)
    if len(data) != entry["bytes"] or sha256(data) != entry["sha256"]:
        raise Invalid("not the bytes announced")
    try:
        file = pq.ParquetFile(io.BytesIO(data))
    except (pa.ArrowException, OSError) as error:
        raise Invalid(error) from error
    want(file.metadata.num_rows == entry["rows"], "rows", "are not the manifest's")
    leaves = {}
    for i in range(file.metadata.num_columns):
        leaf = file.metadata.schema.column(i)
        if "." not in leaf.path and leaf.max_repetition_level == 0:
            want(leaf.name not in leaves, leaf.name, "occurs twice")
            leaves[leaf.name] = (i, leaf)
    for name in contract.withheld:
        want(name not in leaves, name, "must not be in a slim part")
    values = []
    for column in contract.columns:
        if column.name not in leaves:
            want(not column.required, column.name, "is missing")
            values.append([None] * entry["rows"])
            continue
        i, leaf = leaves[column.name]
        typed(column, leaf)
        for group in range(file.metadata.num_row_groups):
            pages(data, file.metadata.row_group(group).column(i), leaf.max_definition_level > 0)
        values.append(numbers_or_bytes(file, column))
    rows = [dict(zip([column.name for column in contract.columns], row)) for row in zip(*values)]
    for row in rows:
        check(row, contract)
    counted(rows, entry)
    return rows


def typed(column, leaf):
    physical, logical = TYPES[column.kind]
    kind = leaf.logical_type.type
    want(leaf.physical_type == physical and (kind in logical or column.kind == "boolean"), column.name, "is of another type")
    form = json.loads(leaf.logical_type.to_json())
    if column.kind == "uuid":
        want(leaf.length == 16, column.name, "is of another type")
    if kind == "TIMESTAMP":
        want(form["isAdjustedToUTC"] and form["timeUnit"] == "microseconds", column.name, "is of another type")
    if kind == "INT":
        want(form["isSigned"] and form["bitWidth"] in (32, 64), column.name, "is of another type")


def pages(data, chunk, optional):
    """Look at the pages' headers before anything is decompressed."""
    want(chunk.compression in ("ZSTD", "UNCOMPRESSED"), chunk.path_in_schema, f"is compressed with {chunk.compression}")
    at = chunk.data_page_offset
    if chunk.has_dictionary_page and chunk.dictionary_page_offset:
        at = min(at, chunk.dictionary_page_offset)
    end, left = at + chunk.total_compressed_size, chunk.num_values
    while left > 0:
        want(0 <= at < end <= len(data), chunk.path_in_schema, "pages hold fewer values than it claims")
        try:
            header, at = struct_at(data, at)
        except IndexError as error:
            raise Invalid("page header") from error
        want(0 <= header[2] <= MAX_PAGE and 0 <= header[3] <= MAX_PAGE, chunk.path_in_schema, "a page is too large")
        at += header[3]
        if header[1] == 2:
            want(header[7][2] in (0, 2), chunk.path_in_schema, "a dictionary that is not plain")
            continue
        want(header[1] in (0, 3), chunk.path_in_schema, f"a page of type {header[1]}")
        page = header[5] if header[1] == 0 else header[8]
        encoding = page[2] if header[1] == 0 else page[4]
        want(encoding in (0, 2, 8) or encoding == 3 and chunk.physical_type == "BOOLEAN", chunk.path_in_schema, f"encoding {encoding}")
        want(header[1] == 3 or not optional or page[3] == 3, chunk.path_in_schema, "levels are not RLE")
        left -= page[1]


def varint(data, at):
    value = shift = 0
    while True:
        value |= (data[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if data[at - 1] < 0x80:
            return value, at


def struct_at(data, at):
    """A struct of Thrift's compact protocol, by field, and where it ends."""
    fields, field = {}, 0
    while data[at]:
        delta, kind = data[at] >> 4, data[at] & 15
        at += 1
        if delta:
            field += delta
        else:
            value, at = varint(data, at)
            field = value >> 1 ^ -(value & 1)
        if kind in (1, 2):
            fields[field] = kind == 1
        elif kind == 3:
            at += 1
        elif kind in (4, 5, 6):
            value, at = varint(data, at)
            fields[field] = value >> 1 ^ -(value & 1)
        elif kind == 7:
            at += 8
        elif kind == 8:
            length, at = varint(data, at)
            at += length
        elif kind == 12:
            fields[field], at = struct_at(data, at)
        else:
            raise Invalid(f"page header: a field of type {kind}")
    return fields, at + 1


def numbers_or_bytes(file, column):
    try:
        array = file.read(columns=[column.name]).column(0).combine_chunks()
        if isinstance(array, pa.ExtensionArray):
            array = array.storage
        if column.kind == "timestamptz":
            array = array.cast(pa.int64())
        elif column.kind in ("text", "jsonb"):
            array = array.cast(pa.binary())
        return array.to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise Invalid(f"{column.name}: {error}") from error


def check(row, contract):
    for column in contract.columns:
        value = row[column.name]
        if value is None:
            want(not column.required, column.name, "is missing")
        elif column.kind in ("text", "jsonb"):
            row[column.name] = text(column, value)
        else:
            want(column.least is None or value >= column.least, column.name, "is out of range")
            want(column.most is None or value <= column.most, column.name, "is out of range")
    earliest, latest, precision = row["death_earliest"], row["death_latest"], row["death_precision"]
    want((earliest is None) == (latest is None) == (precision is None), "death_earliest", "is given without the others")
    want(earliest is None or latest > earliest, "death_latest", "is not after the start")


def text(column, value):
    want(len(value) <= 1 << 20 and b"\0" not in value, column.name)
    try:
        value = value.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Invalid(f"{column.name}: {error}") from error
    if column.kind == "jsonb":
        identifiers(column, value)
        return value
    want(column.enum is None or value in column.enum, column.name, "is not one of the allowed values")
    want(column.longest is None or len(value) <= column.longest, column.name, "is too long")
    want(column.pattern is None or column.pattern.fullmatch(value), column.name, "has another form")
    return value


def identifiers(column, value):
    def members(found):
        for member in column.members:
            want([key for key, _ in found].count(member) == 1, column.name, f"{member} is not there once")
        for _, inner in found:
            want(isinstance(inner, str) and "\0" not in inner, column.name)
            want(not re.search("[\ud800-\udfff]", inner), column.name, "half a pair of surrogates")
        return dict(found)

    for string in re.finditer(r'"((?:[^"\\]|\\.)*)"\s*(:?)', value):
        want(not (string[2] and "\\" in string[1]), column.name, "an escape in a key")
    try:
        array = json.loads(value, object_pairs_hook=members)
    except (ValueError, RecursionError) as error:
        raise Invalid(f"{column.name}: {error}") from error
    want(isinstance(array, list) and all(isinstance(inner, dict) for inner in array), column.name)
    want(len(array) <= column.longest, column.name, "is too long")


def counted(rows, entry):
    events = {}
    for row in rows:
        events[row["event"]] = events.get(row["event"], 0) + 1
    want(events == entry["events"], "events", "are not the manifest's")
    recorded = [row["recorded_at"] for row in rows]
    want(min(recorded) == micros(time(entry["recorded_from"], "")) and max(recorded) == micros(time(entry["recorded_to"], "")),
         "recorded_at", "is not as the manifest says")


def copied(rows, contract):
    """The rows as PostgreSQL's binary COPY."""
    out = bytearray(b"PGCOPY\n\xff\r\n\0" + bytes(8))
    for row in rows:
        out += struct.pack(">h", len(contract.columns))
        for column in contract.columns:
            value = row[column.name]
            if value is None:
                out += b"\xff\xff\xff\xff"
                continue
            field = {
                "text": lambda: value.encode(), "jsonb": lambda: b"\1" + value.encode(), "uuid": lambda: value,
                "timestamptz": lambda: struct.pack(">q", value - EPOCH_2000), "integer": lambda: struct.pack(">i", value),
                "bigint": lambda: struct.pack(">q", value), "boolean": lambda: bytes([value]),
            }[column.kind]()
            out += struct.pack(">i", len(field)) + field
    return bytes(out + b"\xff\xff")
