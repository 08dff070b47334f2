from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import h5py
import nir
import numpy as np
import pytest
from conformance_nir import braille_file

from spikewright.compiler import CompileOptions, compile_network, frontend
from spikewright.compiler.graph import Affine, Input, Network, Neuron, Output, Relay, Scale
from spikewright.errors import ModelError

OPTIONS = CompileOptions(dt=1e-4, reset="zero", reset_delay=False)


class Izhikevich:
    """A type of node that NIR does not have."""


def nir_lif(n: int = 3, **changes: Any) -> nir.LIF:
    values = {"tau": 1e-3, "r": 10.0, "v_leak": 0.0, "v_threshold": 1.0, "v_reset": 0.0} | changes
    return nir.LIF(**{k: np.full(n, v) if np.isscalar(v) else v for k, v in values.items()})


def nir_graph(**changes: Any) -> nir.NIRGraph:
    """Input -> Affine -> LIF -> Output; change, add or (with None) leave out nodes."""
    nodes = {
        "input": nir.Input(np.array([2])),
        "fc": nir.Affine(np.arange(6.0).reshape(3, 2), np.ones(3)),
        "lif": nir_lif(),
        "output": nir.Output(np.array([3])),
    }
    edges = changes.pop("edges", [("input", "fc"), ("fc", "lif"), ("lif", "output")])
    nodes = {name: node for name, node in (nodes | changes).items() if node is not None}
    edges = [(a, b) for a, b in edges if a in nodes and b in nodes]
    return nir.NIRGraph(nodes, edges, type_check=False)


def write(graph: nir.NIRGraph, path: Path) -> Path:
    nir.write(path, graph)
    return path


def test_a_file_and_its_graph_give_the_same_network(tmp_path: Path) -> None:
    graph = nir_graph(
        flat=nir.Flatten({"input": np.array([3])}, 0, -1),
        gain=nir.Scale(np.array([1.0, 2.0, 3.0])),
        edges=[
            ("input", "fc"),
            ("fc", "flat"),
            ("flat", "gain"),
            ("gain", "lif"),
            ("lif", "output"),
        ],
    )
    from_file = frontend.read_nir(write(graph, tmp_path / "net.nir"))
    in_memory = frontend.from_nir(graph)
    assert from_file.name == "net"
    assert from_file.source["name"] == "net.nir"
    assert len(from_file.source["sha256"]) == 64
    kinds = {name: type(node) for name, node in from_file.nodes.items()}
    assert kinds == {
        "input": Input, "fc": Affine, "flat": Relay, "gain": Scale, "lif": Neuron, "output": Output,
    }  # fmt: skip
    lif = from_file.nodes["lif"]
    assert isinstance(lif, Neuron)
    assert lif.tau_mem is not None
    np.testing.assert_array_equal(lif.tau_mem, np.full(3, 1e-3))
    assert sorted(from_file.edges) == sorted(in_memory.edges)
    images = [compile_network(network, OPTIONS) for network in (from_file, in_memory)]
    for name, array in images[0].arrays.items():
        np.testing.assert_array_equal(array, images[1].arrays[name], name)


def test_a_subgraph_equals_the_same_nodes_flattened() -> None:
    flat = nir.read(braille_file("bias_zero"), type_check=False)
    inner = nir.NIRGraph(
        {
            "input": nir.Input(np.array([38])),
            "lif": flat.nodes["lif1.lif"],
            "w_rec": flat.nodes["lif1.w_rec"],
            "output": nir.Output(np.array([38])),
        },
        [("input", "lif"), ("lif", "w_rec"), ("w_rec", "lif"), ("lif", "output")],
        type_check=False,
    )
    names = ("input", "fc1", "fc2", "lif2", "output")
    nested = nir.NIRGraph(
        {name: flat.nodes[name] for name in names} | {"lif1": inner},
        [("input", "fc1"), ("fc1", "lif1"), ("lif1", "fc2"), ("fc2", "lif2"), ("lif2", "output")],
        type_check=False,
    )
    images = [compile_network(graph, OPTIONS) for graph in (flat, nested)]
    assert images[0].manifest.semantics == images[1].manifest.semantics
    for name, array in images[0].arrays.items():
        np.testing.assert_array_equal(array, images[1].arrays[name], name)


def test_one_value_stands_for_a_layer() -> None:
    one = nir_lif(1, tau=np.full((), 2e-3), v_threshold=np.full((), 0.5), r=np.full((), 1.0),
                  v_leak=np.zeros(()), v_reset=np.zeros(()))  # fmt: skip
    lif = frontend.from_nir(nir_graph(lif=one)).nodes["lif"]
    assert isinstance(lif, Neuron)
    assert lif.shape == (3,)
    np.testing.assert_array_equal(lif.v_threshold, np.full(3, 0.5))


