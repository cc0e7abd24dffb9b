"""The medium at one instant, and what a perfect witness knows of it.

Owns sectors, the versions that were ever written to each place, and which places hold whole
blocks. A faulted state is the image and an overlay {sector: bytes, or BAD for one that can't be
read}; reading one changes nothing.
"""

from bisect import insort
from dataclasses import dataclass, field

from campaigns.engine.journal import BAD, SECTORS_PER_BLOCK, ZEROS
from campaigns.engine.reader import parse_block, parse_release

_RECORDS_AT = 64
_MAGIC = b"SL"


@dataclass(slots=True)
class Version:
    """One write of a block to a place. `life` is the power-on that wrote it, `landed` that it was
    there, whole.
    """

    position: int
    data: bytes
    block: object
    life: int
    landed: bool = False


@dataclass(slots=True)
class View:
    """What a state holds, as far as it differs from the image.

    touched   {position: Version or None}, places whose content the overlay changes
    floor     lowest sequence number that is not erased; `mark` is (generation, floor, position) or
              None
    fiction   positions that hold a whole block nobody wrote there
    """

    touched: dict
    mark: tuple | None
    floor: int
    fiction: list = field(default_factory=list)


class StateCard:
    """A card that holds an image with an overlay; writes are an error."""

    read_only = False

    def __init__(self, sectors, n_sectors, overlay):
        self.n_sectors = n_sectors
        self.n_reads = 0
        self.overlay = overlay
        self._sectors = sectors

    def init(self):
        """Nothing to do."""

    def read(self, sector, buf):
        """Fill `buf` from `sector` on; OSError at a BAD sector."""
        overlay, sectors = self.overlay, self._sectors
        n = len(buf) >> 9
        self.n_reads += n
        if n == 1:
            data = overlay[sector] if sector in overlay else sectors.get(sector, ZEROS)
            if data is BAD:
                raise OSError("unreadable")
            buf[:] = data
            return
        found = [
            overlay[at] if at in overlay else sectors.get(at, ZEROS)
            for at in range(sector, sector + n)
        ]
        if BAD in found:
            raise OSError("unreadable")
        buf[:] = b"".join(found)

    def write_start(self, sector, view):
        """Nobody may write to a state."""
        raise AssertionError(f"a write to sector {sector} while mounting")


class Image:
    """Invariant: `whole` and `order` agree with `sectors`; `order` is sorted by sequence
    number.
    """

    def __init__(self, layout, sectors):
        self.layout = layout
        self.sectors = dict(sectors)
        self.versions = {}  # position -> [Version], oldest first
        self.whole = {}  # position -> Version
        self.order = []  # (seq, position) of `whole`
        self.headers = {}  # position -> header that the shipped code has parsed there
        self.judged = {}  # position -> whether the shipped code found it whole

    def begin(self, write):
        """Note that a write is under way; return its Version, or None if it is no block of the
        ring.
        """
        layout = self.layout
        position, rest = layout.position(write.sector)
        if rest or not layout.first <= position < layout.end:
            return None
        version = Version(position, write.data, parse_block(write.data), write.life)
        self.versions.setdefault(position, []).append(version)
        return version

    def newest(self, position):
        """Return the Version that was last sent to a place, or None."""
        sent = self.versions.get(position)
        return sent[-1] if sent else None

    def land(self, changed):
        """Let {sector: bytes or BAD} become the medium's content; return {sector: content
        before}.
        """
        before = {sector: self.sectors.get(sector, ZEROS) for sector in changed}
        self.sectors.update(changed)
        for position in self.positions(changed):
            self.headers.pop(position, None)
            self.judged.pop(position, None)
            self._index(position, self.version_at(position, {}))
        return before

    def positions(self, changed):
        """Return the places of the ring that a set of sectors touches."""
        layout = self.layout
        low, high = layout.sector(layout.first), layout.sector(layout.end)
        base = layout.sector(0)
        return {(s - base) // SECTORS_PER_BLOCK for s in changed if low <= s < high}

    def content(self, position, overlay):
        """Return the 4096 bytes at a place, or None if a sector of it can't be read."""
        at = self.layout.sector(position)
        sectors = self.sectors
        found = [
            overlay[s] if s in overlay else sectors.get(s, ZEROS)
            for s in range(at, at + SECTORS_PER_BLOCK)
        ]
        return None if BAD in found else b"".join(found)

    def version_at(self, position, overlay):
        """Return the Version that lies whole at a place, None if none does, False if nobody wrote
        it.
        """
        at = self.layout.sector(position)
        head = overlay[at] if at in overlay else self.sectors.get(at, ZEROS)
        if head is BAD or head[:2] != _MAGIC:
            return None
        data = self.content(position, overlay)
        if data is None:
            return None
        block = parse_block(data, position)
        if block is None:
            return None
        end = _RECORDS_AT + 16 * block.n_records
        for version in reversed(self.versions.get(position, ())):
            if version.data[:end] == data[:end]:
                return version
        return False

    def view(self, overlay):
        """Return the View of a state."""
        touched = {}
        fiction = []
        for position in self.positions(overlay):
            version = self.version_at(position, overlay)
            if version is False:
                fiction.append(position)
                version = None
            touched[position] = version
        mark = self._mark(overlay)
        return View(touched, mark, mark[1] if mark else 0, fiction)

    def is_protected(self, position, version, floor):
        """Return whether the version at a place is the newest sent there and not erased."""
        return version.block.seq >= floor and self.versions[position][-1] is version

    def at_stake(self, position, floor):
        """Return the Version at a place and the lowest number of all, of those that are protected;
        None, None if that at the place is not.

        A worn place may still hold what lay there before writes that failed: it does not count.
        """
        version = self.whole.get(position)
        if version is None or not self.is_protected(position, version, floor):
            return None, None
        return version, next(
            seq for seq, at in self.order if self.is_protected(at, self.whole[at], floor)
        )

    def oldest(self, view):
        """Return the Version with the lowest number that must not be overwritten, or None."""
        best = None
        for seq, position in self.order:
            if best is not None and seq > best.block.seq:
                break
            if position in view.touched:
                continue
            version = self.whole[position]
            if self.is_protected(position, version, view.floor):
                best = version
                break
        for position, version in view.touched.items():
            if version is not None and self.is_protected(position, version, view.floor):
                if best is None or version.block.seq < best.block.seq:
                    best = version
        return best

    def last(self, view):
        """Return the whole Version with the highest number, or None; of two, the one protected."""
        best = None
        for _, position in reversed(self.order):
            if position not in view.touched:
                best = self.whole[position]
                break
        for version in view.touched.values():
            if version is None:
                continue
            if best is None or version.block.seq > best.block.seq:
                best = version
        return best

    def _mark(self, overlay):
        best = None
        layout = self.layout
        for position in (layout.release_a, layout.release_b):
            sector = layout.sector(position)
            data = overlay[sector] if sector in overlay else self.sectors.get(sector, ZEROS)
            found = None if data is BAD else parse_release(data, layout.extent_id)
            if found is not None and (best is None or found > best):
                best = found
        return best

    def _index(self, position, version):
        old = self.whole.pop(position, None)
        if old is not None:
            self.order.remove((old.block.seq, position))
        if version:
            version.landed = True
            self.whole[position] = version
            insort(self.order, (version.block.seq, position))
