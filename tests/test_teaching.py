"""The commands learn and recover: on real files, processes and a simulated board's port."""

import json
import re
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import Cli, process
from faulty import Cut, command_of
from lessons import SPECS, a_lesson, an_image
from pages import Page

from spikewright.cli import main
from spikewright.frames import Command
from spikewright.image import CoreImage, Manifest
from spikewright.runtime import session
from spikewright.scaling import incoming_sums
from spikewright.sim.device_model import DeviceModel
from spikewright.sim.golden import GoldenTarget
from spikewright.sim.terminal import Line, Terminal
from spikewright.training import Training

SAMPLES = 5
BAUD = 4_000_000


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(capsys)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For each kind ``KIND.core`` and ``KIND.npz`` of five samples, and rewards for ``all``."""
    folder = tmp_path_factory.mktemp("files")
    for kind in SPECS:
        an_image(kind).save(folder / f"{kind}.core")
        spikes, rewards = a_lesson(kind, SAMPLES)
        np.savez(folder / f"{kind}.npz", spikes=spikes)
        if rewards is not None:
            np.save(folder / "rewards.npy", rewards)
    return folder


def lesson(files: Path, kind: str = "all") -> tuple[str, ...]:
    """Options that say what to learn from."""
    given = ["--spikes", str(files / f"{kind}.npz")]
    return (*given, *(["--rewards", str(files / "rewards.npy")] if kind == "all" else []))


def learned(kind: str, **options: Any) -> CoreImage:
    """The same by the API."""
    spikes, rewards = a_lesson(kind, SAMPLES)
    return Training(an_image(kind), spikes, rewards, **options).run(GoldenTarget()).after


@pytest.mark.parametrize("kind", SPECS)
def test_learns_as_the_api_does(kind: str, cli: Cli, files: Path, tmp_path: Path) -> None:
    image, output = files / f"{kind}.core", tmp_path / "learned.core"
    said = cli.json(
        "learn", image, *lesson(files, kind), "-o", output, "--epochs", 2, "--shuffle", 3
    )
    wanted = learned(kind, epochs=2, shuffle=3)
    assert CoreImage.load(output).id == wanted.id == said["learned"]
    assert said["image"] == CoreImage.load(image).id
    assert (said["output"], said["target"]) == (str(output), "golden")
    assert (said["samples"], said["timesteps"], said["last_snapshot"]) == (10, 25, None)
    assert said["synapses"]["plastic"] == 896
    run = cli.json("run", output, "--spikes", files / f"{kind}.npz")  # a learned image runs
    assert run["image"] == wanted.id
    text = cli("learn", image, *lesson(files, kind), "-o", output)
    assert "5 samples of 25 timesteps learned on golden" in text
    assert re.search(r"plastic synapses +896\n", text)
    assert text.endswith(f"Wrote {output}.\n")


def test_a_learned_image_learns_on(cli: Cli, files: Path, tmp_path: Path) -> None:
    first, second, both = (tmp_path / name for name in ("1.core", "2.core", "both.core"))
    cli("learn", files / "all.core", *lesson(files), "-o", first, "-q")
    cli("learn", first, *lesson(files), "-o", second, "-q")
    cli("learn", files / "all.core", *lesson(files), "-o", both, "-q", "--epochs", 2)
    assert second.read_bytes() == both.read_bytes() != first.read_bytes()


def test_snapshots_go_on_to_the_same_end(cli: Cli, files: Path, tmp_path: Path) -> None:
    folder, output = tmp_path / "new" / "snapshots", tmp_path / "learned.core"
    options = (*lesson(files), "--epochs", 2, "--every", 2, "--shuffle", 0, "--scale-sum", 900)
    said = cli.json("learn", files / "all.core", *options, "-o", output, "--snapshots", folder)
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["02.core", "04.core", "05.core", "07.core", "09.core", "10.core"]
    assert said["last_snapshot"] == str(folder / "10.core")
    assert (folder / "10.core").read_bytes() == output.read_bytes()
    again = tmp_path / "again.core"
    for name in names[:-1]:
        assert (incoming_sums(CoreImage.load(folder / name)) == 900).all()
        cli("learn", folder / name, *options, "--skip", int(name[:2]), "-o", again, "-q")
        assert again.read_bytes() == output.read_bytes(), name


def test_verbose_tells_of_snapshots(
    files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ("learn", files / "window.core", *lesson(files, "window"), "-v", "--every", 3)
    options = ("--snapshots", tmp_path, "-o", tmp_path / "learned.core")
    assert main(list(map(str, (*command, *options)))) == 0
    identity = an_image("window").id[:16]
    assert capsys.readouterr().err == (
        f"Image {identity} loaded on golden.\n"
        f"Saved {tmp_path / '3.core'}.\nSaved {tmp_path / '5.core'}.\n"
    )


def test_report_is_written(cli: Cli, files: Path, tmp_path: Path) -> None:
    output, report = tmp_path / "learned.core", tmp_path / "report.html"
    command = ("learn", files / "all.core", *lesson(files), "-o", output, "--report", report)
    assert f"Wrote {report}.\n" in cli(*command, "--watch", "3:7,40:0", "--field", "5x8")
    text = report.read_text()
    page = Page()
    page.feed(text)
    assert page.open == page.loads == []
    assert ">axon 3 to neuron 7<" in text
    assert ">neuron 0 to neuron 0<" in text
    assert "laid out as the input is" in text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--watch", "3:7"), "--watch and --field are for --report"),
        (("--field", "5x8"), "--watch and --field are for --report"),
        (("--report", "OUT", "--watch", "3"), "source and neuron such as 3:7,40:2, not '3'"),
        (("--report", "OUT", "--watch", "3:7,"), "not '3:7,'"),
        (("--report", "OUT", "--field", "40"), "height x width such as 8x8, not '40'"),
        (("--report", "OUT", "--field", "0x8"), "not '0x8'"),
        (("--epochs", "0"), "'--epochs'"),
        (("--every", "0"), "'--every'"),
    ],
)
def test_wrong_command_lines(
    options: tuple[str, ...], message: str, cli: Cli, files: Path, tmp_path: Path
) -> None:
    options = tuple(o.replace("OUT", str(tmp_path / "report.html")) for o in options)
    command = ("learn", files / "window.core", *lesson(files, "window"), "-o", tmp_path / "x.core")
    assert message in cli.error(*command, *options, code=2)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("target", ["golden", "verilator", "virtual"])
def test_only_a_board_keeps_what_it_learned(
    target: str, cli: Cli, files: Path, tmp_path: Path
) -> None:
    command = ("recover", files / "window.core", "-o", tmp_path / "x.core", "--target", target)
    assert "must be a serial port" in cli.error(*command, code=2)


# Ended early


def test_ctrl_c_leaves_a_snapshot_to_go_on_from(cli: Cli, files: Path, tmp_path: Path) -> None:
    folder, output = tmp_path / "snapshots", tmp_path / "learned.core"
    options = (*lesson(files), "--epochs", 400, "--every", 1, "-o", output)
    command = ("learn", files / "all.core", *options, "--snapshots", folder)
    with process(*command) as running:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and not list(folder.glob("*3.core")):
            time.sleep(0.01)
        running.send_signal(signal.SIGINT)
        assert running.stderr is not None
        said = running.stderr.read()
        assert running.wait(timeout=120) == 130
    assert not output.exists()
    snapshots = sorted(folder.iterdir())
    last, count = snapshots[-1], int(snapshots[-1].stem)
    assert said == (
        f"Stopped. The last snapshot is {last}, after {count} of 2000 samples: give it for "
        f"{files / 'all.core'}, with --skip {count} and the other options as they were, to go on.\n"
    )
    assert [int(path.stem) for path in snapshots] == list(range(1, count + 1))
    epochs = count // SAMPLES + 1  # no need for all 400
    resumed = (*lesson(files), "--epochs", epochs, "--every", 1, "-o", output)
    cli("learn", last, *resumed, "--skip", count, "-q")
    assert CoreImage.load(output).id == learned("all", epochs=epochs).id


@pytest.fixture
def model() -> DeviceModel:
    return DeviceModel(SPECS["window"])


class CutOnce:
    """Goes dead at the first such command once a file is there; its device lives on."""

    is_active = False

    def __init__(self, device: Line, file: Path, command: Command) -> None:
        self.device = device
        self.file = file
        self.command = command
        self.open = b""
        self.is_dead = False

    def exchange(self, data: bytes) -> bytes:
        out = b""
        *frames, self.open = (self.open + data).split(b"\0")
        for frame in filter(None, frames):
            self.is_dead |= command_of(frame) == self.command and self.file.exists()
            out += b"" if self.is_dead else self.device.exchange(frame + b"\0")
        return out


def cut_off(line: Line, capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    """The error of a run whose link goes dead."""
    with Terminal(line) as port:
        target = f"{port.path}@{BAUD}"
        assert main([*map(str, arguments), "--target", target, "--json"]) == 1
    out, _ = capsys.readouterr()
    error: dict[str, Any] = json.loads(out)["error"]
    assert error["kind"] == "LinkError"
    error["next"] = error["next"].replace(target, "PORT")
    return error


def nameless(image: CoreImage) -> CoreImage:
    """The image as a board has it."""
    return replace(image, manifest=Manifest())


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hosts that give a link up soon."""
    monkeypatch.setattr(session, "_ATTEMPTS", 2)


