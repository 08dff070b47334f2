"""The content-addressable memory: its generator, what a burst, a recall and a volley change."""

import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spikewright.compiler.plastic import neuron_weights_of
from spikewright.console import Console

pytest.importorskip("matplotlib")


@pytest.fixture(scope="module")
def example(learning: Any) -> Any:
    return learning.memory


def test_disjoint_memories_share_no_cell(example: Any) -> None:
    memories = example.disjoint(16)
    assert (memories.sum(axis=0) == 1).all()
    assert (memories.sum(axis=1) == example.SIZE).all()


@pytest.mark.parametrize("shared", range(8))
def test_pairs_share_as_many_cells_as_asked(example: Any, shared: int) -> None:
    memories = example.overlapping(np.random.default_rng(shared), 6, shared)
    common = memories.astype(int) @ memories.T.astype(int)
    pairs = np.kron(np.eye(6, dtype=int), [[example.SIZE, shared], [shared, example.SIZE]])
    assert np.array_equal(common, pairs)


def test_fragments_are_of_the_memory(example: Any) -> None:
    rng = np.random.default_rng(2)
    memories = example.drawn(rng, 30)
    for size in range(1, example.SIZE + 1):
        cues = example.fragments(rng, memories, size)
        assert (cues.sum(axis=1) == size).all()
        assert not (cues & ~memories).any()


def test_burst_learns_the_memorys_synapses_and_no_others(example: Any, cores: Any) -> None:
    memories = example.drawn(np.random.default_rng(3), 12)
    example.Memory(cores).learn(memories)
    shared = memories.T.astype(int) @ memories.astype(int)
    np.fill_diagonal(shared, 0)
    learned = neuron_weights_of(cores.learned_image())
    assert np.array_equal(learned, np.where(shared > 0, 5, 0))


def test_any_single_cell_recalls_an_orthogonal_memory(example: Any, cores: Any) -> None:
    memories = example.disjoint(16)
    memory = example.Memory(cores)
    memory.learn(memories)
    cells = np.eye(example.CELLS, dtype=np.bool_)
    assert np.array_equal(memory.recall(cells), memories.repeat(example.SIZE, axis=0))


def test_blank_memory_recalls_nothing_but_the_cue(example: Any, cores: Any) -> None:
    cues = example.fragments(np.random.default_rng(4), example.disjoint(4), 4)
    assert np.array_equal(example.Memory(cores).recall(cues), cues)


def test_recall_while_learning_changes_no_synapse(example: Any, cores: Any) -> None:
    memories = example.disjoint(6)
    memory = example.Memory(cores)
    memory.learn(memories)
    before = cores.learned_image()
    cues = example.fragments(np.random.default_rng(5), memories, 4)
    spikes = memory.live([example.recalling(cue) for cue in cues])
    recalled = np.stack([s[example.HELD - 1] for s in spikes])
    assert np.array_equal(recalled, memories)
    assert np.array_equal(cores.learned_image().weights, before.weights)


def test_volleys_forget_one_memory_and_leave_the_others(example: Any, cores: Any) -> None:
    memories = example.disjoint(6)
    memory = example.Memory(cores)
    memory.learn(memories)
    memory.forget(memories[2:3])
    recalled = memory.recall(example.fragments(np.random.default_rng(6), memories, 4))
    right = (recalled == memories).all(axis=1)
    assert right.tolist() == [True, True, False, True, True, True]
    assert recalled[2].sum() == 4
    learned = neuron_weights_of(cores.learned_image())
    assert not learned[np.ix_(memories[2], memories[2])].any()


def test_stream_learns_between_recalls(example: Any, cores: Any) -> None:
    live = example.stream(cores, np.random.default_rng(7), known=4, new=2, between=5)
    assert (live.recalled, live.after) == (1.0, 1.0)
    assert len(live.learned) == 2
    for first, last in live.learned:
        active = live.spikes[first : last + 1]
        assert (active.sum(axis=1)[: example.BURST] == example.SIZE).all()
        assert (active[: example.BURST] == active[0]).all()
        assert not active[example.BURST :].any()


def test_row_is_the_same_for_the_same_seed(example: Any, tmp_path: Path) -> None:
    rows = []
    for seed in (3, 3, 4):
        options = ["--quick", "--seed", str(seed), "--folder", str(tmp_path)]
        parsed = importlib.import_module("common").arguments("").parse_args(options)
        assert example.run(parsed, Console())
        row = json.loads((tmp_path / "learn.json").read_text())["memory"]
        rows.append({name: row[name] for name in ("fragment", "overlap", "curves")})
    assert rows[0] == rows[1] != rows[2]
    assert (tmp_path / "learn-memory.png").stat().st_size > 10_000
