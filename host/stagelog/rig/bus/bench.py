"""How fast the simulated bus is: `python -m stagelog.rig.bus.bench` prints frames per second.

Owns the figures for people to read. No test checks them: they depend on the machine.
"""

from collections.abc import Callable, Iterator
from time import process_time

from stagelog.rig.bus import Bus, nodes
from stagelog.rig.bus.node import Chunk, Source


def throughput(duration_s: float = 2) -> dict[str, int]:
    """Return frames per second of processor time for each path, for people to read.

    duration_s   bus time of the arithmetic runs; the slower paths get a tenth and a hundredth
    """

    def rate(
        share: float, run: Callable[[Bus, int], int], *sources: Source, every_bit: bool = False
    ) -> int:
        bus = Bus(1_000_000, every_bit=every_bit)
        for i, source in enumerate(sources):
            bus.add_node(f"n{i}", source)
        bus.add_node("ack")
        bus.add_node("logger", listen_only=True)
        until_ns = round(duration_s * 10**9 * share)
        began = process_time()
        n = run(bus, until_ns)
        return round(n / (process_time() - began))

    def whole(bus: Bus, until_ns: int) -> int:
        return len(bus.run(until_ns).sent)

    def single(bus: Bus, until_ns: int) -> int:
        return sum(1 for _ in bus.advance(until_ns))

    def mixed() -> Iterator[Iterator[Chunk]]:
        return (nodes.random_frames(800, i, i, 8) for i in range(8))

    return {
        "batch_saturated": rate(1, whole, nodes.saturate()),
        "batch_arbitrated": rate(1, whole, *mixed()),
        "frame_by_frame": rate(0.1, single, *mixed()),
        "bit_by_bit": rate(0.01, whole, nodes.saturate(), every_bit=True),
    }


if __name__ == "__main__":
    for path, frames_per_s in throughput().items():
        print(f"{path:18} {frames_per_s:10,} frames/s")
