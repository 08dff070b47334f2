"""The serial ports of this machine: what they are, and whether they may be used."""

import grp
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

from serial.tools import list_ports
from serial.tools.list_ports_common import ListPortInfo

__all__ = ["Access", "PortInfo", "access", "available_ports", "serial_ports"]

_PTMX = ("/dev/ptmx", "/dev/pts/ptmx")


@dataclass(frozen=True, slots=True)
class PortInfo:
    """A serial port.

    Attributes
    ----------
    path : str
    vid, pid : int or None
        Of the USB device that it is a part of; None if it is of none.
    product, serial : str
        As that device says; empty if it does not.
    interface : int or None
        Of that device, counted from 0; None if it has but one.
    """

    path: str
    vid: int | None = None
    pid: int | None = None
    product: str = ""
    serial: str = ""
    interface: int | None = None

    @classmethod
    def of(cls, info: ListPortInfo) -> Self:
        """What pyserial found: the interface is the end of a location such as ``1-2:1.1``."""
        _, _, interface = str(info.location or "").rpartition(":")[2].partition(".")
        is_interface = ":" in str(info.location or "") and interface.isdecimal()
        return cls(
            path=str(info.device),
            vid=info.vid,
            pid=info.pid,
            product=info.product or "",
            serial=info.serial_number or "",
            interface=int(interface) if is_interface else None,
        )

    @property
    def usb_id(self) -> str:
        """``VID:PID``, as lsusb writes it; empty if it is not of a USB device."""
        return "" if self.vid is None or self.pid is None else f"{self.vid:04x}:{self.pid:04x}"


def serial_ports() -> list[PortInfo]:
    """All serial ports, in order."""
    return [PortInfo.of(info) for info in sorted(list_ports.comports())]


def available_ports() -> list[str]:
    """Serial ports of this machine as ``/dev/ttyUSB1 (what it is)``."""
    return [f"{p.path} ({p.product})" if p.product else p.path for p in serial_ports()]


@dataclass(frozen=True, slots=True)
class Access:
    """Whether a port can be used.

    Attributes
    ----------
    status : {"free", "busy", "denied", "absent"}
    reason : str
        Why not; empty if it is free.
    remedy : str
        The command that mends it; empty if there is none.
    """

    status: Literal["free", "busy", "denied", "absent"]
    reason: str = ""
    remedy: str = ""


def access(path: str) -> Access:
    """Whether a port can be used, found out without opening it.

    A program of another user that has it open is not seen; opening the port tells.
    """
    node = Path(path)
    try:
        status = node.stat()
    except OSError:
        return Access("absent", "there is no such port")
    if not os.access(node, os.R_OK | os.W_OK):
        return _denied(status)
    holders = list(_holders(str(node.resolve())))
    if holders:
        names = ", ".join(f"{name} (process {pid})" for pid, name in holders)
        pids = " ".join(str(pid) for pid, _ in holders)
        return Access("busy", f"in use by {names}", f"kill {pids}")
    return Access("free")


def _denied(status: os.stat_result) -> Access:
    try:
        group = grp.getgrgid(status.st_gid).gr_name
    except KeyError:
        group = str(status.st_gid)
    both = stat.S_IRGRP | stat.S_IWGRP
    if status.st_mode & both != both or status.st_gid == 0:
        rules = "sudo tee /etc/udev/rules.d/70-spikewright.rules"
        remedy = f"spikewright devices --udev-rules | {rules}  # then plug it in again"
        return Access("denied", "may not be used: no udev rule lets this user", remedy)
    remedy = f"sudo usermod -aG {group} $USER  # then log in again"
    return Access("denied", f"may not be used: belongs to group {group}", remedy)


def _holders(path: str) -> Iterator[tuple[int, str]]:
    """Processes that have a port open, of those that may be looked at.

    Whoever has made a pseudo-terminal is the device behind it and holds it for that reason.
    """
    for process in Path("/proc").glob("[0-9]*"):
        opened = set()
        with suppress(OSError):  # it has ended, or is somebody else's
            for link in (process / "fd").iterdir():
                with suppress(FileNotFoundError):
                    opened.add(os.readlink(link))
            if path in opened and not opened.intersection(_PTMX):
                yield int(process.name), (process / "comm").read_text().strip()
