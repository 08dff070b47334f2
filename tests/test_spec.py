from dataclasses import asdict, fields, replace
from typing import Any

import pytest

from spikewright.errors import SpecError
from spikewright.spec import CORE_VERSION, LEARNING_VERSION, CoreSpec, Region, index_width

# Two values of each field, neither the default, both valid with the defaults of all others.
VALUES: dict[str, tuple[Any, Any]] = {
    "axons": (1, 2048),
    "neurons": (8, 2048),
    "lanes": (1, 32),
    "weight_bits": (2, 16),
    "state_bits": (12, 24),
    "fraction_bits": (0, 16),
    "delay_slots": (2, 64),
    "refractory_bits": (0, 8),
    "synapse_current": (False, False),
    "decay": ("shift", "shift"),
    "weight_words": (1, 1 << 24),
    "sparse": (True, True),
    "plasticity": ("window", "trace"),
    "trace_bits": (6, 16),
    "trace_fraction_bits": (0, 12),
    "soft_bounds": (True, True),
    "reward": (True, True),
    "stochastic_rounding": (True, True),
    "adaptive_threshold": (True, True),
    "paired_rows": (True, True),
    "winners": (1, 255),
    "update_cycles": (2, 8),
}
LEARNING: dict[str, Any] = {"plasticity": "trace"}
NEEDED = dict.fromkeys(
    ("soft_bounds", "reward", "stochastic_rounding", "adaptive_threshold"), LEARNING
) | {"paired_rows": LEARNING | {"weight_words": 0}}
"""Other fields that a field's values need."""
BEYOND: dict[str, tuple[Any, ...]] = {
    "axons": (0, 2049, -1, 2.0, "256", None, True),
    "neurons": (0, 2056, 8.0, None),
    "lanes": (0, 3, 64, -8, 8.0),
    "weight_bits": (1, 17, False),
    "state_bits": (11, 25),
    "fraction_bits": (-1, 17),
    "delay_slots": (0, 3, 128),
    "refractory_bits": (-1, 9),
    "synapse_current": (1, 0, None, "true"),
    "decay": ("divide", None, 0),
    "weight_words": (-1, (1 << 24) + 1, None),
    "sparse": (1, 0, None, "true"),
    "plasticity": ("pair", None, True),
    "trace_bits": (1, 17, None),
    "trace_fraction_bits": (-1, 16, None),
    "soft_bounds": (1, 0, None, "true"),
    "reward": (1, None),
    "stochastic_rounding": (1, None),
    "adaptive_threshold": (1, None),
    "paired_rows": (1, None),
    "winners": (-1, 256, None),
    "update_cycles": (0, 3, 16, 64, 1.0),
}
NAMES = [field.name for field in fields(CoreSpec)]


def test_tables_name_every_field() -> None:
    assert list(VALUES) == list(BEYOND) == NAMES


@pytest.mark.parametrize(("name", "value"), [(n, v) for n, vs in BEYOND.items() for v in vs])
def test_field_out_of_range(name: str, value: Any) -> None:
    with pytest.raises(SpecError) as error:
        CoreSpec(**{name: value})
    assert error.value.what == "Core specification is not valid:"
    (reason,) = error.value.reasons
    assert reason.startswith(f"{name} must be ")
    assert reason.endswith(f"not {value!r}")


def test_all_faults_are_reported_together() -> None:
    with pytest.raises(SpecError) as error:
        CoreSpec(axons=0, lanes=5, state_bits=40)
    assert error.value.reasons == (
        "axons must be an integer in [1, 2048], not 0",
        "lanes must be a power of two, not 5",
        "state_bits must be an integer in [12, 24], not 40",
    )


def test_neurons_must_fill_groups() -> None:
    with pytest.raises(SpecError) as error:
        CoreSpec(neurons=250, lanes=8)
    assert error.value.reasons == (
        "neurons must be a multiple of lanes (8), not 250; did you mean 256?",
    )


@pytest.mark.parametrize(("name", "value"), [(n, v) for n, vs in VALUES.items() for v in vs])
def test_json_round_trip_and_hash(name: str, value: Any) -> None:
    spec = CoreSpec(**(NEEDED.get(name, {}) | {name: value}))
    again = CoreSpec.from_json(spec.to_json())
    assert again == spec
    assert again.hash == spec.hash
    assert getattr(again, name) == value
    assert spec.hash != CoreSpec().hash


