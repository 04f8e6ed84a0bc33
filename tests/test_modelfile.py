import dataclasses
import hashlib
import io
import json
import os
import pickle
import struct
import time
import tracemalloc
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from wavegen import modelfile
from wavegen.config import CONFIGS, SpectralLSTMConfig, WaveNetConfig, build
from wavegen.errors import CheckpointError, OutputError
from wavegen.header import MAX_HEADER
from wavegen.modelfile import halved, read_model, read_state, save_model, save_state

CONFIG = build(WaveNetConfig, {"levels": 64, "cycles": 2})
DTYPES = ["<f8", ">f4", "<f4", "<f2", "<i8", "<i4", ">i2", "i1", "<u8", "<u4", "<u2", "u1", "?"]
SHAPES = arrays_of.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)
ARRAYS = st.tuples(st.sampled_from(DTYPES), SHAPES).flatmap(
    lambda kind: (
        arrays_of.arrays(kind[0], kind[1], elements={"allow_nan": False, "allow_infinity": False})
        if "f" in kind[0]
        else arrays_of.arrays(*kind)
    )
)


def tensors(seed=0):
    rng = np.random.default_rng(seed)
    return {
        "kernel": rng.standard_normal((3, 4)).astype("float32"),
        "steps": np.array(seed),
        "empty": np.zeros((0, 2), "float32"),
    }


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "model.safetensors"
    save_model(path, "wavenet", CONFIG, tensors(), {"steps": 3, "recordings": ["Für Elise.wav"]})
    return path


def refused(path, words=None):
    with pytest.raises(CheckpointError, match=words) as error:
        read_model(path)
    assert path.name in str(error.value) and "\n" not in str(error.value)
    assert len(str(error.value)) < 1000


