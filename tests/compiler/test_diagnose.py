"""Findings: each on a network made for it, with a remedy that helps."""

import json
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from networks import affine, chain, neuron, options

from spikewright.compiler.diagnose import Diagnosis, diagnose
from spikewright.compiler.graph import Network
from spikewright.compiler.remedies import Finding
from spikewright.errors import DataError, ModelError
from spikewright.spec import CoreSpec

Bools = npt.NDArray[np.bool_]

ALL = np.ones((2, 20, 2), np.bool_)
ONE = np.zeros((2, 20, 2), np.bool_)
ONE[:, ::4, 1] = True


def only(found: Diagnosis, kind: str, layer: str = "n1") -> Finding:
    (finding,) = [f for f in found.findings if (f.kind, f.layer) == (kind, layer)]
    assert finding.what.endswith(".")
    assert finding.remedy.endswith(".")
    return finding


CASES: list[tuple[str, Network, dict[str, Any], Bools, str, str]] = [
    ("silent", chain(affine([[0.1, 0.2]]), neuron(v_threshold=5.0)), {}, ALL,
     "none of its 1 neurons ever spikes, not even in float, where neuron 0 comes closest: v 1.196, "
     "threshold 5", "enlarge the weights 4.6 times"),
    ("silent", chain(affine([[1.0, 0.4]]), neuron("IF", v_threshold=0.9)), {"weight_bits": 2}, ONE,
     "never spikes, but 2 times in float|ever spikes, but", "weight_bits=4"),
    ("saturated", chain(affine([[-1.0, -1.0]]), neuron("IF")), {"state_bits": 16}, ALL,
     "neuron 0 reaches 40, and 16 bits hold 4.03", "state_bits=20, or with fraction_bits=2"),
    ("saturated", chain(affine([[-1e6, 0.1]]), neuron("IF", v_threshold=9e5)),
     {"state_bits": 24, "fraction_bits": 0, "weight_bits": 16}, np.ones((1, 300, 2), np.bool_),
     "is clamped", "no core's state holds as much"),
    ("coarse", chain(affine([[0.4, 0.4]], [0.5]), neuron("IF", v_threshold=9.0)),
     {"state_bits": 12}, ALL, "set the scale of 1 of 1 neurons", "state_bits=19"),
    ("silenced", chain(affine([[1.0, 0.4], [1.0, 1.0]]), neuron("IF", 2, v_threshold=0.9)),
     {"weight_bits": 2}, ONE, "1 of 2 neurons spike in float, but not once", "small weights"),
    ("differs", chain(affine([[1.0, 0.4]]), neuron("IF", v_threshold=0.9)), {"weight_bits": 2}, ONE,
     "differ from float in 5% of its neurons' timesteps, first in timestep 8: neuron 0, sample 0",
     "weight_bits=4 and state_bits=20"),
    ("potential", chain(affine([[1.0, 0.4]]), neuron("LI")), {"weight_bits": 2}, ONE,
     "100.00% off", "weight_bits=4"),
    ("decay", chain(affine([[1.0, 0.4]]), neuron("LIF", tau_mem=1e6, r=1e6)), {}, ALL,
     "a_mem of 1 neurons rounds to 1: they never leak (model: 0.999999", "shorter tau_mem"),
    ("decay", chain(affine([[1.0, 0.4]]), neuron("CubaLIF", tau_syn=1.00005)), {}, ALL,
     "a_syn of 1 neurons rounds to 0: they keep nothing", "longer tau_syn"),
    ("clipped", chain(affine([[1.0, 0.4]]), neuron()), {"percentile": 50.0}, ALL,
     "1 of its weights (50.00%) are clipped, as a percentile of 50 wants", "higher percentile"),
    ("clipped", chain(affine([[4.0] + [1.0] * 99]), neuron()),
     {"weight_bits": 2, "scaling": "mse"}, np.ones((2, 20, 100), np.bool_),
     "1 of its weights (1.00%) are clipped, as the least squared error", "scaling percentile"),
    ("zeroed", chain(affine([[1.0, 0.001]]), neuron()), {}, ALL,
     "1 of its weights (50.0%) round to 0", "lower percentile"),
    ("always", chain(affine([[2.0, 2.0]]), neuron()), {}, ALL,
     "1 of 1 neurons spike in every timestep (1 in float)", "Raise their v_threshold"),
    ("unused", chain(affine([[2.0, 2.0], [-1.0, -1.0]]), neuron(n=2)), {}, ALL,
     "1 of 2 neurons never spike, not even in float", "prune"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "network", "formats", "spikes", "what", "remedy"),
    CASES,
    ids=[f"{case[0]}-{k}" for k, case in enumerate(CASES)],
)
def test_finding(
    kind: str, network: Network, formats: dict[str, Any], spikes: Bools, what: str, remedy: str
) -> None:
    found = diagnose(network, options(**formats), spikes)
    finding = only(found, kind)
    print(finding)
    assert any(part in finding.what for part in what.split("|"))
    assert remedy in finding.remedy


