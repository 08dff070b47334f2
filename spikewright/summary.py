"""Images and results as the command line shows them: one dictionary for JSON, tables for people."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from spikewright.compiler.ir import Tuning
from spikewright.compiler.report import BitsSearch, CompileReport
from spikewright.console import Table
from spikewright.errors import ModelError
from spikewright.fixed import DECAY_ONE
from spikewright.image import CoreImage
from spikewright.spec import Region
from spikewright.target import RunResult

__all__ = ["image_summary", "image_tables", "report_tables", "run_summary", "run_tables"]

_SAMPLES_SHOWN = 20
_BY_POPULATION = ("threshold", "reset", "reset_delay", "refractory")


def image_summary(image: CoreImage) -> dict[str, Any]:
    """What an image holds, as JSON."""
    spec, manifest = image.spec, image.manifest.model_dump(mode="json")
    return {
        "id": image.id,
        "name": manifest["name"],
        "spec": {name: getattr(spec, name) for name in spec.__dataclass_fields__},
        "spec_hash": spec.hash,
        "used": {
            "axons": sum(population["count"] for population in manifest["inputs"]),
            "neurons": sum(population["count"] for population in manifest["populations"]),
            "levels": len(image.level_groups),
            "groups": image.groups_used,
            "words": len(image.weights),
            "synapses": int(np.count_nonzero(image.weights)),
        },
        "winners": [] if image.level_winners is None else image.level_winners.tolist(),
        "learning": _learning(image),
        "inputs": manifest["inputs"],
        "populations": manifest["populations"],
        "outputs": manifest["outputs"],
        "semantics": manifest["semantics"],
        "report": manifest["report"],
        "source": manifest["source"],
    }


def _learning(image: CoreImage) -> dict[str, Any] | None:
    """The rule with the fields that the spec has, and how much is plastic; as JSON."""
    spec, rule, plastic = image.spec, image.rule, image.plastic
    if rule is None or plastic is None:
        return None
    names = [field.name for field in spec.memories[Region.RULE].layout.fields]
    names += ["seed"] * spec.stochastic_rounding
    return {
        "plastic": int(plastic.sum()),
        "sources": int(image.learns.sum()),
        "opposite": int((image.learns & (image.arrays["opposite"] > 0)).sum()),
        "rule": {name: getattr(rule, name) for name in names},
    }


def image_tables(image: CoreImage) -> list[Table | str]:
    """The same for people."""
    spec, manifest, data = image.spec, image.manifest, image_summary(image)
    used = data["used"]
    facts = [
        ("image", image.id),
        ("spec", spec.hash),
        ("source", " ".join(f"{key}={value}" for key, value in manifest.source.items())),
        (
            "semantics",
            " ".join(
                f"{key}={value}"
                for key, value in manifest.semantics.items()
                if not isinstance(value, (dict, list))
            ),
        ),
        ("axons", f"{used['axons']} of {spec.axons}"),
        ("neurons", f"{used['neurons']} of {spec.neurons}, in {used['levels']} levels"),
        ("weights", f"{spec.weight_bits} bits, {spec.lanes} lanes"),
        ("neurons a cycle", str(spec.update_lanes)),
        ("state", f"{spec.state_bits} bits, {spec.fraction_bits} of them fraction"),
        ("weight words", f"{used['words']} of {spec.weight_words}"),
        ("row places", f"{spec.row_stride} words each, in pairs" if spec.paired_rows else ""),
        ("synapses", str(used["synapses"])),
        ("winners", _winners(data["winners"])),
    ]
    if learning := data["learning"]:
        opposite = f", {learning['opposite']} of them opposite" if learning["opposite"] else ""
        facts.append(("plastic synapses", str(learning["plastic"])))
        facts.append(("sources that learn", f"{learning['sources']}{opposite}"))
    kinds = [("input", p) for p in manifest.inputs]
    kinds += [
        ("output" if p.name in manifest.outputs else "hidden", p) for p in manifest.populations
    ]
    populations = [
        (p.name, kind, str(p.first), str(p.count), " x ".join(map(str, p.shape)))
        for kind, p in kinds
    ]
    title = f"Core image {manifest.name}".rstrip()
    return [
        Table((title, ""), [fact for fact in facts if fact[1]]),
        Table(("population", "kind", "first", "count", "shape"), populations),
        *_semantics_tables(manifest.semantics),
        *([_rule_table(image, learning)] if learning else []),
        *report_tables(image),
    ]


def _semantics_tables(semantics: Mapping[str, Any]) -> list[Table | str]:
    """What differs between populations, and when spikes arrive, as far as the image says."""
    tables: list[Table | str] = []
    kinds, edges = semantics.get("kinds"), semantics.get("spike_order")
    if isinstance(kinds, dict) and kinds:
        fields = [name for name in _BY_POPULATION if isinstance(semantics.get(name), dict)]
        rows = [
            [name, str(kind), *(str(semantics[field].get(name, "")) for field in fields)]
            for name, kind in kinds.items()
        ]
        tables.append(Table(("population", "neurons", *fields), rows, title="Semantics"))
    if isinstance(edges, list) and edges and all(map(_is_edge, edges)):
        rows = [[source, target, _arrival(delay)] for source, target, delay in edges]
        tables.append(Table(("from", "to", "spikes arrive"), rows, title="Spike order"))
    return tables


def _is_edge(edge: Any) -> bool:
    return isinstance(edge, list) and list(map(type, edge)) == [str, str, int]


def _arrival(delay: int) -> str:
    """When spikes with a delay arrive."""
    names = ("in the same timestep", "in the next timestep")
    return names[delay] if 0 <= delay < len(names) else f"{delay} timesteps later"


def _winners(winners: list[int]) -> str:
    """Of the levels that have them."""
    return ", ".join(f"{most} of level {k}" for k, most in enumerate(winners) if most)


def _rule_table(image: CoreImage, learning: dict[str, Any]) -> Table:
    """The rule raw, and in weight units, timesteps and factors."""
    spec = image.spec
    units = dict.fromkeys(("pre_change", "post_change"), 1 << spec.trace_fraction_bits)
    if spec.plasticity == "trace":
        units = dict.fromkeys(("pre_step", "post_step"), 1 << spec.trace_fraction_bits)
    units |= dict.fromkeys(("a_pre", "a_post", "a_eligibility", "a_h"), DECAY_ONE)
    rows = [
        (name, str(value).lower(), f"{value / units[name]:.4g}" if name in units else "")
        for name, value in learning["rule"].items()
    ]
    return Table(("rule", "raw", "value"), rows, title=f"Learning by {spec.plasticity}")


def report_tables(image: CoreImage) -> list[Table | str]:
    """What quantization cost each layer, as far as the image says so."""
    if not image.manifest.report:
        return []
    try:
        report = CompileReport.of(image)
    except ModelError:
        return ["Report: not the compiler's; --json shows it."]
    columns = ["layer", "level", "neurons", "synapses", "scale", "clipped", "to zero", "error"]
    columns += ["worst sum", "limit"]
    measured = any(layer.measured for layer in report.layers.values())
    if measured:
        columns += ["peak sum", "saturated", "spikes/timestep", "silent", "always on"]
    rows = []
    for name, layer in report.layers.items():
        row = [name, str(layer.level), str(layer.neurons), str(layer.synapses)]
        row.append(f"{layer.scale_min:.3g} to {layer.scale_max:.3g}")
        row += [str(layer.clipped_weights), str(layer.zeroed_weights), f"{layer.weight_error:.2%}"]
        row += [str(layer.acc_worst), str(layer.acc_limit)]
        if layer.measured:
            m = layer.measured
            row += [str(m.acc_peak), f"{m.saturated_share:.2%}", f"{m.spikes_per_timestep:.2f}"]
            row += [str(m.silent), str(m.always)]
        rows.append(row + [""] * (len(columns) - len(row)))
    search = [_search_table(report.search)] if report.search else []
    notes = [f"Note: {note}" for note in report.notes]
    tuning = [_tuning_table(report.tuning)] if report.tuning else []
    return [*search, Table(columns, rows, title="Quantization"), *tuning, *notes]


def _tuning_table(tuning: Mapping[str, Tuning]) -> Table:
    """What tuning on the samples changed."""
    rows = [
        (
            name,
            *map(str, (t.scales, t.decays, t.thresholds, t.biases)),
            f"{t.error_before:.3g}",
            f"{t.error_after:.3g}",
        )
        for name, t in tuning.items()
    ]
    columns = ("layer", "scales", "decays", "thresholds", "biases", "error before", "after")
    return Table(columns, rows, title="Tuned on the samples: neurons changed, error of v")


def _search_table(search: BitsSearch) -> Table:
    """What was tried to find the least weight bits."""
    what = "right" if search.measure == "accuracy" else "float's"
    enough = max(0.0, search.reference - search.keep / 100)
    rows = [
        (str(trial.weight_bits), trial.refused if trial.share is None else f"{trial.share:.2%}")
        for trial in search.tried
    ]
    title = f"Least weight bits, by {search.samples} samples: {enough:.2%} is enough"
    rows.append(("float", f"{search.reference:.2%}"))
    return Table(("bits", f"decisions that are {what}"), rows, title=title)


def run_summary(image: CoreImage, target: str, result: RunResult, seconds: float) -> dict[str, Any]:
    """What a run gave, as JSON; ``counts`` are the outputs' spikes, ``[samples][neurons]``."""
    samples, timesteps, _ = result.spikes.shape
    return {
        "image": image.id,
        "target": target,
        "samples": samples,
        "timesteps": timesteps,
        "seconds": round(seconds, 3),
        "timesteps_per_second": round(samples * timesteps / max(seconds, 1e-9)),
        "cycles_per_sample": float(result.total_cycles.mean()),
        "spikes": {
            p.name: int(result.spikes[..., p.slice].sum()) for p in image.manifest.populations
        },
        "counts": {
            name: result.spikes[..., where].sum(axis=1).tolist()
            for name, where in image.output_slices.items()
        },
    }


def run_tables(image: CoreImage, data: dict[str, Any]) -> list[Table | str]:
    """What :func:`run_summary` gave, for people."""
    samples, timesteps = data["samples"], data["timesteps"]
    rows = [
        (p.name, str(p.count), str(spikes), f"{spikes / (samples * timesteps * p.count):.4f}")
        for p in image.manifest.populations
        for spikes in [data["spikes"][p.name]]
    ]
    parts: list[Table | str] = [
        f"{samples} samples of {timesteps} timesteps on {data['target']}: {data['seconds']:.2f} s, "
        f"{data['timesteps_per_second']} timesteps/s, "
        f"{data['cycles_per_sample']:.1f} cycles a sample",
        Table(("population", "neurons", "spikes", "spikes/neuron/timestep"), rows),
    ]
    for name, counts in data["counts"].items():
        most = " ".join(str(int(np.argmax(row))) for row in counts[:_SAMPLES_SHOWN])
        more = " ..." if samples > _SAMPLES_SHOWN else ""
        parts.append(f"Most active neuron of {name!r}, sample by sample: {most}{more}")
    return parts
