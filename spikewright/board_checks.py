"""What a machine has of what boards need: to be written to, to be opened, and to be the right one.

Nothing is opened but the one port that is named.
"""

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from spikewright.checks import Check, Status
from spikewright.devices import INSTALL_RULES, examine_ports
from spikewright.errors import LinkError, ToolError

__all__ = ["check_boards", "check_device"]

_LIBRARIES = {
    "libusb": ("libusb-1.0", "libusb-1.0-0"),
    "libftdi": ("libftdi1", "libftdi1-2"),
}
"""By name: the start of the file's, and Debian's package."""


def check_boards() -> Iterator[Check]:
    """What writing to boards needs, and the ports that there are."""
    try:
        from spikewright.runtime.ports import serial_ports

        ports = [port for port in serial_ports() if port.usb_id]
        found = examine_ports(ports)
    except ModuleNotFoundError as error:
        yield Check("boards", "note", f"not looked at without {error.name}")
        return
    yield from _libraries()
    yield _loader()
    yield from _rules()
    if not found:
        yield Check("serial ports", "ok", "none, no board is plugged in")
    for each in found:
        what = f" ({' or '.join(each.boards)})" if each.boards else ""
        reason = each.access.reason or "may be used"
        status: Status = "ok" if each.access.status == "free" else "note"
        yield Check(each.port.path, status, f"{reason}{what}", each.access.remedy)


def _libraries() -> Iterator[Check]:
    ldconfig = shutil.which("ldconfig") or "/sbin/ldconfig"
    try:
        done = subprocess.run([ldconfig, "-p"], capture_output=True, text=True, check=False)
        listed = done.stdout
    except OSError:
        listed = ""
    for name, (start, package) in _LIBRARIES.items():
        path = re.search(rf"^\s*{re.escape(start)}\.so\S* .*=> (\S+)", listed, re.MULTILINE)
        if path:
            yield Check(name, "ok", path[1])
        else:
            why = "not found (only for flashing boards over USB)"
            yield Check(name, "note", why, f"sudo apt-get install {package}")


def _loader() -> Check:
    from spikewright.boards.loader import LOADER, find_loader, loader_version

    try:
        loader = find_loader()
        return Check(LOADER, "ok", f"{loader_version(loader)} ({loader})")
    except ToolError as error:
        remedy = error.hint.removeprefix("Install it: ")
        return Check(LOADER, "note", f"{error.what} Only for flashing boards.", remedy)


def _rules() -> Iterator[Check]:
    """Whether users may write to boards: to those plugged in, else by the rules of udev."""
    from spikewright.boards.bridges import BRIDGES, likely_boards
    from spikewright.boards.usb import RULES, has_rule, usb_devices

    there = [
        (device, boards)
        for device in usb_devices() or []
        if (boards := likely_boards(device.vid, device.pid, device.product))
    ]
    for device, boards in there:
        name = f"USB {device.address}"
        what = f"{device.usb_id}, may be {' or '.join(boards)}"
        if device.is_accessible:
            yield Check(name, "ok", f"may be written to ({what})")
        else:
            yield Check(name, "note", f"no udev rule lets this user use it ({what})", INSTALL_RULES)
    if there or not any(folder.is_dir() for folder in RULES):
        return
    wanted = {bridge.usb_id: bridge for bridge in BRIDGES.values()}
    without = [usb_id for usb_id, b in wanted.items() if not has_rule(b.vid, b.pid, RULES)]
    if not without:
        yield Check("udev rules", "ok", "for all boards")
    elif os.geteuid() == 0:
        yield Check("udev rules", "ok", "root needs none")
    else:
        found = f"none for {', '.join(without)} (only for flashing boards over USB)"
        yield Check("udev rules", "note", found, INSTALL_RULES)


def check_device(name: str, image: Path | None = None, build: Path | None = None) -> Check:
    """Whether a port can be used and the device on it is the one that is expected.

    Parameters
    ----------
    name : str
        The port, with ``@`` and the baud rate if it is not 1,000,000.
    image, build : Path, optional
        Core image that is to run there, and folder of the build that it should have been written.

    Raises
    ------
    LinkError
        The baud rate is no number.
    ImageError, DataError
        The image or the build cannot be read.
    """
    from spikewright.boards.built import read_build
    from spikewright.image import CoreImage
    from spikewright.runtime.identity import differences, identify
    from spikewright.runtime.link import parse_port
    from spikewright.runtime.ports import access

    label, (path, _) = f"device on {name}", parse_port(name)
    spec_hash = CoreImage.load(image).spec.hash if image else ""
    built = read_build(build) if build else None
    use = access(path)
    if use.status != "free":
        return Check(label, "missing", use.reason, use.remedy or "spikewright devices")
    board = built.board if built else _likely_board(path)
    flash = ["spikewright", "flash", "--board", board, "--port", name]
    flash += ["--build", str(build)] if build else []
    remedy = shlex.join(flash)
    try:
        hello = identify(name)
    except LinkError as error:
        return Check(label, "missing", error.what, remedy)
    found = differences(hello, spec_hash=spec_hash)
    if built:
        found += differences(hello, spec_hash=built.spec_hash, build_id=built.build_id)
    elif image:
        make = shlex.join(["spikewright", "build", "--board", board, "--image", str(image)])
        remedy = f"{make} && {remedy}"
    if found:
        reasons = "; ".join(dict.fromkeys(found))
        return Check(label, "missing", f"wrong bitstream: {reasons}", remedy)
    holds = f"image {hello.image_id}" if hello.image_id else "no image"
    return Check(label, "ok", f"spec {hello.spec_hash}, build {hello.build_id}, {holds}")


def _likely_board(path: str) -> str:
    """Name of the only board that a port may belong to; if there is none, a word for it."""
    from spikewright.runtime.ports import serial_ports

    ports = [port for port in serial_ports() if port.path == path]
    boards = [board for each in examine_ports(ports) for board in each.boards]
    return boards[0] if len(boards) == 1 else "BOARD"
