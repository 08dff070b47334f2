"""The command that writes a bitstream to a board."""

import json
import shlex
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from spikewright.console import Console
from spikewright.errors import BoardError, DataError, SpikewrightError, ToolError

if TYPE_CHECKING:
    from spikewright.boards.bridges import Bridge, Memory
    from spikewright.boards.built import Built
    from spikewright.boards.usb import UsbDevice

__all__ = ["choose_bitstream", "choose_device", "flash"]

_BACK_S = 10.0
"""Time for a board to answer after it was written to, its port included."""


_Board = Annotated[str, typer.Option(help="Name of the board.")]
_Bitstream = Annotated[Path | None, typer.Option(help="Bitstream to write.")]
_Build = Annotated[
    Path | None, typer.Option(help="Folder of a build; by default the only one for the board.")
]
_FlashMemory = Annotated[
    bool | None,
    typer.Option(
        "--flash/--sram",
        help="Write flash memory, which outlasts power, or SRAM. "
        "[default: SRAM, where the board's bridge reaches it]",
        show_default=False,
    ),
]
_Cable = Annotated[
    str | None, typer.Option(help="Which USB device, BUS:NUMBER, if several could be meant.")
]
_Port = Annotated[str | None, typer.Option(help="The board's serial port: ask it what it runs.")]
_Force = Annotated[bool, typer.Option("--force", help="Write even what the board already runs.")]
_DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the command and write nothing.")]


def flash(
    console: Console,
    board: _Board,
    bitstream: _Bitstream = None,
    build: _Build = None,
    flash_memory: _FlashMemory = None,
    cable: _Cable = None,
    port: _Port = None,
    force: _Force = False,
    dry_run: _DryRun = False,
) -> None:
    """Write a bitstream to a board with openFPGALoader, unless the board already runs it."""
    if bitstream and build:
        raise typer.BadParameter("--bitstream and --build exclude each other.")
    from spikewright.boards.bridges import find_bridge
    from spikewright.boards.loader import LOADER, find_loader, loader_command, run_loader

    bridge = find_bridge(board)
    built = choose_bitstream(bridge, bitstream, build)
    memory = _memory(bridge, flash_memory)
    device, is_one_of_several = choose_device(bridge, cable)
    loader = LOADER if dry_run else find_loader()
    selected = device if is_one_of_several else None
    command = loader_command(loader, bridge, memory, built.bitstream, selected)
    facts = {
        "board": board,
        "bitstream": str(built.bitstream),
        "sha256": built.sha256,
        "memory": memory,
        "cable": device.address if device else None,
        "command": command,
    }
    if dry_run:
        console.result({**facts, "written": False}, shlex.join(command))
        return
    # What runs came from the usual memory; of the other one only the record knows.
    asked = port if memory == bridge.memories[0] else None
    why = "" if force else _runs_already(built, memory, device, asked)
    if why:
        told = f"{board} already runs {built.bitstream}: {why}. --force writes it all the same."
        console.result({**facts, "written": False, "reason": why}, told)
        return
    _record(device, None)  # a write that fails half-way leaves nothing to rely on
    with console.progress(f"Writing {memory} of {board}"):
        run_loader(command)
    _record(device, [built.sha256, memory])
    checked = _check(built, port) if port else "With --port, the board is asked what it runs."
    wrote = f"Wrote {built.bitstream} to {memory} of {board}."
    console.result({**facts, "written": True, "checked": bool(port)}, wrote, checked)


def choose_bitstream(bridge: "Bridge", bitstream: Path | None, build: Path | None) -> "Built":
    """The bitstream that is named, or the only one that was built for the board.

    Raises
    ------
    DataError
        There is none, or several; it is damaged, or was built for another board.
    """
    from spikewright.boards.built import BUILDS, find_builds, read_bitstream, read_build

    if bitstream:
        if bitstream.suffix != bridge.suffix:
            raise DataError(
                f"A bitstream for {bridge.board} must end in {bridge.suffix}, not {bitstream}.",
                hint="Name another one, or another board.",
            )
        return read_bitstream(bitstream)
    folders = [build] if build else find_builds(bridge.board)
    if not folders:
        raise DataError(
            f"Nothing was built for {bridge.board} in {BUILDS}.",
            hint=f"Build it: spikewright build --board {bridge.board}; or name one: --build "
            "FOLDER.",
        )
    if len(folders) > 1:
        raise DataError(
            f"{len(folders)} builds for {bridge.board} are in {BUILDS}.",
            reasons=[str(folder) for folder in folders],
            hint="Choose one: --build FOLDER.",
        )
    built = read_build(folders[0])
    if built.board != bridge.board:
        raise DataError(
            f"{folders[0]} was built for {built.board}, not for {bridge.board}.",
            hint=f"Name another one, or --board {built.board}.",
        )
    return built


