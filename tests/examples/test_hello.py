"""The smallest example, on two targets."""

import subprocess
import sys
from pathlib import Path

import pytest

HELLO = Path(__file__).parents[2] / "examples" / "hello.py"


@pytest.mark.parametrize("target", [None, "verilator"])
def test_hello_prints_a_raster(target: str | None) -> None:
    arguments = [sys.executable, "-W", "error", str(HELLO), *([target] if target else [])]
    run = subprocess.run(arguments, capture_output=True, text=True, timeout=300, check=False)
    assert run.stderr == ""
    assert run.returncode == 0
    lines = [line.split() for line in run.stdout.splitlines()]
    rows = {f"{line[0]} {line[1]}": line[2] for line in lines if line[0] in ("line", "neuron")}
    assert [len(row) for row in rows.values()] == [60] * 5
    assert rows["line 0"] == "|." * 30
    assert rows["line 1"] == "|.." * 20
    assert rows["neuron 0"].startswith("......|.......|.")
    assert f"60 timesteps on {target or 'golden'}, " in run.stdout
