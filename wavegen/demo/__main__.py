"""`python -m wavegen.demo RUN NAME`: puts a trained model among those that come with wavegen."""

from __future__ import annotations

import sys

from wavegen.checkpoint import find_model, read_model
from wavegen.demo import DEMOS
from wavegen.modelfile import halved, save_model

if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[2] not in DEMOS:
        sys.exit(f"python -m wavegen.demo RUN {'|'.join(DEMOS)}")
    file = read_model(find_model(sys.argv[1]))
    save_model(DEMOS[sys.argv[2]], file.family, file.config, halved(file.tensors), file.extra)