def _memory(bridge: "Bridge", flash_memory: bool | None) -> "Memory":
    if flash_memory is None:
        return bridge.memories[0]
    wanted: Literal["flash", "sram"] = "flash" if flash_memory else "sram"
    if wanted not in bridge.memories:
        raise SpikewrightError(
            f"The bridge of {bridge.board} cannot write {wanted}.",
            hint=f"It writes {' and '.join(bridge.memories)}: leave --{wanted} out.",
        )
    return wanted


def choose_device(bridge: "Bridge", cable: str | None) -> tuple["UsbDevice | None", bool]:
    """The USB device that is meant, and whether openFPGALoader could take another for it.

    Parameters
    ----------
    bridge : Bridge
        The board's.
    cable : str, optional
        ``BUS:NUMBER`` of one.

    Returns
    -------
    device : UsbDevice or None
        None where the system lists no USB devices; openFPGALoader then looks for itself.
    is_one_of_several : bool

    Raises
    ------
    ToolError
        None could be the board, several could, it may not be used, or openFPGALoader cannot be
        told which to take.
    """
    from spikewright.boards.bridges import likely_boards
    from spikewright.boards.usb import usb_devices
    from spikewright.devices import INSTALL_RULES

    everything = usb_devices()
    if everything is None:
        return None, False
    same_id = [d for d in everything if (d.vid, d.pid) == (bridge.vid, bridge.pid)]
    fitting = [d for d in same_id if bridge.board in likely_boards(d.vid, d.pid, d.product)]
    if cable is not None:
        fitting = [device for device in same_id if device.address == cable]
    device = _only_one(bridge, fitting, same_id, cable)
    if not device.is_accessible:
        raise ToolError(
            f"USB device {device.address} may not be used by this user.", hint=INSTALL_RULES
        )
    if len(same_id) > 1 and not bridge.selectable:
        raise ToolError(
            f"openFPGALoader cannot choose one of {len(same_id)} devices {bridge.usb_id}.",
            hint="Unplug all but one.",
        )
    return device, len(same_id) > 1


def _only_one(
    bridge: "Bridge",
    fitting: "Sequence[UsbDevice]",
    same_id: "Sequence[UsbDevice]",
    cable: str | None,
) -> "UsbDevice":
    """The device that fits. Raises :class:`ToolError` with all of its ID if not just one does."""
    if len(fitting) == 1:
        return fitting[0]
    there = [f"{d.address} {d.usb_id} {d.product} {d.serial}".rstrip() for d in same_id]
    which = f" at {cable}" if cable else ""
    what = f"{len(fitting)} USB devices may be {bridge.board}."
    if not fitting:
        what = f"No {bridge.board} is plugged in{which} ({bridge.usb_id})."
    hint = "Choose one: --cable BUS:NUMBER." if there else "Look for it: spikewright devices"
    raise ToolError(what, reasons=there, hint=hint)


def _runs_already(
    built: "Built", memory: "Memory", device: "UsbDevice | None", port: str | None
) -> str:
    """How it is known that the board runs a bitstream already; empty if it is not."""
    from spikewright.runtime.identity import ask, differences

    if port and built.build_id:
        hello = ask(port)
        expected = {"spec_hash": built.spec_hash, "build_id": built.build_id}
        same = hello is not None and not differences(hello, **expected)
        return f"it answers on {port} as build {built.build_id}" if same else ""
    if device is None:
        return ""
    same = _records().get(device.connection) == [built.sha256, memory]
    return "it was written there since the board was plugged in" if same else ""


def _check(built: "Built", port: str) -> str:
    """Ask the board what it runs now.

    Raises
    ------
    BoardError
        It runs something else.
    LinkError
        Nobody answers.
    """
    from spikewright.runtime.identity import differences, identify

    hello = identify(port, _BACK_S)
    found = differences(hello, spec_hash=built.spec_hash, build_id=built.build_id)
    if found:
        raise BoardError(
            f"The board on {port} runs something else after it was written to.",
            reasons=found,
            hint="Is it that board's port? Does it start from another memory? Power it off and on.",
        )
    return f"It answers on {port}: spec {hello.spec_hash}, build {hello.build_id}."


def _record_file() -> Path:
    from spikewright.sim.verilate import cache_dir

    return cache_dir() / "flashed.json"


def _records() -> dict[str, list[str]]:
    """Hash and memory of what was written last, by connection; what is damaged counts as none."""
    with suppress(OSError, ValueError):
        found = json.loads(_record_file().read_text())
        return found if isinstance(found, dict) else {}
    return {}


def _record(device: "UsbDevice | None", written: list[str] | None) -> None:
    """Keep what was written, or that this is not known; without a cache nothing is kept."""
    from spikewright.storage import replace_file

    if device is None:
        return
    boot = device.connection.split(" ", 1)[0]
    records = {name: kept for name, kept in _records().items() if name.startswith(boot)}
    records.pop(device.connection, None)
    if written:
        records[device.connection] = written
    with suppress(OSError):
        _record_file().parent.mkdir(parents=True, exist_ok=True)
        replace_file(_record_file(), json.dumps(records, indent=1).encode())
