"""Sealed JSON, and the fields of manifests, receipts and floors: schemas/SPEC.md, sections 3, 4, 10, 11 and 13."""
import datetime
import hashlib
import json
import re


class Torn(Exception):
    """Still being written, or damaged."""


class Invalid(Exception):
    """Whole, and the writer's mistake."""


class Unsupported(Exception):
    """For a later reader."""


FORMAT = 1
FORMAT_SEALED = 2  # of manifests with sealed parts
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
HASH = re.compile(r"[0-9a-f]{64}")
VERSION = re.compile(r"(0|[1-9][0-9]{0,5})(\.(0|[1-9][0-9]{0,5})){2}")
TIME = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})\.([0-9]{6})Z")
PART = re.compile(r"parts/type=([a-z_]{1,32})/date=([0-9]{4}-[0-9]{2}-[0-9]{2})/([0-9]{12})-([0-9a-f]{16})(\.[1-9])?\.parquet(\.age)?")
INSTANCE = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}(@[a-z0-9][a-z0-9_-]{0,62})?")
CURSOR = re.compile(r"([0-9]{1,20}):([0-9]{1,20}):([0-9,]*)")
MAX_BATCH = 999_999_999_999

Time = object()  # marks a field that holds a time
SOFTWARE = {"software": str, "version": str}
RANGE = {"from": int, "to": int}
MANIFEST = {
    "format": int, "min_reader": int, "stream": str, "log": str, "contract": {"name": str, "version": str, "sha256": str},
    "generation": int, "batch": int, "kind": str, "plan": str, "window": {"from": Time, "to": Time},
    "cursor": {"before": str, "after": str}, "covers?": RANGE, "continues?": {"stream": str, "log": str, "batch": int},
    "snapshot?": int, "heartbeat_seconds": int, "waiting": {"events": int, "oldest_recorded_at?": Time}, "previous": str,
    "producer": SOFTWARE, "traceparent?": str,
    "parts": [{"name": str, "events": {"*": int}, "rows": int, "bytes": int, "sha256": str, "recorded_from": Time, "recorded_to": Time,
               "seal?": {"form": str, "readers": [str], "slim?": bool}}],
    "totals": {"rows": int, "bytes": int, "events": {"*": int}},
}
RECEIPT = {
    "format": int, "stream": str, "log": str, "instance": str, "events": [str], "batch": int, "manifest": str, "generation": int,
    "applied_at": Time, "batches": int, "rows": int, "effects": {"*": int}, "decisions?": {"count": int, "hash": str}, "consumer": SOFTWARE,
}
FLOOR = {
    "format": int, "min_reader": int, "stream": str, "log": str, "floor": int, "batch": int, "previous": str, "snapshot": int,
    "manifest": str, "published_at": Time, "producer": SOFTWARE,
}


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def want(ok, field, why="breaks its rule"):
    if not ok:
        raise Invalid(f"{field}: {why}")


class Number(float):
    """A number that is no integer of 64 bits: only an unknown field may hold one."""


def integer(text):
    return int(text) if len(text) < 21 and -2**63 <= int(text) < 2**63 else Number(0)


def pairs(members):
    keys = [key for key, _ in members]
    for key in keys:
        want(re.fullmatch(r"[a-z][a-z0-9_]*", key), key, "is no key")
    want(len(set(keys)) == len(keys), str(keys), "a key occurs twice")
    return dict(members)


def refuse(constant):
    raise Invalid(f"{constant} is not JSON")


def load(data):
    """The object of a sealed file."""
    if len(data) > 16 << 20:
        raise Invalid("too long")
    body, last = data[:-77], data[-77:]
    if len(data) < 77 or not body.endswith(b"\n") or last != b'"sha256":"%s"}\n' % sha256(body).encode():
        raise Torn
    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=pairs, parse_int=integer, parse_float=Number, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise Invalid(error) from error
    want(isinstance(value, dict), "file", "is no object")
    walk(value, 0)
    return value


def walk(value, depth):
    want(depth <= 16, "file", "nested too deep")
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise Invalid("half a pair of surrogates") from error
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        walk(inner, depth + 1)


