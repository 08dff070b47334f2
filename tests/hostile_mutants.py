"""Mutants of valid files: bytes flipped, cut, spliced; fields replaced, dropped, renamed."""

import copy
import hashlib
import io
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import nir
import numpy as np
import safetensors.numpy

from spikewright.compiler import CompileOptions, compile_network
from spikewright.image import CoreImage

FORMATS = ("nir", "json", "npz", "core", "pt")
"""torch comes last: it takes memory of which the reader of NIR files would have less."""

NAMES = ["../../x", "/tmp/x", "<script>", "a\nb", "", "x" * 300, "\x1b[31m", "input", "\u202e"]
VALUES: list[Any] = [
    0, -1, 1, 7, 1 << 20, 1 << 40, 1.5, float("nan"), float("inf"), -1e308, "x", "", "1", True,
    [1], [1, 2, 3], [[1.0]], [], [0.5] * 100, [-1e30] * 3, ["a"],
]  # fmt: skip
PLAIN = [*VALUES, None, {}, {"a": 1}, 1 << 70, [None], {"dtype": "<d", "base85": "0"}, [[]] * 9]


@dataclass(frozen=True)
class Mutant:
    """A file's content, how it came about, and the file that it must not pass for."""

    data: bytes
    how: str
    original: bytes = b""

    def may_be_sound(self, path: Path) -> bool:
        """An image whose bytes alone were changed cannot be."""
        return self.data == self.original or not self.original


class Exploit:
    """Unpickling this makes a folder."""

    def __reduce__(self) -> Any:
        return os.mkdir, ("trespass",)


def mutant(kind: str, seed: int, number: int) -> Mutant:
    """The mutant of that number, always the same."""
    rng = np.random.default_rng((seed, FORMATS.index(kind), number))
    files = originals(kind)
    data = files[rng.integers(len(files))]
    if rng.random() < 0.5:
        changed, how = BYTES[rng.integers(len(BYTES))](rng, data, files)
        return Mutant(changed, how, data if kind == "core" else b"")
    return Mutant(FIELDS[kind](rng, data), "fields")


# Bytes

Files = tuple[bytes, ...]


def flip(rng: np.random.Generator, data: bytes, files: Files) -> tuple[bytes, str]:
    changed = bytearray(data)
    for _ in range(2 ** rng.integers(0, 5)):
        changed[rng.integers(len(changed))] ^= 1 << rng.integers(8)
    return bytes(changed), "flip"


def fill(rng: np.random.Generator, data: bytes, _: Files) -> tuple[bytes, str]:
    start, size = int(rng.integers(len(data))), 2 ** int(rng.integers(0, 9))
    value = bytes([rng.choice([0, 0xFF, 0x80, 0x7F, 0x41])])
    return data[:start] + value * len(data[start : start + size]) + data[start + size :], "fill"


def cut(rng: np.random.Generator, data: bytes, _: Files) -> tuple[bytes, str]:
    return data[: rng.integers(len(data))], "cut"


def splice(rng: np.random.Generator, data: bytes, files: Files) -> tuple[bytes, str]:
    other = files[rng.integers(len(files))]
    start, end = np.sort(rng.integers(len(other), size=2))
    a, b = np.sort(rng.integers(len(data), size=2))
    return data[:a] + other[start:end] + data[a if rng.random() < 0.5 else b :], "splice"


BYTES = (flip, flip, fill, cut, splice)


# NIR


def lif(*shape: int) -> nir.LIF:
    ones = np.ones(shape)
    return nir.LIF(tau=4 * ones, r=4 * ones, v_leak=0 * ones, v_threshold=ones, v_reset=0 * ones)


def dense() -> nir.NIRGraph:
    rng = np.random.default_rng(0)
    nodes = {
        "input": nir.Input(np.array([4])),
        "fc": nir.Affine(rng.normal(size=(5, 4)), rng.normal(size=5)),
        "hidden": lif(5),
        "back": nir.Linear(rng.normal(size=(5, 5))),
        "wait": nir.Delay(np.full(5, 2.0)),
        "gain": nir.Scale(np.ones(5)),
        "out": nir.IF(np.ones(5), np.ones(5), np.zeros(5)),
        "output": nir.Output(np.array([5])),
    }
    chain = ["input", "fc", "hidden", "wait", "gain", "out", "output"]
    return nir.NIRGraph(
        nodes, [*pairwise(chain), ("hidden", "back"), ("back", "hidden")], type_check=False
    )


