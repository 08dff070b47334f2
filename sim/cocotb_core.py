"""cocotb bench of the core: stalls, strobes and host accesses, compared with the golden model."""

import json
import os
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, Self

import cocotb
import numpy as np
import numpy.typing as npt
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, ReadOnly

from spikewright.files import read_spikes, spikes_bytes, write_whole
from spikewright.hdl.core import HOST_READ_LATENCY, Core
from spikewright.hdl.emit import to_verilog
from spikewright.image import CoreImage
from spikewright.spec import Region, index_width

from .cocotb_launch import run_bench
from .golden import GoldenModel

__all__ = ["FOLDER_VARIABLE", "CoreBench", "run_core_bench"]

FOLDER_VARIABLE = "SPIKEWRIGHT_BENCH"
"""Names the folder that :func:`run_core_bench` hands to the simulator's process."""
_PATIENCE = 100_000
"""Cycles after which the core counts as hung."""


def run_core_bench(
    image: CoreImage,
    spikes: npt.NDArray[np.bool_],
    folder: Path,
    tests: Sequence[str] = (),
    optimize: Literal[0, 1, 2, 3] = 0,
) -> int:
    """Build the core of an image's spec with cocotb and run this bench; the tests that ran.

    Parameters
    ----------
    image : CoreImage
        What every test loads.
    spikes : bool[samples, timesteps, axons]
        Of the first sample the tests take their axon spikes.
    folder : Path
        For what is built and written, ``speed.json`` of the test ``speed`` among it.
    tests : sequence of str
        Names of tests; empty runs all.
    optimize : {0, 1, 2, 3}
        The C++ compiler's ``-O``.

    Raises
    ------
    ToolError, MismatchError
        As :func:`spikewright.sim.cocotb_launch.run_bench`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    image.save(folder / "image.core")
    write_whole(folder / "spikes.npz", spikes_bytes(spikes))
    return run_bench(
        to_verilog(Core(image.spec), name="core"),
        top="core",
        module=__name__,
        folder=folder,
        environment={FOLDER_VARIABLE: str(folder.resolve())},
        tests=tests,
        optimize=optimize,
    )


class CoreBench:
    """The core under test with an image in it, and the golden model beside it.

    Inputs change just after the falling edge; outputs are looked at just before the next one.
    """

    def __init__(self, dut: Any) -> None:
        folder = Path(os.environ[FOLDER_VARIABLE])
        self.dut = dut
        self.image = CoreImage.load(folder / "image.core")
        self.stimulus = read_spikes(folder / "spikes.npz")[0]
        self.model = GoldenModel(self.image)
        self.rng = np.random.default_rng(1)
        self.waiting: list[int] = []
        self._lanes = self.image.spec.lanes
        self._group_bits = index_width(self.image.spec.groups)
        self.forget()

    def forget(self) -> None:
        """Forget what the timestep before has shown."""
        self.spikes = np.zeros(self.image.spec.neurons, np.bool_)
        self.cycles = self.synapses = self.saturations = 0

    @classmethod
    async def start(cls, dut: Any) -> Self:
        """Reset the core, load the image and clear the state."""
        bench = cls(dut)
        for name in ("i_spikes__valid", "step", "clear", "host__w_en", "host__r_en"):
            getattr(dut, name).value = 0
        dut.rst.value = 1
        Clock(dut.clk, 10, unit="ns").start()
        await FallingEdge(dut.clk)
        await FallingEdge(dut.clk)
        dut.rst.value = 0
        for region, records in bench.image.records.items():
            for index, record in enumerate(records):
                await bench.write(region, index, int.from_bytes(record.tobytes(), "little"))
        await bench.clear()
        return bench

    async def cycle(self) -> bool:
        """Let a cycle pass; True if an axon spike was taken in it."""
        dut = self.dut
        await ReadOnly()
        taken = bool(dut.i_spikes__valid.value) and bool(dut.i_spikes__ready.value)
        events = int(dut.events.value)
        self.cycles += events & 1
        self.synapses += (events >> 1 & ((1 << self._lanes) - 1)).bit_count()
        self.saturations += (events >> (1 + self._lanes)).bit_count()
        pulse = int(dut.spikes.value)
        if pulse & 1:
            first = (pulse >> 1 & ((1 << self._group_bits) - 1)) * self._lanes
            mask = pulse >> (1 + self._group_bits)
            for lane in range(self._lanes):
                self.spikes[first + lane] |= bool(mask >> lane & 1)
        await FallingEdge(dut.clk)
        return taken

    async def idle(self, cycles: int) -> None:
        """Let some cycles pass."""
        for _ in range(cycles):
            await self.cycle()

    async def offer(self) -> bool:
        """Offer the first waiting axon spike for a cycle; True if it was taken."""
        self.dut.i_spikes__valid.value = 1
        self.dut.i_spikes__payload.value = self.waiting[0]
        taken = await self.cycle()
        self.dut.i_spikes__valid.value = 0
        if taken:
            self.waiting.pop(0)
        return taken

    async def push(self, axons: Iterable[int], *, gaps: float = 0.0) -> None:
        """Push axon spikes, with random gaps."""
        self.waiting.extend(axons)
        for _ in range(_PATIENCE):
            if not self.waiting:
                return
            if self.rng.random() < gaps:
                await self.cycle()
            else:
                await self.offer()
        raise AssertionError(f"axon spikes {self.waiting} were not taken")

    async def step(self, following: Iterable[int] = (), *, gaps: float = 0.0) -> None:
        """Run a timestep, and push the next one's axon spikes while it runs."""
        self.forget()
        self.waiting.extend(following)
        self.dut.step.value = 1
        await self.cycle()
        self.dut.step.value = 0
        for _ in range(_PATIENCE):
            if not self.dut.busy.value:
                return
            if self.waiting and self.rng.random() >= gaps:
                await self.offer()
            else:
                await self.cycle()
        raise AssertionError("the timestep did not end")

    async def clear(self) -> int:
        """Clear the state of core and model; the cycles that it took."""
        self.model.clear()
        self.dut.clear.value = 1
        await self.cycle()
        self.dut.clear.value = 0
        for cycles in range(1, _PATIENCE):
            if not self.dut.busy.value:
                return cycles
            await self.cycle()
        raise AssertionError("the clear did not end")

    async def write(self, region: Region, index: int, record: int) -> None:
        """Write a record."""
        self.dut.host__region.value = int(region)
        self.dut.host__index.value = index
        self.dut.host__w_data.value = record
        self.dut.host__w_en.value = 1
        await FallingEdge(self.dut.clk)
        self.dut.host__w_en.value = 0

    async def read(self, region: Region, index: int) -> int:
        """Read a record."""
        self.dut.host__region.value = int(region)
        self.dut.host__index.value = index
        self.dut.host__r_en.value = 1
        await self.cycle()
        self.dut.host__r_en.value = 0
        await self.idle(HOST_READ_LATENCY - 1)
        await ReadOnly()
        value = int(self.dut.host__r_data.value)
        await FallingEdge(self.dut.clk)
        return value & ((1 << self.image.spec.memories[region].layout.width) - 1)

    def check(self, axons: Iterable[int]) -> None:
        """Compare the timestep that has just ended with the golden model's."""
        stimulus = np.zeros((1, self.image.spec.axons), np.bool_)
        stimulus[0, list(axons)] = True
        golden = self.model.step(stimulus)
        where = f"timestep {self.model.timestep - 1}"
        assert self.spikes.tolist() == golden.spikes[0].tolist(), where
        assert self.cycles == golden.cycles[0], where
        assert self.synapses == golden.synaptic_operations[0], where
        assert self.saturations == golden.saturations[0], where

    async def check_state(self) -> None:
        """Compare all that the host can read of the state with the golden model's."""
        spec, model = self.image.spec, self.model
        layout = spec.memories[Region.STATE].layout
        for neuron in range(spec.neurons):
            record = await self.read(Region.STATE, neuron)
            values = layout.unpack(record.to_bytes(layout.size, "little"))
            for name, value in values.items():
                assert value[0] == getattr(model, name)[0, neuron], f"{name} of neuron {neuron}"
        layout = spec.memories[Region.ACCUMULATORS].layout
        for slot in range(spec.delay_slots):
            for neuron in range(spec.neurons):
                index = slot << index_width(spec.neurons) | neuron
                record = await self.read(Region.ACCUMULATORS, index)
                acc = layout.unpack(record.to_bytes(layout.size, "little"))["acc"]
                assert acc[0] == model.acc[0, slot, neuron], f"acc[{slot}] of neuron {neuron}"


