"""The keys of a team: its own to sign with, and the public ones that it trusts (Ed25519).

    KEYS/team.key           the private key: PKCS 8 as PEM, readable by its owner alone, encrypted
                            with a passphrase if it was given one
    KEYS/team.pub           its public key in OpenSSH's form: ssh-ed25519 AAAA... NAME
    KEYS/trusted/NAME.pub   public keys of others
    KEYS/revoked/ID.pub     keys that were stolen or lost: nothing that they signed is believed

KEYS is `keys` in the user's folder of settings, or the folder that STAGELOG_KEYS names. One folder
is one team. Fails with InputError for a key that cannot be used, OutputError for a folder that
cannot be written.
"""

import hashlib
import os
import stat
import sys
import threading
from dataclasses import dataclass, replace
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
_REVOKED = "revoked"
_LOGGER_PURPOSE = b"stagelog card update "  # that, and the radio
PASSPHRASE = "STAGELOG_PASSPHRASE"  # of the environment, for programs without a terminal
SHORTEST_PASSPHRASE = 12
_MOST_BYTES = 4096  # of a file with a key
_WANTED = "a line as 'stagelog key show' prints it is wanted"


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A team's public key. `raw` is its 32 bytes, `name` what its owner or we call it."""

    name: str
    raw: bytes
    is_revoked: bool = False

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


def device_key(key: OwnKey, device_id: str) -> bytes:
    """Return the 32 secret bytes of a logger (CONFIG_KEY): it checks packages from a card with
    them, and who uses its radio.
    """
    return key.derive(_LOGGER_PURPOSE + bytes.fromhex(device_id))


def key_folder() -> Path:
    """Return the folder of the keys; it need not be there."""
    named = os.environ.get("STAGELOG_KEYS")
    return Path(named) if named else config_folder() / "keys"


def new_key(name: str, passphrase: str | None = None) -> PublicKey:
    """Make the key of this computer; OutputError if there is one: what it signed needs it."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    path = key_folder() / _PRIVATE
    if path.exists():
        raise OutputError(
            f"{path} exists", "one folder is one team: name another in STAGELOG_KEYS"
        )
    private = Ed25519PrivateKey.generate()
    raw = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    public = PublicKey(safe_name(name, "team"), raw)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_atomic(path.with_name(_PUBLIC), public.text.encode())
        _write_private(path, private, passphrase)
    return public


def _write_private(path: Path, private: "Ed25519PrivateKey", passphrase: str | None) -> None:
    """Write a new file, readable by its owner alone."""
    from cryptography.hazmat.primitives.serialization import (
        BestAvailableEncryption,
        Encoding,
        NoEncryption,
        PrivateFormat,
    )

    how = BestAvailableEncryption(passphrase.encode()) if passphrase else NoEncryption()
    content = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def set_passphrase(passphrase: str | None) -> PublicKey:
    """Encrypt the private key of this computer with another passphrase, with none if it is None;
    return its public key.
    """
    key = own_key()
    if key is None:
        raise InputError("this computer has no key", "make one: 'stagelog key new NAME'")
    path = key_folder() / _PRIVATE
    fresh = path.with_name(f".{_PRIVATE}.new")
    with writing(path):
        fresh.unlink(missing_ok=True)
        _write_private(fresh, key.private, passphrase)
        fresh.replace(path)
    _known.clear()
    return key.public


_known: dict[Path, bytes] = {}  # passphrases that fitted, as long as this process lives
_ASKING = threading.Lock()


def _passphrase(path: Path) -> bytes:
    """Return the passphrase of a private key: of the environment, or of who sits at the terminal,
    who is asked once; InputError if there is neither.
    """
    named = os.environ.get(PASSPHRASE)
    if named is not None:
        return named.encode()
    if path not in _known:
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            raise InputError(f"{path} has a passphrase", f"set {PASSPHRASE}, or use a terminal")
        import getpass

        _known[path] = getpass.getpass("Passphrase of the team's key: ", sys.stderr).encode()
    return _known[path]


def own_key() -> OwnKey | None:
    """Return the key of this computer, None if there is none; InputError if others may read it, or
    without its passphrase.
    """
    path = key_folder() / _PRIVATE
    if not path.is_file():
        return None
    with _ASKING:
        return _load(path)


def own_public() -> PublicKey | None:
    """Return the public key of this computer, None if it has no key; asks for no passphrase."""
    folder = key_folder()
    return load_public(folder / _PUBLIC) if (folder / _PRIVATE).is_file() else None


def _load(path: Path) -> OwnKey:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        PublicFormat,
        load_pem_private_key,
    )

    try:
        mode, content = path.stat().st_mode, path.read_bytes()
        is_locked = b"BEGIN ENCRYPTED" in content
        private = load_pem_private_key(content, _passphrase(path) if is_locked else None)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, TypeError) as error:
        if is_locked:
            _known.pop(path, None)
            raise InputError(f"{path}: the passphrase is wrong", "try again") from None
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


def revoke(what: str) -> PublicKey:
    """Believe nothing any more that a key signs or has signed: the key with this name or id, or
    the one in a file. The own key is put aside, so that a new one can be made.
    """
    if Path(what).is_file():
        found = load_public(what)
    else:
        keys = [key for key in trusted_keys().values() if what in (key.name, key.key_id)]
        if len(keys) != 1:
            problem = f"{len(keys)} keys are called {what}" if keys else f"no key is called {what}"
            raise InputError(problem, "'stagelog key show' lists the ids")
        [found] = keys
    folder = key_folder()
    target = folder / _REVOKED / f"{found.key_id}.pub"
    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_atomic(target, found.text.encode())
    own = own_public()
    if own is not None and own.raw == found.raw:
        with writing(target):
            (folder / _PRIVATE).replace(target.with_suffix(".key"))
            (folder / _PUBLIC).unlink()
    return replace(found, is_revoked=True)


def trusted_keys() -> dict[bytes, PublicKey]:
    """Return {raw: PublicKey} of the own key, of those that are trusted, and of the revoked."""
    folder = key_folder()
    paths = [folder / _PUBLIC, *sorted((folder / _TRUSTED).glob("*.pub"))]
    keys = [load_public(path) for path in paths if path.is_file()]
    revoked = [load_public(path) for path in sorted((folder / _REVOKED).glob("*.pub"))]
    return {key.raw: key for key in [*keys, *(replace(k, is_revoked=True) for k in revoked)]}
