"""The wall page's facts by hand, and its server: who may read, what it refuses, what it says."""

import http.client
import json
import socket
import threading
import time
from types import SimpleNamespace
from urllib.parse import quote

import pytest
import uvicorn
from wall_archive import (
    HOUR_US,
    T0_UNIX_US,
    Shown,
    device,
    publish_run,
    write_archive,
    write_check,
    write_stage,
)

from stagelog.cli.serve import _addresses, _is_loopback
from stagelog.errors import UsageError
from stagelog.park.publish import N_KEPT, Published, load_runs
from stagelog.park.unit import GOOD, Outcome, Unit
from stagelog.report.car_life import Replacement, record
from stagelog.serve.app import LOOPBACK_NAMES, make_app
from stagelog.serve.wall import Wall

HOSTILE = "<img src=x onerror=alert(1)>"
TOKEN = 'token;of=20,"ché'


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return write_archive(tmp_path_factory.mktemp("wall"))


@pytest.fixture
def own(tmp_path):
    return write_archive(tmp_path)


def test_what_the_archive_says_of_a_car(place):
    """C03: two loggers, three stages of 90 km and 1.5 h; its gearbox is new since SS02, so that it
    saw two of them: 180 km, 2 + 3 light landings. Its rear diff was hot in SS03.
    """
    wall = Wall(*place)
    facts = wall.read()
    assert (facts["event"], facts["stage"], facts["problems"]) == ("DAKAR26", "SS03", [])
    assert [car["name"] for car in facts["cars"]] == ["C01", "C02", "C03"]
    c3 = facts["cars"][2]
    assert c3["sessions"] == {"n": 6, "n_bytes": 246_000_000, "incomplete": []}
    assert [(row["place"], row["run"]) for row in c3["loggers"]] == [
        ("powertrain", ""), ("chassis", ""),
    ]  # fmt: skip
    assert c3["checked"]["light"] == "red" and c3["checked"]["by"] == "Ann"
    assert c3["checked"]["t_unix_us"] == T0_UNIX_US + 72 * HOUR_US
    assert [(row["level"], row["from"], row["topic"]) for row in c3["red"]] == [
        ("bad", "check", "powertrain, signal table"),
        ("bad", "report", "SS03"),
        ("warn", "check", "powertrain, stall"),
    ]
    assert len(c3["reports"]) == 6
    assert {one["answer"] for one in c3["reports"] if one["stage"] == "SS03"} == {
        "Not before the work below is done."
    }
    parts = {part["place"]: part for part in c3["life"]["parts"]}
    gearbox, rear = parts["gearbox"], parts["diff_rear"]
    assert (gearbox["n_stages"], gearbox["driven_km"], gearbox["engine_h"]) == (2, 180.0, 3.0)
    assert gearbox["landings"] == {"light": 5, "medium": 4, "hard": 0, "severe": 0}
    assert (gearbox["replaced"], gearbox["note"]) == ("DAKAR26 SS02", "second gear noisy")
    assert (rear["n_stages"], rear["driven_km"]) == (3, 270.0)
    assert (rear["over_warning_min"], rear["over_critical_min"]) == (6.5, 4.2)
    c2 = facts["cars"][1]
    assert [one["stage"] for one in c2["sessions"]["incomplete"]] == ["SS03"]
    assert [row["from"] for row in c2["red"]] == ["check", "archive", "report"]
    assert facts["cars"][0]["red"] == []


def test_a_check_that_was_not_confirmed_by_hand_is_amber_work(own):
    root, fleet = own
    write_check(root, "C01", "amber", confirmed=False)
    c1 = Wall(root, fleet).read()["cars"][0]
    assert c1["checked"]["light"] == "amber"
    assert [row["text"] for row in c1["red"]] == ["not confirmed: the organiser's box has power"]


def loggers(facts):
    return {row["logger"]: row for car in facts["cars"] for row in car["loggers"]}


def test_what_a_run_is_doing(own):
    """Eight loggers: one is done, one failed, one waits for its cable, five are on their way. Each
    has n MB and 0.52 more in the last second: 0.52 MB/s.
    """
    root, fleet = own
    now_us = T0_UNIX_US
    run, units = publish_run(root, now_us)
    rows = loggers(Wall(root, fleet, clock_ns=lambda: (now_us + 3_000_000) * 1000).read())
    assert len(rows) == 8
    third = rows[device("C01", "spare")]
    assert (third["is_live"], third["run"], third["step"]) == (True, "download", "download")
    assert (third["done"], third["total"], third["rate"]) == (2_520_000, 41_000_000, 520_000.0)
    assert third["left_s"] == pytest.approx((41_000_000 - 2_520_000) / 520_000, abs=0.1)
    first, lost = rows[device("C01", "powertrain")], rows[device("C02", "chassis")]
    assert (first["verdict"], first["is_live"]) == ("good", False)
    assert (lost["verdict"], lost["is_live"]) == ("bad", False)
    assert rows[device("C03", "powertrain")]["step"] == "waits for its port"

    late = Wall(root, fleet, clock_ns=lambda: (now_us + 11_000_000) * 1000).read()
    third = loggers(late)[device("C01", "spare")]  # its computer was switched off
    assert (third["is_live"], third["verdict"]) == (False, "warn")
    assert third["text"] == "download ended before this logger was done"
    run.__exit__(None, None, None)
    third = loggers(Wall(root, fleet, clock_ns=lambda: now_us * 1000).read())
    assert third[device("C01", "spare")]["verdict"] == "warn"  # interrupted by Ctrl-C


