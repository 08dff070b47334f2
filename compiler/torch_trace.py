"""What feeds what in a torch module, found by running it on a sample."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from spikewright.errors import ModelError

__all__ = ["INPUT", "Leaf", "Wiring", "trace"]

INPUT = ""
"""Name of the sample among the sources of edges."""

FRAMEWORKS = ("torch", "snntorch", "norse", "sinabs", "spikingjelly")
"""Packages whose childless modules are leaves; a user's own modules are looked into."""

_CASTS = ("clone", "contiguous", "detach", "double", "float", "requires_grad_", "to", "type_as")
_RESHAPES = ("flatten", "reshape", "squeeze", "unflatten", "unsqueeze", "view", "view_as")
_ADDS = ("__add__", "__iadd__", "__radd__", "add", "add_")
_PICKS = ("__getitem__", "select", "unbind")
_ZEROS = ("new_zeros", "zeros_like")


@dataclass(frozen=True, slots=True)
class Leaf:
    """A module that was called; shapes are those of its first argument and result, batch and all.

    Attributes
    ----------
    module : torch.nn.Module
    shape_in, shape_out : tuple of int
    """

    module: Any
    shape_in: tuple[int, ...]
    shape_out: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Wiring:
    """Leaves by name, and edges between their names; :data:`INPUT` is the sample."""

    leaves: Mapping[str, Leaf]
    edges: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class _Origin:
    """One call's result, or the sample: whole, or ``pick`` = (axis, size, index) of it."""

    node: str
    call: int = 0
    pick: tuple[int, int, int] | None = None


@dataclass(frozen=True, slots=True)
class _Other:
    """A tensor that is no sum of results; ``owner`` is the leaf whose state it is, if it is one."""

    text: str
    owner: str | None = None


_Known = frozenset[_Origin] | _Other


@dataclass(slots=True)
class _Calls:
    """What one leaf got, call by call."""

    module: Any
    sources: list[frozenset[_Origin]] = field(default_factory=list)
    shape_in: tuple[int, ...] = ()
    shape_out: tuple[int, ...] = ()


def trace(
    module: Any, sample: Any, is_leaf: Callable[[Any], bool], passes: Callable[[Any], bool]
) -> Wiring:
    """Run a module on a sample and watch which leaf's result becomes which leaf's input.

    Sums, reshapes, and a loop over the sample's timesteps are followed; any other operation
    outside of a leaf is refused where its result enters a leaf, as it would be lost. The module's
    buffers and memories are left as they were.

    Parameters
    ----------
    module : torch.nn.Module
    sample : torch.Tensor
        Batch first, or whatever ``module`` takes.
    is_leaf : callable
        Of a module with children, whether it is taken as one node.
    passes : callable
        Of a leaf, whether it hands its input on as it is.

    Raises
    ------
    ModelError
        The call fails, or what feeds a leaf is not spikes of other leaves or of the sample.
    """
    watcher = _Watcher(sample, passes)
    with ExitStack() as stack:
        stack.enter_context(_unchanged(module))
        for name, part in module.named_modules():
            if is_leaf(part) or (_root(part) in FRAMEWORKS and not list(part.children())):
                for hook in watcher.hooks(part, name or type(part).__name__.lower()):
                    stack.callback(hook.remove)
        stack.enter_context(torch.no_grad())
        stack.enter_context(watcher)
        try:
            module(sample)
        except Exception as error:
            raise ModelError(
                f"Torch module fails on the sample: {type(error).__name__}: {error}.",
                hint="Give a sample of the shape that its forward takes, batch first.",
            ) from error
    edges, faults = _wire(watcher.calls)
    if faults := list(dict.fromkeys(watcher.faults + faults)):
        raise ModelError(
            "Torch module does something between its layers that a graph cannot hold:",
            reasons=faults,
            hint="Between layers only sums, reshapes that keep the order, and a loop over "
            "timesteps are followed; put anything else into the layers' weights.",
        )
    leaves = {
        name: Leaf(calls.module, calls.shape_in, calls.shape_out)
        for name, calls in watcher.calls.items()
    }
    return Wiring(leaves, edges)