def test_a_sound_network_has_no_findings() -> None:
    found = diagnose(
        chain(affine([[127.0, 64.0]]), neuron("IF", v_threshold=500.0)), options(), ALL
    )
    assert found.findings == ()
    assert [trial.change for trial in found.trials] == [{}]
    assert found.trials[0].agreement == 1


def test_no_input_comes_first() -> None:
    found = diagnose(chain(affine([[1.0, 1.0]]), neuron()), options(), ~ALL)
    assert [finding.kind for finding in found.findings] == ["no input", "silent"]
    assert "[samples, timesteps, inputs]" in found.findings[0].remedy
    assert found.findings[1].remedy == "Mend what feeds it first: no spike comes from 'in'."


def test_a_silent_layer_is_blamed_on_what_feeds_it() -> None:
    network = chain(affine([[0.1, 0.1]]), neuron(v_threshold=9.0), affine([[2.0]]), neuron())
    found = diagnose(network, options(), ALL)
    assert "'n1'" not in only(found, "silent", "n1").remedy
    assert only(found, "silent", "n3").remedy.endswith("no spike comes from 'n1'.")
    kinds = [(finding.kind, finding.layer) for finding in found.findings]
    assert kinds.index(("silent", "n1")) < kinds.index(("silent", "n3"))


def saturating() -> Network:
    rng = np.random.default_rng(6)
    first = affine(rng.normal(-0.3, 1.0, (20, 8)))
    last = affine(rng.normal(-0.2, 1.0, (4, 20)))
    return chain(first, neuron("IF", 20), last, neuron("IF", 4))


@pytest.mark.parametrize("core", [None, CoreSpec(axons=8, neurons=32, state_bits=14)])
def test_trials_show_that_remedies_help(core: CoreSpec | None) -> None:
    spikes = np.random.default_rng(7).random((6, 40, 8)) < 0.4
    chosen = options(state_bits=None if core else 14)
    found = diagnose(saturating(), chosen, spikes, spec=core)
    now, *tried = found.trials
    assert now.change == {}
    assert now.agreement == found.comparison.agreement
    assert now.saturated_share is not None
    assert now.saturated_share > 0.05
    agreements = [trial.agreement or 0.0 for trial in tried]
    assert agreements == sorted(agreements, reverse=True)
    assert {"state_bits", "fraction_bits"} <= {name for trial in tried for name in trial.change}
    for trial in tried:
        print(trial)
        assert trial.refused == ""
        assert (trial.saturated_share or 0.0) < now.saturated_share / 2
    assert agreements[0] > found.comparison.agreement
    # What was proposed for the state is enough, and one bit less is not.
    (trial,) = [trial for trial in tried if trial.change.keys() == {"state_bits"}]
    change = trial.change
    assert trial.saturated_share == 0
    less = diagnose(saturating(), options(state_bits=int(change["state_bits"]) - 1), spikes)
    assert any(finding.kind == "saturated" for finding in less.findings)


def test_it_is_json() -> None:
    found = diagnose(saturating(), options(state_bits=14), np.ones((2, 10, 8), np.bool_))
    data = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert data["layers"]["n1"]["measured"]["saturations"] > 0
    assert len(data["float"]["layers"]["n3"]["agreement"]) == 10
    assert data["findings"][0].keys() == {"kind", "layer", "what", "remedy", "changes"}
    assert data["trials"][0]["change"] == {}


def test_wrong_spikes() -> None:
    network = chain(affine([[1.0, 1.0]]), neuron())
    with pytest.raises(DataError, match="must have 2 axons for this image, not 3"):
        diagnose(network, options(), np.ones((1, 5, 3), np.bool_))
    with pytest.raises(ModelError, match="Calibration spikes must be"):
        diagnose(network, options(), np.ones((5, 2), np.bool_))


def test_what_matters_most_comes_first() -> None:
    kinds = ["silent", "saturated", "coarse", "silenced", "differs", "decay", "zeroed", "unused"]
    spikes = np.random.default_rng(7).random((6, 40, 8)) < 0.4
    network = saturating()
    down = chain(affine([[-1.0, 1e-4]]), neuron("LIF", tau_mem=1e6, r=1e6))
    seen: set[str] = set()
    for found in (
        diagnose(network, options(state_bits=12, fraction_bits=4), spikes),
        diagnose(down, options(state_bits=14), ALL),
    ):
        order = [kinds.index(finding.kind) for finding in found.findings]
        assert order == sorted(order)
        seen |= {finding.kind for finding in found.findings}
    assert {"silent", "saturated", "coarse", "differs", "decay", "zeroed"} <= seen
