"""The short form of the power-cut campaign, one test for each promise about the log (L1 to L20).

L11, L13   hil_tests/campaigns/test_card_faults.py
L16        firmware/tests/test_slog_golden.py: a golden file per version, kept for ever
L19        hil_tests/campaigns/test_updates.py
"""

import random

import pytest

from campaigns.engine import controls
from campaigns.engine.bench import Bench
from campaigns.engine.campaigns import CAMPAIGNS
from campaigns.engine.power_cut import cuts
from campaigns.engine.power_cut import host_check as hostcheck
from campaigns.engine.power_cut.image import Image
from campaigns.engine.power_cut.scenario_cuts import Campaign
from campaigns.engine.power_cut.scenarios import SCENARIOS, run_scenario
from campaigns.engine.reader import FD_FRAME, frames_of, parse_block
from campaigns.engine.results import Tally, format_table
from campaigns.engine.witness import written_blocks
from stagelog.blocks.medium import is_good

SEED = 20261120
N_STATES = 100_000
PROMISES = {
    "L1": "what was stored is there, bit for bit, and nothing in use is overwritten",
    "L2": "a cut costs the block in flight and what is in memory: so many milliseconds",
    "L3": "nothing is there that was not on the bus, nothing twice",
    "L4": "a card with one good block on it is read",
    "L5": "stored and dropped are what was offered",
    "L6": "every hole is known, every block is listed under its session",
    "L7": "no number and no identity is given twice",
    "L8": "mounting twice is mounting once; cuts upon cuts, six deep",
    "L9": "mounting writes nothing; nothing is written outside of the ring and the marks",
    "L10": "a block at a wrong place is not taken",
    "L12": "the places in use and the free ones are known, neither more nor less",
    "L14": "any card is mounted, with a bounded number of reads",
    "L15": "time never goes back",
    "L17": "an erase has happened or has not, for whole sessions",
}


@pytest.fixture(scope="module")
def tally():
    tally = Tally(SEED)
    cuts.run(tally, N_STATES, every=9)
    return tally


@pytest.mark.parametrize("invariant", PROMISES)
def test_promise_holds_after_any_cut(tally, invariant):
    broken = [str(finding) for finding in tally.findings if finding.invariant == invariant]
    assert not broken, "\n".join(broken[:20])


def test_every_kind_of_fault_was_tried(tally, show):
    show(format_table(cuts.rows(tally)))
    assert tally.n_states >= N_STATES
    assert set(tally.states) >= {kind for kind, _ in cuts._KINDS}
    assert {finding.invariant for finding in tally.findings} <= set(PROMISES)


@pytest.mark.parametrize("name", controls.CONTROLS)
def test_a_logger_broken_on_purpose_is_caught(name):
    assert controls.run_control(name).findings, f"{name}: the campaign is blind"


@pytest.mark.parametrize("filler", ["noise", "zeros", "FF", "another block"])
def test_l04_a_destroyed_place_costs_its_own_block_only(filler):
    _, bench = run_scenario(11, 1)
    image = Image(bench.layout, bench.prepared)
    for write in bench.card.journal:
        image.begin(write)
        image.land(write.landed)
    rng = random.Random(1)
    for place in range(bench.layout.n):
        at = bench.layout.sector(bench.layout.first + place)
        other = bench.layout.sector(bench.layout.first + (place + 5) % bench.layout.n)
        content = {
            "noise": lambda i: rng.randbytes(512),
            "zeros": lambda i: bytes(512),
            "FF": lambda i: b"\xff" * 512,
            "another block": lambda i, other=other: image.sectors.get(other + i, bytes(512)),
        }[filler]
        overlay = {at + i: content(i) for i in range(8)}
        view = image.view(overlay)
        assert not list(hostcheck.check_host(image, overlay, view))


@pytest.fixture(scope="module")
def fd_bench():
    return run_scenario(SEED, [make.__name__ for make in SCENARIOS].index("can_fd"))[1]


