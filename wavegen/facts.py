"""What the header of a model file or of a training state may claim.

Everything in it can have been written by a stranger, signed with a checksum that fits. So each
field that is used later is checked here for its type and its bounds, before a tensor is read.
"""

from __future__ import annotations

from typing import Any

from wavegen import config
from wavegen.counting import parameters
from wavegen.duet_config import DUET, build_duet
from wavegen.errors import CheckpointError, UsageError
from wavegen.train_settings import TrainSettings

BESIDE = 1 << 28  # bytes that a model file may hold beside its weights: baselines
NUMBER = (int, float)
NOTED = {"step": int, "seconds": NUMBER, "verdict": str}  # facts of a model that are shown
SCORE = {"name": str, "unit": str, "mean": NUMBER, "low": NUMBER, "high": NUMBER}
RESUMED = {"step": int, "seconds": NUMBER, "rate_factor": NUMBER, "rollbacks": int}


def check_model(facts: dict, layout: dict[str, tuple], name: str) -> None:
    """Validates what a model file says of itself; adds the configuration as `built`.

    Args:
        facts: of the header.
        layout: tensor name to (dtype, shape, first byte, end).
        name: the file's, for messages.

    Raises:
        CheckpointError: the file names an unknown family, a configuration out of bounds, or one
            that asks for more than the file holds.
    """
    facts["built"] = built = _config(facts, name)
    extra = facts.get("extra")
    if not isinstance(extra, dict):
        raise CheckpointError(f"{name}: its configuration is not readable; train it again")
    parts = extra.get("parts", {})
    noted = [extra, *parts.values()] if isinstance(parts, dict) else [None]
    if not all(isinstance(one, dict) and _noted(one) for one in noted):
        raise CheckpointError(f"{name}: what it says of its training is garbled; train it again")
    held = sum(end - begin for _, _, begin, end in layout.values())
    if held > 8 * parameters(built) + BESIDE:
        raise CheckpointError(
            f"{name}: holds {held} bytes, far more than its configuration asks for; "
            "use another copy"
        )


def _noted(extra: dict) -> bool:
    """Returns whether what is told of a training has the types that it is shown by."""
    scores = extra.get("scores", [])
    return (
        _typed(extra, NOTED)
        and isinstance(scores, list)
        and all(isinstance(score, dict) and _typed(score, SCORE) for score in scores)
    )


def check_state(facts: dict, layout: dict[str, tuple], name: str) -> None:
    """Validates what a training state says of itself; arguments as of `check_model`.

    Raises:
        CheckpointError: it holds no facts that a training could go on from.
    """
    found = facts.get("facts")
    if not isinstance(found, dict):
        raise CheckpointError(f"{name}: holds no facts about its training; it cannot be resumed")


def check_resumed(facts: dict, name: str) -> None:
    """Validates the facts that a training goes on from.

    Args:
        facts: of a training state.
        name: the file's, for messages.

    Raises:
        CheckpointError: one of them is missing or out of bounds.
    """
    _config(facts, name)
    settings = facts.get("settings")
    fits = all(facts.get(key) is not None for key in (*RESUMED, "fingerprint"))
    fits = fits and _typed(facts, RESUMED | {"best": NUMBER, "fingerprint": str})
    if not isinstance(settings, dict) or not fits or min(facts[key] for key in RESUMED) < 0:
        raise CheckpointError(f"{name}: its facts are garbled; it cannot be resumed")
    try:
        config.build(TrainSettings, settings)
    except UsageError as error:
        raise CheckpointError(f"{name}: its settings are out of range: {error}") from error


def _config(facts: dict, name: str) -> Any:
    """Returns the configuration that facts hold, every field within its bounds.

    What files did not say when they were older is added to the facts.
    """
    family, values = facts.get("family"), facts.get("config")
    if not isinstance(family, str) or family not in (*config.CONFIGS, DUET):
        known = ", ".join([*config.CONFIGS, DUET])
        raise CheckpointError(f"{name}: holds a {str(family)[:60]!r} model; known are {known}")
    if not isinstance(values, dict):
        raise CheckpointError(f"{name}: its configuration is not readable; train it again")
    wavenet = values.get("renderer") if family == DUET else values
    if family in ("wavenet", DUET) and isinstance(wavenet, dict):  # once channels were not turned
        wavenet.setdefault("stereo", "left_right" if wavenet.get("channels") == 2 else "mid_side")
    try:
        if family == DUET:
            return build_duet(values)
        return config.build(config.CONFIGS[family], values)
    except UsageError as error:
        text = f"{name}: its configuration is out of range: {str(error)[:300]}"
        raise CheckpointError(text) from error


def _typed(values: dict, kinds: dict[str, Any]) -> bool:
    """Returns whether those of the values that are there, and not null, have their type."""
    return all(
        values.get(key) is None
        or (isinstance(values[key], kind) and not isinstance(values[key], bool))
        for key, kind in kinds.items()
    )