def _root(module: Any) -> str:
    return str(type(module).__module__.partition(".")[0])


@contextmanager
def _unchanged(module: Any) -> Iterator[None]:
    """Put buffers, and SpikingJelly's memories, back afterwards."""
    stores = [
        store
        for part in module.modules()
        for store in (part._buffers, vars(part).get("_memories"))
        if store is not None
    ]
    before = [dict(store) for store in stores]
    try:
        yield
    finally:
        for store, values in zip(stores, before, strict=True):
            store.clear()
            store.update(values)


def _tensors(value: Any) -> Iterator[Any]:
    """Tensors among arguments or results, however nested."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, Mapping):
        yield from _tensors(list(value.values()))
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _tensors(item)


def _is_zero(value: Any) -> bool:
    if isinstance(value, torch.Tensor):
        return not bool(torch.count_nonzero(value))
    return isinstance(value, (int, float)) and value == 0


class _Watcher(TorchFunctionMode):
    """Knows of every tensor in flight which calls it is the sum of."""

    def __init__(self, sample: Any, passes: Callable[[Any], bool]) -> None:
        super().__init__()
        self.passes = passes
        self.calls: dict[str, _Calls] = {}
        self.faults: list[str] = []
        self.inside = 0
        # The tensors are kept, so that no other one gets the same id.
        self.known: dict[int, tuple[Any, _Known]] = {}
        self._set(sample, frozenset({_Origin(INPUT)}))

    def _set(self, tensor: Any, what: _Known) -> None:
        self.known[id(tensor)] = (tensor, what)

    def _get(self, tensor: Any) -> _Known | None:
        return self.known.get(id(tensor), (None, None))[1]

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation and, outside of leaves, note where its result comes from."""
        result = func(*args, **(kwargs or {}))
        if not self.inside:
            self._follow(str(getattr(func, "__name__", func)), args, kwargs or {}, result)
        return result

    def _follow(self, name: str, args: Any, kwargs: Any, result: Any) -> None:
        operands = [what for x in _tensors([args, kwargs]) if (what := self._get(x)) is not None]
        if not operands or name in _ZEROS:
            return
        outcome: _Known = _Other(f"what {name!r} makes")
        if name == "__setitem__":
            self._set(args[0], outcome)
        elif name in _ADDS and not kwargs:
            outcome = self._sum(args) or outcome
        elif name in _PICKS and operands[0] == frozenset({_Origin(INPUT)}) and not kwargs:
            if self._pick(name, args, result):
                return
        elif name in _CASTS + _RESHAPES and result.numel() == args[0].numel():
            outcome = operands[0]
        for tensor in _tensors(result):
            self._set(tensor, outcome)

    def _sum(self, terms: Any) -> frozenset[_Origin] | None:
        """Of which calls a sum is one; None if something else is in it, or one of them twice."""
        total: frozenset[_Origin] = frozenset()
        for term in terms:
            what = self._get(term)
            if isinstance(what, _Other) or (what is None and not _is_zero(term)):
                return None
            if what:
                if total & what:
                    return None
                total |= what
        return total

    def _pick(self, name: str, args: Any, result: Any) -> bool:
        """Note a timestep of the sample; False if that is not what was taken."""
        axis, index = 0, args[1] if len(args) > 1 else 0
        if name == "unbind":
            axis = index
        elif name == "select":
            _, axis, index = args
        elif isinstance(index, tuple) and index and index[:-1] == (slice(None),) * (len(index) - 1):
            axis, index = len(index) - 1, index[-1]
        if not isinstance(index, int) or not isinstance(axis, int):
            return False
        size = args[0].shape[axis]
        for k, tensor in enumerate(_tensors(result)):
            pick = (axis, size, k if name == "unbind" else index % size)
            self._set(tensor, frozenset({_Origin(INPUT, 0, pick)}))
        return True

    def hooks(self, module: Any, name: str) -> Iterator[Any]:
        """Watch the calls of a leaf."""

        def before(part: Any, args: Any, kwargs: Any) -> None:
            """A call of it, or within one, begins: note where its input comes from."""
            self.inside += 1
            if self.inside == 1 and not self.passes(part):
                self._enter(part, name, args, kwargs)

        def after(part: Any, args: Any, kwargs: Any, result: Any) -> None:
            """It ends: note its results as the leaf's, or those of what only passes input on."""
            self.inside -= 1
            if self.inside:
                return
            first, *rest = _tensors(result)
            if self.passes(part):
                what = self._get(next(_tensors([args, kwargs])))
                if what is not None:
                    self._set(first, what)
                return
            calls = self.calls[name]
            calls.shape_out = tuple(first.shape)
            for tensor in rest:
                self._set(tensor, _Other(f"the state of node {name!r}", name))
            self._set(first, frozenset({_Origin(name, len(calls.sources) - 1)}))

        yield module.register_forward_pre_hook(before, with_kwargs=True)
        yield module.register_forward_hook(after, with_kwargs=True)

    def _enter(self, module: Any, name: str, args: Any, kwargs: Any) -> None:
        """Note where the first argument comes from; the others must be the leaf's own state."""
        first, *rest = _tensors([args, kwargs])
        calls = self.calls.setdefault(name, _Calls(module))
        calls.shape_in = tuple(first.shape)
        what = self._get(first)
        if what is None and not _is_zero(first):
            what = _Other("a tensor that does not come from the sample")
        if isinstance(what, _Other):
            self.faults.append(f"node {name!r} gets {what.text}, not spikes of another node")
        calls.sources.append(what if isinstance(what, frozenset) else frozenset())
        for state in rest:
            what = self._get(state)
            own = what is not None and (
                what.owner == name
                if isinstance(what, _Other)
                else {origin.node for origin in what} == {name}
            )
            if not own and not _is_zero(state):
                self.faults.append(f"node {name!r} starts from a state that is not 0")


