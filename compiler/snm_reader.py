"""SuperNeuroMAT's JSON, schema 0.1: an untrusted file to checked arrays."""

import base64
import hashlib
import json
import re
import reprlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from spikewright.errors import ModelError
from spikewright.storage import read_file

__all__ = ["MAX_BYTES", "SnmNetwork", "parse_superneuromat", "read_superneuromat"]

MAX_BYTES = 64 << 20
"""Largest file that is read."""

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

_EXPORT = "Write it with SuperNeuroMAT's snn.saveas_json(file)."
_REAL = ("neuron_thresholds", "neuron_leaks", "neuron_reset_states", "neuron_states")
_NEURONS = (*_REAL, "neuron_refractory_periods", "neuron_refractory_periods_state")
_ENDS = ("pre_synaptic_neuron_ids", "post_synaptic_neuron_ids")
_SYNAPSES = ("synaptic_weights", "synaptic_delays", "enable_stdp", *_ENDS)
_RATES = ("apos", "aneg")
_SWITCHES = ("stdp", "stdp_positive_update", "stdp_negative_update")
_OTHERS = {
    *("num_neurons", "num_synapses", "default_dtype", "spike_train", "input_spikes"),
    *("allow_incorrect_stdp_sign", "allow_signed_leak", "_sparse", "_backend", "manual_setup"),
    *(*_RATES, *_SWITCHES),
}
_ENCODED_DTYPE = re.compile(r"[<>|][?bBhHiIlLqQfd]")
_MOST_NEURONS = 1 << 18
"""Those of delays included, most of which a core does without."""
_MOST = 1 << 31
"""Above all counts, timesteps and numbers of neurons."""


@dataclass(frozen=True, eq=False)
class SnmNetwork:
    """A network as SuperNeuroMAT runs it: n neurons and s synapses, at most one between two.

    Each timestep a neuron's state moves by ``leak`` towards ``reset_state``, not past it; then what
    arrives is added; then it spikes if its state is strictly above ``threshold`` and it is not
    refractory, and a spike sets the state to ``reset_state``. A refractory neuron goes on leaking
    and adding. A spike of timestep t arrives in timestep ``t + delay``.

    Attributes
    ----------
    ids : int64[n]
        The neurons' numbers in the file.
    is_hidden : bool[n]
        Neurons that SuperNeuroMAT made for a delay longer than 1: one synapse in, one out.
    threshold, leak, reset_state, state : float64[n]
        ``state`` is that before the first timestep.
    refractory : int64[n]
        Timesteps after a spike in which a neuron cannot spike.
    pre, post : int64[s]
        Neurons that a synapse leads from and to, as indices of the arrays above.
    weight : float64[s]
    delay : int64[s]
        In timesteps, at least 1.
    stdp : bool[s]
        Synapses that are marked to learn, in a network that does not.
    input_time, input_neuron : int64[k]
        External spikes in the file: timestep, and neuron as an index.
    input_value : float64[k]
        What they add to the neuron's state.
    name : str
    source : mapping of str to str
        ``file`` and ``sha256``.

    Source: superneuromat 3.5.0, ``SNN.simulate_cpu`` and ``SNN.create_synapse``.
    """

    ids: Ints
    is_hidden: Bools
    threshold: Floats
    leak: Floats
    reset_state: Floats
    state: Floats
    refractory: Ints
    pre: Ints
    post: Ints
    weight: Floats
    delay: Ints
    stdp: Bools
    input_time: Ints
    input_neuron: Ints
    input_value: Floats
    name: str
    source: Mapping[str, str]


def read_superneuromat(path: Path | str) -> SnmNetwork:
    """Read the network of a file.

    Raises
    ------
    ModelError
        The file cannot be read, is larger than :data:`MAX_BYTES`, is not of schema 0.1, holds
        another number of networks than one, or values that are missing, unknown, of another type
        or length, or out of range; a network that learns, or that was saved while it ran.
    """
    try:
        content = read_file(path, MAX_BYTES)
    except OSError as error:
        raise ModelError(
            f"Cannot read network {str(Path(path))!r}: {error.strerror}.",
            hint=f"Name a file of up to {MAX_BYTES >> 20} MiB. {_EXPORT}",
        ) from None
    try:
        return parse_superneuromat(content, Path(path).name)
    except ModelError as error:
        raise ModelError(
            f"Network {str(Path(path))!r}: {error.what}", reasons=error.reasons, hint=error.hint
        ) from None