@pytest.mark.usefixtures("impatient")
def test_a_lost_link_leaves_what_a_board_learned(
    model: DeviceModel, files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], cli: Cli
) -> None:
    image, output = files / "window.core", tmp_path / "learned.core"
    command = ("learn", image, *lesson(files, "window"), "-o", output)
    error = cut_off(Cut(model, 3), capsys, *command)
    assert "stopped answering: no reply to LEARN" in error["what"]
    assert error["next"] == (
        "There are no snapshots; --snapshots FOLDER saves some. What the board learned until now "
        "is in it unless it loses power: spikewright recover "
        f"{image} --target PORT -o FILE saves that."
    )
    assert not output.exists()
    with Terminal(model) as port:
        said = cli.json("recover", image, "--target", f"{port.path}@{BAUD}", "-o", output)
    assert model.core is not None
    recovered = CoreImage.load(output)
    assert said["learned"] == recovered.id
    assert nameless(recovered).id == model.core.learned_image().id
    changed = recovered.weights != CoreImage.load(image).weights
    assert said["changed"] == changed.sum() > 20
    with Terminal(DeviceModel(SPECS["window"])) as port:  # it lost power
        said = cli.error("recover", image, "--target", f"{port.path}@{BAUD}", "-o", output)
        assert "holds no valid image" in said
        assert "what it learned from that is lost" in said