def _axons(spikes: npt.NDArray[np.bool_]) -> list[int]:
    return [int(axon) for axon in np.flatnonzero(spikes)]


@cocotb.test()
async def stalls(dut: Any) -> None:
    """Gaps between axon spikes, before and during timesteps, and between timesteps."""
    bench = await CoreBench.start(dut)
    rows = [_axons(row) for row in bench.stimulus]
    late = rows[0]
    for row, following in zip(rows, [*rows[1:], []], strict=True):
        gaps = float(bench.rng.choice([0.0, 0.5, 0.95]))
        await bench.push(late, gaps=gaps)
        await bench.idle(int(bench.rng.integers(4)))
        early = int(bench.rng.integers(len(following) + 1))
        late = following[early:]
        await bench.step(following[:early], gaps=gaps)
        bench.check(row)
    await bench.check_state()


@cocotb.test()
async def back_to_back(dut: Any) -> None:
    """Timesteps that start in the first cycle in which the core is not busy."""
    bench = await CoreBench.start(dut)
    rows = [_axons(row)[:4] for row in bench.stimulus]
    await bench.push(rows[0])
    for row, following in zip(rows, [*rows[1:], []], strict=True):
        await bench.step(following)
        assert not bench.waiting
        bench.check(row)
    await bench.check_state()


