"""The command monitor: chunks from every target, lines, the terminal's frame, and the page."""

import io
import itertools
import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest
import rich.console
from browser import CHROMIUM, a_tab
from commands import COMMAND, Cli, process
from pages import Page

from spikewright import monitor_page, monitor_terminal
from spikewright.cli import main
from spikewright.errors import DataError, ImageError, LinkError
from spikewright.files import read_spikes
from spikewright.frames import Command, Status
from spikewright.image import CoreImage
from spikewright.manifest import Manifest
from spikewright.monitor_page import MonitorPage
from spikewright.monitor_terminal import MonitorView, braille, sparkline
from spikewright.monitored import Chunk, Monitored, chunks, open_steps, paced_chunks, watch
from spikewright.runtime.device import Device
from spikewright.sim.device_model import DeviceModel
from spikewright.sim.golden import GoldenTarget
from spikewright.sim.line import SimulatedPort
from spikewright.sim.virtual import VirtualBoard
from spikewright.target import RunResult

HOSTILE = "<img src=x onerror=\"document.title='mine'\">\x1b[2J"
V = "hidden[3],9"  # the latter is out[1]: levels start at whole groups of 8


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``model.core`` (4 inputs, 6 and 2 neurons) and ``in.npz`` (3 samples)."""
    folder = tmp_path_factory.mktemp("files")
    rng = np.random.default_rng(5)

    def neurons(count: int) -> nir.LIF:
        ones = np.ones(count)
        return nir.LIF(tau=ones * 0.01, r=ones * 10, v_leak=ones * 0, v_threshold=ones)

    nodes = {
        "input": nir.Input(input_type=np.array([4])),
        "fc1": nir.Affine(weight=rng.normal(size=(6, 4)), bias=rng.normal(size=6) / 4),
        "hidden": neurons(6),
        "fc2": nir.Linear(weight=rng.normal(size=(2, 6)) * 3 + 1),
        "out": neurons(2),
        "output": nir.Output(output_type=np.array([2])),
    }
    nir.write(folder / "model.nir", nir.NIRGraph(nodes, list(itertools.pairwise(nodes))))
    semantics = ("--dt", "1e-3", "--reset", "subtract", "--no-reset-delay")
    model, image = str(folder / "model.nir"), str(folder / "model.core")
    assert main(["compile", model, "-o", image, *semantics, "-q"]) == 0
    np.savez(folder / "in.npz", spikes=rng.random((3, 20, 4)) < 0.6)
    return folder


@pytest.fixture(scope="module")
def image(files: Path) -> CoreImage:
    return CoreImage.load(files / "model.core")


@pytest.fixture(scope="module")
def stimulus(files: Path) -> Any:
    return read_spikes(files / "in.npz")


@pytest.fixture(scope="module")
def wanted(image: CoreImage, stimulus: Any) -> RunResult:
    """The same run at once."""
    target = GoldenTarget()
    target.load(image)
    result = target.run(stimulus, record_v=True)
    assert result.spikes[..., :6].any()
    assert result.spikes[..., 8:10].any()
    return result


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(capsys)


def arguments(files: Path, *more: object) -> tuple[object, ...]:
    return ("monitor", files / "model.core", "--spikes", files / "in.npz", *more)


# Chunks


@pytest.mark.parametrize(
    ("target", "size"),
    [("golden", 1), ("golden", 7), ("golden", 50), ("verilator", 7), ("virtual", 7)],
)
def test_chunks_are_the_whole_run(
    target: str, size: int, image: CoreImage, stimulus: Any, wanted: RunResult
) -> None:
    watched = watch(image, V)
    assert wanted.v is not None
    neurons = [w.neuron for w in watched]
    with open_steps(target, image, neurons=neurons) as step:
        found = list(chunks(step, stimulus, size))
    starts = range(0, 20, size)
    assert [(c.sample, c.timestep) for c in found] == list(itertools.product(range(3), starts))
    assert np.array_equal(np.concatenate([c.spikes for c in found]), np.vstack([*wanted.spikes]))
    assert np.array_equal(
        np.concatenate([c.v for c in found]), np.vstack([*wanted.v[:, :, neurons]])
    )


def test_without_membranes_none_are_recorded(image: CoreImage, stimulus: Any) -> None:
    with open_steps("golden", image) as step:
        assert step(stimulus[0], True)[1].shape == (20, 0)
        assert [c.v.shape for c in chunks(step, stimulus[:1], 20)] == [(20, 0)]


def test_a_pace_is_kept_and_lost_time_is_not_made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    monkeypatch.setattr("time.sleep", lambda seconds: clock.__setitem__(0, clock[0] + seconds))
    durations = iter([0.1, 9.0, 0.1, 0.1])

    def step(spikes: Any, clear: bool) -> tuple[Any, Any]:
        clock[0] += next(durations)
        return spikes, np.zeros((len(spikes), 0), np.int32)

    ends = [clock[0] for _ in chunks(step, np.zeros((1, 16, 4), np.bool_), 4, pace_s=0.5)]
    assert ends == pytest.approx([0.1, 11.0, 11.1, 13.1])


def test_a_port_that_is_not_there(image: CoreImage) -> None:
    with pytest.raises(LinkError, match="/dev/nothing"), open_steps("/dev/nothing", image):
        pass


def test_neurons_by_name_and_number(image: CoreImage) -> None:
    first = image.population("out").first
    assert [w.neuron for w in watch(image, "hidden[3], out[1],0")] == [3, first + 1, 0]
    (found,) = watch(image, "hidden[3]")
    assert (found.name, found.threshold) == ("hidden[3]", int(image.v_threshold[3]))
    for text, fault in (
        ("hidden[6]", r"must be at most \[5\], not \[6\]"),
        ("99999", r"Neurons must be in \[0, \d+\], not 99999"),
        ("x", "must be named NAME"),
        ("", "must be named NAME"),
        ("1,1", "each named once"),
        (",".join(f"hidden[{k % 6}]" for k in range(17)), "at most 16"),
    ):
        with pytest.raises(DataError, match=fault):
            watch(image, text)
    with pytest.raises(ImageError, match="no population 'x'"):
        watch(image, "x[0]")


def test_an_image_without_names_has_one_population(image: CoreImage) -> None:
    bare = Monitored(replace(image, manifest=Manifest()), "golden", 1, 1)
    (population,) = bare.populations
    assert (population.name, population.count) == ("neurons", image.groups_used * image.spec.lanes)
    assert bare.title == f"image {bare.image.id[:16]}"


# Lines


def test_json_is_a_line_a_chunk(cli: Cli, files: Path, wanted: RunResult) -> None:
    lines = cli(*arguments(files, "--v", V, "--chunk", 8, "--json")).splitlines()
    found = [json.loads(line) for line in lines]
    assert [(c["sample"], c["timestep"]) for c in found[:4]] == [(0, 0), (0, 8), (0, 16), (1, 0)]
    assert len(found) == 9
    last = wanted.spikes[2, 16:]
    assert found[-1]["spikes"] == [np.flatnonzero(row).tolist() for row in last]
    assert found[-1]["rates"]["hidden"] == pytest.approx(last[:, :6].mean(), abs=1e-6)
    assert wanted.v is not None
    v = wanted.v[2, 16:]
    assert found[-1]["v"] == {"hidden[3]": v[:, 3].tolist(), "9": v[:, 9].tolist()}


def test_a_pipe_gets_plain_lines(cli: Cli, files: Path, wanted: RunResult) -> None:
    lines = cli(*arguments(files, "--v", "hidden[3]")).splitlines()
    assert len(lines) == 6
    assert wanted.v is not None
    spikes = int(wanted.spikes[0, :16, :6].sum())
    v = " ".join(map(str, wanted.v[0, :16, 3]))
    assert lines[0].startswith(f"sample 0 timesteps 0-15:  hidden {spikes} spikes (")
    assert lines[0].endswith(f"  v hidden[3] {v}")
    assert lines[1].startswith("sample 0 timesteps 16-19:")
    assert cli(*arguments(files, "--quiet")) == ""


def test_a_pace_makes_chunks_short(cli: Cli, files: Path) -> None:
    assert len(cli(*arguments(files, "--pace", "0.02")).splitlines()) == 3 * 20 / 5


def test_a_period_is_the_boards(cli: Cli, files: Path, wanted: RunResult) -> None:
    """Timesteps come in the requests that run them: at 1 ms, up to six; overruns with the last."""
    with VirtualBoard(CoreImage.load(files / "model.core").spec):
        pass  # it is compiled now, which would be told
    text = cli(*arguments(files, "--target", "virtual", "--period", "200us", "--json"))
    found = [json.loads(line) for line in text.splitlines()]
    spikes = [fired for chunk in found for fired in chunk["spikes"]]
    assert spikes == [np.flatnonzero(row).tolist() for row in np.vstack([*wanted.spikes])]
    assert [c["sample"] for c in found if c["timestep"] == 0] == [0, 1, 2]
    assert {c["overruns"] for c in found} == {0}
    for target in ("golden", "verilator"):
        message = cli.error(*arguments(files, "--target", target, "--period", "1ms"))
        assert f"Target {target!r} runs timesteps as fast as it can" in message
    assert "without --pace" in cli.error(
        *arguments(files, "--period", "1ms", "--pace", "0.1"), code=2
    )
    assert "must be in [100 us, 10000 us]" in cli.error(*arguments(files, "--period", "20us"))


class Late(DeviceModel):
    """Lets 2.5 ms go by before the second RUN of each sample: two ticks of a millisecond."""

    runs = 0

    def _do(self, code: int, payload: bytes) -> tuple[Status, bytes]:
        is_run = code == Command.RUN and payload[4:6] != bytes(2)
        self.runs = 0 if code == Command.CLEAR else self.runs + is_run
        self.timeline.time += is_run and self.runs == 2 and self.link.clock_hz // 400
        return super()._do(code, payload)


def test_overruns_are_shown(image: CoreImage, stimulus: Any, wanted: RunResult) -> None:
    watched = watch(image, V)
    neurons = [w.neuron for w in watched]
    console = rich.console.Console(file=io.StringIO(), width=100, height=30)
    samples, timesteps, _ = stimulus.shape
    watching = Monitored(image, "board", samples, timesteps, watched, 1e-3)
    view = MonitorView(watching, console)
    with Device(SimulatedPort(Late(image.spec))) as device:
        device.load(image)
        found = list(paced_chunks(device, stimulus, 1e-3, neurons))
    for chunk in found:
        view.show(chunk)
    with console.capture() as drawn:
        console.print(view)
    assert "6 overruns" in drawn.get().splitlines()[0]
    assert [c.overruns for c in found if c.overruns] == [2, 2, 2]
    lasts = [monitor_terminal.line(watching, c).endswith("  2 overruns") for c in found]
    assert lasts == [c.timestep + len(c.spikes) == timesteps for c in found]
    assert wanted.v is not None
    v = np.concatenate([c.v for c in found])
    assert np.array_equal(v, np.vstack([*wanted.v[:, :, neurons]]))


def test_wrong_usage(cli: Cli, files: Path) -> None:
    assert "--web" in cli.error(*arguments(files, "--port", 8000), code=2)
    assert "hidden[0] to hidden[5]" in cli.error(*arguments(files, "--v", "3x"))


# The terminal


def test_braille_and_sparklines() -> None:
    dots = np.random.default_rng(1).random((8, 6)) < 0.5
    bits = {(0, 0): 0, (1, 0): 1, (2, 0): 2, (0, 1): 3, (1, 1): 4, (2, 1): 5, (3, 0): 6, (3, 1): 7}
    for row, text in enumerate(braille(dots)):
        for column, character in enumerate(text):
            for (y, x), bit in bits.items():
                is_set = bool((ord(character) - 0x2800) >> bit & 1)
                assert is_set == dots[4 * row + y, 2 * column + x]
    assert sparkline(np.array([0, 0, 7, 7], np.int32), 2, 3, 0, 7) == ["⠀⡏⠀", "⣀⡇⠀"]
    assert sparkline(np.array([5], np.int32), 1, 1, 5, 5) == ["⡀"]


def frame(image: CoreImage, stimulus: Any, width: int, height: int, v: str = V) -> list[str]:
    """The last frame of a run, on a terminal of that size."""
    watched = watch(image, v)
    console = rich.console.Console(file=io.StringIO(), width=width, height=height)
    samples, timesteps, _ = stimulus.shape
    view = MonitorView(Monitored(image, "golden", samples, timesteps, watched), console)
    with open_steps("golden", image, neurons=[w.neuron for w in watched]) as step:
        for chunk in chunks(step, stimulus, 7):
            view.show(chunk)
    with console.capture() as drawn:
        console.print(view)
    return drawn.get().splitlines()


def test_frame_shows_what_spiked(image: CoreImage, stimulus: Any, wanted: RunResult) -> None:
    lines = frame(image, stimulus, 100, 30)
    hidden = next(k for k, line in enumerate(lines) if line.startswith("hidden"))
    everything = np.vstack([*wanted.spikes])
    dots = np.zeros((8, 2 * 62), np.bool_)
    dots[:6, :60] = everything[:, :6].T
    for line, drawn in zip(lines[hidden:], braille(dots), strict=False):
        assert drawn in line
    assert f"rate {everything[:, :6].mean():.4f}" in lines[hidden]
    assert "sample 3 of 3   timestep 20 of 20" in lines[0]
    (ruler,) = [line for line in lines if line.startswith("sample ")]
    at = [ruler.index(mark) - ruler.index("╵0") for mark in ("╵1", "╵2")]
    assert at == [10, 20]
    assert any(line.startswith("v hidden[3]") and "⠀" in line for line in lines)


@pytest.mark.parametrize(("width", "height"), [(100, 30), (45, 12), (20, 3)])
def test_frame_fits_its_terminal(
    width: int, height: int, image: CoreImage, stimulus: Any, wanted: RunResult
) -> None:
    lines = frame(image, np.tile(stimulus, (1, 20, 1)), width, height)
    assert max(map(len, lines)) <= width
    if height == 30:
        assert len(lines) <= height


def test_frame_scrolls_to_the_latest(image: CoreImage, stimulus: Any) -> None:
    lines = frame(image, np.tile(stimulus, (4, 20, 1)), 60, 30)
    long = frame(image, np.tile(stimulus, (4, 20, 1))[-1:], 60, 30)
    hidden = [next(line for line in each if line.startswith("hidden")) for each in (lines, long)]
    assert hidden[0] == hidden[1]  # a sample that alone is longer than the terminal is wide


def test_names_do_nothing_to_the_terminal(image: CoreImage, stimulus: Any) -> None:
    lines = frame(renamed(image), stimulus, 100, 30, v="3,9")
    assert "\x1b" not in "".join(lines)
    assert any("<img src=x" in line for line in lines)


def test_a_real_terminal_gets_frames(files: Path) -> None:
    driver = "import os, pty, sys\nsys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))"
    command = [COMMAND, *map(str, arguments(files, "--v", V))]
    environment = {**os.environ, "TERM": "xterm", "LANG": "C.UTF-8", "COLUMNS": "90", "LINES": "30"}
    done = subprocess.run(
        [sys.executable, "-c", driver, *command],
        env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=True,
    )  # fmt: skip
    text = done.stdout.decode()
    assert "timestep 20 of 20" in text
    assert "hidden[3]" in text
    assert "\x1b[?25l" in text
    assert text.rindex("\x1b[?25h") > text.rindex("timestep 20 of 20")  # the cursor is back


def test_ctrl_c_in_the_first_frame_leaves_a_cursor(
    image: CoreImage, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, frames = MonitorView.__rich__, iter([KeyboardInterrupt])

    def interrupted(self: MonitorView) -> Any:
        for error in frames:
            raise error
        return original(self)

    monkeypatch.setattr(MonitorView, "__rich__", interrupted)
    console = rich.console.Console(file=io.StringIO(), force_terminal=True)
    with pytest.raises(KeyboardInterrupt):
        MonitorView(Monitored(image, "golden", 1, 1), console).__enter__()
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")


# The page


def renamed(image: CoreImage) -> CoreImage:
    """The image with names that would do something to a page or a terminal that obeyed them."""
    first, *rest = image.manifest.populations
    populations = (first.model_copy(update={"name": HOSTILE}), *rest)
    manifest = image.manifest.model_copy(update={"populations": populations, "name": HOSTILE})
    return replace(image, manifest=manifest)


def get(url: str, **headers: str) -> Any:
    return urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=30)


def events(url: str, **headers: str) -> list[tuple[str, Any]]:
    """All events until the stream ends: kinds and contents."""
    found = re.findall(
        r"^event: (\w+)\ndata: (.*)\n\n", get(url + "events", **headers).read().decode(), re.M
    )
    return [(kind, json.loads(data)) for kind, data in found]


@contextmanager
def served(*options: object) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """The command in a process of its own, and the page's address."""
    with process(*options, "--web") as running:
        assert running.stdout is not None
        assert running.stderr is not None
        url = running.stdout.readline().strip()
        assert "Open this page" in running.stderr.readline()
        yield running, url


