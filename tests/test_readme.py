"""The README's commands and scripts do what it says, on the demo's network."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the README takes for granted: ``model.nir`` and ``in.npz``."""
    path = tmp_path_factory.mktemp("readme")
    shutil.copy(ROOT / "examples" / "digits" / "digits.nir", path / "model.nir")
    np.savez(path / "in.npz", spikes=np.random.default_rng(2).random((2, 16, 64)) < 0.3)
    return path


def run(command: list[str], folder: Path) -> str:
    search = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PATH": search},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_commands_and_scripts_run(folder: Path) -> None:
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    assert lines.pop(0) == "pip install -e '.[fpga]'"
    assert len(lines) == 8
    for line in lines:
        run(shlex.split(line), folder)
    with np.load(folder / "golden.npz") as golden, np.load(folder / "rtl.npz") as rtl:
        assert golden["spikes"].any()
        for name in golden:
            assert np.array_equal(golden[name], rtl[name]), name
    everywhere, _, board, _ = blocks("python")
    told = run([sys.executable, "-c", everywhere], folder).splitlines()
    assert len({line.split(" ", 1)[1] for line in told}) == 2
    assert len(told) == 6
    assert "'timesteps': 0" in run([sys.executable, "-c", board], folder)


def test_torch_script_runs(folder: Path) -> None:
    pytest.importorskip("snntorch")
    _, from_torch, _, _ = blocks("python")
    told = run([sys.executable, "-W", "ignore", "-c", from_torch], folder)
    assert "'reset': 'subtract', 'reset_delay': True" in told


def test_a_core_learns(folder: Path) -> None:
    run([sys.executable, "-c", blocks("python")[3]], folder)
    (command,) = re.findall(r"^    (spikewright learn .*)$", README, re.MULTILINE)
    told = run(shlex.split(command), folder)
    assert re.search(r"^changed +[1-9]", told, re.MULTILINE)
    assert "learned" in (folder / "learned.html").read_text()


def test_each_make_target_is_there() -> None:
    named = set(re.findall(r"`make (\w+)`", README))
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert {"demo", "bench", "area", "soak", "train"} <= named <= set(targets)
