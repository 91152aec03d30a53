"""Sealed parts: age files for X25519 recipients, by age-encryption.org/v1 and schemas/SPEC.md, section 6."""
import base64
import hashlib
import hmac
import re

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from sealed import Invalid, want

MAX_HEADER = 64 << 10
CHUNK = (64 << 10) + 16
STANZA = re.compile(rb"-> X25519 ([A-Za-z0-9+/]{43})\n([A-Za-z0-9+/]{43})\n")


class NotForUs(Exception):
    """Sealed to other keys."""


def derived(key, salt, label):
    return HKDF(algorithm=SHA256(), length=32, salt=salt, info=label).derive(key)


def unpadded(text):
    return base64.b64decode(text + b"=", validate=True)


def secret(text):
    """The key of AGE-SECRET-KEY-1…: five bits a letter, and six letters of checksum."""
    bits = 0
    for letter in text.lower().rpartition("1")[2][:-6]:
        bits = bits << 5 | "qpzry9x8gf2tvdw0s3jn54khce6mua7l".index(letter)
    return X25519PrivateKey.from_private_bytes((bits >> 4).to_bytes(32, "big"))


def opened(data, key):
    """What a sealed file holds."""
    end = data.find(b"\n--- ", 0, MAX_HEADER)
    want(data.startswith(b"age-encryption.org/v1\n") and end > 0, "header")
    header, (mac, _, payload) = data[:end + 4], data[end + 5:].partition(b"\n")
    file_key = unwrapped(header, key)
    ours = hmac.digest(derived(file_key, b"", b"header"), header, hashlib.sha256)
    want(base64.b64encode(ours).rstrip(b"=") == mac, "header", "was changed")
    return b"".join(chunks(payload[16:], ChaCha20Poly1305(derived(file_key, payload[:16], b"payload"))))


def unwrapped(header, key):
    for share, wrapped in STANZA.findall(header):
        share, public = unpadded(share), key.public_key().public_bytes_raw()
        try:
            wrapping = derived(key.exchange(X25519PublicKey.from_public_bytes(share)), share + public, b"age-encryption.org/v1/X25519")
            return ChaCha20Poly1305(wrapping).decrypt(bytes(12), unpadded(wrapped), None)
        except InvalidTag:
            continue
    raise NotForUs


def chunks(payload, box):
    """Each chunk's nonce is its number, and says whether it is the last; no last one is empty but of an empty file."""
    starts = range(0, max(len(payload), 1), CHUNK)
    for number, start in enumerate(starts):
        last = start == starts[-1]
        try:
            piece = box.decrypt(number.to_bytes(11, "big") + bytes([last]), payload[start:start + CHUNK], None)
        except (InvalidTag, ValueError) as error:
            raise Invalid("a chunk was changed, or is missing") from error
        want(piece or len(starts) == 1, "payload", "ends with nothing")
        yield piece