def test_events_are_the_run(files: Path, wanted: RunResult) -> None:
    with served(*arguments(files, "--v", V)) as (running, url):
        found = events(url)
        assert running.wait(60) == 0
    (kind, run), *middle, (last, end) = found
    assert (kind, run["title"], run["samples"], run["timesteps"]) == ("run", "model", 3, 20)
    assert [w["neuron"] for w in run["watched"]] == [3, 9]
    assert (last, end) == ("end", {"text": "The run ended.", "is_whole": True})
    assert {kind for kind, _ in middle} == {"chunk"}
    spikes = [fired for _, chunk in middle for fired in chunk["spikes"]]
    assert spikes == [np.flatnonzero(row).tolist() for row in np.vstack([*wanted.spikes])]


def test_ctrl_c_ends_the_page_too(files: Path) -> None:
    with served(*arguments(files, "--pace", 5)) as (running, url):
        stream = get(url + "events")
        while not stream.readline().startswith(b"event: chunk"):
            pass
        running.send_signal(signal.SIGINT)
        assert running.wait(60) == 130
        assert b"The run was stopped." in stream.read()


def test_ctrl_c_before_the_page_is_opened(files: Path) -> None:
    with served(*arguments(files)) as (running, _):
        running.send_signal(signal.SIGINT)
        assert running.wait(60) == 130


