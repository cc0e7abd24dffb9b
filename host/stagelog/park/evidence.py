"""The evidence pack of a car and a stage: one file, verified by anyone with the team's public key.

    evidence.json    who signed, event, car, stage, and of each member name, length and SHA-256
    evidence.sig     the signature of evidence.json
    manifest.json    as it is in the archive; checks.jsonl, *.slog and report*.html, too
    ledger.json      what the ledger said of each session when the pack was made

A plain tar whose every byte follows from its members: the same archive gives the same pack, and a
byte that was altered between them is found as well. Fails with InputError and OutputError.
"""

import hashlib
import io
import json
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from stagelog.accounts import judge_logs
from stagelog.archive import load_manifest, stage_folder
from stagelog.archive.manifest import MANIFEST, sha256_of
from stagelog.errors import InputError
from stagelog.park.signoff import CHECKS
from stagelog.platform.files import beside, replace, writing
from stagelog.proof import TRUSTED, OwnKey, PublicKey, Standing, canonical, check, sign
from stagelog.proof.entries import check_entry, place_of
from stagelog.verdict import Verdict, worst

SCHEMA = "stagelog.evidence/1"
_INDEX = "evidence.json"
_SIGNATURE = "evidence.sig"
_LEDGER = "ledger.json"
_PURPOSE = "evidence"
_SECTOR = tarfile.BLOCKSIZE
_PIECE = 1 << 20
_MOST_INDEX = 1 << 24


@dataclass(frozen=True, slots=True)
class Pack:
    """A pack that was made. `missing` is in words what the archive does not have of this stage."""

    path: Path
    members: tuple[str, ...]
    verdict: Verdict
    missing: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Examined:
    """A pack that was verified. `findings` is in words what was altered, empty if nothing was."""

    path: Path
    about: Mapping[str, Any]
    signature: Standing
    sessions: Mapping[str, str]
    findings: tuple[str, ...]


def pack_evidence(archive: Path, event: str, car: str, stage: str, key: OwnKey, out: Path) -> Pack:
    """Write the evidence of a car and a stage to `out`, at once."""
    folder = stage_folder(archive, event, car, stage)
    entries = load_manifest(folder)
    if not entries:
        raise InputError(f"{folder} holds no session", "see event, car and stage")
    gone = [entry.path for entry in entries if not entry.path.is_file()]
    if gone:
        raise InputError(f"{gone[0]} is missing", "see 'stagelog verify' of the archive")
    judged = judge_logs([(entry.path, entry) for entry in entries])
    reports = sorted(path.name for path in folder.glob("report*.html"))
    checks = [CHECKS] if (folder / CHECKS).is_file() else []
    names = [MANIFEST, *checks, *(entry.path.name for entry in entries), *reports]
    ledger = [
        {
            "file": each.path.name,
            "verdict": _without(each.verdict.text, folder),
            "signature": each.signature.text if each.signature else None,
            "ledgers": [one.ledger.as_dict() for one in each.accounts],
        }
        for each in judged
    ]
    content = json.dumps({"schema": "stagelog.ledger/1", "sessions": ledger}, indent=1).encode()
    members = [_fact_of(_LEDGER, len(content), hashlib.sha256(content).hexdigest())]
    members += [
        _fact_of(name, (folder / name).stat().st_size, sha256_of(folder / name)) for name in names
    ]
    about = {"event": event, "car": car, "stage": stage, "folder": place_of(folder)}
    index = canonical({"schema": SCHEMA, **about, "members": members})
    signature = canonical(sign(key, _PURPOSE, index))
    temporary = beside(out, ".tmp")
    with writing(out):
        try:
            with open(temporary, "wb") as file:
                for name, data in ((_INDEX, index), (_SIGNATURE, signature), (_LEDGER, content)):
                    _add(file, name, len(data), io.BytesIO(data))
                for fact in members[1:]:
                    with open(folder / fact["name"], "rb") as source:
                        _add(file, fact["name"], fact["n_bytes"], source)
                file.write(bytes(2 * _SECTOR))
            replace(temporary, out)
        finally:
            temporary.unlink(missing_ok=True)
    missing = [] if checks else ["no check was signed off for this stage ('stagelog check')"]
    missing += [] if reports else ["there is no report beside the sessions ('stagelog report')"]
    verdict = worst(each.verdict for each in judged)
    return Pack(out, (_INDEX, _SIGNATURE, _LEDGER, *names), verdict, tuple(missing))


def verify_evidence(path: Path, trusted: Mapping[bytes, PublicKey]) -> Examined:
    """Compare every byte of a pack with what was signed; needs no archive."""
    try:
        with open(path, "rb") as file:
            return _Examination(path, file, trusted).run()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None


