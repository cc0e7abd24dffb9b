"""A tape on its way to one controller, record by record, in the clock of the emulated board."""

from stagelog.rig import tape as tapes
from stagelog.rig.rp2040.engine import FS_PER_US


class TapePlayer:
    """Records (dtype tape.TAPE) from a start time on; next_fs is when the next comes, or None."""

    def __init__(self, records: tapes.Tape, start_fs: int) -> None:
        self._t_us = records["t_us"].tolist()
        self._start_fs = start_fs
        self._columns = [
            records[name].tolist()
            for name in ("kind", "can_id", "flags", "dlc", "tec", "rec", "state")
        ]
        self._n_bytes = tapes.n_bytes_on(records).tolist()
        self._data = records["data"].tobytes()
        self._width = records["data"].shape[1]
        self._at = -1
        self._step()

    def take(self) -> tuple[int, int, int, int, bytes, tuple[int, int, int]]:
        """Return (kind, can_id, flags, dlc, data, (tec, rec, state)) of the next record."""
        at = self._at
        kind, can_id, flags, dlc, tec, rec, state = [column[at] for column in self._columns]
        self._step()
        return (
            kind,
            can_id,
            flags,
            dlc,
            self._data[self._width * at : self._width * at + self._n_bytes[at]],
            (tec, rec, state),
        )

    def _step(self) -> None:
        self._at += 1
        is_over = self._at == len(self._t_us)
        self.next_fs: int | None = (
            None if is_over else self._start_fs + self._t_us[self._at] * FS_PER_US
        )