def test_every_field_is_in_the_hash() -> None:
    # A spec that differs in this one field only: the default depth of the weight memory follows
    # from sizes, so it is fixed here.
    base = CoreSpec(weight_words=5000)
    hashes = {base.hash}
    for name, (value, _) in VALUES.items():
        hashes.add(CoreSpec(**(asdict(base) | NEEDED.get(name, {}) | {name: value})).hash)
    assert len(hashes) == len(NAMES) + 1


@pytest.mark.parametrize(("neurons", "stride"), [(4, 2), (8, 2), (12, 4), (20, 8), (64, 16)])
def test_paired_rows_have_room_for_all_groups(neurons: int, stride: int) -> None:
    spec = CoreSpec(axons=3, neurons=neurons, lanes=4, plasticity="window", paired_rows=True)
    assert spec.row_stride == stride
    assert spec.weight_words == (3 + neurons) * stride
    assert replace(spec, weight_words=spec.weight_words) == spec
    with pytest.raises(SpecError) as error:
        replace(spec, weight_words=spec.weight_words - 1)
    assert error.value.reasons == (
        f"weight_words must be {spec.weight_words} with paired_rows, {stride} for each source, "
        f"not {spec.weight_words - 1}",
    )


@pytest.mark.parametrize("name", ["reward", "stochastic_rounding"])
def test_what_paired_rows_exclude(name: str) -> None:
    with pytest.raises(SpecError) as error:
        CoreSpec(**(LEARNING | {"paired_rows": True, name: True}))
    assert error.value.reasons == (
        f"paired_rows and {name} exclude each other: leave out one of the two",
    )


def test_hash_is_the_same_in_every_release() -> None:
    """A bitstream carries it: changes with CORE_VERSION or a new field, and only with these."""
    assert (
        CoreSpec().to_json() == '{"axons":256,"core_version":1,"decay":"multiply","delay_slots":1,'
        '"fraction_bits":6,"lanes":8,"neurons":256,"refractory_bits":4,"state_bits":20,'
        '"synapse_current":true,"weight_bits":8,"weight_words":16384}'
    )
    assert CoreSpec().hash == "3bd29f4d73fda495f624088827858f035b6fce414628c2a9fc2da17459f01bfa"


def test_cores_that_learn_have_a_version_of_their_own() -> None:
    plastic = CoreSpec(plasticity="window")
    assert f'"core_version":{LEARNING_VERSION}' in plastic.to_json()
    assert CoreSpec.from_json(plastic.to_json()) == plastic
    older = plastic.to_json().replace(f'n":{LEARNING_VERSION}', f'n":{CORE_VERSION}')
    with pytest.raises(SpecError, match=f"core version {CORE_VERSION}, this is version"):
        CoreSpec.from_json(older)


def test_sparse_is_in_the_json_only_where_it_is_on() -> None:
    """So the hash of every spec without it stays what it was before there was the option."""
    assert '"sparse":true' in CoreSpec(sparse=True).to_json()
    assert "sparse" not in CoreSpec(sparse=False).to_json()
    assert CoreSpec.from_json('{"sparse": false}').hash == CoreSpec().hash


def test_json_of_some_fields() -> None:
    assert CoreSpec.from_json('{"axons": 12}') == CoreSpec(axons=12)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "Core specification is not JSON: "),
        ('{"axons": 12', "Core specification is not JSON: "),
        ("[" * 100_000, "Core specification is not JSON: "),
        ("[]", "Core specification must be a JSON object, not []."),
        ("null", "Core specification must be a JSON object, not None."),
        ('{"axon": 1, "b": 2}', "Core specification has unknown fields: 'axon', 'b'."),
        (
            '{"core_version": 99}',
            f"Core specification is for core version 99, this is version {CORE_VERSION}.",
        ),
        ('{"axons": "1"}', "Core specification is not valid:"),
        ('{"axons": null}', "Core specification is not valid:"),
    ],
)
def test_json_that_is_no_spec(text: str, message: str) -> None:
    with pytest.raises(SpecError) as error:
        CoreSpec.from_json(text)
    assert error.value.what.startswith(message)