@pytest.fixture
def chunk(image: CoreImage) -> Chunk:
    spikes = np.zeros((1, image.spec.neurons), np.bool_)
    return Chunk(0, 0, spikes, np.zeros((1, 0), np.int32))


def test_a_failure_is_told(image: CoreImage, chunk: Chunk) -> None:
    for error, text in (
        (LinkError("The port vanished."), "The run failed: The port vanished."),
        (ValueError("x"), "The run failed: see the terminal."),
    ):
        page = MonitorPage(Monitored(image, "golden", 1, 1)).__enter__()
        stream = get(page.url + "events")
        page.wait()
        page.__exit__(type(error), error, None)
        assert text in stream.read().decode()


def test_late_and_returning_pages_get_what_they_lack(image: CoreImage, chunk: Chunk) -> None:
    watching = Monitored(image, "golden", 1, 600)
    with MonitorPage(watching) as page:
        for timestep in range(600):
            page.show(replace(chunk, timestep=timestep))
        streams = [get(page.url + "events", **{"Last-Event-ID": k}) for k in ("x", "598", "9999")]
        for stream in streams:
            while not stream.readline().startswith(b"data"):
                pass
    told = [re.findall(r'"timestep": (\d+)', stream.read().decode()) for stream in streams]
    late, *others = told
    assert late == [str(k) for k in range(600 - len(late), 600)]
    assert len(late) in (511, 512)  # the last of 512 events may be the end
    assert others == [["598", "599"], []]


