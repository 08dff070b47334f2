"""The command that lists what is plugged in, and what each thing may be."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spikewright.console import Console, Table

if TYPE_CHECKING:
    from spikewright.boards.usb import UsbDevice
    from spikewright.runtime.ports import Access, PortInfo

__all__ = ["INSTALL_RULES", "Found", "boards_without_port", "devices", "examine_ports"]

INSTALL_RULES = (
    "spikewright devices --udev-rules | sudo tee /etc/udev/rules.d/70-spikewright.rules "
    "&& sudo udevadm control --reload-rules && sudo udevadm trigger"
)
"""The command after which boards may be used without being root."""


@dataclass(frozen=True, slots=True)
class Found:
    """A serial port, and what it may be.

    Attributes
    ----------
    port : PortInfo
    boards : tuple of str
        Names of the boards that it may belong to; USB IDs are shared, so they may be several.
    role : str
        ``UART`` for the port that leads to the FPGA, ``programming`` for another one of a board;
        empty if that cannot be told.
    access : Access
        Whether it may be used.
    """

    port: "PortInfo"
    boards: tuple[str, ...]
    role: str
    access: "Access"

    @property
    def row(self) -> tuple[str, ...]:
        """For a table."""
        role = f"{self.role} of " if self.role else ""
        boards = " or ".join(self.boards)
        use = self.access.reason or "free"
        port = self.port
        return port.path, port.usb_id, port.product, port.serial, role + boards, use

    @property
    def facts(self) -> dict[str, Any]:
        """For JSON."""
        return {
            **asdict(self.port),
            "usb_id": self.port.usb_id,
            "boards": self.boards,
            "role": self.role,
            "access": asdict(self.access),
        }


def examine_ports(ports: Sequence["PortInfo"]) -> list[Found]:
    """Say of each port what it may be and whether it may be used; none is opened."""
    from spikewright.boards.bridges import BRIDGES, likely_boards
    from spikewright.runtime.ports import access

    found = []
    for port in ports:
        boards = likely_boards(port.vid, port.pid, port.product)
        uarts = {BRIDGES[board].uart for board in boards}
        role = ""
        if port.interface is not None and len(uarts) == 1:
            role = "UART" if port.interface in uarts else "programming"
        found.append(Found(port, boards, role, access(port.path)))
    return found


def boards_without_port(
    usb: Sequence["UsbDevice"], ports: Sequence["PortInfo"]
) -> list[tuple["UsbDevice", tuple[str, ...]]]:
    """USB devices that have no serial port now, such as a bootloader, and the boards they may be.

    Those that may be none are left out.
    """
    from spikewright.boards.bridges import likely_boards

    shown = {(port.vid, port.pid, port.serial) for port in ports}
    others = [device for device in usb if (device.vid, device.pid, device.serial) not in shown]
    named = ((device, likely_boards(device.vid, device.pid, device.product)) for device in others)
    return [(device, boards) for device, boards in named if boards]


def devices(
    console: Console,
    udev_rules: Annotated[
        bool, typer.Option("--udev-rules", help="Print the rules that let users use the boards.")
    ] = False,
) -> None:
    """List serial ports and boards that are plugged in, opening none of them."""
    from spikewright.boards.bridges import udev_rules as rules
    from spikewright.boards.usb import usb_devices
    from spikewright.runtime.ports import serial_ports

    if udev_rules:
        console.result({"udev_rules": rules()}, rules())
        return
    ports = serial_ports()
    found = examine_ports(ports)
    others = boards_without_port(usb_devices() or [], ports)
    rows = [each.row for each in found]
    rows += [
        (
            f"USB {device.address}",
            device.usb_id,
            device.product,
            device.serial,
            " or ".join(boards),
            "no port" if device.is_accessible else "no port; no udev rule lets this user",
        )
        for device, boards in others
    ]
    mend = [f"{each.port.path}: {each.access.remedy}" for each in found if each.access.remedy]
    if any(not device.is_accessible for device, _ in others):
        mend.append(INSTALL_RULES)
    facts = {
        "ports": [each.facts for each in found],
        "boards_without_port": [_usb_facts(device, boards) for device, boards in others],
    }
    if not rows:
        console.result(facts, "No serial port and no board is plugged in.")
        return
    columns = ("port", "VID:PID", "product", "serial", "may be", "use")
    console.result(facts, Table(columns, rows), *(["To mend:", *mend] if mend else []))


def _usb_facts(device: "UsbDevice", boards: tuple[str, ...]) -> dict[str, Any]:
    return {
        "address": device.address,
        "usb_id": device.usb_id,
        "product": device.product,
        "serial": device.serial,
        "boards": boards,
        "accessible": device.is_accessible,
    }
