"""Rows of the weight memory after synthesis for an iCE40, SPRAM included, against their RTL."""

import random
from pathlib import Path

import pytest

from spikewright.boards.netlist import ice40_netlist
from spikewright.hdl.emit import to_verilog
from spikewright.hdl.layouts import Clocks
from spikewright.hdl.rows import RowFetch
from spikewright.sim.model import Model
from spikewright.spec import CoreSpec

SPEC = CoreSpec(axons=8, neurons=16, lanes=4, weight_words=2048)
SEED = 7


@pytest.fixture(scope="module")
def netlist(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, int]]:
    folder: Path = tmp_path_factory.mktemp("netlist")
    return ice40_netlist(RowFetch(SPEC, Clocks(), near=True), folder, name="rows")


def test_the_weight_memory_is_in_spram(netlist: tuple[str, dict[str, int]]) -> None:
    _, cells = netlist
    assert cells["SB_SPRAM256KA"] == SPEC.weight_banks
    assert cells["SB_RAM40_4K"] == 1  # the directory: 24 words of 16 bits


def test_rows_are_read_as_they_were_written(netlist: tuple[str, dict[str, int]]) -> None:
    draw = random.Random(SEED)
    rtl = Model(
        to_verilog(RowFetch(SPEC, Clocks(), near=True), name="rows"), top="rows", trace=None
    )
    gates = Model(netlist[0], top="rows", trace=None)
    inputs = [port.name for port in rtl.ports if port.is_input and port.name != "clk"]
    outputs = [port.name for port in rtl.ports if not port.is_input]
    widths = {port.name: port.width for port in rtl.ports}

    def cycle(**values: int) -> None:
        for name in inputs:
            rtl.io[name] = gates.io[name] = values.get(name, 0)
        rtl.clock.tick()
        gates.clock.tick()

    for _ in range(4):
        cycle(rst=1)
    for kind in ("weight", "descriptor"):
        for address in range(SPEC.weight_words if kind == "weight" else SPEC.sources):
            data = draw.getrandbits(widths[f"{kind}_data"])
            cycle(**{f"{kind}_en": 1, f"{kind}_addr": address, f"{kind}_data": data})
    for _ in range(20):
        cycle()
    words = 0
    for _ in range(5000):
        cycle(i__valid=draw.getrandbits(1), i__payload=draw.randrange(SPEC.sources))
        assert [rtl.io[name] for name in outputs] == [gates.io[name] for name in outputs]
        words += rtl.io["o"] & 1  # its lowest bit says whether there is a word
    assert words > 2000
    rtl.close()
    gates.close()
