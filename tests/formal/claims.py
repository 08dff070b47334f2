"""All that is proved, each with sizes to prove it for, and faults that break it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import SimpleNamespace

from spikewright.frames import LinkSpec, ring_bytes
from spikewright.hdl.pending import group_spikes
from spikewright.spec import CoreSpec

from .blocks import Block, Checker, Mutant
from .cobs import LengthChecker, ResyncChecker
from .crc import CRCChecker, TrailerChecker
from .fifo import FIFOChecker
from .image import AnySequence, RunChecker
from .load import AnyDigest, LoadChecker
from .receiver import AnyCRC, BoundsChecker, FewWords
from .sequence import SequenceChecker
from .uart import GlitchChecker, ReceiverChecker, TransmitterChecker

__all__ = ["CLAIMS", "Claim"]


@dataclass(frozen=True)
class Claim:
    """Something to prove of a block.

    Attributes
    ----------
    name, says : str
        For the table.
    block : Block
    checker : callable
        Makes the checker from the block and a size.
    mutants : tuple of Mutant
        Faults in the block's module, each put in at the first size.
    depth : int
        Cycles from the initial state in which a mutant is to be caught.
    sizes : mapping of str to mapping
        Parameters of the checker by how the table calls them.
    window : int
        Cycles that the induction may look back.
    """

    name: str
    says: str
    block: Block
    checker: Callable[..., Checker]
    mutants: tuple[Mutant, ...]
    depth: int
    sizes: Mapping[str, Mapping[str, object]]
    window: int = 4

    def true(self, size: str) -> Checker:
        """The checker of the block as it is."""
        return self.checker(self.block, **self.sizes[size])

    def false(self, mutant: Mutant) -> Checker:
        """The checker of a mutant, with the claim alone."""
        mutated = replace(self.block, mutant=mutant)
        checker = self.checker(mutated, **next(iter(self.sizes.values())))
        checker.invariants = False
        return checker


def _fifo(width: int, depth: int) -> dict[str, object]:
    return {"width": width, "depth": depth}


def _divisors(*values: int) -> dict[str, dict[str, object]]:
    return {f"divisor {value}": {"divisor": value} for value in values}


_SPEC, _LINK = CoreSpec(), LinkSpec()
_SMALL_SPEC = CoreSpec(axons=8, neurons=8, lanes=2, weight_words=64)
_SMALL_LINK = LinkSpec(window=2, max_payload=64)
_TINY_LINK = SimpleNamespace(window=2, max_payload=16)
"""No real link: its two slots are full so soon that a mutant is caught."""

_FIFO = Block("amaranth.lib.fifo", "SyncFIFOBuffered")
_TRANSMITTER = Block("spikewright.hdl.uart", "UARTTransmitter")
_RECEIVER = Block("spikewright.hdl.uart", "UARTReceiver")
_CRC = Block("spikewright.hdl.crc", "CRC32C")
_COBS = Block("spikewright.hdl.cobs", "COBSDecoder")
_FRAMES = Block(
    "spikewright.hdl.receiver", "FrameReceiver", stand_ins={"CRC32C": AnyCRC, "Memory": FewWords}
)
_LOAD = Block("spikewright.hdl.load", "ImageLoad", stand_ins={"CRC32C": AnyDigest})
_SEQUENCE = Block("spikewright.hdl.sequence", "SequenceCheck")
_COMMANDS = Block(
    "spikewright.hdl.decoder", "CommandDecoder", stand_ins={"SequenceCheck": AnySequence}
)

CLAIMS = (
    Claim(
        "FIFO",
        "in order, nothing lost, nothing twice",
        _FIFO,
        FIFOChecker,
        (
            Mutant("inner_r_rdy & (~self.r_rdy | self.r_en)", "inner_r_rdy"),
            Mutant("self.w_rdy.eq(inner_level != inner_depth)", "self.w_rdy.eq(1)"),
        ),
        depth=10,
        sizes={
            "4 words": _fifo(8, 4),
            "groups": _fifo(group_spikes(_SPEC).size, _SPEC.groups + 1),
            "axons": _fifo(8, _SPEC.axons),
            "spikes out": _fifo(8, ring_bytes(_SPEC)),
        },
    ),
    Claim(
        "UART transmitter",
        "bits right and in time",
        _TRANSMITTER,
        TransmitterChecker,
        (
            Mutant("Cat(line[1:], C(1, 1))", "Cat(line[1:], C(0, 1))"),
            Mutant("left.eq(_DATA_BITS + 2)", "left.eq(_DATA_BITS + 1)"),
        ),
        depth=50,
        sizes=_divisors(4, 5, 24, 100),
    ),
    Claim(
        "UART start bit",
        "no byte from a line low for half a bit",
        _RECEIVER,
        GlitchChecker,
        (Mutant("with m.If(rx):\n", "with m.If(0):\n"),),
        depth=50,
        sizes=_divisors(4, 5, 24, 100),
    ),
    Claim(
        "UART receiver",
        "every byte, once, baud off by up to 2 %",
        _RECEIVER,
        ReceiverChecker,
        (
            Mutant("timer.eq(self._divisor // 2 - 1)", "timer.eq(self._divisor - 1)"),
            Mutant("Cat(shift[1:], rx)", "Cat(rx, shift[:-1])"),
        ),
        depth=60,
        sizes=_divisors(4, 5, 8, 24, 100),
    ),
    Claim(
        "CRC",
        "equal to its definition",
        _CRC,
        CRCChecker,
        (
            Mutant("_POLYNOMIAL = 0x82F63B78", "_POLYNOMIAL = 0x82F63B79"),
            Mutant("self.i.ready.eq(bit == 7)", "self.i.ready.eq(bit == 6)"),
            Mutant(" & ~self.drain", ""),
        ),
        depth=20,
        sizes={"": {}},
        window=4,
    ),
    Claim(
        "CRC residue",
        "intact if and only if the CRC is right",
        _CRC,
        TrailerChecker,
        (Mutant("_RESIDUE = 0x48674BC7", "_RESIDUE = 0"),),
        depth=10,
        sizes={"": {}},
        window=6,
    ),
    Claim(
        "COBS resync",
        "as new after one delimiter",
        _COBS,
        ResyncChecker,
        (
            Mutant("inside.eq(0), left.eq(1)", "inside.eq(0)"),
            Mutant("[bad.eq(0), inside", "[inside"),
        ),
        depth=12,
        sizes={"": {}},
    ),
    Claim(
        "COBS length",
        "fewer bytes out than in, one end a frame",
        _COBS,
        LengthChecker,
        (Mutant("with m.Elif(zero_due):", "with m.Else():"),),
        depth=12,
        sizes={"": {}},
    ),
    Claim(
        "Frame buffer",
        "never written over what waits, never read past it",
        _FRAMES,
        BoundsChecker,
        (
            Mutant("crc.i.ready & has_slot)", "crc.i.ready)"),
            Mutant("w_port.en.eq(finished & good)", "w_port.en.eq(finished)"),
            Mutant("offset == frame.payload", "offset > frame.payload"),
        ),
        depth=50,
        sizes={"2 slots": {"link": _TINY_LINK}, "8 slots": {"link": _LINK}},
    ),
    Claim(
        "Sequence",
        "each number of a session executed once, in order",
        _SEQUENCE,
        SequenceChecker,
        (
            Mutant("Mux(opens, number[:8], 0) + ", ""),
            Mutant("Mux(self.hello, ~(is_open & is_opening), ", "Mux(self.hello, 1, "),
            Mutant("~is_zero & (difference <= kept)", "~is_zero"),
            Mutant("is_zero & (was_first | is_expected)", "is_zero"),
        ),
        depth=30,
        sizes={"window 2": {"link": _SMALL_LINK}, "window 8": {"link": _LINK}},
    ),
    Claim(
        "Image load",
        "valid only once count and digest of all bytes agree",
        _LOAD,
        LoadChecker,
        (
            Mutant("                self.valid.eq(0),\n", ""),
            Mutant("is_counted.eq(0)", "is_counted.eq(1)"),
            Mutant("is_counted & crc.intact", "is_counted"),
        ),
        depth=30,
        sizes={"": {}},
        window=5,
    ),
    Claim(
        "Run",
        "no step without a valid image",
        _COMMANDS,
        RunChecker,
        (
            Mutant("request.image_valid.eq(parts.load.valid)", "request.image_valid.eq(1)"),
            Mutant("request.loading.eq(parts.load.loading)", "request.loading.eq(1)"),
            Mutant("with m.Elif(~sequence.execute):", "with m.Elif(0):"),
        ),
        depth=30,
        sizes={"8 neurons": {"spec": _SMALL_SPEC, "link": _SMALL_LINK}},
        window=5,
    ),
)