def parse_superneuromat(content: bytes, file: str = "") -> SnmNetwork:
    """Read the network of a file's content; errors as of :func:`read_superneuromat`.

    Parameters
    ----------
    content : bytes
    file : str
        The file's name, to be remembered.
    """
    name, data = _network(_json(content))
    known = {*_NEURONS, *_SYNAPSES, *_OTHERS}
    reasons = [f"{field} is missing" for field in (*_NEURONS, *_SYNAPSES) if field not in data]
    reasons += [f"{field!r:.60} is unknown" for field in sorted(data.keys() - known)]
    _refuse("has other fields than it should:", reasons)
    given = {f: _numbers(f, data.get(f, []), reasons) for f in (*_NEURONS, *_SYNAPSES, *_RATES)}
    _refuse("has values of the wrong kind:", reasons)
    spikes = _input_spikes(data.get("input_spikes", {}), reasons)
    _refuse("has values of the wrong kind:", reasons)
    _refuse("has arrays of the wrong length:", _wrong_lengths(data, given))
    wrong = chain(_wrong_values(data, given), _wrong_spikes(spikes, given))
    _refuse("has values out of range:", wrong)
    _refuse("has synapses twice:", _repeated(given))
    _refuse(
        "is under way or learning:",
        _under_way(data, given),
        "Call snn.reset(), and set snn.stdp = False, before you save it.",
    )
    delay = given["synaptic_delays"].astype(np.int64)
    pre, post = (given[end].astype(np.int64) for end in _ENDS)
    threshold, leak, reset_state, state = (given[field] for field in _REAL)
    return SnmNetwork(
        ids=np.arange(len(threshold)),
        is_hidden=_hidden(len(threshold), pre, post, -delay),
        threshold=threshold,
        leak=leak,
        reset_state=reset_state,
        state=state,
        refractory=given["neuron_refractory_periods"].astype(np.int64),
        pre=pre,
        post=post,
        weight=given["synaptic_weights"],
        delay=np.ones_like(delay),
        stdp=given["enable_stdp"] != 0,
        input_time=spikes[:, 0].astype(np.int64),
        input_neuron=spikes[:, 1].astype(np.int64),
        input_value=spikes[:, 2],
        name=name,
        source={"file": file, "sha256": hashlib.sha256(content).hexdigest()},
    )


def _refuse(what: str, reasons: Iterable[str], hint: str = _EXPORT) -> None:
    if found := list(reasons):
        raise ModelError(f"the SuperNeuroMAT network {what}", reasons=found, hint=hint)


# Structure


def _json(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"it is not JSON: {error}.", hint=_EXPORT) from None


def _network(document: Any) -> tuple[str, dict[str, Any]]:
    """Name and data of the only network."""
    if not isinstance(document, dict) or not isinstance(document.get("networks"), list):
        raise ModelError("it is no SuperNeuroMAT document: it has no networks.", hint=_EXPORT)
    if document.get("version") != "0.1":
        raise ModelError(
            f"schema version {document.get('version')!r:.40}; this reads version '0.1'.",
            hint=_EXPORT,
        )
    networks = document["networks"]
    if len(networks) != 1:
        raise ModelError(
            f"it must hold one network, not {len(networks)}.", hint="Save each in its own file."
        )
    network = networks[0] if isinstance(networks[0], dict) else {}
    meta, data, name = (network.get(key) for key in ("meta", "data", "name"))
    if not isinstance(meta, dict) or not isinstance(data, dict):
        raise ModelError("its network must have meta and data.", hint=_EXPORT)
    if (meta.get("format"), meta.get("type", "SNN")) != ("snm", "SNN"):
        raise ModelError(
            f"its network must be of format 'snm' and type 'SNN', not {meta.get('format')!r:.40} "
            f"and {meta.get('type')!r:.40}.",
            hint=_EXPORT,
        )
    return name if isinstance(name, str) else "", data


def _numbers(field: str, values: Any, reasons: list[str]) -> Floats:
    """A list of numbers, or an encoded array."""
    try:
        if isinstance(values, dict):
            return _decoded(values)
        if not isinstance(values, list) or not set(map(type, values)) <= {int, float, bool}:
            raise ValueError(f"not {reprlib.repr(values)}")
        return np.array(values, np.float64).reshape(len(values))
    except (ValueError, OverflowError, TypeError, KeyError) as error:
        reasons.append(f"{field} must be a list of numbers, plain or encoded ({error})")
        return np.zeros(0)


def _decoded(values: Mapping[str, Any]) -> Floats:
    dtype = values.get("dtype", "<d")
    if not _ENCODED_DTYPE.fullmatch(dtype):
        raise ValueError(f"dtype {dtype!r:.40}")
    if "base64" in values:
        data = base64.b64decode(values["base64"], validate=True)
    else:
        data = base64.b85decode(values["base85"])
    return np.frombuffer(data, np.dtype(dtype)).astype(np.float64)


def _input_spikes(spikes: Any, reasons: list[str]) -> Floats:
    """External spikes as rows of timestep, neuron and value."""
    if not isinstance(spikes, dict):
        reasons.append("input_spikes must be an object of timesteps")
        return np.zeros((0, 3))
    rows: list[Floats] = [np.zeros((0, 3))]
    for time, entry in spikes.items():
        columns = entry if isinstance(entry, dict) else {}
        nids, values = (
            _numbers(f"{key} of input_spikes {time!r:.20}", columns.get(key), reasons)
            for key in ("nids", "values")
        )
        if not (time.isascii() and time.isdigit() and len(time) < 10 and len(nids) == len(values)):
            reasons.append(
                f"input_spikes {time!r:.20} must be a timestep, with as many nids as values"
            )
        else:
            rows.append(np.column_stack([np.full(len(nids), float(time)), nids, values]))
    return np.concatenate(rows)