@pytest.mark.usefixtures("impatient")
def test_a_lost_link_names_the_snapshot_and_what_the_board_was_loaded_with(
    model: DeviceModel, files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], cli: Cli
) -> None:
    image, folder = files / "window.core", tmp_path / "snapshots"
    options = (*lesson(files, "window"), "--every", 1, "--snapshots", folder, "--scale-sum", 900)
    last = folder / "2.core"
    line = CutOnce(model, last, Command.LEARN)
    error = cut_off(line, capsys, "learn", image, *options, "-o", tmp_path / "x.core")
    assert sorted(folder.iterdir()) == [folder / "1.core", last]
    assert f"The last snapshot is {last}, after 2 of 5 samples: " in error["next"]
    assert f"spikewright recover {last} --target PORT -o FILE" in error["next"]
    with Terminal(model) as port:
        cli("recover", last, "--target", f"{port.path}@{BAUD}", "-o", tmp_path / "y.core", "-q")
        wrong = cli.error("recover", image, "--target", f"{port.path}@{BAUD}", "-o", tmp_path / "z")
    assert "what it learned from that is lost" in wrong
    assert model.core is not None
    assert nameless(CoreImage.load(tmp_path / "y.core")).id == model.core.learned_image().id


@pytest.mark.usefixtures("impatient")
def test_scaled_weights_without_a_file_are_said_to_be_lost(
    files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ("learn", files / "window.core", *lesson(files, "window"), "--scale-sum", 900)
    options = (*command, "-o", tmp_path / "x.core", "--every")
    nothing = "There are no snapshots; --snapshots FOLDER saves some."
    model = DeviceModel(SPECS["window"])
    error = cut_off(Cut(model, 60), capsys, *options, 1)  # LEARNs, 25 a sample or fewer
    lost = "What the board learned is lost: no file holds its scaled weights."
    assert error["next"] == f"{nothing} {lost}"
    error = cut_off(Cut(model, 1), capsys, *options, 5)  # in the first sample
    assert f"spikewright recover {files / 'window.core'} --target PORT" in error["next"]


@pytest.mark.usefixtures("impatient")
def test_a_link_lost_while_scaled_weights_are_loaded_leaves_the_snapshot(
    model: DeviceModel, files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], cli: Cli
) -> None:
    image, folder = files / "window.core", tmp_path / "snapshots"
    options = (*lesson(files, "window"), "--every", 2, "--scale-sum", 900)
    line = CutOnce(model, folder / "2.core", Command.COMMIT)
    command = ("learn", image, *options, "-o", tmp_path / "x.core", "--snapshots", folder)
    error = cut_off(line, capsys, *command)
    assert "no reply to" in error["what"]
    with Terminal(model) as port:
        port_name = f"{port.path}@{BAUD}"
        recover = ("recover", folder / "2.core", "--target", port_name, "-o", tmp_path / "y.core")
        assert "what it learned from that is lost" in cli.error(*recover)
    cli("learn", folder / "2.core", *options, "--skip", 2, "-o", tmp_path / "x.core", "-q")
    wanted = learned("window", every=2, scale_sum=900)
    assert CoreImage.load(tmp_path / "x.core").id == wanted.id
