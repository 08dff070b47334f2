"""Three neurons, from a NIR graph to spikes: ``hello.py [golden|verilator|virtual|PORT]``."""

import sys
from contextlib import closing
from itertools import pairwise

import nir
import numpy as np

from spikewright.compiler import CompileOptions, compile_network
from spikewright.target import open_target

neuron = {"tau": 8e-3, "r": 8.0, "v_leak": 0.0, "v_threshold": 1.0, "v_reset": 0.0}
nodes = {
    "lines": nir.Input(np.array([2])),
    "synapses": nir.Linear(np.array([[0.4, 0.0], [0.3, 0.3], [0.6, -0.4]])),
    "neurons": nir.LIF(**{name: np.full(3, value) for name, value in neuron.items()}),
    "spikes": nir.Output(np.array([3])),
}
graph = nir.NIRGraph(nodes, list(pairwise(nodes)))
image = compile_network(graph, CompileOptions(dt=1e-3, reset="zero", reset_delay=False))

time = np.arange(60)
lines = np.stack([time % 2 == 0, time % 3 == 0], axis=-1)  # bool[timesteps, axons]
with closing(open_target(sys.argv[1] if len(sys.argv) > 1 else "golden", report=print)) as target:
    target.load(image)
    result = target.run(lines[np.newaxis])

spikes = result.spikes[0, :, image.output_slices["neurons"]]
for kind, trains in (("line", lines), ("neuron", spikes)):
    for number, train in enumerate(trains.T):
        print(f"{kind:6} {number}", "".join("|" if spike else "." for spike in train))
print(f"{len(time)} timesteps on {target.name}, {result.total_cycles[0]} clock cycles")
