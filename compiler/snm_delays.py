"""Delays of SuperNeuroMAT, which makes them of chains of neurons, as delays of synapses."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from .snm_reader import SnmNetwork

__all__ = ["fold_delays"]


def fold_delays(network: SnmNetwork, most: int) -> SnmNetwork:
    """Take hidden neurons out where a synapse's own delay does the same, timestep for timestep.

    A hidden neuron stays where it does more than pass a spike on, where the delay would be longer
    than ``most``, and where there is another synapse between the ends of its chain: a core has one.

    Parameters
    ----------
    network : SnmNetwork
        All delays 1, as read.
    most : int
        Longest delay of a synapse.
    """
    is_relay = _relays(network)
    pre, post, delay = network.pre.copy(), network.post, network.delay.copy()
    into = np.zeros(len(network.ids), np.int64)
    into[post] = np.arange(len(post))
    pairs = set(zip(pre.tolist(), post.tolist(), strict=True))
    is_taken = np.zeros(len(network.ids), np.bool_)
    for end in np.flatnonzero(is_relay[pre] & ~is_relay[post]).tolist():
        synapse, source, chain = int(end), int(pre[end]), []
        while is_relay[source]:
            chain.append(source)
            source = int(network.pre[into[source]])
        chain.append(source)
        first = 0
        while first < len(chain) - 1:
            last = min(first + most - 1, len(chain) - 1)
            if (chain[last], int(post[synapse])) in pairs and last > first:
                last -= 1
            pre[synapse], delay[synapse] = chain[last], 1 + last - first
            is_taken[chain[first:last]] = True
            pairs.add((chain[last], int(post[synapse])))
            synapse, first = int(into[chain[last]]), last + 1
    return _without(replace(network, pre=pre, delay=delay), is_taken)


def _relays(network: SnmNetwork) -> npt.NDArray[np.bool_]:
    """Hidden neurons that spike one timestep after the one before them does, and only then."""
    weight = np.zeros(len(network.ids))
    weight[network.post] = network.weight
    is_fed = np.isin(np.arange(len(network.ids)), network.input_neuron)
    relays: npt.NDArray[np.bool_] = (
        network.is_hidden
        & np.isinf(network.leak)
        & (network.refractory == 0)
        & (network.reset_state <= network.threshold)
        & (network.reset_state + weight > network.threshold)
        & ~is_fed
    )
    return relays


def _without(network: SnmNetwork, is_taken: npt.NDArray[np.bool_]) -> SnmNetwork:
    """The network without some neurons, and the synapses into them."""
    kept, synapses = ~is_taken, ~is_taken[network.post]
    index = np.cumsum(kept) - 1
    neurons = ("ids", "is_hidden", "threshold", "leak", "reset_state", "state", "refractory")
    return replace(
        network,
        **{name: getattr(network, name)[kept] for name in neurons},
        **{name: getattr(network, name)[synapses] for name in ("weight", "delay", "stdp")},
        pre=index[network.pre[synapses]],
        post=index[network.post[synapses]],
        input_neuron=index[network.input_neuron],
    )
