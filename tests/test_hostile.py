"""Two hundred of the soak's mutants, and that the soak notices what it looks for."""

import os
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from hostile_mutants import FORMATS, Mutant, mutant, originals

SCRIPT = Path(__file__).with_name("hostile.py")
EACH = 40


@pytest.mark.parametrize("kind", FORMATS)
def test_mutants(kind: str, tmp_path: Path) -> None:
    """In a process without threads, which may fork."""
    if kind == "pt" and find_spec("torch") is None:
        pytest.skip("needs torch")
    command = [sys.executable, str(SCRIPT), "--count", str(EACH), "--format", kind]
    done = subprocess.run(
        [*command, "--saved", str(tmp_path)],
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{kind}, seed 0: " in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_mutants_are_the_same_again() -> None:
    assert [mutant("json", 1, k).data for k in range(9)] == [
        mutant("json", 1, k).data for k in range(9)
    ]
    assert mutant("json", 1, 0).data != mutant("json", 2, 0).data


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_reader_that_waits_is_ended_as_the_real_one_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import hostile

    from spikewright.compiler import nir_reader

    monkeypatch.setattr(nir_reader, "_read", lambda data: time.sleep(60))
    monkeypatch.setattr(hostile, "time_limit_s", lambda size: 1)
    monkeypatch.setattr(hostile, "LIMIT_S", 4)
    case = Mutant(originals("nir")[0], "as it is")
    assert hostile.judge("nir", case, tmp_path) == "refused"


def crash(path: Path, output: Path) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def hang(path: Path, output: Path) -> None:
    time.sleep(60)


def blunder(path: Path, output: Path) -> None:
    raise KeyError("blunder")


def write_elsewhere(path: Path, output: Path) -> None:
    path.with_name("elsewhere").write_text("x")


def run_code(path: Path, output: Path) -> None:
    subprocess.run(["true"], check=False)


def leave_a_file(path: Path, output: Path) -> None:
    (output.parent / "more").write_text("x")


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize(
    ("wrong", "outcome"),
    [
        (crash, "crash (-9)"),
        (hang, "over 1 s"),
        (blunder, "KeyError: 'blunder'"),
        (write_elsewhere, "trespass"),
        (run_code, "trespass"),
        (leave_a_file, "files left: "),
        (lambda path, output: None, "damage was not noticed"),
    ],
)
def test_what_is_a_failure(
    wrong: Any, outcome: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import hostile

    monkeypatch.setitem(hostile.READ, "core", wrong)
    monkeypatch.setattr(hostile, "LIMIT_S", 1)
    case = Mutant(b"changed", "by hand", originals("core")[0])
    assert outcome in hostile.judge("core", case, tmp_path)