def shape(value, form, at):
    """Compare a value with the form of its field."""
    if form is Time:
        want(isinstance(value, str), at)
        time(value, at)
    elif isinstance(form, list):
        want(isinstance(value, list), at)
        for inner in value:
            shape(inner, form[0], at + "[]")
    elif isinstance(form, dict):
        want(isinstance(value, dict), at)
        for key, inner in form.items():
            if key == "*":
                for name, member in value.items():
                    shape(member, inner, at + "." + name)
            elif key.rstrip("?") in value:
                shape(value[key.rstrip("?")], inner, at + "." + key)
            else:
                want(key.endswith("?"), at + "." + key, "is missing")
    else:
        want(type(value) is form, at, "has another type")


def time(text, at):
    match = TIME.fullmatch(text)
    want(match, at, "is no time")
    try:
        return datetime.datetime(*map(int, match.groups()), tzinfo=datetime.timezone.utc)
    except ValueError as error:
        raise Invalid(f"{at}: {error}") from error


def micros(moment):
    return (moment - datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)) // datetime.timedelta(microseconds=1)


def opened(data, form, contract):
    """The object of a file of this form, if this reader may read it."""
    value = load(data)
    head = {key: int for key in ("format", "min_reader") if key in form}
    shape(value, head, "")
    least = value.get("min_reader", value["format"]) if "min_reader" in form else value["format"]
    want(1 <= least <= value["format"], "min_reader")
    if least > (FORMAT_SEALED if form is MANIFEST else FORMAT):
        raise Unsupported(f"for readers of {least}")
    shape(value, form, "")
    want(value["stream"] == contract.name, "stream")
    want(UUID.fullmatch(value["log"]), "log")
    return value


def software(value, at):
    for key in ("software", "version"):
        want(1 <= len(value[key].encode()) <= 100, f"{at}.{key}")


def cursor(text, at):
    match = CURSOR.fullmatch(text)
    want(match, at)
    low, high = int(match[1]), int(match[2])
    want(0 < low <= high < 2**64, at)
    for number in match[3].split(",") if match[3] else ():
        want(number and low <= int(number) < high, at)
        low = int(number) + 1


def manifest(data, contract):
    m = opened(data, MANIFEST, contract)
    version = m["contract"]["version"]
    want(VERSION.fullmatch(version), "contract.version")
    theirs, ours = [[int(n) for n in v.split(".")] for v in (version, contract.version)]
    if theirs[0] != ours[0]:
        raise Unsupported("another major version")
    types = {event for part in m["parts"] for event in part["events"]}
    for event in types - set(contract.events):
        if theirs[:2] > ours[:2] and re.fullmatch("[a-z_]{1,32}", event):
            raise Unsupported(f"event type {event}")
        raise Invalid(f"{event} is no event type")
    want(m["contract"]["name"] == contract.name, "contract.name")
    want(HASH.fullmatch(m["contract"]["sha256"]), "contract.sha256")
    want(1 <= m["generation"] < 2**31, "generation")
    want(0 <= m["batch"] <= MAX_BATCH, "batch")
    want(m["kind"] in ("genesis", "changes", "snapshot", "correction", "retired"), "kind")
    want((m["kind"] == "genesis") == (m["batch"] == 0), "kind")
    want(UUID.fullmatch(m["plan"]), "plan")
    want(m["window"]["from"] <= m["window"]["to"], "window")
    cursor(m["cursor"]["before"], "cursor.before")
    cursor(m["cursor"]["after"], "cursor.after")
    if m["kind"] != "changes" and not (m["kind"] == "snapshot" and m["generation"] > 1):
        want(m["cursor"]["before"] == m["cursor"]["after"], "cursor", "takes events")
    want(1 <= m["heartbeat_seconds"] <= 31622400, "heartbeat_seconds")
    want(m["waiting"]["events"] >= 0, "waiting.events")
    want(HASH.fullmatch(m["previous"]) if m["batch"] else m["previous"] == "", "previous")
    software(m["producer"], "producer")
    want(("covers" in m) == (m["kind"] == "correction"), "covers")
    if "covers" in m:
        want(1 <= m["covers"]["from"] <= m["covers"]["to"] < m["batch"], "covers")
    if "continues" in m:
        follows = m["continues"]
        want(m["kind"] == "genesis" and follows["stream"] != m["stream"] and UUID.fullmatch(follows["log"]) and 0 <= follows["batch"] <= MAX_BATCH, "continues")
    want(m["kind"] != "snapshot" or m.get("snapshot") == m["batch"], "snapshot")
    want("snapshot" not in m or 1 <= m["snapshot"] <= m["batch"], "snapshot")
    parts(m)
    return m


