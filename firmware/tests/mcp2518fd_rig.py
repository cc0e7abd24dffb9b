"""The MCP2518FD's driver on its register model, with a ring that keeps what it was given."""

from drivers.mcp2518fd import Mcp2518fd
from logger.clock import Clock
from logger.ring import BlockRing
from stagelog.rig.sim.mcp2518fd import Mcp2518fdModel


class Recorder(BlockRing):
    """A ring that keeps what it was given."""

    def __init__(self):
        super().__init__(2)
        self.frames = []

    def take(self, *_):
        return 0

    def hold_fd(self):
        pass

    def put_fd(self, lo, hi, can_id, kind, first, data, at, n):
        self.frames.append((hi << 28 | lo, can_id, kind, first, bytes(data[at : at + n])))

    def put_frame(self, lo, hi, can_id, kind, dlc, data):
        self.frames.append((hi << 28 | lo, can_id, kind, dlc, bytes(data)))


class Rig:
    """A driver on its model; `data_bitrate_bps` makes it one of CAN FD, `ring` the ring."""

    def __init__(
        self,
        ids=None,
        bitrate_bps=500_000,
        t0_us=0,
        data_bitrate_bps=None,
        ring=None,
        bus=0,
        **options,
    ):
        self.t_us = t0_us
        self.chip = Mcp2518fdModel(lambda: self.t_us, **options)
        self.ring = ring or Recorder()
        clock = Clock(lambda: self.t_us & 0x3FFFFFFF)
        self.can = Mcp2518fd(self.chip, clock, self.chip.crystal_Hz, bus)
        wanted = {"bitrate_bps": bitrate_bps, "ids": ids, "data_bitrate_bps": data_bitrate_bps}
        self.can.set_up(wanted)
        self.can.start(self.ring)

    def receive(self, can_id=0x123, kind=0, dlc=8, data=b"\1\2\3\4\5\6\7\10", after_us=222):
        self.t_us += after_us
        self.chip.receive(self.t_us, can_id, kind, dlc, data)
        return self.t_us

    def poll(self, after_us=100_000):
        self.t_us += after_us
        self.can.drain()
        self.can.poll(self.ring)
