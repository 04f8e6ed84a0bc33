"""The peer of `training.py`: r9y9/wavenet_vocoder, a training step for each line that comes in.

A process of its own, as PyTorch and TensorFlow in one crash. It answers each line, and its first
step, with one; where it or PyTorch is not installed it ends without.
"""

from __future__ import annotations

import json
import os
import sys

try:
    import torch
    from wavenet_vocoder.wavenet import WaveNet
except ImportError:
    sys.exit()

LEVELS = 256


def main() -> None:
    """Reads what to build from the only argument, then goes on as long as lines come."""
    wanted = json.loads(sys.argv[1])
    torch.set_num_threads(os.cpu_count() or 1)
    # As shipped it has weight normalisation and dropout; without them it does what ours does.
    model = WaveNet(
        out_channels=LEVELS,
        layers=wanted["cycles"] * wanted["layers_per_cycle"],
        stacks=wanted["cycles"],
        residual_channels=wanted["residual_channels"],
        gate_channels=2 * wanted["gate_channels"],
        skip_out_channels=wanted["skip_channels"],
        kernel_size=2,
        dropout=0.05 if wanted["as_shipped"] else 0.0,
        weight_normalization=wanted["as_shipped"],
    )
    adam = torch.optim.Adam(model.parameters(), 1e-3)
    heard = torch.randint(0, LEVELS, (wanted["batch"], wanted["window"]))
    x = torch.nn.functional.one_hot(heard, LEVELS).transpose(1, 2).float()
    while True:
        adam.zero_grad()
        torch.nn.functional.cross_entropy(model(x), heard).backward()
        adam.step()
        print("done", flush=True)
        if not sys.stdin.readline():
            return


if __name__ == "__main__":
    main()