def packed(header, data=b""):
    """Returns the bytes of a file with that header, a dict or JSON as it is."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def facts(**changed):
    whole = {"format": 1, "version": "0", "family": "wavenet", "config": {}, "extra": {}}
    return {"__metadata__": {"wavegen_model": json.dumps(whole | changed)}}


def entry(shape, begin, end, dtype="F32"):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


# -- round trips ---------------------------------------------------------------------------------


@settings(max_examples=60)
@given(st.dictionaries(st.text(min_size=1, max_size=5), ARRAYS, max_size=4))
def test_every_array_comes_back_as_it_was(tmp_path_factory, given_arrays):
    given_arrays.pop("__metadata__", None)
    path = tmp_path_factory.getbasetemp() / "round.safetensors"
    save_state(path, given_arrays, {"step": 1})
    found, _ = read_state(path)
    assert found.keys() == given_arrays.keys()
    for name, array in given_arrays.items():
        assert found[name].shape == array.shape
        assert found[name].dtype == array.dtype.newbyteorder("<")
        np.testing.assert_array_equal(found[name], array)


def test_views_that_are_not_contiguous_come_back(tmp_path):
    whole = np.arange(24.0).reshape(4, 6)
    save_state(tmp_path / "s", {"turned": whole.T, "every": whole[::2, ::-3]}, {})
    found, _ = read_state(tmp_path / "s")
    np.testing.assert_array_equal(found["turned"], whole.T)
    np.testing.assert_array_equal(found["every"], whole[::2, ::-3])


@pytest.mark.parametrize("family", CONFIGS)
def test_config_and_facts_survive(tmp_path, family):
    config = build(CONFIGS[family], {"channels": 1, "sample_rate": 12345})
    extra = {"name": "Für Elise \udcff", "best": float("nan"), "n": np.int64(3), "is": np.bool_(1)}
    save_model(tmp_path / "m", family, config, tensors(), extra)
    found = read_model(tmp_path / "m")
    assert (found.family, found.config) == (family, config)
    assert found.extra == {"name": "Für Elise \udcff", "best": None, "n": 3, "is": True}


def test_weights_of_half_precision_are_read_as_float32(tmp_path):
    rng = np.random.default_rng(1)
    tensors = {
        "weights/out/kernel": rng.standard_normal((64, 64)).astype("float32"),
        "weights/out/bias": rng.standard_normal(64).astype("float32"),
        "baselines/taps": rng.standard_normal((2, 8)).astype("float32"),
    }
    save_model(tmp_path / "m", "wavenet", CONFIG, tensors)
    save_model(tmp_path / "half", "wavenet", CONFIG, halved(tensors))
    whole, half = read_model(tmp_path / "m"), read_model(tmp_path / "half")
    assert whole.path.stat().st_size - half.path.stat().st_size > 64 * 64 * 2 - 64
    assert whole.sha256 != half.sha256
    for name, array in half.tensors.items():
        assert array.dtype == np.float32
        assert np.array_equal(array, tensors[name]) == (name != "weights/out/kernel")
    assert np.allclose(half.tensors["weights/out/kernel"], tensors["weights/out/kernel"], 2**-11)


def test_checksum_tells_models_apart_and_equal_ones_not(tmp_path):
    sums = set()
    for seed, config in [(0, CONFIG), (0, CONFIG), (1, CONFIG), (0, WaveNetConfig())]:
        save_model(tmp_path / "m", "wavenet", config, tensors(seed))
        sums.add(read_model(tmp_path / "m").sha256)
    assert len(sums) == 3 and all(len(bytes.fromhex(digest)) == 32 for digest in sums)


@pytest.mark.parametrize("length", [1152, 1408])
def test_a_header_that_begins_like_a_pickle_is_read(tmp_path, length):
    save_model(tmp_path / "m", "wavenet", CONFIG, tensors(), {"note": ""})
    fill = length - struct.unpack("<Q", (tmp_path / "m").read_bytes()[:8])[0]
    save_model(tmp_path / "m", "wavenet", CONFIG, tensors(), {"note": "x" * fill})
    assert (tmp_path / "m").read_bytes()[:2] == bytes([0x80, length // 256])
    assert read_model(tmp_path / "m").extra["note"] == "x" * fill


# -- damage --------------------------------------------------------------------------------------


def test_any_flipped_bit_is_refused(path):
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    assert len(whole) > 150
    for at, bit in enumerate(rng.integers(0, 8, len(whole))):
        damaged = bytearray(whole)
        damaged[at] ^= 1 << bit
        path.write_bytes(damaged)
        refused(path)


def test_a_file_that_is_cut_off_or_too_long_is_refused(path):
    whole = path.read_bytes()
    for part in range(100):
        path.write_bytes(whole[: len(whole) * part // 100])
        refused(path)
    path.write_bytes(whole[:-1])
    refused(path, "cut off")
    path.write_bytes(whole + b"\0")
    refused(path, "too many")


@pytest.mark.parametrize("text", ['"cycles": 2', '"steps": 3', '"sample_rate": 16000', "Elise"])
def test_facts_are_covered_by_the_checksum(path, text):
    whole, inner = path.read_bytes(), text.replace('"', '\\"').encode()
    assert whole.count(inner) == 1
    path.write_bytes(whole.replace(inner, inner[:-1] + b"1"))
    refused(path, "checksum")


# -- foreign files -------------------------------------------------------------------------------


def zipped():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("config.json", "{}")
    return file.getvalue()


FOREIGN = {
    "empty": (b"", "0 bytes"),
    "zeros": (bytes(4096), "not readable"),
    "zip": (zipped(), "zip archive"),
    "hdf5": (b"\x89HDF\r\n\x1a\n" + bytes(500), "HDF5"),
    "wav": (b"RIFF\x24\0\0\0WAVEfmt " + bytes(100), "WAV"),
    "text": (b"dear model,\nplay something\n", "not a model file"),
    "object": (packed([1, 2]), "not readable"),
    "other": (packed({"a": entry([1], 0, 4)}, bytes(4)), "not written by wavegen"),
    "torch": (packed({"__metadata__": {"format": "pt"}}), "not written by wavegen"),
} | {
    f"pickle{n}": (pickle.dumps({"weights": [1.0] * 9}, protocol=n), "Python pickle")
    for n in range(2, 6)
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_foreign_files_are_refused_by_name(tmp_path, kind):
    data, words = FOREIGN[kind]
    (tmp_path / kind).write_bytes(data)
    refused(tmp_path / kind, words)


def test_what_is_no_file_is_refused(tmp_path):
    refused(tmp_path / "missing", "No such file")
    (tmp_path / "folder").mkdir()
    refused(tmp_path / "folder", "regular file")
    (tmp_path / "loop").symlink_to("loop")
    refused(tmp_path / "loop")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_that_nobody_writes_to_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    refused(tmp_path / "pipe", "regular file")


# -- headers made to hurt ------------------------------------------------------------------------

HUGE = 2**31
BOMBS = {
    "length": (struct.pack("<Q", 1 << 30) + b"{}" + bytes(100), "not a model file"),
    "length64": (b"\xff" * 8 + b"{}", "not a model file"),
    "deep": (packed(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"), "not readable"),
    "twice": (packed(b'{"__metadata__": {}, "__metadata__": {}}'), "not readable"),
    "nan": (packed(b'{"__metadata__": NaN}'), "not readable"),
    "number": (packed(b'{"a": ' + b"9" * 10_000 + b"}"), "not readable"),
    "latin": (packed(b'{"\xff": 1}'), "not readable"),
    "surrogate": (packed({"__metadata__": {"wavegen_model": "\ud800"}}), "not readable"),
    "negative": (packed(facts() | {"a": entry([-1, -1], 0, 4)}, bytes(4)), "described wrongly"),
    "huge": (packed(facts() | {"a": entry([HUGE, HUGE], 0, 4)}, bytes(4)), "described wrongly"),
    "hollow": (packed(facts() | {"a": entry([0, HUGE, HUGE, HUGE], 0, 0)}), "described wrongly"),
    "axes": (packed(facts() | {"a": entry([HUGE] * 15_000, 0, 4)}, bytes(4)), "described wrongly"),
    "fraction": (packed(facts() | {"a": entry([1.0], 0, 4)}, bytes(4)), "described wrongly"),
    "true": (packed(facts() | {"a": entry([True], 0, 4)}, bytes(4)), "described wrongly"),
    "dtype": (packed(facts() | {"a": entry([1], 0, 4, "Q7")}, bytes(4)), "described wrongly"),
    "list": (packed(facts() | {"a": entry([1], 0, 4, ["F32"])}, bytes(4)), "described wrongly"),
    "nothing": (packed(facts() | {"a": None}), "described wrongly"),
    "short": (packed(facts() | {"a": entry([2], 0, 4)}, bytes(4)), "described wrongly"),
    "overlap": (
        packed(facts() | {"a": entry([2], 0, 8), "b": entry([2], 4, 12)}, bytes(12)),
        "overlap",
    ),
    "hole": (
        packed(facts() | {"a": entry([1], 0, 4), "b": entry([1], 8, 12)}, bytes(12)),
        "holes",
    ),
    "trailing": (packed(facts() | {"a": entry([1], 0, 4)}, bytes(5)), "too many"),
    "beyond": (packed(facts() | {"a": entry([2], 0, 8)}, bytes(4)), "cut off"),
    "infinite": (packed(b'{"a": 1e999}'), "not readable"),
    "integer": (packed(b'{"a": ' + b"9" * 21 + b"}"), "not readable"),
    "brackets": (packed(b'{"a":' + b"[" * (MAX_HEADER - 6) + b"}"), "not readable"),
    "keys": (
        packed(b"{" + b",".join(b'"%x":0' % i for i in range(27_000)) + b"}"),
        "not written by wavegen",
    ),
    "objects": (packed(b'{"a":[' + b"{}," * 87_000 + b"{}]}"), "not written by wavegen"),
    "tensors": (
        packed(facts() | {f"{i:x}": entry([1], 4 * i, 4 * i + 4) for i in range(3_700)}, bytes(9)),
        "cut off",
    ),
    "inner": (
        packed({"__metadata__": {"wavegen_model": '{"a":[' + "1," * 120_000 + "1]}"}}),
        "format 'None'",
    ),
    "too long": (packed(b'{"a": "' + b" " * MAX_HEADER + b'"}'), "not a model file"),
    "unsigned": (packed(facts() | {"a": entry([1], 0, 4)}, bytes(4)), "checksum"),
}


@pytest.mark.parametrize("kind", BOMBS)
def test_headers_made_to_hurt_are_refused(tmp_path, kind):
    data, words = BOMBS[kind]
    assert kind == "too long" or len(data) < MAX_HEADER + 50
    (tmp_path / kind).write_bytes(data)
    refused(tmp_path / kind, words)
    taken = []
    for _ in range(3):  # the quickest counts: other work may run on the machine
        began = time.process_time()
        with pytest.raises(CheckpointError):
            read_model(tmp_path / kind)
        taken.append(time.process_time() - began)
    assert min(taken) < 0.1
    tracemalloc.start()
    try:
        with pytest.raises(CheckpointError):
            read_model(tmp_path / kind)
        assert tracemalloc.get_traced_memory()[1] < 32e6
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"format": 99}, "format '99', newer"),
        ({"format": None}, "format 'None'"),
        ({"family": "wavelet"}, "'wavelet'.*known are wavenet"),
        ({"family": ["wavenet"]}, "known are"),
        ({"family": "\n" * 5000}, "known are"),
        ({"config": None}, "not readable"),
        ({"extra": []}, "not readable"),
        ({"config": {"residual_chanels": 8}}, "did you mean residual_channels"),
        ({"config": {"x" * 5000: 8}}, "out of range"),
        ({"config": {"levels": 1 << 40}}, "levels=.* must lie in 4 .. 4096"),
        ({"config": {"levels": "64"}}, "must be of type int"),
        (
            {"config": {"cycles": 16, "layers_per_cycle": 14, "residual_channels": 4096}},
            "numbers to remember",
        ),
        ({"extra": {"step": "3"}}, "garbled"),
        ({"extra": {"seconds": [3]}}, "garbled"),
        ({"extra": {"step": True}}, "garbled"),
        ({"extra": {"verdict": 3}}, "garbled"),
        ({"extra": {"scores": {"mean": 1.0}}}, "garbled"),
        ({"extra": {"scores": [7.6]}}, "garbled"),
        ({"extra": {"scores": [{"mean": "7.6"}]}}, "garbled"),
    ],
)
def test_facts_that_do_not_fit_are_refused_by_name(tmp_path, changed, words):
    (tmp_path / "m").write_bytes(packed(facts(**changed)))
    refused(tmp_path / "m", words)


@pytest.mark.parametrize("kind", [*CONFIGS.values()])
def test_every_field_has_bounds_that_are_kept(tmp_path, kind):
    """A configuration out of bounds is refused on its header alone: no tensor is there to read."""
    family = {value: name for name, value in CONFIGS.items()}[kind]
    for field in dataclasses.fields(kind):
        bad = [None, [], {}, "?" if not field.metadata["choices"] else "softmx"]
        if type(field.default) in (int, float):
            low, high = field.metadata["low"], field.metadata["high"]
            bad += [low - 1, high + 1, -(2**31), 2**31, 2**63, 1e300, True]
        for value in bad:
            (tmp_path / "m").write_bytes(packed(facts(family=family, config={field.name: value})))
            refused(tmp_path / "m", field.name)


def test_a_link_to_a_model_is_followed(path, tmp_path):
    (tmp_path / "link").symlink_to(path)
    assert read_model(tmp_path / "link").config == CONFIG


def test_a_file_far_larger_than_its_model_is_not_read(tmp_path):
    """A sparse file of 8 GB takes no disk, and would take all of the memory."""
    size = 8 << 30
    data = packed(facts() | {"weights/a": entry([size], 0, size, "U8")})
    (tmp_path / "m").write_bytes(data)
    os.truncate(tmp_path / "m", len(data) + size)
    refused(tmp_path / "m", "far more than its configuration asks for")


def test_a_file_without_a_version_is_read(tmp_path):
    text = json.dumps({"format": 1, "family": "wavenet", "config": {}, "extra": {}})
    signed = {"wavegen_model": text, "sha256": hashlib.sha256(text.encode()).hexdigest()}
    (tmp_path / "m").write_bytes(packed({"__metadata__": signed}))
    assert read_model(tmp_path / "m").config == WaveNetConfig()


def test_an_older_file_of_two_channels_is_of_left_and_right(tmp_path):
    """Before `stereo` was a field nothing was turned; a duet's renderer says likewise."""
    two = {"channels": 2}
    parts = {"composer": {"sample_rate": 16000} | two, "renderer": {"condition_bands": 4} | two}
    for family, values, find in (
        ("wavenet", two, lambda config: config),
        ("duet", parts, lambda config: config.renderer),
    ):
        facts = {"format": 1, "family": family, "config": values, "extra": {}}
        text = json.dumps(facts)
        signed = {"wavegen_model": text, "sha256": hashlib.sha256(text.encode()).hexdigest()}
        (tmp_path / "m").write_bytes(packed({"__metadata__": signed}))
        assert find(read_model(tmp_path / "m").config).stereo == "left_right"
    assert WaveNetConfig(channels=2).stereo == "mid_side"


