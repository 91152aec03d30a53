"""A second reader of exchanges, written from schemas/SPEC.md with Python's standard library, pyarrow and cryptography.

reader.py vectors SCHEMAS prints a verdict on each test vector, as lines of JSON; reader.py signatures SCHEMAS which
keys have signed each file; reader.py seals SCHEMAS what a key opens; reader.py histories SCHEMAS what a follower finds
after each step of each history.
"""
import json
import os
import sys

import age
import follow
import parts
import sealed
import signed


def verdict(judge):
    try:
        return {"verdict": "ok", **(judge() or {})}
    except sealed.Torn:
        return {"verdict": "torn"}
    except sealed.Invalid as error:
        return {"verdict": "invalid", "reason": str(error)}
    except sealed.Unsupported as error:
        return {"verdict": "unsupported", "reason": str(error)}


def contents(*path):
    with open(os.path.join(*path), "rb") as file:
        return file.read()


def vectors(schemas):
    contract = parts.Contract(os.path.join(schemas, "contract.md"))
    form = {"manifests": sealed.manifest, "receipts": sealed.receipt, "floors": sealed.floor}
    for kind in ("manifests", "receipts", "floors", "parts"):
        folder = os.path.join(schemas, "testdata", "vectors", kind)
        for vector in json.loads(contents(folder, "index.json")):
            data = contents(folder, vector["file"])
            if kind == "parts":
                def judge(entry=vector["entry"], data=data):
                    return {"copy_sha256": sealed.sha256(parts.copied(parts.read(data, entry, contract), contract.of(entry)))}
            else:
                def judge(parse=form[kind], data=data):
                    parse(data, contract)
            yield {"file": kind + "/" + vector["file"], **verdict(judge)}


def signatures(schemas):
    folder = os.path.join(schemas, "testdata", "vectors", "signatures")
    index = json.loads(contents(folder, "index.json"))
    for vector in index["files"]:
        by = signed.signed_by(contents(folder, vector["file"]), vector["kind"], index["keys"])
        yield {"file": vector["file"], "kind": vector["kind"], "signed_by": by}


def seals(schemas):
    folder = os.path.join(schemas, "testdata", "vectors", "sealed")
    index = json.loads(contents(folder, "index.json"))
    key = age.secret(index["keys"][index["opens"]])
    for vector in index["files"]:
        try:
            found = {"verdict": "ok", "plain_sha256": sealed.sha256(age.opened(contents(folder, vector["file"]), key))}
        except age.NotForUs:
            found = {"verdict": "not for us"}
        except sealed.Invalid as error:
            found = {"verdict": "invalid", "reason": str(error)}
        yield {"file": vector["file"], **found}


def histories(schemas):
    contract = parts.Contract(os.path.join(schemas, "contract.md"))
    folder = os.path.join(schemas, "testdata", "vectors", "histories")
    for name in sorted(os.listdir(folder)):
        follower = follow.Follower(contract)
        for step in json.loads(contents(folder, name, "history.json"))["steps"]:
            for at, file in step["put"].items():
                follower.files[at] = contents(folder, name, file)
            for at in step["delete"]:
                del follower.files[at]
            if "begin" in step:
                follower.begin(step["begin"])
            yield {"history": name, "what": step["what"], "finds": follower.follow()}


if __name__ == "__main__":
    command, schemas = sys.argv[1:]
    for line in {"vectors": vectors, "signatures": signatures, "seals": seals, "histories": histories}[command](schemas):
        print(json.dumps(line, ensure_ascii=False))