def test_a_browser_that_reads_no_more_holds_nothing_up(
    image: CoreImage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(monitor_page._Handler, "timeout", 0.2)
    spikes = np.ones((4096, image.spec.neurons), np.bool_)
    big = Chunk(0, 0, spikes, np.zeros((4096, 0), np.int32))
    with MonitorPage(Monitored(image, "golden", 1, 4096)) as page:
        stream = get(page.url + "events")
        page.wait()
        for _ in range(50):  # 10 MB: more than a socket takes without a reader
            page.show(big)
    assert b"event: end" not in stream.read()


def test_page_is_whole_and_for_this_machine_alone(image: CoreImage) -> None:
    with MonitorPage(Monitored(renamed(image), "golden", 1, 1)) as page:
        assert page.url.startswith("http://127.0.0.1:")
        reply = get(page.url)
        text = reply.read().decode()
        policy = reply.headers["Content-Security-Policy"]
        port = page.url.split(":")[2].strip("/")
        for path, host, code in (
            ("", "elsewhere.example", 403),
            ("events", f"elsewhere.example:{port}", 403),
            ("../monitored.py", f"127.0.0.1:{port}", 404),
            ("events?x", f"localhost:{port}", 404),
        ):
            with pytest.raises(urllib.error.HTTPError) as refused:
                get(page.url + path, Host=host)
            assert refused.value.code == code
            refused.value.close()
        with socket.create_connection(("127.0.0.1", int(port))) as silent:
            silent.sendall(b"GET / HT")  # says no more; the page ends all the same
    parsed = Page()
    parsed.feed(text)
    assert parsed.open == []
    assert parsed.loads == ["link", "data:,", "script"]
    assert "http" not in text.replace("http-equiv", "")
    assert "<img" not in text
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


def test_a_port_in_use(cli: Cli, files: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
        text = cli.error(*arguments(files, "--web", "--port", port))
    assert text.startswith(f"Error: Cannot serve a page on port {port}: Address already in use.")


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")
def test_a_browser_shows_the_run(
    image: CoreImage, files: Path, wanted: RunResult, tmp_path: Path
) -> None:
    renamed(image).save(tmp_path / "model.core")
    options = ("monitor", tmp_path / "model.core", "--spikes", files / "in.npz", "--v", "3,9")
    ended = "document.getElementById('state').className === 'good'"
    with served(*options, "--pace", 0.01) as (running, url), a_tab(tmp_path / "profile") as tab:
        tab.open(url)
        tab.wait_for(ended)
        assert running.wait(60) == 0
        text = tab.value("document.body.innerText")
        title = tab.value("document.title")
        pixels = tab.value(
            "rasters.map((r) => { const c = r.canvas, d = c.getContext('2d')"
            ".getImageData(0, 0, c.width, c.height).data; let n = 0;"
            "for (let k = 3; k < d.length; k += 4) n += d[k] > 0; return n; })"
        )
        assert tab.value("document.querySelectorAll('img').length") == 0
        assert tab.complaints == []
    assert "The run ended." in text
    assert "Sample 3 of 3, timestep 20 of 20" in text
    assert "<img src=x" in text
    assert title.endswith(": Spikewright monitor")
    assert wanted.v is not None
    spikes = np.vstack([*wanted.spikes])
    shown = text.splitlines()
    assert f"{spikes[:, :6].mean():.4f}" in shown
    assert str(wanted.v[-1, -1, 3]) in shown
    assert str(wanted.v[-1, -1, 9]) in shown
    assert min(pixels) > 0