def test_a_state_is_no_model_and_a_model_no_state(path, tmp_path):
    save_state(tmp_path / "state", tensors(), {"step": 1})
    refused(tmp_path / "state", "is a training state; a model was asked for")
    with pytest.raises(CheckpointError, match="is a model; a state was asked for"):
        read_state(path)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_no_numbers_are_refused(path, value):
    broken = tensors()
    broken["kernel"][1, 2] = value
    save_model(path, "wavenet", CONFIG, broken)
    refused(path, "'kernel' holds NaN or infinity")


# -- faults while writing ------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["open", "write", "fsync", "replace"])
def test_a_fault_in_any_call_leaves_a_whole_file_and_no_temporary(path, monkeypatch, name):
    real_write, failures = os.write, 0
    for fails_at in range(100):
        calls = 0

        def counting(real, fails_at=fails_at):
            def call(*arguments, **named):
                nonlocal calls
                calls += 1
                if calls - 1 == fails_at:
                    raise OSError(28, "No space left on device")
                return real(*arguments, **named)

            return call

        with monkeypatch.context() as patch:
            # in little pieces, as a full disk or a network may take them
            patch.setattr(os, "write", lambda handle, data: real_write(handle, data[:300]))
            patch.setattr(os, name, counting(getattr(os, name)))
            try:
                save_model(path, "wavenet", CONFIG, tensors(1), {"steps": 4})
            except OutputError as error:
                failures += 1
                assert path.name in str(error) and "No space left" in str(error)
            else:
                assert calls == fails_at
                break
        assert read_model(path).extra["steps"] in ([3, 4] if name in ("open", "fsync") else [3])
        assert os.listdir(path.parent) == [path.name]
    # written in pieces of 300 bytes; synced are the file and its folder
    pieces = -(-path.stat().st_size // 300)
    assert failures == {"open": 2, "write": pieces, "fsync": 2, "replace": 1}[name]
    assert read_model(path).extra["steps"] == 4
    assert os.listdir(path.parent) == [path.name]


def test_a_fault_before_the_rename_keeps_the_previous_file(path, monkeypatch):
    before = path.read_bytes()

    def fail(handle):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OutputError, match="Input/output error"):
        save_model(path, "wavenet", CONFIG, tensors(1))
    assert path.read_bytes() == before


def test_a_folder_that_cannot_be_made_is_an_output_error(path):
    with pytest.raises(OutputError, match="cannot be written"):
        save_model(path / "under" / "m", "spectral_lstm", SpectralLSTMConfig(), {})


def test_plain_keeps_what_json_can_hold():
    config = dataclasses.asdict(CONFIG)
    value = {"a": (1, [np.float32(0.5), np.inf]), "b": None, "c": "x", "d": True, **config}
    assert (
        modelfile.plain(value) == {"a": [1, [0.5, None]], "b": None, "c": "x", "d": True} | config
    )
