"""What is plugged in: USB devices as Linux lists them, real ports and programs that hold them."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
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


class Deaf:
    """A line on which nobody answers."""

    is_active = False

    def exchange(self, data: bytes) -> bytes:
        return b""


@contextmanager
def pseudo_terminal() -> Iterator[str]:
    """A real port; this process, which has made it, is the device behind it."""
    master, slave = os.openpty()
    try:
        yield os.ttyname(slave)
    finally:
        os.close(slave)
        os.close(master)


@contextmanager
def program(code: str, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    """Another program that runs until the block ends, once it has printed a line."""
    command = [sys.executable, "-c", f"{code}\nprint('ready', flush=True)\ninput()", *arguments]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as running:
        assert running.stdout is not None
        try:
            assert running.stdout.readline() == "ready\n"
            yield running
        finally:
            running.kill()