def test_can_fd_is_cut_at_every_fifth_write(fd_bench):
    """All promises, with records of format version 2; `tools/campaign power-cut` cuts each write
    of more histories.
    """
    frames = [
        frame
        for blocks in written_blocks(fd_bench).values()
        for block, data in blocks
        for frame in frames_of(data, block)
    ]
    lengths = {len(frame[5]) for frame in frames if frame[4] & FD_FRAME}
    assert lengths == {0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 20, 24, 32, 48, 64}
    tally = Tally(SEED)
    Campaign(tally, [make.__name__ for make in SCENARIOS].index("can_fd"), every=5).run()
    assert not tally.findings, "\n".join(map(str, tally.findings[:20]))
    assert tally.n_states > 1000


def test_the_hosts_reader_holds_the_whole_frames_of_can_fd_after_a_cut(fd_bench):
    """Some sectors of a block have landed, the rest is what was there before."""
    image = Image(fd_bench.layout, fd_bench.prepared)
    n_cut = 0
    for write in fd_bench.card.journal:
        n_sectors = write.index % 9
        is_block = image.begin(write) is not None
        if is_block and write.index % 7 == 0:
            landed = {
                write.sector + i: write.data[512 * i : 512 * i + 512] for i in range(n_sectors)
            }
            assert not list(hostcheck.check_host(image, landed, image.view(landed)))
            n_cut += 1
        image.land(write.landed)
    assert n_cut > 5


def test_a_block_of_can_fd_cut_at_each_byte_is_whole_or_no_block(fd_bench):
    """New bytes up to the cut, then zeros, ones or an earlier block: the host reads all frames of
    the new block if each byte that counts has come (header and records; SPEC section 1), the
    earlier one if none that differs has, and else neither.
    """
    blocks = [pair for found in written_blocks(fd_bench).values() for pair in found]
    block, new = max(blocks, key=lambda pair: pair[0].n_records)
    assert 252 - 6 < block.n_records <= 252, "no block is closed for a frame that has no room"
    earlier, old = next(pair for pair in blocks if pair[0].n_records > 10)
    end = 64 + 16 * block.n_records
    assert sum(frame[4] & FD_FRAME > 0 for frame in frames_of(new, block)) > 3
    for rest in (bytes(4096), b"\xff" * 4096, old):
        for cut in range(4097):
            torn = new[:cut] + rest[cut:]
            is_new = torn[:end] == new[:end]
            is_old = (
                rest is old
                and torn[: 64 + 16 * earlier.n_records] == old[: 64 + 16 * earlier.n_records]
            )
            whole = is_good(torn, 0)
            assert whole == (is_new or is_old), cut


def test_l18_little_more_is_written_than_logged():
    bench = Bench(1, 4000)
    bench.traffic.rate_Hz, bench.traffic.burst = 1885, 0
    bench.power_on()
    bench.run_ms(10_000)
    blocks = [parse_block(write.data) for write in bench.card.journal]
    logged = sum(block.n_records for block in blocks) * 16
    assert len(bench.card.journal) * 4096 / logged <= 1.15
    places = [write.sector for write in bench.card.journal]
    assert len(places) == len(set(places))


def test_l20_the_same_seed_writes_the_same_image():
    images = []
    for _ in range(2):
        _, bench = run_scenario(7, 3)
        images.append(sorted(bench.card.sectors.items()))
    assert images[0] == images[1]


def test_l20_a_case_is_reproduced_by_seed_and_number():
    with controls.rejection_ignored():
        tally = Tally(1)
        controls._cut(tally, "worn")
        finding = tally.findings[0]
        again = cuts.reproduce(1, finding.case)
    assert str(again[0]) == str(finding)


def test_a_campaign_goes_on_where_it_was_stopped(tmp_path):
    path = tmp_path / "tally.json"
    whole = Tally(3)
    cuts.run(whole, 4000, every=20)
    half = Tally(3)
    cut = CAMPAIGNS["power-cut"]
    cuts.run(half, 1500, keep=lambda: cut.save(half, path), every=20)
    resumed = cut.load(path)
    cuts.run(resumed, 4000, every=20)
    assert resumed.states == whole.states
    assert resumed.next_scenario == whole.next_scenario
    cut.save(resumed, path)
    assert cut.load(path).worst == whole.worst