class _Examination:
    """One pass over a pack, from its first byte to its last."""

    def __init__(self, path: Path, file: IO[bytes], trusted: Mapping[bytes, PublicKey]) -> None:
        self._path = path
        self._file = file
        self._trusted = trusted
        self._findings: list[str] = []
        self._kept: dict[str, bytes] = {}
        self._digests: dict[str, str] = {}

    def run(self) -> Examined:
        """Examine it."""
        index, signature = self._first(_INDEX), self._first(_SIGNATURE)
        parsed = _parsed(signature)
        standing = check(parsed, _PURPOSE, index, self._trusted)
        if parsed is not None and signature != canonical(parsed):
            self._findings.append(f"{_SIGNATURE}: altered: not as it is written")
        if standing.state != TRUSTED:
            self._findings.append(f"{_INDEX}, {_SIGNATURE}: {standing.text}")
        about = _parsed(index)
        members = about.get("members") if isinstance(about, dict) else None
        if not isinstance(members, list) or not all(map(_is_fact, members)):
            raise InputError(f"{self._path}: {_INDEX} cannot be read", "get the pack again")
        self._members(members)
        sessions = dict(self._sessions(str(about.get("folder"))))
        facts = {name: about.get(name) for name in ("event", "car", "stage")}
        return Examined(self._path, facts, standing, sessions, tuple(self._findings))

    def _first(self, name: str) -> bytes:
        """Return the content of one of the two members that stand first."""
        header = self._file.read(_SECTOR)
        info = _info_of(header)
        if info is None or info.name != name or info.size > _MOST_INDEX:
            raise InputError(f"{self._path} is no evidence pack: no {name} where it has to be")
        content = self._file.read(info.size)
        self._compare_frame(name, header, _header(name, len(content)))
        self._padding(name, info.size)
        return content

    def _members(self, facts: list[dict[str, Any]]) -> None:
        left = {fact["name"]: fact for fact in facts}
        while True:
            header = self._file.read(_SECTOR)
            if not header.strip(b"\0"):
                break
            info = _info_of(header)
            expected = next(iter(left.values()), None)
            if info is None and expected is None:
                self._findings.append(f"{len(header)} bytes behind the last member")
                continue
            name = info.name if info is not None else expected["name"]  # type: ignore[index]
            if name not in left:
                self._findings.append(f"{name}: added, or named twice")
                self._content(name, info.size if info is not None else 0)
                continue
            for passed in list(left):
                if passed == name:
                    break
                self._findings.append(f"{passed}: missing")
                del left[passed]
            fact = left.pop(name)
            self._compare_frame(name, header, _header(name, fact["n_bytes"]))
            n_bytes = info.size if info is not None else fact["n_bytes"]
            digest = self._content(name, n_bytes)
            self._digests[name] = digest
            if digest != fact["sha256"]:
                self._findings.append(f"{name}: altered: its SHA-256 is another")
        self._findings += [f"{name}: missing" for name in left]
        rest = header + self._file.read(_PIECE)
        if rest != bytes(2 * _SECTOR):
            self._findings.append("the end of the pack was altered")

    def _content(self, name: str, n_bytes: int) -> str:
        """Read the content of a member; return its SHA-256."""
        digest = hashlib.sha256()
        left = n_bytes
        while left and (piece := self._file.read(min(left, _PIECE))):
            digest.update(piece)
            left -= len(piece)
            if name == MANIFEST:
                self._kept[name] = self._kept.get(name, b"") + piece
        if left:
            self._findings.append(f"{name}: cut off, {left:,} bytes are missing")
        self._padding(name, n_bytes)
        return digest.hexdigest()

    def _padding(self, name: str, n_bytes: int) -> None:
        if self._file.read(-n_bytes % _SECTOR).strip(b"\0"):
            self._findings.append(f"{name}: bytes behind it were altered")

    def _compare_frame(self, name: str, found: bytes, wanted: bytes) -> None:
        if found != wanted:
            self._findings.append(f"{name}: the pack's frame around it was altered")

    def _sessions(self, folder: str) -> Iterator[tuple[str, str]]:
        """Yield (session file, what its entry's signature is worth); compare the digests."""
        manifest = _parsed(self._kept.get(MANIFEST, b""))
        rows = manifest.get("sessions") if isinstance(manifest, dict) else None
        entries = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
        listed = [str(entry.get("file")) for entry in entries]
        for name, entry in zip(listed, entries, strict=True):
            if name in self._digests and self._digests[name] != entry.get("sha256"):
                self._findings.append(f"{name}: not the file that entered the archive")
            yield name, check_entry(entry, folder, listed, self._trusted).text


def _fact_of(name: str, n_bytes: int, sha256: str) -> dict[str, Any]:
    return {"name": name, "n_bytes": n_bytes, "sha256": sha256}


def _is_fact(value: object) -> bool:
    wanted = {"name": str, "n_bytes": int, "sha256": str}
    return isinstance(value, dict) and all(
        type(value.get(name)) is kind for name, kind in wanted.items()
    )


def _header(name: str, n_bytes: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = n_bytes
    return info.tobuf(tarfile.GNU_FORMAT)


def _info_of(header: bytes) -> tarfile.TarInfo | None:
    try:
        return tarfile.TarInfo.frombuf(header, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return None


def _add(file: IO[bytes], name: str, n_bytes: int, source: IO[bytes]) -> None:
    file.write(_header(name, n_bytes))
    left = n_bytes
    while left and (piece := source.read(min(left, _PIECE))):
        file.write(piece)
        left -= len(piece)
    if left:
        raise InputError(f"{name} became shorter while it was packed", "repeat the command")
    file.write(bytes(-n_bytes % _SECTOR))


def _parsed(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def _without(text: str, folder: Path) -> str:
    """Return a text about files of a folder without the folder: a pack names no computer."""
    return text.replace(f"{folder}/", "").replace(f"{folder}\\", "")