def half(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def retype(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        del file["node/nodes/lif/type"]
        file["node/nodes/lif/type"] = "Izhikevich"


def bomb(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        del file["node/nodes/fc/weight"]
        file["node/nodes/fc"].create_dataset(
            "weight", (1 << 15, 1 << 15), "f4", chunks=(1024, 1024)
        )


WEIGHT = "node/nodes/fc/weight"


def loop(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file["node/nodes/fc/again"] = file["node"]


def swap_weight(path: Path, make: Callable[[h5py.File], Any]) -> None:
    with h5py.File(path, "r+") as file:
        del file[WEIGHT]
        make(file)


def large(path: Path) -> None:
    swap_weight(path, lambda file: file.create_dataset(WEIGHT, (1 << 25, 2), "f4", chunks=True))


def external_data(path: Path) -> None:
    secret = path.with_name("secret")
    secret.write_bytes(bytes(72))
    where = [(str(secret), 0, 72)]
    swap_weight(path, lambda file: file.create_dataset(WEIGHT, (3, 3), "f8", external=where))


def external_link(path: Path) -> None:
    def link(file: h5py.File) -> None:
        file[WEIGHT] = h5py.ExternalLink(str(path.with_name("secret")), "/weight")

    swap_weight(path, link)


def virtual_data(path: Path) -> None:
    layout = h5py.VirtualLayout((3, 3), "f8")
    layout[:] = h5py.VirtualSource(path.with_name("secret"), "weight", (3, 3))
    swap_weight(path, lambda file: file.create_virtual_dataset(WEIGHT, layout))


@pytest.mark.parametrize("damage", [external_data, external_link, virtual_data])
def test_a_file_cannot_bring_in_another(tmp_path: Path, damage: Callable[[Path], Any]) -> None:
    path = write(nir_graph(), tmp_path / "net.nir")
    damage(path)
    with pytest.raises(ModelError, match="node/nodes/fc/weight' lies in another file"):
        frontend.read_nir(path)


def soft_link(path: Path) -> None:
    swap_weight(path, lambda file: file.update({WEIGHT: h5py.SoftLink("/node")}))


def twice(path: Path) -> None:
    swap_weight(path, lambda file: file.update({WEIGHT: file["node/nodes/lif"]}))


def root_again(path: Path) -> None:
    swap_weight(path, lambda file: file.update({WEIGHT: file["/"]}))


@pytest.mark.parametrize("damage", [soft_link, twice, root_again, loop])
def test_nothing_has_two_names(tmp_path: Path, damage: Callable[[Path], Any]) -> None:
    """They lead a reader in circles: one such mutant kept it busy for over 10 s."""
    path = write(nir_graph(), tmp_path / "net.nir")
    damage(path)
    with pytest.raises(ModelError, match=r"' is a link|' is there under another name too"):
        frontend.read_nir(path)


@pytest.mark.parametrize("value", [1j, "1.5", None])
def test_values_must_be_real_numbers(value: object) -> None:
    graph = nir_graph()
    graph.nodes["fc"].weight = np.full((3, 3), value)
    with pytest.raises(ModelError, match="node 'fc': weight must be real numbers, not "):
        frontend.from_nir(graph)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (large, r"its arrays take 512 MiB, over the 256 MiB"),
        (lambda p: p.unlink(), r"No such file or directory.\nName a NIR file, of at most 256 MiB"),
        (lambda p: (p.unlink(), p.mkdir()), r"Is a directory"),
        (lambda p: p.write_bytes(b""), r"not a readable NIR file \(OSError"),
        (lambda p: p.write_bytes(b"not HDF5 " * 99), r"not a readable NIR file \(OSError"),
        (half, r"not a readable NIR file \(OSError.*truncated file"),
        (retype, r"not a readable NIR file \(node 'lif' is of unknown type 'Izhikevich'\)"),
        (bomb, r"it needs more memory than the reader may use"),
        (loop, r"fc/again. is there under another name"),
    ],
)
def test_a_bad_file_is_one_clear_error(
    tmp_path: Path, damage: Callable[[Path], Any], message: str
) -> None:
    path = write(nir_graph(), tmp_path / "net.nir")
    damage(path)
    with pytest.raises(ModelError, match=message) as caught:
        compile_network(path, OPTIONS)
    assert repr(str(path)) in str(caught.value)
    assert {p.name for p in tmp_path.iterdir()} <= {"net.nir"}


def test_every_prefix_and_flipped_byte_is_an_error_or_a_network(tmp_path: Path) -> None:
    data = write(nir_graph(), tmp_path / "whole.nir").read_bytes()
    rng = np.random.default_rng(3)
    cut = tmp_path / "cut.nir"
    for size in np.linspace(0, len(data) - 1, 14).astype(int):
        cut.write_bytes(data[:size])
        with pytest.raises(ModelError, match="not a readable NIR file"):
            frontend.read_nir(cut)
    for _ in range(14):
        flipped = bytearray(data)
        flipped[rng.integers(len(data))] ^= 1 << rng.integers(8)
        cut.write_bytes(flipped)
        try:
            network = frontend.read_nir(cut)
        except ModelError:
            continue
        assert isinstance(network, Network)


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", r"crashed .*\(signal 11\)"),
        ("raise SystemExit(3)", r"crashed or ran out of time \(code 3\)"),
        ("import time; time.sleep(60)", r"did not end within 0\.5 s"),
        ("print('garbage')", r"gave no usable answer"),
    ],
)
def test_a_reader_that_dies_hangs_or_babbles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, message: str
) -> None:
    path = write(nir_graph(), tmp_path / "net.nir")
    (tmp_path / "reader.py").write_text(program)
    monkeypatch.setattr(frontend, "READER", tmp_path / "reader.py")
    monkeypatch.setattr(frontend, "TIMEOUT_S", 0.5)
    with pytest.raises(ModelError, match=message):
        frontend.read_nir(path)


