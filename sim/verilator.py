"""The core's RTL, compiled: a Verilated core that runs whole timesteps per call."""

import ctypes
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from spikewright.errors import MismatchError, SpecError, SpikewrightError, ToolError
from spikewright.image import CoreImage
from spikewright.spec import CoreSpec, Region, index_width
from spikewright.target import Report, check_plastic, check_spikes

from .driver import CORE_FUNCTIONS, Column, CoreRun, Instance, Run
from .verilate import Build, TraceFormat, build_library

__all__ = ["CoreRun", "CoreSimulator"]

if TYPE_CHECKING:
    from spikewright.hdl.fields import StateField

_DRIVER = Path(__file__).with_name("core.cpp")
_VARIABLES = ("v", "i", "refractory", "acc", "y", "h", "x", "weights", "eligibility", "random")
_UNSIGNED = ("refractory", "x", "y", "h")
_FAULT = "This is a fault of the RTL or of its specification: please report it."
_OUTCOMES = {
    1: "did not finish within {limit} cycles",
    2: "did not accept its axon spikes within {limit} cycles",
    3: "gave spikes outside a timestep, or not in the order of neuron groups",
    4: "was busy for another number of cycles than it counted or should have taken",
}


class CoreSimulator(Instance):
    """The Verilated core of one spec. State survives between calls.

    Images go in through the host port, axon spikes through ``i_spikes``. State that is recorded
    while timesteps run is taken from the memories themselves, which costs no cycles;
    :meth:`read` takes it through the host port. Registers and memories start with seeded random
    content. A core that breaks its port protocol or hangs raises; no wait is unbounded.

    Parameters
    ----------
    spec : CoreSpec
        The core to build; compiled once, then taken from the cache.
    optimize : {1, 2, 3}
        The C++ compiler's ``-O``. 3 takes twice as long to build as 1 and runs 5 % faster.
    trace : {None, "vcd", "fst"}
        Build so that :meth:`start_trace` can write waveforms of that format; slower.
    seed : int
        Of the content of uninitialized registers and memories.
    near : bool
        Build it as for a small part with a slow clock: see :class:`~spikewright.hdl.core.Core`.
    report : callable
        Given one line of text when a build takes longer than two seconds.

    Raises
    ------
    ToolError
        Verilator, a compiler or a library that it needs is missing or fails.
    """

    def __init__(
        self,
        spec: CoreSpec,
        *,
        optimize: Literal[1, 2, 3] = 1,
        trace: TraceFormat | None = None,
        seed: int = 1,
        near: bool = False,
        report: Report | None = None,
    ) -> None:
        self._spec = spec
        self._timestep = 0
        rtl = _core_rtl(spec, near)
        self._fields = rtl.fields
        defines = {
            "LANES": spec.lanes,
            "UPDATE_LANES": spec.update_lanes,
            "GROUP_BITS": index_width(spec.groups),
            "READ_LATENCY": rtl.read_latency,
            "STATE_LATENCY": rtl.state_latency,
            "PLASTIC": int(spec.plastic),
            "RANDOM_REGION": int(Region.RANDOM),
        }
        build = Build(optimize=optimize, trace=trace, defines=defines)
        library = build_library(rtl.verilog, _DRIVER, top="core", build=build, report=report)
        super().__init__(library, CORE_FUNCTIONS, trace=trace, seed=seed)

    @property
    def spec(self) -> CoreSpec:
        """The core's specification."""
        return self._spec

    @property
    def timestep(self) -> int:
        """Timesteps since the state was cleared; the next to be run."""
        return self._timestep

    @property
    def simulated_cycles(self) -> int:
        """Clock cycles simulated so far, loading and reading included."""
        cycles: int = self._library.core_cycles(self._handle)
        return cycles

    def load(self, image: CoreImage) -> None:
        """Write the image's records through the host port, then clear the state.

        Raises
        ------
        SpecError
            The image is for another spec.
        MismatchError
            As for :meth:`clear`.
        """
        if image.spec != self._spec:
            raise SpecError(
                f"Image is for spec {image.spec.hash[:16]}, the core for {self._spec.hash[:16]}.",
                hint="Compile the network for this spec, or simulate the image's own.",
            )
        for region, records in image.records.items():
            self.write(region, 0, records)
        self.clear()

    def clear(self) -> None:
        """Clear state, accumulators, traces and pending spikes; the timestep becomes 0.

        Raises
        ------
        MismatchError
            It did not take ``spec.clear_cycles`` cycles.
        """
        limit = self._spec.clear_cycles
        outcome = self._library.core_clear(self._handle, limit)
        self._check(outcome, "clearing its state", limit)
        self._timestep = 0

    def run(
        self,
        spikes: npt.NDArray[np.bool_],
        *,
        record: bool | Sequence[str] = False,
        stall_seed: int | None = None,
        learn: npt.NDArray[np.bool_] | None = None,
        rewards: npt.NDArray[np.int64] | None = None,
    ) -> CoreRun:
        """Run timesteps on from the present state.

        Parameters
        ----------
        spikes : bool[timesteps, axons]
            Input spikes; axons that the spec has beyond these stay silent.
        record : bool or sequence of str
            Take all state after every timestep, what was learned too, or only those variables of
            :class:`CoreRun` that are named.
        stall_seed : int, optional
            Draw gaps between axon spikes, whether they come before a timestep or during the one
            before, and idle cycles between timesteps. None leaves no gap that is not needed.
            Results and cycles of the timesteps do not depend on it.
        learn : bool[timesteps], optional
            When to learn; never without it.
        rewards : int64[timesteps], optional
            Q1.6, -128 to 127; 0 without them.

        Raises
        ------
        SpikewrightError
            The spikes have another dtype or shape, or more axons than the core; or it cannot learn.
        MismatchError
            The core broke its port protocol or did not finish in the cycles it is allowed.
        """
        counts, axons = self._events(spikes)
        spec, steps = self._spec, len(spikes)
        fired = np.zeros((steps, spec.neurons), np.bool_)
        cycles, synapses, saturations = np.zeros((3, steps), np.int64)
        names = _VARIABLES if record is True else tuple(record or ())
        values, columns = self._plan_recording(names, steps)
        random = None
        if spec.stochastic_rounding and "random" in names:
            random = np.zeros(steps, np.uint32)
        learns, earned = self._learning(learn, rewards, steps)
        run = Run(
            timesteps=steps,
            counts=counts.ctypes.data,
            axons=axons.ctypes.data,
            neurons=spec.neurons,
            cycle_limit=_cycle_limit(spec),
            stall_seed=0 if stall_seed is None else (stall_seed & 0xFFFFFFFF) + 1,
            learn=learns.ctypes.data,
            rewards=earned.ctypes.data,
            spikes=fired.ctypes.data,
            cycles=cycles.ctypes.data,
            synapses=synapses.ctypes.data,
            saturations=saturations.ctypes.data,
            columns=ctypes.addressof(columns),
            column_count=len(columns),
            random=None if random is None else random.ctypes.data,
        )
        outcome = self._library.core_run(self._handle, ctypes.byref(run))
        self._timestep += run.timestep
        self._check(outcome, f"in timestep {self._timestep}", run.cycle_limit)
        return CoreRun(fired, cycles, synapses, saturations, random=random, **values)

    def _learning(
        self,
        learn: npt.NDArray[np.bool_] | None,
        rewards: npt.NDArray[np.int64] | None,
        timesteps: int,
    ) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int8]]:
        """When to learn and for what, as the driver takes them."""
        given = np.zeros(timesteps, np.uint8)
        earned = np.zeros(timesteps, np.int8)
        if learn is not None:
            check_plastic(self._spec)
            given[:] = learn
        if rewards is not None:
            earned[:] = rewards
        return given, earned

    def _plan_recording(
        self, names: Collection[str], timesteps: int
    ) -> tuple[dict[str, npt.NDArray[np.int32]], ctypes.Array[Column]]:
        """Arrays for the named variables that the spec has, and the columns that fill them."""
        spec = self._spec
        words = spec.weight_words
        shapes = {
            "acc": (spec.delay_slots, spec.neurons),
            "x": (spec.sources,),
            "weights": (words, spec.lanes),
            "eligibility": (words, spec.lanes),
        }
        values = {}
        columns = []
        for name in (name for name in self._fields if name in names):
            shape = shapes.get(name, (spec.neurons,))
            array = values[name] = np.zeros((timesteps, *shape), np.int32)
            for field in self._fields[name]:
                memory, word_size = self.memory(field.memory)
                first = field.slot * spec.neurons + field.lane
                columns.append(
                    Column(
                        words=memory + field.first_word * word_size,
                        word_size=word_size,
                        count=field.count,
                        offset=field.offset,
                        width=field.width,
                        is_signed=name not in _UNSIGNED,
                        step=field.step,
                        stride=math.prod(shape),
                        values=array.ctypes.data + first * array.itemsize,
                    )
                )
        return values, (Column * len(columns))(*columns)

    def _events(
        self, spikes: npt.NDArray[np.bool_]
    ) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint16]]:
        """Axon spikes as the number in each timestep and all axons, one after the other."""
        check_spikes(spikes, self._spec, "[timesteps, axons]")
        counts = spikes.sum(axis=1, dtype=np.uint32)
        return counts, np.nonzero(spikes)[1].astype(np.uint16)

    def read(
        self, region: Region, first: int = 0, count: int | None = None
    ) -> dict[str, npt.NDArray[np.int64]]:
        """Read records of a readable region through the host port: ``int64[count]`` a field.

        Raises
        ------
        SpikewrightError
            The region cannot be read, or has no such records.
        """
        memory = self._spec.memories[region]
        count = memory.depth - first if count is None else count
        self._check_records(region, "readable", first, count)
        data = np.zeros((count, memory.layout.size), np.uint8)
        arguments = (region, first, count, memory.layout.size, data.ctypes.data)
        self._library.core_read(self._handle, *arguments)
        return memory.layout.unpack(data)

    def check_read_back(self) -> None:
        """Check that the host port reads what is in the state's memories.

        Raises
        ------
        MismatchError
            It reads something else.
        """
        spec = self._spec
        slots = self.read(Region.ACCUMULATORS)["acc"].reshape(spec.delay_slots, -1)
        read = {**self.read(Region.STATE), "acc": slots[:, : spec.neurons]}
        if spec.plastic:
            words = self.read(Region.WEIGHTS)
            for name, kind in (("weights", "weight"), ("eligibility", "eligibility")):
                lanes = [words[f"{kind}{k}"] for k in range(spec.lanes) if f"{kind}{k}" in words]
                read |= {name: np.stack(lanes, axis=1)} if lanes else {}
        held, columns = self._plan_recording(read, 1)
        self._library.core_record(self._handle, columns, len(columns))
        for name, values in held.items():
            for *where, last in np.argwhere(values[0] != read[name]).tolist():
                place = "lane" if name in ("weights", "eligibility") else "neuron"
                raise MismatchError(
                    f"Host port reads {name} {read[name][*where, last]} of {place} {last} where "
                    f"the memory holds {values[0, *where, last]}, in timestep {self._timestep}.",
                    hint=_FAULT,
                )

    def write(self, region: Region, first: int, records: npt.NDArray[np.uint8]) -> None:
        """Write ``uint8[count, size]`` records to a writable region through the host port.

        Raises
        ------
        SpikewrightError
            The region cannot be written, or the records do not fit it.
        """
        memory = self._spec.memories[region]
        records = np.ascontiguousarray(records, np.uint8)
        if records.shape[1:] != (memory.layout.size,):
            raise SpikewrightError(
                f"Records must have shape (count, {memory.layout.size}), not {records.shape}.",
                hint="Take them from image.records, or pack them: spec.memories[region].layout.",
            )
        self._check_records(region, "writable", first, len(records))
        arguments = (region, first, len(records), memory.layout.size, records.ctypes.data)
        self._library.core_write(self._handle, *arguments)

    def _check_records(
        self, region: Region, able: Literal["readable", "writable"], first: int, count: int
    ) -> None:
        memories = self._spec.memories
        if not getattr(memories[region], able):
            names = ", ".join(r.name for r, memory in memories.items() if getattr(memory, able))
            raise SpikewrightError(
                f"Region {region.name} is not {able}.", hint=f"These are: {names}."
            )
        depth = memories[region].depth
        if not 0 <= first <= first + count <= depth:
            raise SpikewrightError(
                f"Records {first} to {first + count - 1} are not in {region.name}.",
                hint=f"It has {depth} of them, the first is 0.",
            )

    def _check(self, outcome: int, when: str, limit: int) -> None:
        if outcome:
            raise MismatchError(
                f"Core {_OUTCOMES[outcome].format(limit=limit)}, {when}.",
                hint=_FAULT,
            )


