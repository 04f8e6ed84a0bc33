import dataclasses
import json

import numpy as np
import pytest
from conftest import tune
from hypothesis import given
from hypothesis import strategies as st

from wavegen import __version__, audio, recipe
from wavegen.errors import AudioError
from wavegen.recipe import CONTROLS, Recipe

PATHS = st.text(st.characters(exclude_characters="\0"), max_size=40)
DIGESTS = st.binary(min_size=32, max_size=32).map(bytes.hex)
RECIPES = st.builds(
    Recipe,
    version=st.just("0.1.0"),
    model=DIGESTS,
    model_path=PATHS,
    after=PATHS,
    heard=DIGESTS,
    position=st.integers(0, 2**40),
    prime=st.floats(0.001, 1e5),
    with_prime=st.booleans(),
    seed=st.integers(0, 2**64 - 1),
    variation=st.integers(0, 1000),
    controls=st.fixed_dictionaries(
        {}, optional={name: st.floats(low, high) for name, (low, high) in CONTROLS.items()}
    ),
    engine=st.sampled_from(["numba", "reference"]),
    precision=st.sampled_from(["float32", "int8"]),
    sustain=st.floats(0.25, 100),
    guard=st.booleans(),
    candidates=st.integers(1, 64),
    ends=st.lists(st.floats(0.01, 1e5), min_size=1, max_size=4, unique=True).map(
        lambda ends: tuple(sorted(ends))
    ),
)
ONE = Recipe(
    version="0.1.0",
    model="0" * 64,
    model_path="runs/a/model.safetensors",
    after="my seed é.wav",
    heard="1" * 64,
    position=8000,
    prime=4.0,
    with_prime=True,
    seed=7,
    variation=1,
    controls={"temperature": 0.8 + 0.4 / 3},
    engine="numba",
    precision="int8",
    sustain=3.0,
    guard=True,
    candidates=8,
    ends=(10.0,),
)


@given(RECIPES, st.sampled_from(["", " guard 2.5s runaway", '{"', " guard 1s de"]))
def test_what_is_written_is_read_whatever_the_guard_said_behind_it(made, remark):
    comment = made.metadata()["comment"]
    assert comment.isascii() and "\0" not in comment
    assert recipe.parse(comment + remark, "x.wav") == made


@given(st.text() | st.recursive(st.none() | st.integers() | st.floats() | st.text(), st.lists))
def test_any_other_comment_is_refused_in_one_line(value):
    for text in (str(value), json.dumps(value)):
        with pytest.raises(AudioError, match=r"^x\.wav: carries no recipe"):
            recipe.parse(text, "x.wav")


WRONG = {
    "version": 1,
    "model": "0" * 63,
    "model_path": "a\0b",
    "after": None,
    "heard": "G" * 64,
    "position": -1,
    "prime": float("nan"),
    "with_prime": 1,
    "seed": 2**64,
    "variation": 1.0,
    "controls": {"temperature": 1e30},
    "engine": ["numba"],
    "precision": 8,
    "sustain": 0,
    "guard": "yes",
    "candidates": 10**9,
    "ends": [2.0, 1.0],
}


@pytest.mark.parametrize("field", [f.name for f in dataclasses.fields(Recipe)])
def test_every_field_is_checked(field):
    facts = dataclasses.asdict(ONE) | {field: WRONG[field]}
    with pytest.raises(AudioError, match=rf"^x\.wav: its recipe is damaged \({field} is ") as told:
        recipe.parse(json.dumps(facts), "x.wav")
    assert "\n" not in str(told.value)


def test_a_recipe_of_this_version_with_other_fields_is_damaged():
    facts = dataclasses.asdict(ONE) | {"version": __version__, "mood": "blue"}
    with pytest.raises(AudioError, match=r"its recipe is damaged \(other fields\)"):
        recipe.parse(json.dumps(facts), "x.wav")


def test_a_recipe_of_other_fields_names_its_version():
    facts = dataclasses.asdict(ONE) | {"version": "9.9", "mood": "blue"}
    with pytest.raises(AudioError, match=r"that of wavegen 9\.9, this is "):
        recipe.parse(json.dumps(facts), "x.wav")


def test_deep_and_long_comments_are_refused():
    for text in ("[" * 100_000, '{"model": ' * 10_000, "9" * 100_000):
        with pytest.raises(AudioError, match="carries no recipe"):
            recipe.parse(text, "x.wav")


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_a_file_carries_it(tmp_path, suffix):
    path = audio.write(tmp_path / f"x{suffix}", tune(0.1, 8000), 8000, metadata=ONE.metadata())
    assert recipe.read(path) == ONE
    assert audio.metadata(path)["software"] == "wavegen 0.1.0"


def test_a_fingerprint_is_of_the_sound_alone():
    sound = tune(0.1, 8000, 2)
    same = np.asfortranarray(sound.astype(">f4"))
    assert recipe.fingerprint(sound) == recipe.fingerprint(same)
    others = [sound[:, :-1], sound[::-1], sound.reshape(1, -1), sound * np.float32(1 + 1e-6)]
    assert len({recipe.fingerprint(other) for other in (sound, *others)}) == 5
