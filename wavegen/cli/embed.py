"""`python -m wavegen.cli.embed RUN [RENDERER] NAME`: makes a trained model one that comes with us.

Of two runs, an LSTM's and a conditioned WaveNet's, it makes a duet.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from wavegen.checkpoint import find_model, read_model
from wavegen.demo import DEMOS
from wavegen.duet import join
from wavegen.duet_config import PARTS
from wavegen.errors import Error
from wavegen.modelfile import halved, save_model


def embed(runs: list[str], path: Path) -> None:
    """Writes a run's model, or the duet of two, where it belongs, in half precision.

    Args:
        runs: one, or a composer's and a renderer's.
        path: of the file.

    Raises:
        CheckpointError: one of them cannot be read.
        OutputError: it cannot be written.
    """
    with tempfile.TemporaryDirectory() as folder:
        found = find_model(runs[0])
        if len(runs) == 2:
            found = Path(folder) / "duet.safetensors"
            join(found, dict(zip(PARTS, map(find_model, runs), strict=True)))
        file = read_model(found)
    save_model(path, file.family, file.config, halved(file.tensors), file.extra)


if __name__ == "__main__":
    *asked, name = sys.argv[1:] or [""]
    if len(asked) not in (1, 2) or name not in DEMOS:
        sys.exit(f"python -m wavegen.cli.embed RUN [RENDERER] {'|'.join(DEMOS)}")
    try:
        embed(asked, DEMOS[name])
    except Error as error:
        sys.exit(f"wavegen: error: {error}")