def _cycle_limit(spec: CoreSpec) -> int:
    """Cycles that no timestep of any image can need, with room to spare."""
    integrate = spec.integrate_overhead + spec.sources * spec.most_row_words
    levels = spec.groups * (spec.update_latency + spec.integrate_overhead)
    winners = (spec.winners + 1) * (spec.groups * spec.update_latency + spec.parts)
    learn = spec.learn_overhead + spec.sources * spec.most_row_words
    return 2 * (spec.timestep_overhead + integrate + levels + winners + learn + 1000)


@dataclass(frozen=True)
class CoreRTL:
    """What the simulator takes from the RTL of a core."""

    verilog: str
    read_latency: int
    state_latency: int
    fields: "Mapping[str, Sequence[StateField]]"


@lru_cache(maxsize=16)
def _core_rtl(spec: CoreSpec, near: bool) -> CoreRTL:
    try:
        from spikewright.hdl.core import HOST_READ_LATENCY, STATE_LATENCY, Core
        from spikewright.hdl.emit import to_verilog
        from spikewright.hdl.fields import state_fields
        from spikewright.hdl.layouts import Clocks
    except ModuleNotFoundError as error:
        raise ToolError(
            f"The RTL needs the Python package {error.name!r}, which is not installed.",
            hint="Install it: pip install 'spikewright[fpga]'.",
        ) from None
    verilog = to_verilog(Core(spec, Clocks("neurons", "host"), near=near), name="core")
    return CoreRTL(verilog, HOST_READ_LATENCY, STATE_LATENCY, state_fields(spec))