def parts(m):
    want(len(m["parts"]) <= 10_000 and not (m["parts"] and m["kind"] in ("genesis", "retired")), "parts")
    want(len({part["name"] for part in m["parts"]}) == len(m["parts"]), "parts", "a name occurs twice")
    events, narrow = {}, {}
    for part in m["parts"]:
        name = PART.fullmatch(part["name"])
        want(name, "parts.name")
        want(HASH.fullmatch(part["sha256"]) and part["sha256"].startswith(name[4]), "parts.sha256")
        want(int(name[3]) == m["batch"] and name[2] == m["window"]["to"][:10], "parts.name")
        want(name[1] == "mixed" or [name[1]] == list(part["events"]), "parts.name")
        want(all(n >= 1 for n in part["events"].values()) and sum(part["events"].values()) == part["rows"], "parts.rows")
        want(1 <= part["rows"] <= 1 << 24 and 1 <= part["bytes"] <= 4 << 30, "parts.rows")
        want(part["recorded_from"] <= part["recorded_to"], "parts.recorded_to")
        want(("seal" in part) == bool(name[6]), "parts.name")
        if "seal" in part:
            want(m["min_reader"] >= FORMAT_SEALED, "min_reader")
            want(part["seal"]["form"] == "age1", "parts.seal.form")
            want(len(part["seal"]["readers"]) <= 100 and all(INSTANCE.fullmatch(r) for r in part["seal"]["readers"]), "parts.seal.readers")
        counts = narrow if slim(part) else events
        for event, n in part["events"].items():
            counts[event] = counts.get(event, 0) + n
    want(m["totals"] == {**m["totals"], "rows": sum(events.values()), "bytes": sum(p["bytes"] for p in m["parts"]), "events": events}, "totals")
    want(all(n == events.get(event) for event, n in narrow.items()), "parts", "slim ones lack events")


def slim(part):
    """Whether the part repeats events of others with fewer columns."""
    return part.get("seal", {}).get("slim", False)


def receipt(data, contract):
    r = opened(data, RECEIPT, contract)
    want(INSTANCE.fullmatch(r["instance"]), "instance")
    want(0 <= r["batch"] <= MAX_BATCH, "batch")
    want(HASH.fullmatch(r["manifest"]), "manifest")
    want(1 <= r["generation"] < 2**31, "generation")
    want(r["batches"] >= 0 and r["rows"] >= 0, "rows")
    want(all(n >= 0 for n in r["effects"].values()), "effects")
    want(all(re.fullmatch("[a-z_]{1,32}", event) for event in r["events"]), "events")
    if "decisions" in r:
        count, last = r["decisions"]["count"], r["decisions"]["hash"]
        want(count >= 0, "decisions.count")
        want(HASH.fullmatch(last) or (count, last) == (0, ""), "decisions.hash")
    software(r["consumer"], "consumer")
    return r


def floor(data, contract):
    f = opened(data, FLOOR, contract)
    want(1 <= f["floor"] <= MAX_BATCH, "floor")
    want(1 <= f["batch"] <= MAX_BATCH, "batch")
    want(f["batch"] <= f["snapshot"] <= MAX_BATCH, "snapshot")
    want(HASH.fullmatch(f["previous"]) and HASH.fullmatch(f["manifest"]), "manifest")
    software(f["producer"], "producer")
    return f
