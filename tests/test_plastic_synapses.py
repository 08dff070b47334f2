"""The list of plastic synapses, against the matrices of the image."""

import numpy as np
import pytest
from plastic_images import TRACE, plastic_image

from spikewright.compiler.plastic import axon_weights_of, neuron_weights_of
from spikewright.errors import SpikewrightError
from spikewright.image import CoreImage
from spikewright.plastic import PlasticSynapses
from spikewright.sim.cases import draw_case, draw_spec
from spikewright.spec import CoreSpec


def dense(image: CoreImage, name: str) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    array = image.arrays[name]
    return np.concatenate([axon_weights_of(image, array), neuron_weights_of(image, array)])


@pytest.mark.parametrize("seed", range(20))
def test_random_networks(seed: int) -> None:
    spec = draw_spec(np.random.default_rng(seed), most=48, plastic=True)
    image = draw_case(seed, spec=spec).image
    found = PlasticSynapses.of(image)
    neuron, source = np.nonzero(dense(image, "plastic").T)
    assert len(found) == len(source)
    assert np.array_equal(found.neuron, neuron)
    assert np.array_equal(found.source, source)
    assert np.array_equal(found.weights(image), dense(image, "weights")[source, neuron])


def test_by_neuron_and_source() -> None:
    found = PlasticSynapses.of(plastic_image(TRACE))
    assert (found.source.tolist(), found.neuron.tolist()) == ([0, 0, 0], [0, 2, 3])
    assert found.weights(plastic_image(TRACE)).tolist() == [1, 3, -4]


def test_none_without_plasticity() -> None:
    plain = draw_case(1, spec=CoreSpec(axons=4, neurons=8, lanes=8)).image
    with pytest.raises(SpikewrightError, match="This core cannot learn"):
        PlasticSynapses.of(plain)
