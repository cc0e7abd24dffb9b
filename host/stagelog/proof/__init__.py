"""Proof of who wrote something: keys of teams, signatures, signed entries of the archive."""

from stagelog.proof.keys import (
    OwnKey,
    PublicKey,
    key_folder,
    load_public,
    new_key,
    own_key,
    trust,
    trusted_keys,
)
from stagelog.proof.signatures import (
    TRUSTED,
    UNCHECKED,
    UNKNOWN,
    UNSIGNED,
    WRONG,
    Standing,
    canonical,
    check,
    sign,
)

__all__ = [
    "TRUSTED",
    "UNCHECKED",
    "UNKNOWN",
    "UNSIGNED",
    "WRONG",
    "OwnKey",
    "PublicKey",
    "Standing",
    "canonical",
    "check",
    "key_folder",
    "load_public",
    "new_key",
    "own_key",
    "sign",
    "trust",
    "trusted_keys",
]