@cocotb.test()
async def spike_in_the_cycle_of_step(dut: Any) -> None:
    """It counts for the timestep after."""
    bench = await CoreBench.start(dut)
    for axon in range(bench.image.spec.axons):
        bench.waiting = [axon]
        dut.i_spikes__valid.value = 1
        dut.i_spikes__payload.value = axon
        dut.step.value = 1
        bench.forget()
        assert await bench.cycle()
        dut.i_spikes__valid.value = 0
        dut.step.value = 0
        while dut.busy.value:
            await bench.cycle()
        bench.check([axon - 1] if axon else [])
    await bench.check_state()


@cocotb.test()
async def full_queue(dut: Any) -> None:
    """All axons wait; one more stalls until the timestep makes room, and belongs to the next."""
    bench = await CoreBench.start(dut)
    every = list(range(bench.image.spec.axons))
    for _ in range(3):
        await bench.push(every)
        bench.waiting = [0]
        for _ in range(20):
            assert not await bench.offer()
        bench.waiting = []
        await bench.step([0])
        assert not bench.waiting
        bench.check(every)
        await bench.step()
        bench.check([0])
    await bench.check_state()


@cocotb.test()
async def clear_in_between(dut: Any) -> None:
    """A clear forgets state and waiting spikes, in the cycles that the spec says."""
    bench = await CoreBench.start(dut)
    for timesteps in (3, 1, 8):
        for row in bench.stimulus[:timesteps]:
            await bench.push(_axons(row))
            await bench.step()
            bench.check(_axons(row))
        if timesteps != 8:  # else in the first cycle after the timestep
            await bench.push(range(bench.image.spec.axons))
        assert await bench.clear() == bench.image.spec.clear_cycles
        await bench.check_state()
        await bench.step()
        bench.check([])


@cocotb.test()
async def strobes_while_busy(dut: Any) -> None:
    """Step and clear are ignored in every cycle in which the core is busy."""
    bench = await CoreBench.start(dut)
    for row in bench.stimulus:
        await bench.push(_axons(row))
        bench.forget()
        dut.step.value = 1
        await bench.cycle()
        while dut.busy.value:
            dut.step.value = int(bench.rng.integers(2))
            dut.clear.value = int(bench.rng.integers(2))
            await bench.cycle()
        dut.step.value = dut.clear.value = 0
        bench.check(_axons(row))
    await bench.check_state()


@cocotb.test()
async def host_access(dut: Any) -> None:
    """Every weight word reads back, a write changes that word alone, and what was read stays."""
    bench = await CoreBench.start(dut)
    memory = bench.image.spec.memories[Region.WEIGHTS]
    words = [bench.rng.bytes(memory.layout.size) for _ in range(memory.depth)]
    values = [int.from_bytes(word, "little") % (1 << memory.layout.width) for word in words]
    for index in bench.rng.permutation(memory.depth).tolist():
        await bench.write(Region.WEIGHTS, index, values[index])
    for index, value in enumerate(values):
        assert await bench.read(Region.WEIGHTS, index) == value
    kept = dut.host__r_data.value
    dut.host__region.value = int(Region.STATE)
    dut.host__index.value = 0
    for _ in range(20):
        await bench.cycle()
        assert dut.host__r_data.value == kept


@cocotb.test()
async def speed(dut: Any) -> None:
    """Measure cycles a second of the timesteps alone: nothing is compared or loaded meanwhile."""
    bench = await CoreBench.start(dut)
    rows = [_axons(row) for row in bench.stimulus]
    cycles = 0
    started = time.process_time()
    for row in rows:
        await bench.push(row)
        await bench.step()
        cycles += len(row) + bench.cycles
    seconds = time.process_time() - started
    result = {"timesteps": len(rows), "cycles": cycles, "seconds": seconds}
    (Path(os.environ[FOLDER_VARIABLE]) / "speed.json").write_text(json.dumps(result))