def _wire(calls: Mapping[str, _Calls]) -> tuple[tuple[tuple[str, str], ...], list[str]]:
    """Edges of the graph, and what says that there is no such graph."""
    edges: list[tuple[str, str]] = []
    late: list[tuple[str, str]] = []
    faults = []
    for name, leaf in calls.items():
        nodes = [{origin.node for origin in sources} for sources in leaf.sources]
        # A loop's first timestep may leave recurrent input out.
        if not nodes[0] <= nodes[-1] or any(seen != nodes[-1] for seen in nodes[1:]):
            faults.append(f"node {name!r} gets other nodes' results in other calls: it is shared")
        elif not nodes[-1]:
            faults.append(f"node {name!r} gets nothing: does the sample have but one timestep?")
        edges += [(source, name) for source in sorted(nodes[-1])]
        ages: dict[str, set[int]] = {}
        for k, sources in enumerate(leaf.sources):
            for origin in sources:
                if origin.node != INPUT:
                    ages.setdefault(origin.node, set()).add(k - origin.call)
        for source, age in ages.items():
            if age not in ({0}, {1}):
                faults.append(
                    f"node {name!r} gets results of node {source!r} that are {sorted(age)} calls "
                    "old, not 0 or 1"
                )
            late += [(source, name)] * (age == {1})
        faults += _partial(name, leaf)
    faults += [
        f"node {b!r} gets the spikes of node {a!r} a timestep late, outside of any loop"
        for a, b in late
        if a not in _reached(b, edges)
    ]
    return tuple(edges), faults


def _partial(name: str, leaf: _Calls) -> list[str]:
    """A leaf that reads the sample reads it whole, or timestep by timestep to its end."""
    picks = [origin.pick for sources in leaf.sources for origin in sources if origin.node == INPUT]
    steps = [pick for pick in picks if pick is not None]
    if not steps or (
        len(steps) == len(picks)
        and len({(axis, size) for axis, size, _ in steps}) == 1
        and [index for *_, index in steps] == list(range(steps[0][1]))
    ):
        return []
    return [f"node {name!r} gets parts of the sample that are not all its timesteps in order"]


def _reached(start: str, edges: list[tuple[str, str]]) -> set[str]:
    """Nodes that a path leads to, the start included."""
    reached = {start}
    frontier = reached
    while frontier:
        frontier = {b for a, b in edges if a in frontier} - reached
        reached = reached | frontier
    return reached