def test_readers_are_told_their_time_and_keep_to_it(tmp_path: Path) -> None:
    reader = tmp_path / "reader.py"
    reader.write_text("import sys; raise SystemExit(int(sys.argv[1]))")
    with pytest.raises(ModelError, match=r"\(code 8\)"):
        frontend.run_reader(reader, b"small")
    assert frontend.time_limit_s(256 << 20) == 24
    for name in ("nir_reader", "torch_reader"):
        if name == "torch_reader" and find_spec("torch") is None:
            continue
        folder = str(frontend.READER.parent)
        reader.write_text(
            f"import sys; sys.path.append({folder!r}); import {name}\n"
            f"{name}._limit({3 if name == 'torch_reader' else 1})\nwhile True: pass"
        )
        # On a busy machine the wall clock may stop it before the limit on its CPU time does.
        ended = r"crashed or ran out of time \(signal \d+\)|did not end within 8 s"
        with pytest.raises(ModelError, match=ended):
            frontend.run_reader(reader, b"small")


def ring() -> nir.NIRGraph:
    edges = [("input", "fc"), ("fc", "a"), ("a", "b"), ("b", "a"), ("b", "lif"), ("lif", "output")]
    return nir_graph(a=nir.Linear(np.eye(3)), b=nir.Linear(np.eye(3)), edges=edges)


def twin_ports() -> nir.NIRGraph:
    inner = nir.NIRGraph(
        {"a": nir.Input(np.array([3])), "b": nir.Input(np.array([3])), "lif": nir_lif(),
         "output": nir.Output(np.array([3]))},
        [("a", "lif"), ("b", "lif"), ("lif", "output")],
        type_check=False,
    )  # fmt: skip
    return nir_graph(lif=inner)


def test_nir_itself_has_no_edges_to_one_of_several_ports() -> None:
    """The day it has, the front end should read them."""
    with pytest.raises(ValueError, match="type mismatch"):
        twin_ports().infer_types()
    graph = twin_ports()
    graph.edges = [("input", "fc"), ("fc", "lif.a"), ("lif", "output")]
    with pytest.raises(ValueError, match=r"'lif\.a' which does not exist"):
        graph.validate_structure()


