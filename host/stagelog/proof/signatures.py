"""Signatures of values: made with the key of this computer, checked against the keys it trusts.

What is signed stands behind a line that names purpose and team, so that no signature can serve for
something else; values are signed as their canonical JSON. A signature is JSON itself:

    {"algorithm": "ed25519", "team": NAME, "key": 64 hex digits, "value": 128 hex digits}

Never fails for what it checks: a signature that is none is WRONG.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from stagelog.platform.names import safe_name
from stagelog.proof.keys import OwnKey, PublicKey

TRUSTED = "signed"
UNKNOWN = "unknown key"
UNCHECKED = "not checked"
WRONG = "wrong signature"
UNSIGNED = "unsigned"
REVOKED = "revoked key"
_ALGORITHM = "ed25519"


@dataclass(frozen=True, slots=True)
class Standing:
    """What a signature is worth, and in words.

    TRUSTED    right, by a key that is trusted here
    UNKNOWN    right, by a key that is not trusted here
    UNCHECKED  right, but no key at all is trusted here
    WRONG      something was altered
    UNSIGNED   there is none
    REVOKED    right, by a key that was revoked: nobody knows who signed it, nor when
    """

    state: str
    text: str

    @property
    def is_bad(self) -> bool:
        """Return whether something was altered, or signed by somebody whom nobody here trusts."""
        return self.state in (WRONG, UNKNOWN, REVOKED)


def canonical(values: object) -> bytes:
    """Return the JSON of values that is signed: sorted keys, no spaces, ASCII."""
    text = json.dumps(json.loads(json.dumps(values)), sort_keys=True, separators=(",", ":"))
    return text.encode()


def sign(key: OwnKey, purpose: str, content: bytes) -> dict[str, str]:
    """Return the signature of `content` for a purpose."""
    team = key.public.name
    value = key.sign(_message(purpose, team, content))
    return {
        "algorithm": _ALGORITHM,
        "team": team,
        "key": key.public.raw.hex(),
        "value": value.hex(),
    }


def check(
    signature: object, purpose: str, content: bytes, trusted: Mapping[bytes, PublicKey]
) -> Standing:
    """Return the Standing of a signature (parsed JSON, None if there is none) of `content`."""
    if signature is None:
        return Standing(UNSIGNED, UNSIGNED)
    if not isinstance(signature, dict) or signature.get("algorithm") != _ALGORITHM:
        return Standing(WRONG, "its signature is none that this stagelog knows")
    try:
        team, key, text = (str(signature[name]) for name in ("team", "key", "value"))
        raw, value = bytes.fromhex(key), bytes.fromhex(text)
        is_right = _is_right(raw, value, _message(purpose, team, content))
    except (KeyError, ValueError):
        return Standing(WRONG, "its signature cannot be read")
    is_right = is_right and (key, text) == (raw.hex(), value.hex())
    signer = PublicKey(safe_name(team), raw)
    if not is_right:
        return Standing(WRONG, "it was altered after it was signed: its signature is wrong")
    known = trusted.get(raw)
    if known is None:
        text = f"signed with key {signer.key_id}, which calls itself {signer.name}"
        if all(key.is_revoked for key in trusted.values()):
            return Standing(UNCHECKED, f"{text}; no key is trusted here ('stagelog key trust')")
        return Standing(UNKNOWN, f"{text} and is not trusted here ('stagelog key trust')")
    if known.is_revoked:
        return Standing(REVOKED, f"signed with key {known.key_id} of {known.name}, revoked here")
    return Standing(TRUSTED, f"signed by {known.name} (key {known.key_id})")


def _message(purpose: str, team: str, content: bytes) -> bytes:
    return f"stagelog {purpose} by {team}\n".encode() + content


def _is_right(raw: bytes, value: bytes, message: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(raw).verify(value, message)
    except InvalidSignature:
        return False
    return True
