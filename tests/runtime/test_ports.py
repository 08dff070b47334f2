import grp
import os
import subprocess
import sys
from pathlib import Path

import pytest
from plugged import program, pseudo_terminal
from serial.tools.list_ports_common import ListPortInfo

from spikewright.errors import LinkError
from spikewright.runtime.link import Link
from spikewright.runtime.ports import PortInfo, access, serial_ports


def usb(location: str | None, product: str | None = "iCEBreaker V1.0e") -> ListPortInfo:
    info = ListPortInfo("/dev/ttyUSB1")
    info.vid, info.pid, info.product, info.location = 0x0403, 0x6010, product, location
    info.serial_number = "ib12345"
    return info


@pytest.mark.parametrize(
    ("location", "interface"),
    [("1-2:1.0", 0), ("1-2.4:1.1", 1), ("1-2.4", None), ("1-2", None), (None, None)],
)
def test_port_of_a_usb_device(location: str | None, interface: int | None) -> None:
    port = PortInfo.of(usb(location))
    assert port == PortInfo(
        "/dev/ttyUSB1", 0x0403, 0x6010, "iCEBreaker V1.0e", "ib12345", interface
    )
    assert port.usb_id == "0403:6010"


def test_port_that_says_nothing() -> None:
    port = PortInfo.of(ListPortInfo("/dev/ttyS0"))
    assert port == PortInfo("/dev/ttyS0")
    assert port.usb_id == ""
    assert PortInfo.of(usb("1-2", None)).product == ""


def test_ports_of_this_machine() -> None:
    assert [port.path for port in serial_ports()] == sorted(p.path for p in serial_ports())


def test_free_port() -> None:
    with pseudo_terminal() as path:
        assert access(path).status == "free"
        assert access(path).remedy == ""


def test_absent_port() -> None:
    found = access("/dev/ttyNothing7")
    assert (found.status, found.reason) == ("absent", "there is no such port")


def test_busy_port_names_the_program_and_ends_with_it() -> None:
    code = "import sys; port = open(sys.argv[1], 'rb+', buffering=0)"
    with pseudo_terminal() as path:
        with program(code, path) as running:
            found = access(path)
            assert found.status == "busy"
            assert found.reason.startswith("in use by python")
            assert found.reason.endswith(f"(process {running.pid})")
            assert found.remedy == f"kill {running.pid}"
            subprocess.run(found.remedy.split(), check=True)
            running.wait(timeout=60)
        assert access(path).status == "free"


def test_error_of_a_busy_port_names_the_program() -> None:
    code = "import serial, sys; port = serial.Serial(sys.argv[1], exclusive=True)"
    with pseudo_terminal() as path, program(code, path) as running:
        with pytest.raises(LinkError) as caught:
            Link(path)
        assert caught.value.what == f"Port {path} is in use."
        assert f"(process {running.pid})" in caught.value.hint


@pytest.mark.parametrize(
    ("mode", "group", "remedy"),
    [
        (0o660, "dialout", "sudo usermod -aG dialout $USER"),
        (0o600, "dialout", "spikewright devices --udev-rules | sudo tee /etc/udev/rules.d/"),
        (0o660, "root", "spikewright devices --udev-rules | sudo tee /etc/udev/rules.d/"),
    ],
)
def test_port_that_may_not_be_used(mode: int, group: str, remedy: str, tmp_path: Path) -> None:
    """As another user sees it, without this one's rights."""
    if os.geteuid() != 0:
        pytest.skip("only root can give a port to another group")
    code = (
        "import os, sys; from spikewright.runtime.ports import access\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "found = access(sys.argv[1])\n"
        "print(found.status, found.reason, found.remedy, sep='!')"
    )
    with pseudo_terminal() as path:
        os.chown(path, 0, grp.getgrnam(group).gr_gid)
        Path(path).chmod(mode)
        command = [sys.executable, "-c", code, path]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    status, reason, found = done.stdout.strip().split("!")
    assert status == "denied"
    assert reason.startswith("may not be used")
    assert found.startswith(remedy)