def test_a_later_run_counts_and_old_ones_are_removed(tmp_path):
    for number in range(N_KEPT + 5):
        clock_us = T0_UNIX_US + number * 1_000_000
        unit = Unit("ab" * 8, "C01", "spare")
        with Published(Shown(), tmp_path, "check", lambda t=clock_us: t * 1000) as show:
            unit.end(Outcome(GOOD, f"run {number}"))
            show([unit])
    runs = load_runs(tmp_path)
    assert len(runs) == len(list((tmp_path / "runs").iterdir())) == N_KEPT
    assert all(run["is_over"] for run in runs)
    kept = range(5, N_KEPT + 5)
    assert [run["started_unix_us"] for run in runs] == [T0_UNIX_US + k * 1_000_000 for k in kept]
    [car] = Wall(tmp_path).read()["cars"]
    assert [row["text"] for row in car["loggers"]] == [f"run {N_KEPT + 4}"]


def test_a_run_without_an_archive_leaves_nothing(tmp_path):
    with Published(Shown(), tmp_path / "archive", "provision") as show:
        show([])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("wrong", [b"", b"{", b"[]", b"7", b"[" * 99_999])
def test_what_cannot_be_read_is_a_line_and_no_error(own, wrong):
    root, fleet = own
    stage = root / "event=DAKAR26/car=C02/stage=SS02"
    for path in (*stage.glob("*.json"), root / "replaced.jsonl", stage / "checks.jsonl"):
        path.write_bytes(wrong)
    (root / "runs").mkdir()
    (root / "runs" / "x.json").write_bytes(wrong)
    fleet.write_bytes(b"schema = 7")
    facts = Wall(root, fleet).read()
    assert [car["name"] for car in facts["cars"]] == ["C01", "C02", "C03"]
    assert any("manifest.json" in text for text in facts["problems"])
    assert any("fleet.toml" in text for text in facts["problems"])
    assert [car["life"]["n_stages"] for car in facts["cars"]] == [3, 2, 3]


def test_types_that_are_wrong_do_no_harm(own):
    root, fleet = own
    folder = root / "event=DAKAR26/car=C01/stage=SS03"
    lines = [{"t_unix_us": "now"}, {"t_unix_us": 2**62, "light": HOSTILE, "loggers": [7, {}]}]
    lines[1] |= {"confirmed": [1]}
    text = "".join(json.dumps({"schema": "stagelog.check/1", **line}) + "\n" for line in lines)
    (folder / "checks.jsonl").write_text(text)
    run = {"schema": "stagelog.run/1", "title": HOSTILE, "started_unix_us": 1, "t_unix_us": 1}
    run |= {"is_over": True, "loggers": [{"logger": HOSTILE, "car": "C01", "text": HOSTILE}]}
    for name, other in (("a", {}), ("b", {"loggers": [{"logger": 7}]}), ("c", {"title": 7})):
        (root / "runs").mkdir(exist_ok=True)
        (root / "runs" / f"{name}.json").write_text(json.dumps(run | other))
    c1 = Wall(root, fleet).read()["cars"][0]
    assert c1["checked"]["light"] == "red" and c1["loggers"][-1]["logger"] == HOSTILE


def test_a_file_is_read_again_only_if_it_changed(own, monkeypatch):
    from stagelog.serve import wall as module

    read = []
    load = module.load_manifest
    monkeypatch.setattr(module, "load_manifest", lambda path: read.append(path) or load(path))
    wall = Wall(*own)
    before = wall.read()
    assert len(read) == 9
    assert wall.read() == before and len(read) == 9
    write_stage(own[0], "C04", 1)
    assert [car["name"] for car in wall.read()["cars"]] == ["C01", "C02", "C03", "C04"]
    assert len(read) == 10


