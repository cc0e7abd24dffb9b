"""Signature and marks of the extent, place by place, and positions that go round it."""

import pytest

from campaigns.engine.bench import Bench
from campaigns.engine.journal import BAD
from campaigns.engine.power_cut.image import StateCard
from logger.extent import ALIGN_SECTORS, Extent, ExtentError, checked, find_signature
from slog.layout import RELEASE, RELEASE_MAGIC, SIGNATURE, SIGNATURE_MAGIC, VERSION

COPY = 1024  # blocks between the two signatures: one place to read
N_BLOCKS = 5000


def signature(place=0, n_blocks=N_BLOCKS, version=VERSION, magic=SIGNATURE_MAGIC):
    values = {
        "magic": magic,
        "version": version,
        "extent_id": b"12345678",
        "lba": place * ALIGN_SECTORS,
        "n_blocks": n_blocks,
        "copy": COPY,
        "data_first": 4096,
        "data_end": n_blocks,
        "release_a": 2048,
        "release_b": 3072,
    }
    return bytes(checked(SIGNATURE, {**values, "crc": 0})).ljust(512, b"\0")


def card(at, n_sectors=200_000):
    """Return a card with {place of 4 MiB: sector}."""
    sectors = {place * ALIGN_SECTORS: data for place, data in at.items()}
    return StateCard(sectors, n_sectors, {})


def found_at(at, n_sectors=200_000):
    found, lba = find_signature(card(at, n_sectors), bytearray(512))
    assert found["extent_id"] == b"12345678"
    return lba // ALIGN_SECTORS


def test_signature_is_found_at_its_place_and_at_its_copy():
    assert found_at({0: signature()}) == 0
    assert found_at({3: signature(3)}) == 3
    assert found_at({4: signature(3)}) == 4
    assert found_at({15: signature(15)}) == 15
    for place in (0, 1, 3, 4, 5, 15):
        wrong = [at for at in range(16) if at not in (place, place + 1)]
        for at in wrong:
            with pytest.raises(ExtentError):
                found_at({at: signature(place)})
    with pytest.raises(ExtentError, match="64 MiB"):
        found_at({16: signature(16)})


def test_signature_that_is_not_one_is_passed_over():
    broken = bytearray(signature())
    broken[20] ^= 1
    assert found_at({0: bytes(broken), 1: signature()}) == 1
    assert found_at({0: signature(magic=b"STAGELOG extend\n"), 1: signature()}) == 1


def test_places_that_cannot_be_read_are_passed_over_up_to_two():
    assert found_at({0: BAD, 1: BAD, 2: signature(2)}) == 2
    with pytest.raises(ExtentError):
        found_at({0: signature(1), 1: BAD})
    with pytest.raises(OSError):
        found_at({0: BAD, 1: BAD, 2: BAD, 3: signature(3)})


def test_card_as_long_as_its_extent_is_taken():
    n_sectors = 3 * ALIGN_SECTORS + 8 * N_BLOCKS
    assert found_at({3: signature(3)}, n_sectors) == 3
    with pytest.raises(ExtentError, match="longer"):
        found_at({3: signature(3)}, n_sectors - 1)
    assert found_at({2: signature(2, 1)}, 2 * ALIGN_SECTORS + 8) == 2
    with pytest.raises(ExtentError, match="no signature"):
        found_at({2: signature(2, 1)}, 2 * ALIGN_SECTORS + 7)


def test_extent_of_another_version_is_refused():
    with pytest.raises(ExtentError, match=f"version {VERSION + 1}"):
        found_at({0: signature(version=VERSION + 1)})


def marked(*marks):
    """Return an Extent whose two places for marks hold (magic, extent id, generation, number)."""
    sectors = {0: signature()}
    for place, (magic, extent_id, generation, number) in zip((2048, 3072), marks, strict=False):
        values = {"magic": magic, "extent_id": extent_id, "generation": generation}
        values.update(released_seq=number, position=4100, crc=0)
        sectors[place * 8] = bytes(checked(RELEASE, values)).ljust(512, b"\0")
    return Extent(StateCard(sectors, 200_000, {}))


def test_the_newest_mark_of_this_card_counts():
    own = (RELEASE_MAGIC, b"12345678")
    assert (marked().generation, marked().released_seq, marked().tail) == (0, 0, 4096)
    assert marked((*own, 1, 70)).released_seq == 70
    assert marked((*own, 3, 70), (*own, 2, 90)).released_seq == 70
    assert marked((*own, 3, 70), (*own, 4, 90)).released_seq == 90
    assert marked((*own, 1, 70), (RELEASE_MAGIC, b"another1", 5, 90)).released_seq == 70
    assert marked((*own, 1, 70), (b"STAGELOG releasf", b"12345678", 5, 90)).released_seq == 70


