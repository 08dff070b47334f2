"""The pages of docs/ say what the code does."""

import inspect
import re
import shlex
from pathlib import Path

import pytest
import typer

from spikewright import frames
from spikewright.cli import app
from spikewright.frames import REPLY_PAYLOADS, REQUEST_PAYLOADS, Command, LinkSpec, Status
from spikewright.layout import Layout
from spikewright.runtime import link, session
from spikewright.runtime.link import encode_frame
from spikewright.runtime.protocol import Request
from spikewright.sim.device_model import DeviceModel
from spikewright.spec import CoreSpec, Region

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = {path.name: path.read_text() for path in DOCS.glob("*.md")}
LINK = PAGES["link.md"]


def rows(heading: str) -> list[list[str]]:
    """Cells of the table below a heading of link.md, without its head."""
    _, _, section = LINK.partition(f"\n## {heading}\n")
    lines = [line for line in section.partition("\n## ")[0].splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def fields(layout: Layout) -> list[str]:
    return [f"{f.name} {'i' if f.signed else 'u'}{f.width}" for f in layout.fields]


def named(cell: str) -> list[str]:
    """Fields that a cell names, as ``count u16``."""
    return re.findall(r"`(\w+ [iu]\d+)`", cell)


def test_commands() -> None:
    found = {row[1]: row for row in rows("Commands")}
    assert list(found) == [command.name for command in Command]
    for command in Command:
        code, _, request, reply, _ = found[command.name]
        assert int(code, 16) == command
        assert named(request) == fields(REQUEST_PAYLOADS[command])
        assert named(reply) == fields(REPLY_PAYLOADS[command])
        assert ("coded spikes" in request) == (command in frames.RUNS)
        assert ("coded spikes" in reply) == (command in frames.RUNS)


def test_statuses() -> None:
    found = [(int(code), name) for code, name, _ in rows("Statuses")]
    assert found == [(status.value, status.name) for status in Status]


def test_regions() -> None:
    found = {name: (int(code), host) for code, name, host, _ in rows("Regions")}
    assert {name: code for name, (code, _) in found.items()} == {r.name: r.value for r in Region}
    full = CoreSpec(axons=40, neurons=16, lanes=8, weight_words=0, plasticity="trace")
    assert set(full.memories) == set(Region)
    for region, memory in full.memories.items():
        wanted = "write, " * memory.writable + "read" * memory.readable
        assert found[region.name][1] == wanted.removesuffix(", ")


def test_headers_spikes_and_version() -> None:
    (request,) = re.findall(r"^\| request \|(.*)\|$", LINK, re.MULTILINE)
    (reply,) = re.findall(r"^\| reply \|(.*)\|$", LINK, re.MULTILINE)
    assert named(request) == fields(frames.REQUEST)
    assert named(reply) == fields(frames.REPLY)
    last, skip, end = (row[0] for row in rows("Spikes"))
    assert last == f"0x00 to {frames.SKIP - 1:#04x}"
    assert (int(skip, 16), int(end, 16)) == (frames.SKIP, frames.END)
    assert f"adds {frames.SKIP} to" in LINK
    assert f"Protocol version: {frames.PROTOCOL_VERSION}." in LINK
    assert f"{LinkSpec().baud_hz:,} baud unless" in LINK


def test_times() -> None:
    times = dict(rows("Time"))
    first = inspect.signature(session.Session).parameters["retry_s"].default
    assert times["reply, first attempt"].startswith(f"{first:g} s")
    assert f"at most {session._LONGEST_RETRY_S:g} s" in times["each further attempt"]
    assert times["attempts until the device counts as gone"] == str(session._ATTEMPTS)
    assert times["port that takes no bytes"] == f"{link._WRITE_TIMEOUT_S:g} s"
    assert f"at {session._SLOWEST_CLOCK_HZ / 1e6:g} MHz" in LINK


def test_example() -> None:
    sent, answered = re.findall(r"^    ((?:[0-9a-f]{2} ?)+)$", LINK, re.MULTILINE)
    frame = encode_frame(Request(Command.HELLO).body(0x12345678))
    assert frame.hex(" ") == sent
    reply = DeviceModel(CoreSpec(axons=8, neurons=8, lanes=4)).exchange(frame)
    body = link.decode_frame(reply[:-1])
    assert body is not None
    assert body.hex(" ").startswith(answered)


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", PAGES[page]):
        assert (DOCS / target).exists(), target


def test_links_of_the_readme_lead_somewhere() -> None:
    targets = re.findall(r"\]\(([^)]+)\)", (ROOT / "README.md").read_text())
    assert "docs/link.md" in targets
    assert [target for target in targets if not (ROOT / target).exists()] == []


def commands(text: str) -> list[list[str]]:
    """Calls of spikewright in blocks and in backquotes, up to a pipe."""
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    lines += re.findall(r"`(spikewright [^`]+)`", text)
    return [shlex.split(line)[1:] for line in lines if line.startswith("spikewright ")]


@pytest.mark.parametrize("page", PAGES)
def test_commands_and_their_options_are_there(page: str) -> None:
    known = typer.main.get_command(app)
    assert isinstance(known, typer.core.TyperGroup)
    for words in commands(PAGES[page]):
        command = known.commands[words[0]]
        options = {option for parameter in command.params for option in parameter.opts}
        options |= {o for parameter in command.params for o in parameter.secondary_opts}
        used = words[: words.index("|")] if "|" in words else words
        assert {word for word in used if word.startswith("-")} <= options, words