class Served:
    """A server in a thread of its own, on a port of the system's choice."""

    def __init__(self, wall, token=None, names=LOOPBACK_NAMES):
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        config = uvicorn.Config(
            make_app(wall, token, names, 0.1), log_level="error", timeout_graceful_shutdown=1
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],))
        self._thread.start()
        while not self._server.started:
            time.sleep(0.01)

    def ask(self, path, method="GET", **headers):
        """Return (status, headers, body)."""
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        link.request(method, path, headers=headers)
        answer = link.getresponse()
        try:
            return answer.status, dict(answer.getheaders()), answer.read()
        finally:
            link.close()

    def events(self, n, **headers):
        """Return the first n events; the connection's own function `then` is called between."""
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        link.request("GET", "/events", headers=headers)
        answer = link.getresponse()
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        found = []
        while len(found) < n:
            line = answer.readline()
            if line.startswith(b"data: "):
                found.append(json.loads(line[6:]))
                yield found[-1]
        link.close()

    def close(self):
        self._server.should_exit = True
        self._thread.join(20)
        self._socket.close()


@pytest.fixture(scope="module")
def served(place):
    server = Served(Wall(*place))
    yield server
    server.close()


def test_the_page_and_its_parts_come_from_this_server(served):
    kinds = {"/": "text/html", "/wall.css": "text/css", "/wall.js": "text/javascript"}
    for path, kind in (kinds | {"/report.css": "text/css"}).items():
        status, headers, body = served.ask(path)
        assert status == 200 and headers["content-type"].startswith(kind) and body, path
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self';")
        assert "unsafe" not in policy and "http" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert b"://" not in body.replace(b"http://www.w3.org/2000/svg", b""), path


def test_a_report_comes_in_a_sandbox(served):
    status, headers, body = served.ask("/reports/DAKAR26/C01/SS03/report-chassis.html")
    assert status == 200 and b"<h1>C01 chassis" in body
    policy = headers["content-security-policy"]
    assert policy.startswith("sandbox allow-scripts ") and "allow-same-origin" not in policy
    assert "connect-src" not in policy and "default-src 'none'" in policy


@pytest.mark.parametrize(
    "path",
    [
        "/reports/DAKAR26/C01/SS03/manifest.json", "/reports/DAKAR26/C01/SS03/checks.jsonl",
        "/reports/DAKAR26/C01/SS09/report.html", "/reports/../../../../etc/passwd",
        "/reports/DAKAR26/C01/SS03/..%2fmanifest.json", "/reports/..%2f..%2f/etc/x/passwd",
        "/reports/DAKAR26/C01/SS03/report-chassis.html/", "/wall.py", "/../app.py", "/state",
        "/reports/DAKAR26/C01/SS03/report-chassis.html%00", "/docs", "//etc/passwd",
    ],
)  # fmt: skip
def test_nothing_else_is_there(served, path):
    status, headers, body = served.ask(path)
    assert status in (307, 404) and b"root:" not in body and b"sha256" not in body
    assert "127.0.0.1" in headers.get("location", "127.0.0.1")


def test_a_link_out_of_the_archive_is_no_report(own, tmp_path):
    """Neither a link to a page nor a stage that lies elsewhere."""
    root, fleet = own
    (tmp_path / "secret.html").write_text("secret")
    stage = root / "event=DAKAR26/car=C01/stage=SS03"
    (stage / "report-link.html").symlink_to(tmp_path / "secret.html")
    elsewhere = write_stage(tmp_path / "other", "C09", 1)
    (root / "event=DAKAR26/car=C09").mkdir()
    (root / "event=DAKAR26/car=C09/stage=SS01").symlink_to(elsewhere)
    wall = Wall(root, fleet)
    wall.read()
    assert {key[1] for key in wall.reports} == {"C01", "C02", "C03"}
    assert all(path.resolve().is_relative_to(root.resolve()) for path in wall.reports.values())
    chosen = next(iter(wall.reports))
    server = Served(wall)
    try:
        path = wall.reports[chosen]
        path.unlink()
        path.symlink_to(tmp_path / "secret.html")  # meanwhile
        assert server.ask("/reports/" + "/".join(chosen))[0] == 404
    finally:
        server.close()


def test_it_only_reads(served):
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
        assert served.ask("/", method)[0] == 405
        assert served.ask("/events", method)[0] == 405
    assert served.ask("/", "HEAD")[0] == 200


def test_a_name_of_the_internet_is_refused_on_loopback(served):
    """So that no page elsewhere reads this one by a name that it points to 127.0.0.1."""
    for name in ("evil.example", "127.0.0.1.evil.example:80", "", "[::2]"):
        status, _, body = served.ask("/", Host=name)
        assert status in (400, 421) and b"wall" not in body, name
    for name in ("localhost:1", "127.0.0.1", f"127.0.0.1:{served.port}", "[::1]:80", "LOCALHOST"):
        assert served.ask("/", Host=name)[0] == 200, name


