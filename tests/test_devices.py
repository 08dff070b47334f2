"""The command devices: pyserial's own list entries, pseudo-terminals, USB devices in a folder."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import Cli
from plugged import Sysfs, a_sysfs, pseudo_terminal
from serial.tools import list_ports
from serial.tools.list_ports_common import ListPortInfo

from spikewright.boards.bridges import udev_rules
from spikewright.devices import examine_ports
from spikewright.runtime.ports import PortInfo


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(capsys)


@pytest.fixture
def sysfs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sysfs:
    return a_sysfs(tmp_path / "usb", monkeypatch)


@pytest.fixture
def terminal() -> Iterator[str]:
    with pseudo_terminal() as path:
        yield path


def info(
    path: str, usb_id: str, product: str | None, serial: str = "S1", location: str | None = "1-2"
) -> ListPortInfo:
    made = ListPortInfo(path)
    made.vid, made.pid = (int(part, 16) for part in usb_id.split(":"))
    made.product, made.serial_number, made.location = product, serial, location
    return made


@pytest.mark.parametrize(
    ("usb_id", "product", "location", "boards", "role"),
    [
        ("0403:6010", "iCEBreaker V1.0e", "1-2:1.0", ("icebreaker",), "programming"),
        ("0403:6010", "iCEBreaker V1.0e", "1-2:1.1", ("icebreaker",), "UART"),
        ("0403:6010", "JTAG Debugger", "1-2:1.1", ("tangnano9k",), "UART"),
        ("0403:6015", "ULX3S FPGA 85K v3.0.8", "1-2", ("ulx3s-85f",), ""),
        ("0403:6015", "ULX3S FPGA 85K v3.0.8", "1-2:1.0", ("ulx3s-85f",), "UART"),
        ("067b:2303", "USB-Serial Controller", "1-2", (), ""),
    ],
)
def test_what_a_port_may_be(
    usb_id: str, product: str, location: str, boards: tuple[str, ...], role: str, terminal: str
) -> None:
    (found,) = examine_ports([PortInfo.of(info(terminal, usb_id, product, location=location))])
    assert (found.boards, found.role) == (boards, role)
    assert found.access.status == "free"


def test_nothing_is_plugged_in(cli: Cli, sysfs: Sysfs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(list_ports, "comports", list)
    assert cli("devices") == "No serial port and no board is plugged in.\n"
    assert cli.json("devices") == {"ports": [], "boards_without_port": []}


def test_list(cli: Cli, sysfs: Sysfs, terminal: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One port of a board, one that has gone, a bootloader, and one that users may not use."""
    there = [
        info(terminal, "0403:6010", "iCEBreaker V1.0e", "ib1", "1-2:1.1"),
        info("/dev/ttyNothing7", "0403:6010", "Digilent USB Device", "dg1", "1-3:1.0"),
        ListPortInfo("/dev/ttyNothing8"),
    ]
    monkeypatch.setattr(list_ports, "comports", lambda: there)
    sysfs.plug(1, 2, "0403:6010", "iCEBreaker V1.0e", "ib1")
    sysfs.plug(1, 4, "1209:5af0", "OrangeCrab r0.2 DFU bootloader")
    sysfs.plug(1, 5, "046d:c077", "Mouse")
    sysfs.plug(1, 6, "0403:6015", "ULX3S FPGA 12K v3.0.3").node.unlink()
    text = cli("devices")
    rows = {line.split("  ")[0]: line for line in text.splitlines()}
    assert rows[terminal].endswith(" free")
    assert "0403:6010" in rows[terminal]
    assert "UART of icebreaker" in rows[terminal]
    boards = "programming of cmod-a7-35t or arty-a7-35t or arty-a7-100t or basys3"
    assert boards in rows["/dev/ttyNothing7"]
    assert rows["/dev/ttyNothing7"].endswith("there is no such port")
    assert "orangecrab-25f" in rows["USB 1:4"]
    assert rows["USB 1:4"].endswith("no port")
    assert rows["USB 1:6"].endswith("no udev rule lets this user")
    assert "USB 1:2" not in rows  # has its port
    assert "Mouse" not in text
    assert "spikewright devices --udev-rules | sudo tee /etc/udev/rules.d/70-" in text
    said = cli.json("devices")
    first, second, third = said["ports"]
    assert (first["path"], first["usb_id"], first["boards"]) == (
        terminal,
        "0403:6010",
        ["icebreaker"],
    )
    assert first["access"] == {"status": "free", "reason": "", "remedy": ""}
    assert second["access"]["status"] == "absent"
    assert (third["usb_id"], third["boards"], third["vid"]) == ("", [], None)
    assert [d["address"] for d in said["boards_without_port"]] == ["1:4", "1:6"]
    assert [d["accessible"] for d in said["boards_without_port"]] == [True, False]


def test_rules(cli: Cli) -> None:
    assert cli("devices", "--udev-rules") == udev_rules() + "\n"