def convolutional() -> nir.NIRGraph:
    rng = np.random.default_rng(1)
    two, zero = np.array([2, 2]), np.array([0, 0])
    nodes = {
        "input": nir.Input(np.array([1, 6, 6])),
        "conv": nir.Conv2d((6, 6), rng.normal(size=(2, 1, 3, 3)), 1, 1, 1, 1, np.zeros(2)),
        "a": lif(2, 6, 6),
        "pool": nir.SumPool2d(two, two, zero),
        "b": lif(2, 3, 3),
        "flat": nir.Flatten({"input": np.array([2, 3, 3])}, 0, 2),
        "fc": nir.Linear(rng.normal(size=(3, 18))),
        "out": nir.LI(np.full(3, 4.0), np.full(3, 4.0), np.zeros(3)),
        "output": nir.Output(np.array([3])),
    }
    return nir.NIRGraph(nodes, list(pairwise(nodes)), type_check=False)


def nir_bytes(graph: nir.NIRGraph) -> bytes:
    file = io.BytesIO()
    nir.write(file, graph)
    return file.getvalue()


def nir_fields(rng: np.random.Generator, data: bytes) -> bytes:
    """One to three of the file's data sets or groups changed."""
    buffer = io.BytesIO(data)
    with h5py.File(buffer, "r+") as file:
        for _ in range(rng.integers(1, 4)):
            paths: list[str] = []
            file.visit(paths.append)
            if not paths:
                break
            path = paths[rng.integers(len(paths))]
            parent, name = file[path].parent, path.split("/")[-1]
            action = rng.integers(6)
            if action == 0:
                del parent[name]
            elif action == 1:
                new = NAMES[rng.integers(len(NAMES))].strip("/") or "y"
                if new not in parent:
                    parent.move(name, new)
            elif action == 2:
                del parent[name]
                parent[name] = h5py.SoftLink(["/", f"/{path}", "/node"][rng.integers(3)])
            elif action == 3:
                del parent[name]
                parent[name] = h5py.ExternalLink("/etc/hostname", "/")
            else:
                value = other_value(rng, file[path])
                del parent[name]
                parent[name] = value
    return buffer.getvalue()


def other_value(rng: np.random.Generator, item: Any) -> Any:
    """Another value, or an array as before with other entries."""
    if isinstance(item, h5py.Dataset) and item.dtype.kind in "if" and rng.random() < 0.5:
        array = np.array(item[()], np.float64)
        if array.size:
            array.flat[rng.integers(array.size)] = [np.nan, np.inf, -1, 1e30, 0, 1e-320][
                rng.integers(6)
            ]
        return array if rng.random() < 0.7 else np.stack([array, array])
    kinds = ["Input", "Output", "LIF", "Conv2d", "Flatten", "NIRGraph", "Delay", "Nothing"]
    return [*VALUES, *kinds][rng.integers(len(VALUES) + len(kinds))]


# JSON


