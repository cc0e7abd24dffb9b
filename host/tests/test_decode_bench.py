"""The benchmark of the host runs: a few rows on little data, no figure held."""

import importlib.util
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[1] / "benchmarks" / "bench_host.py"


@pytest.fixture(scope="module")
def bench():
    pytest.importorskip("asammdf")
    pytest.importorskip("polars")
    spec = importlib.util.spec_from_file_location("bench_host", BENCH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_rows_are_measured_and_printed(bench, capsys):
    rows = bench.show_rows(bench.Bench(20_000).rows(["batch", "right"]), "host", as_json=False)
    assert [r.unit for r in rows] == ["ms", "of 186"]
    wrong = rows[1]
    assert wrong.ours == 0, "signals that differ from cantools"
    assert "signals decoded wrongly" in capsys.readouterr().out