def test_sizes_follow() -> None:
    spec = CoreSpec(axons=100, neurons=60, lanes=4, weight_bits=8, delay_slots=16)
    assert (spec.sources, spec.groups, spec.delay_bits) == (160, 15, 4)
    assert spec.weight_words == 160 * 15
    assert spec.acc_bits == 8 + 8
    assert CoreSpec().delay_bits == 0


@pytest.mark.parametrize(("axons", "neurons"), [(1, 1), (1, 2), (2, 2), (255, 1), (256, 256)])
def test_accumulator_holds_the_worst_sum(axons: int, neurons: int) -> None:
    spec = CoreSpec(axons=axons, neurons=neurons, lanes=1, weight_bits=5)
    assert -16 * spec.sources >= -(1 << (spec.acc_bits - 1))
    assert 15 * spec.sources <= (1 << (spec.acc_bits - 1)) - 1


def test_index_width() -> None:
    assert [index_width(n) for n in (1, 2, 3, 4, 5, 256, 257)] == [1, 1, 2, 2, 3, 8, 9]


@pytest.mark.parametrize("delay_slots", [1, 8])
@pytest.mark.parametrize("synapse_current", [False, True])
@pytest.mark.parametrize("refractory_bits", [0, 3])
def test_memories_hold_what_the_features_need(
    delay_slots: int, synapse_current: bool, refractory_bits: int
) -> None:
    spec = CoreSpec(
        axons=10,
        neurons=12,
        lanes=4,
        delay_slots=delay_slots,
        synapse_current=synapse_current,
        refractory_bits=refractory_bits,
    )
    names = {region: {f.name for f in m.layout.fields} for region, m in spec.memories.items()}
    assert ("a_syn" in names[Region.NEURONS]) == synapse_current
    assert ("i" in names[Region.STATE]) == synapse_current
    assert ("refractory" in names[Region.NEURONS]) == (refractory_bits > 0)
    assert ("refractory" in names[Region.STATE]) == (refractory_bits > 0)
    assert ("delay3" in names[Region.WEIGHTS]) == (delay_slots > 1)
    depths = {region: memory.depth for region, memory in spec.memories.items()}
    assert depths == {
        Region.WEIGHTS: 22 * 3,
        Region.DESCRIPTORS: 22,
        Region.LEVELS: 3,
        Region.NEURONS: 12,
        Region.STATE: 12,
        Region.ACCUMULATORS: delay_slots * 16,
    }


@pytest.mark.parametrize("weight_words", [5, 65535, 65536])
def test_group_is_in_the_word_of_a_sparse_spec(weight_words: int) -> None:
    sizes: dict[str, Any] = {"axons": 10, "neurons": 12, "lanes": 4, "weight_words": weight_words}
    dense, sparse = CoreSpec(**sizes), CoreSpec(**sizes, sparse=True)
    widths = [
        {
            region: {f.name: f.width for f in memory.layout.fields}
            for region, memory in spec.memories.items()
        }
        for spec in (dense, sparse)
    ]
    assert widths[1][Region.WEIGHTS] == {**widths[0][Region.WEIGHTS], "group": 2}
    assert widths[0][Region.DESCRIPTORS].pop("first_group") == 2
    assert widths[0][Region.DESCRIPTORS].pop("word_count") == 2
    count = widths[1][Region.DESCRIPTORS].pop("word_count")
    for region in set(widths[0]) - {Region.WEIGHTS}:
        assert widths[1][region] == widths[0][region]
    # A row may hold the whole memory, as far as an image can say so.
    assert (dense.most_row_words, sparse.most_row_words) == (3, min(weight_words, 65535))
    assert count == sparse.most_row_words.bit_length()


def test_memories_are_written_or_read() -> None:
    access = {r: (m.writable, m.readable) for r, m in CoreSpec().memories.items()}
    assert access == {
        Region.WEIGHTS: (True, True),
        Region.DESCRIPTORS: (True, False),
        Region.LEVELS: (True, False),
        Region.NEURONS: (True, False),
        Region.STATE: (False, True),
        Region.ACCUMULATORS: (False, True),
    }
