"""The compiled engine of a spectral LSTM with codes: a frame in a fraction of a millisecond."""

from wavegen.engines.numba_spectral.engine import NumbaSpectral, warm_up, weight_shapes

__all__ = ["NumbaSpectral", "warm_up", "weight_shapes"]