def _hidden(neurons: int, pre: Ints, post: Ints, delay: Ints) -> Bools:
    """Neurons of the chains that synapses of such a delay end, back to the first neuron but one."""
    is_link = (np.bincount(pre, minlength=neurons) == 1) & (
        np.bincount(post, minlength=neurons) == 1
    )
    into = np.zeros(neurons, np.int64)
    into[post] = pre
    hidden = np.zeros(neurons, np.bool_)
    ends = delay > 1
    link, left = pre[ends], delay[ends] - 1
    while link.size:
        is_in = (left > 0) & is_link[link] & ~hidden[link]
        link, left = link[is_in], left[is_in]
        hidden[link] = True
        link, left = into[link], left - 1
    return hidden


# Values


def _wrong_lengths(data: Mapping[str, Any], given: Mapping[str, Floats]) -> Iterator[str]:
    for fields, count in ((_NEURONS, "num_neurons"), (_SYNAPSES, "num_synapses")):
        length = data.get(count, len(given[fields[0]]))
        for field in fields:
            if len(given[field]) != length:
                yield f"{field} must have {length!r:.20} values, not {len(given[field])}"
    if not 1 <= len(given[_NEURONS[0]]) <= _MOST_NEURONS:
        yield f"it must have 1 to {_MOST_NEURONS} neurons, not {len(given[_NEURONS[0]])}"


def _wrong_values(data: Mapping[str, Any], given: Mapping[str, Floats]) -> Iterator[str]:
    if data.get("default_dtype", "float64") != "float64":
        yield f"default_dtype must be 'float64', not {data['default_dtype']!r:.40}"
    neurons = len(given[_NEURONS[0]])
    whole = {"enable_stdp": (0, 1), "synaptic_delays": (-_MOST, 1)}
    whole |= dict.fromkeys(_NEURONS[len(_REAL) :], (0, _MOST))
    whole |= dict.fromkeys(_ENDS, (0, neurons - 1))
    for field, (low, high) in whole.items():
        values = given[field]
        wrong = ~((values >= low) & (values <= high) & (values == np.floor(values)))
        if field == "synaptic_delays":
            wrong |= (values == 0) | (values == -1)
            high, field = 1, "synaptic_delays, where SuperNeuroMAT has no chain of neurons,"
        if wrong.any():
            k = int(wrong.argmax())
            yield f"{field} must be integers in [{low}, {high}], not {values[k]:g} (number {k})"
    for field in (*_REAL, "synaptic_weights"):
        values, may_be = given[field], "finite"
        wrong = ~np.isfinite(values)
        if field == "neuron_leaks":
            wrong, may_be = ~(values >= 0), "0 or above"
        if field == "neuron_thresholds":
            wrong, may_be = np.isnan(values), "numbers"
        if wrong.any():
            k = int(wrong.argmax())
            yield f"{field} must be {may_be}, not {values[k]:g} (number {k})"


def _repeated(given: Mapping[str, Floats]) -> Iterator[str]:
    pairs = given[_ENDS[0]] * len(given[_NEURONS[0]]) + given[_ENDS[1]]
    if len(np.unique(pairs)) < len(pairs):
        yield "there must be one synapse from a neuron to another, not several"


def _wrong_spikes(spikes: Floats, given: Mapping[str, Floats]) -> Iterator[str]:
    neurons = len(given[_NEURONS[0]])
    if not np.isin(spikes[:, 1], np.arange(neurons)).all():
        yield f"nids of input_spikes must be integers in [0, {neurons - 1}]"
    if not np.isfinite(spikes[:, 2]).all():
        yield "values of input_spikes must be finite"
    if len(np.unique(spikes[:, :2], axis=0)) < len(spikes):
        yield "a neuron must be there once in the input_spikes of a timestep, not several times"


def _under_way(data: Mapping[str, Any], given: Mapping[str, Floats]) -> Iterator[str]:
    """What is going on in the network that no core begins with, or does."""
    waiting = np.flatnonzero(given["neuron_refractory_periods_state"])
    if waiting.size:
        yield f"neuron {waiting[0]} is refractory before the first timestep"
    train = data.get("spike_train", [])
    last = train[-1] if isinstance(train, list) and train else []
    found: list[str] = []
    if _numbers("spike_train", last, found).any():
        yield "neurons spiked before the first timestep"
    yield from found
    rates = zip(_SWITCHES[1:], _RATES, strict=True)
    updates = any(data.get(switch, True) and given[rate].any() for switch, rate in rates)
    if data.get("stdp") and updates and given["enable_stdp"].any():
        yield f"{int(given['enable_stdp'].sum())} synapses learn by STDP"