GRAPHS: dict[str, tuple[Callable[[], Any], str]] = {
    "unknown node": (
        lambda: nir_graph(odd=Izhikevich()),
        r"node 'odd' is of unsupported type Izhikevich\nSupported types: Input, .*Replace",
    ),
    "not a graph": (lambda: 7, r"NIR graph is not valid: 'int' object has no attribute 'nodes'"),
    "no input": (lambda: nir_graph(input=None), r"it has no Input node"),
    "no output": (lambda: nir_graph(output=None), r"it has no Output node"),
    "no neuron": (
        lambda: nir_graph(lif=None, edges=[("input", "fc"), ("fc", "output")]),
        r"it has no neurons.*LIF or LI",
    ),
    "unconnected": (
        lambda: nir_graph(idle=nir_lif()),
        r"node 'idle': no path from any Input.*\n.*node 'idle': .*any Output\nConnect them",
    ),
    "projection without neuron": (
        lambda: nir_graph(
            tail=nir.Linear(np.ones((1, 3))),
            output=nir.Output(np.array([1])),
            edges=[("input", "fc"), ("fc", "lif"), ("lif", "tail"), ("tail", "output")],
        ),
        r"Output 'output' must show the neurons of one node.*\nEnd the network with a neuron",
    ),
    "shapes": (
        lambda: nir_graph(fc=nir.Linear(np.ones((4, 2)))),
        r"node 'lif' must get 3 values, not the 4 of 'fc'\nCorrect the shapes",
    ),
    "parameter shapes": (
        lambda: nir_graph(fc=nir.Affine(np.ones((3, 2)), np.ones(2))),
        r"node 'fc': bias must have 3 values, as weight has rows, not 2",
    ),
    "three-dimensional weight": (
        lambda: nir_graph(fc=nir.Linear(np.ones((2, 3, 2)))),
        r"node 'fc': weight must have 2 dimensions, not shape \(2, 3, 2\)",
    ),
    "endless shape": (
        lambda: nir_graph(input=nir.Input(np.array([1 << 40]))),
        r"node 'input': shape must have 1 to 1048576 elements",
    ),
    "NaN": (
        lambda: nir_graph(fc=nir.Linear(np.array([[1, 2], [3, np.nan], [5, 6]]))),
        r"node 'fc': weight must be finite, not nan\nCorrect these values",
    ),
    "infinity": (
        lambda: nir_graph(lif=nir_lif(v_threshold=np.inf)),
        r"node 'lif': v_threshold must be finite, not inf",
    ),
    "negative tau": (
        lambda: nir_graph(lif=nir_lif(tau=-1e-3)),
        r"node 'lif': tau_mem must be above 0 s, not -0\.001",
    ),
    "zero tau": (lambda: nir_graph(lif=nir_lif(tau=0.0)), r"node 'lif': tau_mem must be above 0 s"),
    "dangling edge": (
        lambda: nir.NIRGraph(nir_graph().nodes, [("input", "nowhere")], type_check=False),
        r"edge 'input' to 'nowhere': there is no node 'nowhere'",
    ),
    "double edge": (
        lambda: nir.NIRGraph(nir_graph().nodes, nir_graph().edges * 2, type_check=False),
        r"edge 'input' to 'fc' must be there once, not twice",
    ),
    "circle of transforms": (ring, r"Transforms run in a circle without a neuron: 'a', 'b'"),
    "two ports": (
        twin_ports,
        r"subgraph 'lif' must have exactly one Input node, not 2: .*; put its nodes into",
    ),
    "threshold too fine": (
        lambda: nir_graph(lif=nir_lif(v_threshold=1e-6)),
        r"Node 'lif', neuron 0: v_threshold must be at least one state step.*\nGive the core more",
    ),
    "tau below dt": (
        lambda: nir_graph(lif=nir_lif(tau=1e-5)),
        r"Node 'lif', neuron 0: tau_mem must be at least dt = 0\.0001 s.*discretization='exact'",
    ),
    "overflow": (
        lambda: nir_graph(fc=nir.Linear(np.full((3, 2), 1e308)), lif=nir_lif(r=1e308)),
        r"weights 'input' to 'lif' must be finite in discrete time",
    ),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_a_wrong_graph_names_node_limit_and_remedy(name: str) -> None:
    make, message = GRAPHS[name]
    with pytest.raises(ModelError, match=r"(?s)" + message):
        compile_network(make(), OPTIONS)


@pytest.mark.parametrize("missing", ["dt", "reset", "reset_delay"])
def test_missing_semantics_name_the_node(missing: str) -> None:
    given: dict[str, Any] = {"dt": 1e-4, "reset": "zero", "reset_delay": False} | {missing: None}
    with pytest.raises(ModelError, match=rf"node 'lif' \(LIF\) needs {missing}\nGive dt as"):
        compile_network(nir_graph(), CompileOptions(**given))


def test_a_leaky_integrator_needs_only_dt() -> None:
    li = nir.LI(np.full(3, 1e-3), np.full(3, 10.0), np.zeros(3))
    compile_network(nir_graph(lif=li), CompileOptions(dt=1e-4))
    with pytest.raises(ModelError, match=r"node 'lif' \(LI\) needs dt\n"):
        compile_network(nir_graph(lif=li))
