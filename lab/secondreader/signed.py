"""Signatures of sealed files: schemas/SPEC.md, section 3."""
import base64
import json
import re

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

LINE = re.compile(rb'(?s)(.*\n)"signatures":([^\n]*),\n')


def signed_by(data, kind, keys):
    """The names, in order, of those of the public keys that have signed the whole file of that kind."""
    match = LINE.fullmatch(data[:-77])
    if not match:
        return []
    try:
        signatures = [base64.b64decode(s["ed25519"], validate=True) for s in json.loads(match[2])]
    except (ValueError, TypeError, KeyError):
        return []
    if not 1 <= len(signatures) <= 8:
        return []
    message = b"waybill " + kind.encode() + b" 1\n" + match[1]
    return [name for name in sorted(keys) if any(verifies(keys[name], signature, message) for signature in signatures)]


def verifies(key, signature, message):
    try:
        Ed25519PublicKey.from_public_bytes(base64.b64decode(key)).verify(signature, message)
    except InvalidSignature:
        return False
    return True
