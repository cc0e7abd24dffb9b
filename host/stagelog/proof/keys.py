"""The keys of a team: its own to sign with, and the public ones that it trusts (Ed25519).

    KEYS/team.key           the private key: PKCS 8 as PEM, readable by its owner alone
    KEYS/team.pub           its public key in OpenSSH's form: ssh-ed25519 AAAA... NAME
    KEYS/trusted/NAME.pub   public keys of others

KEYS is `keys` in the user's folder of settings, or the folder that STAGELOG_KEYS names. One folder
is one team. Fails with InputError for a key that cannot be used, OutputError for a folder that
cannot be written.
"""

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from stagelog.errors import InputError, OutputError
from stagelog.platform.files import config_folder, write_atomic, writing
from stagelog.platform.names import safe_name

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_PRIVATE = "team.key"
_PUBLIC = "team.pub"
_TRUSTED = "trusted"
_MOST_BYTES = 4096  # of a file with a key
_WANTED = "a line as 'stagelog key show' prints it is wanted"


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A team's public key. `raw` is its 32 bytes, `name` what its owner or we call it."""

    name: str
    raw: bytes

    @property
    def key_id(self) -> str:
        """Return the first 8 bytes of its SHA-256, for people to compare."""
        return hashlib.sha256(self.raw).hexdigest()[:16]

    @property
    def text(self) -> str:
        """Return the line that others are given, as OpenSSH writes it."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        key = Ed25519PublicKey.from_public_bytes(self.raw)
        line = key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
        return f"{line} {self.name}\n"


@dataclass(frozen=True, slots=True)
class OwnKey:
    """The key that signs on this computer."""

    public: PublicKey
    private: "Ed25519PrivateKey"

    def sign(self, content: bytes) -> bytes:
        """Return the 64 bytes of the signature of `content`."""
        return self.private.sign(content)

    def derive(self, purpose: bytes) -> bytes:
        """Return 32 secret bytes for a purpose, which say nothing about the key (HMAC-SHA256)."""
        import hmac

        from cryptography.hazmat.primitives.serialization import (
            Encoding,
            NoEncryption,
            PrivateFormat,
        )

        raw = self.private.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
        return hmac.digest(raw, purpose, "sha256")


def key_folder() -> Path:
    """Return the folder of the keys; it need not be there."""
    named = os.environ.get("STAGELOG_KEYS")
    return Path(named) if named else config_folder() / "keys"


def new_key(name: str) -> PublicKey:
    """Make the key of this computer; OutputError if there is one: what it signed needs it."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
        PublicFormat,
    )

    path = key_folder() / _PRIVATE
    if path.exists():
        raise OutputError(
            f"{path} exists", "one folder is one team: name another in STAGELOG_KEYS"
        )
    private = Ed25519PrivateKey.generate()
    raw = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    public = PublicKey(safe_name(name, "team"), raw)
    content = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_atomic(path.with_name(_PUBLIC), public.text.encode())
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    return public


def own_key() -> OwnKey | None:
    """Return the key of this computer, None if there is none; InputError if others may read it."""
    path = key_folder() / _PRIVATE
    if not path.is_file():
        return None
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        PublicFormat,
        load_pem_private_key,
    )

    try:
        mode = path.stat().st_mode
        private = load_pem_private_key(path.read_bytes(), None)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, TypeError) as error:
        raise InputError(f"{path} is no private key: {error}", "restore it from a copy") from None
    if os.name != "nt" and stat.S_IMODE(mode) & 0o077:
        raise InputError(f"{path} may be read by others", f"chmod 600 {path}")
    if not isinstance(private, Ed25519PrivateKey):
        raise InputError(f"{path} is not an Ed25519 key", "make one: 'stagelog key new NAME'")
    public = load_public(path.with_name(_PUBLIC))
    if public.raw != private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw):
        raise InputError(f"{path.with_name(_PUBLIC)} is not the public key of {path}")
    return OwnKey(public, private)


def load_public(path: str | Path) -> PublicKey:
    """Return the public key in a file of OpenSSH's form."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        PublicFormat,
        load_ssh_public_key,
    )

    try:
        with open(path, "rb") as file:
            line = file.read(_MOST_BYTES)
        words = line.split()
        key = load_ssh_public_key(b" ".join(words[:2]))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None
    except Exception as error:  # the library also raises its own
        raise InputError(f"{path} is no public key: {error}", _WANTED) from None
    if not isinstance(key, Ed25519PublicKey):
        raise InputError(f"{path} is not an Ed25519 key", _WANTED)
    name = words[2].decode(errors="replace") if len(words) > 2 else Path(path).stem
    return PublicKey(safe_name(name), key.public_bytes(Encoding.Raw, PublicFormat.Raw))


def trust(path: str | Path, name: str | None = None) -> PublicKey:
    """Trust the public key in a file from now on, by its own name or another; OutputError if a
    different key has that name.
    """
    found = load_public(path)
    key = PublicKey(safe_name(name or found.name), found.raw)
    target = key_folder() / _TRUSTED / f"{key.name}.pub"
    if target.exists() and load_public(target).raw != key.raw:
        raise OutputError(f"another key is called {key.name}", "choose another name: --name")
    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_atomic(target, key.text.encode())
    return key


def trusted_keys() -> dict[bytes, PublicKey]:
    """Return {raw: PublicKey} of the own key and of those that are trusted."""
    folder = key_folder()
    paths = [folder / _PUBLIC, *sorted((folder / _TRUSTED).glob("*.pub"))]
    keys = [load_public(path) for path in paths if path.is_file()]
    return {key.raw: key for key in keys}
