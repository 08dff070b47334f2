"""How what learns is wired to the other parts of a core."""

from amaranth.hdl import Module, Mux
from amaranth.lib import wiring

from spikewright.spec import CoreSpec

from .fired import FiredLists
from .layouts import group_of
from .neuron import NeuronUpdate
from .pending import PendingSources
from .plasticity import Plasticity
from .rows import RowFetch
from .scheduler import Scheduler
from .traces import PostTraces

__all__ = ["connect_fired", "connect_plasticity", "connect_rows", "connect_traces"]


def connect_rows(
    m: Module,
    rows: RowFetch,
    pending: PendingSources,
    plasticity: Plasticity,
    scheduler: Scheduler,
) -> None:
    """Pending sources go to the rows, or the listed ones in a learning pass; traces and words come
    back from the learning pipeline.
    """
    passing = scheduler.passing
    m.d.comb += [
        rows.i.valid.eq(Mux(passing, plasticity.o.valid, pending.o.valid)),
        rows.i.payload.eq(Mux(passing, plasticity.o.payload, pending.o.payload)),
        pending.o.ready.eq(rows.i.ready & ~passing),
        plasticity.o.ready.eq(rows.i.ready & passing),
        rows.passing.eq(passing),
        rows.learned_en.eq(plasticity.learned_en),
        rows.learned_addr.eq(plasticity.learned_addr),
        rows.learned_data.eq(plasticity.learned_data),
        rows.trace_en.eq(plasticity.trace_en),
        rows.trace_addr.eq(plasticity.trace_addr),
        rows.trace_data.eq(plasticity.trace_data),
    ]


def connect_traces(
    m: Module,
    spec: CoreSpec,
    traces: PostTraces,
    rows: RowFetch,
    neurons: NeuronUpdate,
    scheduler: Scheduler,
) -> None:
    """Post traces follow the neurons' updates; rows ask for them while they are read."""
    reading = scheduler.adding | scheduler.passing
    m.d.comb += [
        traces.commit.eq(neurons.commit),
        traces.learning.eq(scheduler.learning),
        traces.group.eq(Mux(reading, rows.group_ahead, group_of(spec, neurons.part_ahead))),
        traces.part.eq(neurons.part_ahead),
        traces.zero.eq(group_of(spec, scheduler.zero_part)),
        traces.zero_en.eq(scheduler.zero_en),
    ]


def connect_fired(
    m: Module, fired: FiredLists, rows: RowFetch, neurons: NeuronUpdate, scheduler: Scheduler
) -> None:
    """Neurons are listed as they fire; rows ask for them in a learning pass."""
    wiring.connect(m, rows.order, fired.order)
    m.d.comb += [
        fired.start.eq(scheduler.step & ~scheduler.busy),
        fired.commit.eq(neurons.commit),
    ]


def connect_plasticity(
    m: Module,
    spec: CoreSpec,
    plasticity: Plasticity,
    rows: RowFetch,
    traces: PostTraces,
    scheduler: Scheduler,
) -> None:
    """Words pass by the learning pipeline; the scheduler starts its pass. A clear zeroes the pre
    traces and forgets the list.
    """
    m.d.comb += [
        plasticity.word.eq(rows.o),
        plasticity.y.eq(traces.y),
        plasticity.learning.eq(scheduler.learning),
        plasticity.start.eq(scheduler.start_pass),
        plasticity.clear.eq(scheduler.zero_en),
        plasticity.zero.eq(scheduler.zero_source),
        plasticity.zero_en.eq(scheduler.zero_source_en),
        scheduler.listed.eq(plasticity.any_listed),
        scheduler.listing.eq(plasticity.listing),
    ]
    if spec.reward:
        m.d.comb += plasticity.fired.eq(traces.fired)
