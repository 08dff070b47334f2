"""USB devices as Linux lists them, in a folder."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from spikewright.boards import usb


@dataclass
class Sysfs:
    """Files as the kernel makes them below ``/sys/bus/usb/devices`` and ``/dev/bus/usb``."""

    root: Path

    def plug(
        self, bus: int, number: int, usb_id: str, product: str = "", serial: str = ""
    ) -> usb.UsbDevice:
        folder = self.root / "devices" / f"{bus}-{number}"
        vid, pid = usb_id.split(":")
        folder.mkdir(parents=True)
        files = {
            "busnum": bus,
            "devnum": number,
            "idVendor": vid,
            "idProduct": pid,
            "product": product,
            "serial": serial,
        }
        for name, value in files.items():
            if value != "":
                (folder / name).write_text(f"{value}\n")
        (folder.with_name(f"{folder.name}:1.0")).mkdir()  # an interface has no idVendor
        node = self.root / "nodes" / f"{bus:03}" / f"{number:03}"
        node.parent.mkdir(parents=True, exist_ok=True)
        node.touch()
        return usb.UsbDevice(bus, number, int(vid, 16), int(pid, 16), product, serial, node)


def a_sysfs(root: Path, monkeypatch: pytest.MonkeyPatch) -> Sysfs:
    """Below ``root``, in place of the machine's own; no device is plugged in at first."""
    made = Sysfs(root)
    (root / "devices").mkdir(parents=True)
    monkeypatch.setattr(usb, "SYSFS", root / "devices")
    monkeypatch.setattr(usb, "NODES", root / "nodes")
    return made
