"""The fast engine of the WaveNet on a CPU: one compiled function, no Keras, nothing of wavegen.

`engine` has the verbs; `kernel` the network, `hearing` and `following` what comes before it,
`head`, `softmax` and `mixture` what comes after; `product` and `tile` the matrix products they
stand on; `packing` and `fading` lay the weights out for them, `streams` what a stream remembers.
Sessions are those of the reference, `(last frame, model state)`, so that either can take over from
the other; ring buffers exist only inside `Voices`.
"""

from __future__ import annotations

from wavegen.engines.numba_cpu.engine import NumbaCPU, warm_up
from wavegen.engines.numba_cpu.lanes import Lanes
from wavegen.engines.numba_cpu.shapes import PRECISIONS, weight_shapes

__all__ = ["PRECISIONS", "Lanes", "NumbaCPU", "warm_up", "weight_shapes"]
