"""USB devices of this machine as Linux lists them, without opening any."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["NODES", "RULES", "SYSFS", "UsbDevice", "has_rule", "usb_devices"]

SYSFS = Path("/sys/bus/usb/devices")
NODES = Path("/dev/bus/usb")
RULES = (
    Path("/etc/udev/rules.d"),
    Path("/run/udev/rules.d"),
    Path("/usr/lib/udev/rules.d"),
    Path("/lib/udev/rules.d"),
)
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class UsbDevice:
    """One device that is plugged in.

    Attributes
    ----------
    bus, number : int
        Where it is; a device that is plugged in again gets another number.
    vid, pid : int
    product, serial : str
        As it says itself; empty if it does not.
    node : Path
        What a program opens.
    """

    bus: int
    number: int
    vid: int
    pid: int
    product: str
    serial: str
    node: Path

    @property
    def address(self) -> str:
        """``BUS:NUMBER``, as openFPGALoader takes it."""
        return f"{self.bus}:{self.number}"

    @property
    def usb_id(self) -> str:
        """``VID:PID``, as lsusb writes it."""
        return f"{self.vid:04x}:{self.pid:04x}"

    @property
    def is_accessible(self) -> bool:
        """Whether this user may open it."""
        return os.access(self.node, os.R_OK | os.W_OK)

    @property
    def connection(self) -> str:
        """Names this device since it was plugged in, and never another one or a later time.

        The kernel makes the node anew each time, and numbers may come again after a boot.
        """
        boot = _BOOT_ID.read_text().strip() if _BOOT_ID.exists() else ""
        return f"{boot} {self.address} {self.node.stat().st_ino}"


def usb_devices() -> list[UsbDevice] | None:
    """All USB devices, by address; None where the system does not list them."""
    if not SYSFS.is_dir():
        return None
    found = [_read(folder) for folder in SYSFS.iterdir() if (folder / "idVendor").exists()]
    there = [device for device in found if device is not None]
    return sorted(there, key=lambda device: (device.bus, device.number))


def _read(folder: Path) -> UsbDevice | None:
    """What a device's folder says; None if it was unplugged meanwhile."""

    def text(name: str) -> str:
        path = folder / name
        return path.read_text(errors="replace").strip() if path.exists() else ""

    try:
        bus, number = int(text("busnum")), int(text("devnum"))
        vid, pid = int(text("idVendor"), 16), int(text("idProduct"), 16)
        product, serial = text("product"), text("serial")
    except (OSError, ValueError):
        return None
    node = NODES / f"{bus:03}" / f"{number:03}"
    return UsbDevice(bus, number, vid, pid, product, serial, node)


def has_rule(vid: int, pid: int, folders: Sequence[Path]) -> bool:
    """Whether a rule of udev names this VID:PID, in any of the folders."""
    wanted = (f'idVendor}}=="{vid:04x}"', f'idProduct}}=="{pid:04x}"')
    for path in (path for folder in folders for path in folder.glob("*.rules")):
        lines = path.read_text(errors="replace").lower().splitlines()
        rules = [line.replace(" ", "") for line in lines if not line.lstrip().startswith("#")]
        if any(all(part.lower() in rule for part in wanted) for rule in rules):
            return True
    return False
