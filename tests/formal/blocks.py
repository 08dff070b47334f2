"""Blocks to prove something of: a component's class, perhaps mutated, and its insides."""

import importlib
import importlib.util
import inspect
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.abc import InspectLoader
from types import ModuleType

from amaranth.asserts import AnySeq
from amaranth.hdl import Assume, Cat, Fragment, Module, ResetSignal, ShapeLike, Signal, Value
from amaranth.lib import wiring

__all__ = [
    "Block",
    "Checker",
    "Inside",
    "Mutant",
    "Registers",
    "at_most_one",
    "free",
    "free_inputs",
    "moves",
]


@dataclass(frozen=True)
class Mutant:
    """A fault: a piece of a module's source, which must be there once, and what to put there."""

    old: str
    new: str


@dataclass(frozen=True)
class Block:
    """A component's class and what is changed in its module.

    Parameters
    ----------
    module, name : str
        Where the class is.
    mutant : Mutant, optional
        A fault to put in.
    stand_ins : mapping of str to object
        Names of the module that get another value, such as a part with free outputs in place of
        the real one: what is proved with it holds whatever that part does.
    """

    module: str
    name: str
    mutant: Mutant | None = None
    stand_ins: Mapping[str, object] | None = None

    def load(self) -> type:
        """The class, from a copy of its module of its own if anything is changed there."""
        module = importlib.import_module(self.module)
        if self.mutant or self.stand_ins:
            module = self._copy(inspect.getsource(module))
        loaded: type = getattr(module, self.name)
        return loaded

    def _copy(self, source: str) -> ModuleType:
        if self.mutant:
            count = source.count(self.mutant.old)
            if count != 1:
                raise ValueError(f"{self.module} must have {self.mutant.old!r} once, not {count}")
            source = source.replace(self.mutant.old, self.mutant.new)
        loader = _Source(source)
        spec = importlib.util.spec_from_loader(self.module, loader)
        assert spec is not None
        module = importlib.util.module_from_spec(spec)
        loader.exec_module(module)
        for name, value in (self.stand_ins or {}).items():
            if not hasattr(module, name):
                raise ValueError(f"{self.module} has no {name} to stand in for")
            setattr(module, name, value)
        return module


class _Source(InspectLoader):
    """Loads a module from a text."""

    def __init__(self, source: str) -> None:
        self._source = source

    def get_source(self, fullname: str) -> str:
        return self._source


class Registers:
    """A fragment's registers, by the names that they have in its source.

    Attributes
    ----------
    fragment : Fragment
    """

    def __init__(self, fragment: Fragment) -> None:
        self.fragment = fragment
        self._registers = {
            signal.name: signal
            for statement in fragment.statements["sync"]
            for signal in statement._lhs_signals()
        }

    def __iter__(self) -> Iterator[str]:
        return iter(self._registers)

    def __getitem__(self, name: str) -> Signal:
        return self._registers[name]

    def part(self, name: str) -> "Registers":
        """Those of a submodule."""
        (fragment,) = (
            part for part, called, _where in self.fragment.subfragments if called == name
        )
        return Registers(fragment)

    def ongoing(self, *states: str) -> Value:
        """Whether the state machine is in one of these states."""
        register = self["fsm_state"]
        codes = {}
        with suppress(KeyError):  # past the last state
            for code in range(1 << len(register)):
                codes[register.decoder(code).split("/")[0]] = code
        return register.matches(*(codes[state] for state in states))


class Inside(Registers):
    """A component's registers.

    Attributes
    ----------
    fragment : Fragment
        What to add as a submodule in place of the component.
    module : Module
    """

    def __init__(self, component: wiring.Component) -> None:
        self.module: Module = component.elaborate(None)
        super().__init__(Fragment.get(self.module, None))


class Checker(wiring.Component):
    """A block and what is claimed of it: a design without ports, whose inputs are all free.

    Attributes
    ----------
    invariants : bool
        Also assert what the block's registers hold, without which induction may not close. Off
        for mutants: what catches them is the claim itself.
    """

    invariants: bool = True

    def __init__(self) -> None:
        super().__init__({})

    def begin(self) -> Module:
        """An empty module that is never reset: a proof starts at the initial state."""
        m = Module()
        m.d.comb += Assume(~ResetSignal())
        return m


def free(m: Module, shape: ShapeLike, name: str) -> Signal:
    """A signal that has any value in any cycle."""
    signal = Signal(shape, name=name)
    m.d.comb += signal.eq(AnySeq(len(signal)))
    return signal


def free_inputs(m: Module, component: wiring.Component) -> None:
    """Let all inputs of a component have any values in any cycle."""
    for _path, member, port in component.signature.flatten(component):
        if member.flow is wiring.In:
            value = Value.cast(port)
            m.d.comb += value.eq(AnySeq(len(value)))


def moves(port: wiring.PureInterface) -> Value:
    """Whether a transfer happens on a stream."""
    return port.valid & port.ready


def at_most_one(*values: Value) -> Value:
    """Whether one of some bits is set, or none."""
    ones = Cat(values)
    return (ones & (ones - 1)) == 0