@pytest.mark.parametrize(("generations", "place"), [((1, 2), 3072), ((3, 2), 2048)])
def test_the_next_mark_goes_where_the_older_one_is(generations, place):
    """An odd generation lies in release_b, 3072. The older one may tear, never the newest."""
    by_place = sorted(generations, key=lambda n: n & 1)
    extent = marked(*((RELEASE_MAGIC, b"12345678", n, 70) for n in by_place))
    sector, _ = extent.make_release(71, 4100)
    assert sector == place * 8


def test_a_torn_mark_does_not_count():
    extent = marked((RELEASE_MAGIC, b"12345678", 1, 70), (RELEASE_MAGIC, b"12345678", 2, 90))
    assert extent.released_seq == 90
    torn = bytearray(extent.card._sectors[3072 * 8])
    torn[33] ^= 1
    extent.card._sectors[3072 * 8] = bytes(torn)
    extent.read_release()
    assert (extent.generation, extent.released_seq) == (1, 70)


def test_header_and_block_are_told_apart_from_what_is_none():
    bench = Bench(1, 40)
    bench.power_on()
    bench.run_ms(1200)
    extent = Extent(bench.card)
    first, second = extent.first, extent.first + 1
    assert extent.header(first)[0] == 1 and extent.header(second)[0] == 2
    assert extent.is_whole(first) and not extent.is_whole(extent.end - 1)
    assert extent.header(extent.end - 1) is None
    assert bytes(extent.sector(second)) == bench.card.sectors[extent.sector_of(second)]
    assert bytes(extent.sector(first)) == bench.card.sectors[extent.sector_of(first)]
    assert extent.is_whole(first)
    bench.card.sectors[extent.sector_of(first)] = BAD
    assert not extent.is_whole(first)
    assert extent.header(first) is None and not extent.is_whole(first)
    bench.card.present = False
    with pytest.raises(OSError):
        extent.is_whole(first)


def test_a_signature_that_changed_is_noticed():
    broken = bytearray(signature())
    broken[20] ^= 1
    for changed in (bytes(broken), signature(magic=b"STAGELOG extend\n")):
        sectors = {0: signature()}
        extent = Extent(StateCard(sectors, 200_000, {}))
        assert extent.is_signed()
        sectors[0] = changed
        assert not extent.is_signed()


def test_positions_go_round_the_ring():
    bench = Bench(1, 12)
    extent = Extent(bench.card)
    assert extent.n == extent.end - extent.first == 12
    assert extent.after(extent.end - 1) == extent.first
    assert extent.after(extent.first, -1) == extent.end - 1
    assert extent.after(extent.first, 25) == extent.first + 1
    assert extent.distance(extent.end - 1, extent.first) == 1
    assert extent.distance(extent.first + 3, extent.first + 1) == 10
    assert extent.sector_of(3) == extent.lba + 24
    mark, packed = extent.make_release(9, extent.first + 2)
    bench.card.sectors[mark] = bytes(packed).ljust(512, b"\0")
    again = Extent(bench.card)
    assert (again.generation, again.released_seq, again.tail) == (1, 9, extent.first + 2)
    other, _ = again.make_release(10, extent.first)
    assert other != mark and {other, mark} == {extent.sector_of(p) for p in extent._marks}


def test_a_block_is_recognised_by_its_whole_header():
    bench = Bench(1, 40)
    bench.power_on()
    bench.run_ms(800)
    extent = bench.app.store.extent
    sector = extent.sector_of(extent.first)
    view = memoryview(bytearray(bench.card.sectors[sector]))
    assert extent.starts_like(sector, view)
    for at in (0, 20, 59):
        other = bytearray(view)
        other[at] ^= 1
        assert not extent.starts_like(sector, other)
    assert extent.is_signed()
    bench.card.sectors[extent._signature_at] = bytes(512)
    assert not extent.is_signed()


@pytest.mark.parametrize("lost", ["card", "sector"])
def test_a_signature_is_looked_for_as_long_as_the_card_answers(lost):
    bench = Bench(1, 12)
    n_reads = 0

    def fail(sector, data):
        nonlocal n_reads
        n_reads += 1
        if lost == "card" or n_reads == 1:
            raise OSError("no answer")
        return data

    bench.card.on_read = fail
    if lost == "sector":
        assert find_signature(bench.card, bytearray(512))[0]["data_end"]
    else:
        with pytest.raises((OSError, ExtentError)):
            find_signature(bench.card, bytearray(512))
