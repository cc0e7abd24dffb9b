"""The signal table: what the firmware reads of it is what the DBC says, and bad profiles are
refused.
"""

import cantools
import numpy as np
import pytest

from slog import signal_table as st
from slog.messages import MAX_CONFIG_BYTES
from stagelog.events import TableProblem, compile_table
from stagelog.events.recompute import Recomputation
from stagelog.profile import dbc_file, load_profile
from stagelog.resources import dbc_path


@pytest.fixture(scope="module")
def profile():
    return load_profile()


@pytest.fixture(scope="module")
def table(profile):
    return compile_table(profile, dbc_file(profile))


def changed(tmp_path, *replacements):
    """Return the shipped profile with texts replaced, loaded from a file of its own."""
    text = (dbc_path() / "profiles" / "d7xr.toml").read_text()
    for old, new in replacements:
        assert old in text
        text = text.replace(old, new)
    path = tmp_path / "car.toml"
    path.write_text(text)
    return load_profile(path), text.splitlines()


def test_table_fits_and_loads(table):
    assert len(table.data) <= MAX_CONFIG_BYTES
    bus, sections = st.load(table.data)
    assert bus == 0
    assert len(sections[st.SIGNALS]) == len(table.signals) * len(st.COLUMNS[st.SIGNALS])
    assert set(table.alarms) >= {1, 2, 16, 52}


def test_every_byte_of_a_damaged_table_is_missed(table):
    for at in range(0, len(table.data), 97):
        damaged = bytearray(table.data)
        damaged[at] ^= 0x10
        with pytest.raises(st.TableError):
            st.load(bytes(damaged))


def test_raw_values_equal_cantools(table, profile):
    database = cantools.database.load_file(dbc_file(profile))
    watch = Recomputation(table.data, wants_compiled=False).detectors.watch
    rng = np.random.default_rng(3)
    found = {s.name: (m, s) for m in database.messages for s in m.signals}
    for slot in range(watch.n_slots):
        watch.data[8 * slot : 8 * slot + 8] = rng.bytes(8)
    for i, name in enumerate(table.signals):
        message, signal = found[name]
        slot = watch.signals[i * len(st.COLUMNS[st.SIGNALS])]
        payload = bytes(watch.data[8 * slot : 8 * slot + message.length])
        word = int.from_bytes(payload, "little") >> signal.start & (1 << signal.length) - 1
        if signal.is_signed and word >> (signal.length - 1):
            word -= 1 << signal.length
        assert signal.byte_order == "little_endian"
        assert watch.raw(i) == word, name


def test_multiplexed_signals_have_slots_of_their_own(table):
    assert [n for n in table.slots if n == "TPMS"] == ["TPMS"] * 4


def test_unit_of_a_role_must_be_the_expected_one(profile):
    text = dbc_file(profile).read_text().replace('[0|400] "mm"', '[0|400] "inch"')
    from stagelog.dbc import load_database

    path = dbc_file(profile)
    with pytest.raises(TableProblem, match=r"d7xr.toml, line \d+: roles.damper: .* 'inch'"):
        compile_table(profile, _database(text, path, load_database))


def _database(text, path, load):
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / path.name
        copy.write_text(text)
        return load(copy)


def test_a_message_without_a_cycle_is_stale_after_five_seconds(profile, table):
    """The DBC of message 160, 10 ms: no cycle, so 1,000 ms; 5 cycles of the profile in 10 ms."""
    from stagelog.dbc import load_database

    path = dbc_file(profile)
    text = path.read_text()
    for old, new in (
        ('BA_DEF_DEF_  "GenMsgCycleTime" 100;', 'BA_DEF_DEF_  "GenMsgCycleTime" 0;'),
        ('BA_ "GenMsgCycleTime" BO_ 160 10;\n', ""),
    ):
        assert old in text
        text = text.replace(old, new)
    without = compile_table(profile, _database(text, path, load_database))
    assert _stale_of(table, 160) == 5 and _stale_of(without, 160) == 500


def _stale_of(table, can_id):
    """Return the 10 ms after which a message is stale: third column of its row in SLOTS."""
    row = st.load(table.data)[1][st.SLOTS]
    n = len(st.COLUMNS[st.SLOTS])
    return next(row[at + 2] for at in range(0, len(row), n) if row[at] == can_id)


def test_missing_limit_of_a_differential_is_named_with_its_line(tmp_path):
    kind = '[alarm.diff_oil]\nid = 1\nsignals = ["DiffOilTempF", "DiffOilTempR", "TrfOilTemp"]'
    profile, lines = changed(
        tmp_path, (kind, '[alarm.diff_oil]\nid = 1\nsignals = ["TrfOilTemp"]')
    )
    with pytest.raises(TableProblem) as caught:
        compile_table(profile, dbc_file(profile))
    line = next(n for n, text in enumerate(lines, 1) if text.startswith("diff_temperature"))
    assert f"car.toml, line {line}: no alarm" in str(caught.value)


def test_an_entry_of_the_file_below_is_named_with_that_file_and_line(tmp_path):
    kind = '[alarm.diff_oil]\nid = 1\nsignals = ["DiffOilTempF", "DiffOilTempR", "TrfOilTemp"]'
    _, lines = changed(tmp_path, (kind, '[alarm.diff_oil]\nid = 1\nsignals = ["TrfOilTemp"]'))
    child = tmp_path / "child.toml"
    child.write_text('extends = "car.toml"\n[car]\nnumber = 7\n')
    profile = load_profile(child)
    with pytest.raises(TableProblem) as caught:
        compile_table(profile, dbc_file(profile))
    line = next(n for n, text in enumerate(lines, 1) if text.startswith("diff_temperature"))
    assert f"{tmp_path / 'car.toml'}, line {line}: no alarm" in str(caught.value)


def test_limits_of_the_profile_reach_the_table(tmp_path):
    profile, _ = changed(
        tmp_path,
        (
            "warning = 120.0\ncritical = 140.0\nclear = 5.0",
            "warning = 90.0\ncritical = 140.0\nclear = 5.0",
        ),
    )
    rows = st.load(compile_table(profile, dbc_file(profile)).data)[1][st.ALARMS]
    n = len(st.COLUMNS[st.ALARMS])
    first = dict(zip(st.COLUMNS[st.ALARMS], rows[:n], strict=True))
    assert (first["number"], first["warning"], first["critical"]) == (1, 1500, 2000)


def test_a_message_that_is_not_fitted_is_not_watched():
    profile = load_profile("d7xr_mule")
    table = compile_table(profile, dbc_file(profile))
    assert "TRQ_Shaft" not in table.slots


def test_a_sensor_that_says_whether_it_works_names_that_signal(table):
    """[status] of the profile: DiffSensStatF is good at 0, ImuStatus at 1; EngSpd has none: -1."""
    rows = st.load(table.data)[1][st.SIGNALS]
    n = len(st.COLUMNS[st.SIGNALS])
    found = {
        name: dict(zip(st.COLUMNS[st.SIGNALS], rows[k * n : (k + 1) * n], strict=True))
        for k, name in enumerate(table.signals)
    }
    for name, status, good in (("DiffOilTempF", "DiffSensStatF", 0), ("AccX", "ImuStatus", 1)):
        assert table.signals[found[name]["status"]] == status
        assert found[name]["status_good"] == good
    assert found["EngSpd"]["status"] == -1