def places(tree: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to everything in a tree."""
    inner: Any = (
        tree.items()
        if isinstance(tree, dict)
        else enumerate(tree)
        if isinstance(tree, list)
        else ()
    )
    for key, value in inner:
        yield (*path, key)
        yield from places(value, (*path, key))


def change_tree(rng: np.random.Generator, tree: Any) -> Any:
    """One to three places replaced, dropped, doubled or renamed."""
    tree = copy.deepcopy(tree)
    for _ in range(rng.integers(1, 4)):
        found = list(places(tree))
        if not found:
            return tree
        *way, key = found[rng.integers(len(found))]
        inside = tree
        for step in way:
            inside = inside[step]
        action = rng.integers(5)
        if action == 0:
            del inside[key]
        elif action == 1 and isinstance(inside, list):
            inside.append(copy.deepcopy(inside[key]))
        elif action == 1:
            inside[NAMES[rng.integers(len(NAMES))]] = inside.pop(key)
        else:
            inside[key] = copy.deepcopy(PLAIN[rng.integers(len(PLAIN))])
    return tree


def json_fields(rng: np.random.Generator, data: bytes) -> bytes:
    return json.dumps(change_tree(rng, json.loads(data))).encode()


# Spikes


def npz_bytes(arrays: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def npz_fields(rng: np.random.Generator, _: bytes) -> bytes:
    """Another array, or one of other shape, type or name."""
    shape = tuple(rng.choice([0, 1, 2, 4, 5, 300], size=rng.integers(0, 5)).tolist())
    array: Any = np.zeros(shape if np.prod(shape) < 1e6 else (2, 3, 4))
    types = ["?", "u1", "i8", "f2", "f8", "c16", "U3", "S2", "M8[s]", "V4", "O", [("a", "i4")]]
    array = (
        array.astype("i8")
        if rng.random() < 0.3
        else np.zeros(array.shape, types[rng.integers(len(types))])
    )
    if array.size and array.dtype.kind in "fi":
        array.flat[rng.integers(array.size)] = [1, 2, -1, 0][rng.integers(4)]
    name = "spikes" if rng.random() < 0.8 else NAMES[rng.integers(len(NAMES))]
    return npz_bytes({name: array})


# Images


@cache
def image() -> CoreImage:
    return compile_network(dense(), CompileOptions(dt=1.0, reset="zero", reset_delay=False))


def core_fields(rng: np.random.Generator, data: bytes) -> bytes:
    """Manifest or arrays changed, with hashes that are right again, as a forger would."""
    arrays = safetensors.numpy.load(data)
    size = int.from_bytes(data[:8], "little")
    ((key, text),) = json.loads(data[8 : 8 + size])["__metadata__"].items()
    content = json.loads(json.loads(text)["content"])
    if rng.random() < 0.5:
        hashes = content.pop("arrays")
        content = change_tree(rng, content)
        content.setdefault("arrays", hashes)
    else:
        for _ in range(rng.integers(1, 4)):
            name = list(arrays)[rng.integers(len(arrays))]
            arrays[name] = other_array(rng, arrays[name])
            content["arrays"][name] = hashlib.sha256(arrays[name].tobytes()).hexdigest()
    packed = json.dumps(content, sort_keys=True, separators=(",", ":"))
    header = {"id": hashlib.sha256(packed.encode()).hexdigest(), "content": packed}
    return safetensors.numpy.save(arrays, metadata={key: json.dumps(header, sort_keys=True)})


def other_array(rng: np.random.Generator, array: Any) -> Any:
    """The same with other entries, or of another type or shape."""
    action = rng.integers(5)
    if action == 0:
        return array[:-1].copy()
    if action == 1:
        return np.concatenate([array, array])
    if action == 2:
        return array.astype([np.float32, np.int64, np.uint8, np.int8][rng.integers(4)])
    array = array.copy()
    if array.size and array.dtype.kind in "iu":
        info = np.iinfo(array.dtype)
        array.flat[rng.integers(array.size)] = rng.choice([info.min, info.max, 0, 1, 3])
    return array


# torch


def pt_state() -> dict[str, Any]:
    import torch

    torch.manual_seed(0)
    return dict(torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.BatchNorm1d(3)).state_dict())


def pt_bytes(content: Any) -> bytes:
    import torch

    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def pt_fields(rng: np.random.Generator, data: bytes) -> bytes:
    """One or two of a state dict's tensors replaced, dropped or renamed; or no dict at all."""
    import torch

    content = pt_state()
    tensors = [
        torch.zeros(()), torch.zeros(0), torch.full((3, 4), float("nan")), torch.ones(4, 3),
        torch.ones(3, 4, dtype=torch.float16), torch.ones(3, 4, dtype=torch.complex64),
        torch.ones(3, dtype=torch.int64), torch.ones(3, 4).to_sparse(),
        torch.ones(1).expand(3, 4), torch.ones(4, 3).t(), torch.ones(1).expand(1 << 20, 1 << 12),
        torch.ones(3, device="meta"), torch.ones(3, dtype=torch.bool), torch.ones(3, 4).bfloat16(),
        Exploit(), 1, "x", None, {"a": torch.ones(3)}, [torch.ones(3)], torch.nn.Linear(1, 1),
    ]  # fmt: skip
    for _ in range(rng.integers(1, 3)):
        name = list(content)[rng.integers(len(content))]
        action = rng.integers(4)
        if action == 0:
            del content[name]
        elif action == 1:
            content[NAMES[rng.integers(len(NAMES))]] = content.pop(name)
        else:
            content[name] = tensors[rng.integers(len(tensors))]
    return pt_bytes(content if rng.random() < 0.9 else tensors[rng.integers(len(tensors))])


# All


@cache
def originals(kind: str) -> Files:
    """Valid files."""
    if kind == "nir":
        return nir_bytes(dense()), nir_bytes(convolutional())
    if kind == "json":
        cases = json.loads((Path(__file__).parent / "compiler" / "superneuromat.json").read_text())
        return tuple(json.dumps(case["document"]).encode() for case in cases)
    if kind == "npz":
        spikes = np.random.default_rng(0).random((2, 10, 4)) < 0.5
        return npz_bytes({"spikes": spikes}), npz_bytes({"spikes": spikes.astype(float), "b": 1})
    if kind == "core":
        return (image().to_bytes(),)
    return (pt_bytes(pt_state()),)


FIELDS: dict[str, Callable[[np.random.Generator, bytes], bytes]] = {
    "nir": nir_fields,
    "json": json_fields,
    "npz": npz_fields,
    "core": core_fields,
    "pt": pt_fields,
}
