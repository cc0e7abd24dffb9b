"""What `status` and `settings` print of a logger whose every figure is another one."""

import json

import pytest
from made_replies import reply

from slog import messages as m
from slog.messages import CONFIG_FIRMWARE, CONFIG_SETTINGS, CONFIG_UPDATE
from stagelog.replies import BusCounts, Hello, ListedSession, Status

STATUS = {
    "state": m.STATE_RECORDING,
    "n_buses": 2,
    "t_us": 3_723_000_000,
    "stored0": 1_234_567,
    "stored1": 11,
    "dropped0": 22,
    "dropped1": 0,
    "at_least0": 33,
    "at_least1": 4,
    "bus_state0": 1,
    "bus_state1": 5,
    "doubts0": 55,
    "doubts1": 6,
    "ring_blocks": 24,
    "ring_worst": 7,
    "blocks_free": 250_000,
    "write_worst_ms": 88,
    "write_errors": 9,
    "write_retries": 10,
    "slots_skipped": 12,
    "boot_to_frame_ms": 640,
}


class Link:
    """A link to a logger with two sessions of 600 and 400 blocks."""

    name = "PORT"

    def __init__(self, **status):
        self._status = {**STATUS, **status}
        self.is_closed = False
        self.asked = []

    def replace_config(self, item, data):
        self.asked.append(item)

    def restart(self):
        self.asked.append("restart")

    def hello(self):
        version = 1 << 16 | 20 << 8 | 3
        texts = {"board": b"pico", "car": b"7"}
        state = m.STATE_BOOT  # it began to record between the two requests
        return reply(Hello, m.HELLO_REPLY, state=state, boot=41, firmware=version, **texts)

    def status(self):
        return reply(Status, m.STATUS_REPLY, **self._status)

    def bus_counts(self, bus, measure_s=0):
        """Bus 0 has a controller; bus 1 counts by kind, its wire has 250 kbit/s."""
        counts = {"bus": 1, "stuff": 3, "fd": 1_200, "missed_us": 70}
        counts["rate_bps"] = 250_000 if measure_s else 0
        return reply(BusCounts, m.BUS_REPLY, **counts) if bus else None

    def list_sessions(self):
        sizes = ((1, 41, 600), (0, 40, 400))
        return [
            reply(ListedSession, m.LIST_REPLY, running=running, boot=boot, n_blocks=n)
            for running, boot, n in sizes
        ]

    def get_config(self, item):
        return {CONFIG_SETTINGS: b"", CONFIG_FIRMWARE: bytes(range(32)), CONFIG_UPDATE: b""}[item]

    def close(self):
        self.is_closed = True


@pytest.fixture
def link(monkeypatch):
    """A function of fields of STATUS that makes the logger on PORT; returns its Link."""

    def make(**status):
        made = Link(**status)
        monkeypatch.setattr("stagelog.ports.open_link", lambda port: made)
        return made

    return make


def test_status_prints_each_figure_at_its_place(run, link):
    """1,000 blocks of 4,096 bytes are 4.1 MB, 250,000 are 1.024 GB; 3,723 s are 1 h 02 min."""
    made = link()
    code, out, _ = run("status", "PORT")
    assert code == 0 and made.is_closed
    words = out.split("\n")
    assert words[:2] == [
        "PORT  car 7  RECORDING",
        "  boot 41, on for 1 h 02 min, firmware 1.20.3 (0001020304050607), pico",
    ]
    assert words[2].startswith("  bus 0: alive, 1,234,567 frames stored, 22 dropped, 33 or more")
    assert words[2].endswith("lost in hardware, 55 doubtful answers of the controller")
    assert words[3].startswith("  bus 1: SILENT, 11 frames stored, 0 dropped, 4 or more")
    assert words[3].endswith("lost in hardware, 6 doubtful answers of the controller")
    wanted = "3 stuff errors, 1,200 CAN FD frames passed over, 70 us of the bus missed"
    assert words[4] == f"    {wanted}"
    assert words[5].startswith("  card: 2 sessions, 4.1 MB, 1.0 GB free; longest write 88 ms, ")
    assert words[5].endswith("9 errors, 10 retried, 12 places skipped")
    assert words[6].startswith("  memory: at most 7 of 24 blocks waited; ")
    assert words[6].endswith("first frame stored 640 ms after power-on")
    assert words[7:] == [""]


def test_the_bit_rate_on_the_wire_is_measured_when_asked_for(run, link):
    link()
    _, out, _ = run("status", "PORT", "--rate")
    lines = out.split("\n")
    assert lines[3] == "    the controller of this board cannot measure the bit rate"
    assert lines[6] == "    the wire has 250,000 bit/s"


@pytest.mark.parametrize(
    ("fields", "code"), [({}, 0), ({"fault": 1}, 1), ({"state": m.STATE_RECORDING - 1}, 1)]
)
def test_status_ends_with_1_unless_it_records_without_a_fault(run, link, fields, code):
    link(**fields)
    assert run("status", "PORT")[0] == code
    found, out, _ = run("status", "PORT", "--json")
    facts = json.loads(out)
    state = m.STATE_TEXT[fields.get("state", m.STATE_RECORDING)]
    assert facts["state"] == state
    assert (found, facts["fault_code"]) == (code, fields.get("fault", 0))
    assert facts["stored0"] == 1_234_567 and facts["dropped0"] == 22
    assert [(s["boot"], s["n_blocks"], s["running"]) for s in facts["sessions"]] == [
        (41, 600, True),
        (40, 400, False),
    ]


def test_a_logger_without_settings_has_the_defaults(run, link):
    link()
    assert run("settings", "PORT")[1] == "defaults (nothing is set)\n"
    assert json.loads(run("settings", "PORT", "--json")[1])["settings"] == {}


def test_new_settings_need_no_restart(run, link, tmp_path):
    """A new signal table does: it is read at the start only."""
    made = link()
    path = tmp_path / "settings.json"
    path.write_text('{"car": "7"}')
    assert run("settings", "PORT", "--set", path, "--yes")[0] == 0
    assert made.asked == [CONFIG_SETTINGS]
    made = link()
    assert run("settings", "PORT", "--signals", "d7xr", "--yes")[0] == 0
    assert made.asked == [m.CONFIG_SIGNALS, "restart"]