def test_beyond_loopback_it_needs_the_token(place):
    server = Served(Wall(*place), TOKEN, None)
    try:
        for path in ("/", "/events", "/wall.js", "/reports/DAKAR26/C01/SS03/report-chassis.html"):
            for wrong in (
                "",
                "?token=",
                "?token=x",
                "?token=%C3%A9",
                "?token=" + quote(TOKEN[:-1]),
            ):
                status, headers, body = server.ask(path + wrong)
                assert (status, b"DAKAR" in body) == (401, False)
                assert "set-cookie" not in headers and "content-security-policy" in headers
        status, headers, _ = server.ask("/?token=" + quote(TOKEN))
        assert (status, headers["location"]) == (303, "/")
        cookie = headers["set-cookie"]
        assert "HttpOnly" in cookie and "SameSite=strict" in cookie
        shown = {"Cookie": cookie.partition(";")[0]}
        assert server.ask("/", **shown)[0] == 200
        assert next(server.events(1, **shown))["event"] == "DAKAR26"
        assert server.ask("/", Cookie="stagelog=x")[0] == 401
    finally:
        server.close()


def test_a_change_arrives_by_itself(own):
    root, fleet = own
    server = Served(Wall(root, fleet))
    try:
        events = server.events(2)
        before = next(events)
        assert [part["n_stages"] for part in before["cars"][0]["life"]["parts"]] == [3] * 7
        record(root, Replacement("C01", "gearbox", ("DAKAR26", "SS03"), 1, note=HOSTILE))
        after = next(events)["cars"][0]["life"]["parts"]
        assert {part["place"]: part["n_stages"] for part in after}["gearbox"] == 1
        assert {part["note"] for part in after} == {"", HOSTILE}
    finally:
        server.close()


def test_a_defect_is_shown_and_the_page_goes_on(own, monkeypatch):
    wall = Wall(*own)
    read = wall.read
    monkeypatch.setattr(wall, "read", lambda: 1 / 0)
    server = Served(wall)
    try:
        events = server.events(2)
        assert next(events)["problems"] == [
            "a defect of stagelog: ZeroDivisionError: division by zero"
        ]
        monkeypatch.setattr(wall, "read", read)
        assert len(next(events)["cars"]) == 3
    finally:
        server.close()


def test_who_is_this_computer():
    for host, is_so in (("127.0.0.1", True), ("127.9.9.9", True), ("::1", True)):
        assert _is_loopback(host) is is_so
    for host in ("0.0.0.0", "::", "192.168.1.7", "laptop", "127.0.0.1.evil.example", ""):
        assert not _is_loopback(host)
    assert _is_loopback("localhost")
    assert _addresses("::1", 80) == ["http://[::1]:80/"]


def test_phones_get_an_address_that_they_can_open(monkeypatch):
    """Those of this computer's interfaces, without loopback; without any its name."""
    import psutil

    def has(*addresses):
        found = {"x": [SimpleNamespace(family=f, address=name) for f, name in addresses]}
        monkeypatch.setattr(psutil, "net_if_addrs", lambda: found)
        return _addresses("0.0.0.0", 80)

    local, wlan = (socket.AF_INET, "127.0.0.1"), (socket.AF_INET, "192.168.1.7")
    assert has(local, wlan, (socket.AF_INET6, "fe80::1")) == ["http://192.168.1.7:80/"]
    assert has(local) == [f"http://{socket.gethostname()}:80/"]


def test_the_command_prints_an_address_with_a_token_where_it_must(run, own, monkeypatch):
    monkeypatch.setattr("stagelog.serve.app.run", lambda *_: None)
    code, out, err = run("serve", "--archive", own[0], "--port", 0)
    assert code == 0 and out.startswith("http://127.0.0.1:") and "token" not in out
    code, out, err = run("serve", "--archive", own[0], "--port", 0, "--host", "0.0.0.0")
    token = out.splitlines()[0].partition("?token=")[2]
    assert code == 0 and len(token) >= 32 and "not encrypted" in err
    _, other, _ = run("serve", "--archive", own[0], "--port", 0, "--host", "0.0.0.0")
    assert token not in other
    monkeypatch.setenv("STAGELOG_TOKEN", TOKEN)
    assert f"?token={quote(TOKEN)}\n" in run("serve", "--archive", own[0], "--port", 0)[1]
    monkeypatch.setenv("STAGELOG_TOKEN", "short")
    assert run("serve", "--archive", own[0], "--port", 0)[0] == UsageError.exit_code


def test_a_port_in_use_is_named(run, own, served):
    code, _, err = run("serve", "--archive", own[0], "--port", served.port)
    assert code == 2 and f"cannot listen on 127.0.0.1 port {served.port}: " in err
