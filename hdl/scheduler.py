"""The sequence of a timestep: integrate what is pending, update level by level."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from spikewright.spec import CoreSpec, index_width

from .layouts import part_bits, part_width
from .updates import commit_layout

__all__ = ["Scheduler"]


class Scheduler(wiring.Component):
    """Sequence timesteps and clears.

    Parts of groups are issued one a cycle without waiting for what their predecessors do. Only if a
    level turns out to have spiked, when its last part commits, the parts issued after it are
    flushed and issued again once the level's spikes are integrated. So levels cost nothing by
    themselves.

    A level with winners is issued several times: until they are found, and once more to settle
    them. After the last level of a timestep that learns comes the learning pass.

    Members
    -------
    step, clear : In(1)
        Start a timestep, or a clear; ignored while busy.
    waiting : In(1)
        Sources are pending.
    streaming : In(1)
        Sources or words are on their way.
    adding : Out(1)
        Integrating.
    enable : Out(1)
        Hand out pending sources.
    commit : In
        The part being committed.
    flush : Out(1)
        Forget the groups behind it.
    awake : Out(1)
        The neurons' registers move; low while words are added, when nothing is in them.
    issue, issue_valid : Out
        Part to update.
    first_open : Out
        First group not yet updated in this timestep, as far as integration goes.
    slot : Out
        Slot of the delay ring that this timestep consumes.
    zero_en, zero_part, zero_slot : Out
        Clear: zero the state of a part, and its group's accumulators in a slot.
    busy : Out(1)
    timestep_busy : Out(1)
        Busy with a timestep.
    issue_again, issue_settles : Out(1)
        With ``winners``: the group's level was issued before; for the last time.
    learn : In(1)
        With ``step``: learn in this timestep. It and what follows come with plasticity.
    listed, listing : In(1)
        There are sources for a learning pass; there are some left in it.
    learning, passing : Out(1)
        In a timestep that learns; in its learning pass.
    start_pass : Out(1)
        The pass begins in the next cycle.
    zero_source, zero_source_en : Out
        Clear: zero the pre trace of a source.
    """

    def __init__(self, spec: CoreSpec) -> None:
        self._spec = spec
        part = part_width(spec)
        slot = index_width(spec.delay_slots)
        with_plasticity = {
            "learn": In(1),
            "listed": In(1),
            "listing": In(1),
            "learning": Out(1),
            "passing": Out(1),
            "start_pass": Out(1),
            "zero_source": Out(range(spec.clear_cycles - 1)),
            "zero_source_en": Out(1),
        }
        super().__init__({
            **({"issue_again": Out(1), "issue_settles": Out(1)} if spec.winners else {}),
            **(with_plasticity if spec.plastic else {}),
            "step": In(1),
            "clear": In(1),
            "waiting": In(1),
            "streaming": In(1),
            "adding": Out(1),
            "enable": Out(1),
            "commit": In(commit_layout(spec)),
            "flush": Out(1),
            "awake": Out(1, init=1),
            "issue": Out(part),
            "issue_valid": Out(1),
            "first_open": Out(range(spec.groups + 1)),
            "slot": Out(slot),
            "zero_en": Out(1),
            "zero_part": Out(part),
            "zero_slot": Out(slot),
            "busy": Out(1),
            "timestep_busy": Out(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        spec = self._spec
        warm_up = Signal(2)
        # From the end of the last row to the sum of its last word being in the accumulators.
        drain = 6 + spec.bank_delay
        drained = Signal(range(drain))
        level_spiked = Signal()
        spiked = Signal()
        level_ends = Signal()
        timestep_ends = Signal()
        final = self.commit.valid & (self.commit.final if spec.winners else 1)
        m.d.comb += [
            spiked.eq(level_spiked | self.commit.spiked),
            level_ends.eq(final & self.commit.last),
            timestep_ends.eq(final & self.commit.end),
            self.flush.eq(timestep_ends | (level_ends & spiked)),
            self.enable.eq(warm_up[-1]),
        ]
        # High again when the last row ends, in good time for the next issue.
        m.d.sync += self.awake.eq(~(self.adding & (self.waiting | self.streaming)))
        with m.If(self.commit.valid):
            m.d.sync += level_spiked.eq(spiked & ~level_ends)

        with m.FSM():
            with m.State("IDLE"):
                m.d.sync += [self.issue.eq(0), self.first_open.eq(0), warm_up.eq(0)]
                if spec.plastic:
                    m.d.sync += self.zero_source.eq(0)
                with m.If(self.step):
                    m.next = "UPDATE"
                    if spec.plastic:
                        m.d.sync += self.learning.eq(self.learn)
                    with m.If(self.waiting):
                        m.next = "INTEGRATE"
                with m.Elif(self.clear):
                    m.d.sync += self.slot.eq(0)
                    m.next = "CLEAR"
            with m.State("INTEGRATE"):
                # Spikes committed in the last cycle take two more to come out of their queue.
                m.d.comb += [self.busy.eq(1), self.timestep_busy.eq(1), self.adding.eq(1)]
                m.d.sync += warm_up.eq((warm_up << 1) | 1)
                m.d.sync += drained.eq(0)
                with m.If(~self.waiting & ~self.streaming):
                    m.d.sync += drained.eq(drained + 1)
                    with m.If(drained == drain - 1):
                        m.d.sync += [drained.eq(0), warm_up.eq(0)]
                        m.next = "UPDATE"
            with m.State("UPDATE"):
                m.d.comb += [self.busy.eq(1), self.timestep_busy.eq(1), self.issue_valid.eq(1)]
                m.d.sync += self.issue.eq(self.issue + 1)
                with m.If(timestep_ends):
                    m.d.sync += self.slot.eq(
                        Mux(self.slot == spec.delay_slots - 1, 0, self.slot + 1)
                    )
                    m.next = "IDLE"
                    if spec.plastic:
                        with m.If(self.learning & self.listed):
                            m.d.comb += self.start_pass.eq(1)
                            m.next = "LEARN"
                with m.Elif(level_ends & spiked):
                    m.d.sync += [
                        self.issue.eq((self.commit.group + 1) << part_bits(spec)),
                        self.first_open.eq(self.commit.group + 1),
                    ]
                    m.next = "INTEGRATE"
                if spec.winners:
                    self._repeat(m)
            if spec.plastic:
                with m.State("LEARN"):
                    self._learn(m)
            with m.State("CLEAR"):
                m.d.comb += [self.busy.eq(1), self.zero_en.eq(1)]
                m.d.sync += self.zero_part.eq(self.zero_part + 1)
                if spec.plastic:
                    m.d.comb += self.zero_source_en.eq(self.zero_source < spec.sources)
                    m.d.sync += self.zero_source.eq(self.zero_source + 1)
                with m.If(self.zero_part == spec.parts - 1):
                    m.d.sync += [self.zero_part.eq(0), self.zero_slot.eq(self.zero_slot + 1)]
                    with m.If(self.zero_slot == spec.delay_slots - 1):
                        m.d.sync += self.zero_slot.eq(0)
                        if not spec.plastic:
                            m.next = "IDLE"
                if spec.plastic:
                    with m.If(self.zero_source == spec.clear_cycles - 2):
                        m.d.sync += [self.zero_part.eq(0), self.zero_slot.eq(0)]
                        m.next = "IDLE"
        return m

    def _repeat(self, m: Module) -> None:
        """Issue the groups of a level with winners again, until they are settled."""
        commit = self.commit
        first, last = Signal.like(self.issue), Signal.like(self.issue)
        ends = commit.valid & commit.last
        end = Cat(commit.part, commit.group)
        with m.If(self.issue == last):
            # What follows is the next level.
            m.d.sync += [self.issue_again.eq(0), self.issue_settles.eq(0)]
        with m.If(ends & commit.final):
            m.d.sync += first.eq(Mux(commit.end, 0, end + 1))
        with m.Elif(ends):
            m.d.comb += self.flush.eq(1)
            m.d.sync += [
                self.issue.eq(first),
                last.eq(end),
                self.issue_again.eq(1),
                self.issue_settles.eq(~commit.more),
            ]

    def _learn(self, m: Module) -> None:
        """Read the listed sources' rows; then wait until all that they changed is written."""
        # The first row is read three cycles after the first source is handed out.
        drain = self._spec.learn_overhead - 3
        drained = Signal(range(drain))
        m.d.comb += [self.busy.eq(1), self.timestep_busy.eq(1), self.passing.eq(1)]
        with m.If(~self.listing & ~self.streaming):
            m.d.sync += drained.eq(drained + 1)
            with m.If(drained == drain - 1):
                m.d.sync += drained.eq(0)
                m.next = "IDLE"
