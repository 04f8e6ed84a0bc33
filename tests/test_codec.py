import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wavegen.codec import PCM16, PCM24, STFT, EncodeState, MuLaw, codec_of, snr_db
from wavegen.config import SpectralLSTMConfig, WaveNetConfig
from wavegen.errors import UsageError
from wavegen.framing import tight_window

LEVELS = st.integers(4, 4096)
SEEDS = st.integers(0, 2**32 - 1)


@st.composite
def stfts(draw):
    n_fft = 2 * draw(st.integers(1, 40))
    hop_length = draw(st.integers(1, n_fft))
    stereo = draw(st.sampled_from(["mid_side", "left_right"]))
    return STFT(n_fft, hop_length, draw(st.integers(1, 3)), stereo)


def noise(seed, *shape):
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


def sine(peak, f0_hz=997.0, sample_rate=44100):
    time = np.arange(sample_rate) / sample_rate
    return (peak * np.sin(2 * np.pi * f0_hz * time)).astype(np.float32)[None]


def companded(signal, levels):
    signal = np.asarray(signal, np.float64)
    return np.sign(signal) * np.log1p((levels - 1) * np.abs(signal)) / math.log(levels)


# mu-law


@pytest.mark.parametrize("peak, levels, expected", [
    (1.0, 256, 38.4), (0.01, 256, 34.9), (1.0, 1024, 48.4), (0.01, 1024, 47.0),
])  # fmt: skip
def test_mu_law_noise_is_as_documented(peak, levels, expected):
    codec = MuLaw(levels)
    signal = sine(peak)
    assert snr_db(signal, codec.decode(codec.encode(signal))) == pytest.approx(expected, abs=1)


@pytest.mark.parametrize("levels", [*range(4, 70), 255, 256, 257, 1023, 1024, 4095, 4096])
def test_every_level_decodes_and_encodes_to_itself(levels):
    codec = MuLaw(levels)
    every = np.arange(levels, dtype=np.int32)[:, None]
    np.testing.assert_array_equal(codec.encode(codec.decode(every)), every)
    assert codec.values.dtype == codec.edges.dtype == np.float32
    assert codec.values.shape == (levels,) and codec.edges.shape == (levels - 1,)
    interleaved = np.empty(2 * levels - 1, np.float32)
    interleaved[::2], interleaved[1::2] = codec.values, codec.edges
    assert np.all(np.diff(interleaved) > 0)
    assert (codec.values[0], codec.values[levels // 2], codec.values[-1]) == (-1, 0, 1)


@given(LEVELS)
def test_silence_stays_silent(levels):
    codec = MuLaw(levels, 2)
    assert not codec.decode(codec.encode(np.zeros((2, 5), np.float32))).any()


@given(LEVELS, SEEDS)
def test_mu_law_is_monotone_and_within_half_a_step(levels, seed):
    codec = MuLaw(levels)
    signal = np.sort(noise(seed, 1, 200) ** 3)
    encoded = codec.encode(signal)
    assert np.all(np.diff(encoded[:, 0]) >= 0)
    error = companded(codec.decode(encoded), levels) - companded(signal, levels)
    widest = 1 / (levels - 1 - levels // 2)  # a step above zero, in companded amplitude
    assert np.max(np.abs(error)) <= widest / 2 + 1e-6


@given(LEVELS)
def test_a_level_begins_at_its_edge(levels):
    codec = MuLaw(levels)
    numbers = np.arange(levels - 1)
    below = np.nextafter(codec.edges, np.float32(-2))
    np.testing.assert_array_equal(codec.encode(codec.edges[None])[:, 0], numbers + 1)
    np.testing.assert_array_equal(codec.encode(below[None])[:, 0], numbers)


@given(LEVELS, st.floats(1, 1e30))
def test_beyond_full_scale_is_clipped(levels, sample):
    codec = MuLaw(levels)
    encoded = codec.encode(np.array([[-sample, sample, -math.inf, math.inf]]))
    assert encoded[:, 0].tolist() == [0, levels - 1] * 2


@given(
    st.sampled_from([MuLaw, PCM16]),
    SEEDS,
    st.integers(1, 3),
    st.lists(st.integers(0, 9), max_size=5),
)
def test_levels_in_blocks_are_levels_at_once(kind, seed, channels, blocks):
    codec = MuLaw(64, channels) if kind is MuLaw else PCM16(channels)
    signal = noise(seed, 2, channels, sum(blocks))
    whole = codec.encode(signal)
    assert whole.shape == (2, sum(blocks), codec.features) and whole.dtype == np.int32
    state, back, start = codec.encode_initial((2,)), codec.decode_initial((2,)), 0
    for block in blocks:
        frames, state = codec.encode_step(signal[..., start : start + block], state)
        heard, back = codec.decode_step(frames, back)
        np.testing.assert_array_equal(frames, whole[:, start : start + block])
        np.testing.assert_array_equal(heard, codec.decode(whole)[..., start : start + block])
        start += block
    assert state == back == () and codec.decode(whole).dtype == np.float32


# 16 bits


def test_16_bit_sound_comes_back_to_the_last_bit():
    codec = PCM16()
    every = np.arange(-32768, 32768, dtype=np.int16)
    signal = (every / np.float32(32768))[None]  # as a file of 16 bits is read
    levels = codec.encode(signal)
    assert levels.dtype == np.int32
    np.testing.assert_array_equal(levels[:, 0], every.astype(int) + 32768)
    np.testing.assert_array_equal(codec.decode(levels), signal)
    assert codec.decode(levels).dtype == np.float32


@given(SEEDS, st.floats(-5, 0))
def test_16_bits_are_the_nearest(seed, exponent):
    codec, signal = PCM16(2), 10**exponent * noise(seed, 2, 200)
    decoded = codec.decode(codec.encode(signal))
    assert np.max(np.abs(decoded - np.minimum(signal, 32767 / 32768))) <= 0.5 / 32768
    assert np.all(np.diff(codec.encode(np.sort(signal, -1)), axis=0) >= 0)


@given(SEEDS)
def test_a_16_bit_level_begins_at_its_edge(seed):
    """Adding up finds the same level as looking the sample up among the edges."""
    codec = PCM16()
    numbers = np.random.default_rng(seed).integers(0, 65535, 500)
    below, above = (np.nextafter(codec.edges, np.float32(to)) for to in (-2, 2))
    for sample in (codec.edges, below, above):
        wanted = np.searchsorted(codec.edges, sample[numbers], side="right")
        np.testing.assert_array_equal(codec.encode(sample[None, numbers])[:, 0], wanted)
    np.testing.assert_array_equal(codec.encode(codec.edges[None])[:, 0], np.arange(1, 65536))


@given(st.floats(1, 1e30))
def test_beyond_16_bits_is_clipped(sample):
    encoded = PCM16().encode(np.array([[-sample, sample, -math.inf, math.inf]]))
    assert encoded[:, 0].tolist() == [0, 65535] * 2
    assert PCM16().decode(encoded)[0, :2].tolist() == [-1, 32767 / 32768]


@given(SEEDS, st.sampled_from([MuLaw, PCM16]), st.floats(-3, 0))
def test_mean_and_difference_say_what_left_and_right_do(seed, kind, exponent):
    """What was once levels is the same levels again; 16 bits are the same sound, too."""
    codec = MuLaw(256, 2, "mid_side") if kind is MuLaw else PCM16(2, "mid_side")
    sound = np.round(10**exponent * np.clip(noise(seed, 2, 200), -0.49, 0.49) * 32768) / 32768
    levels = codec.encode(sound)
    heard = codec.decode(levels)
    np.testing.assert_array_equal(codec.encode(heard), levels)
    if kind is PCM16:
        np.testing.assert_array_equal(heard, sound.astype("float32"))
    one = codec.decode(codec.encode(np.repeat(sound[:1], 2, axis=0)))
    np.testing.assert_array_equal(one[0], one[1])  # what is in the middle stays there


def test_levels_turned_stay_within_full_scale():
    for codec in (MuLaw(16, 2, "mid_side"), PCM16(2, "mid_side")):
        assert codec.turned and not type(codec)(channels=1, stereo="mid_side").turned
        last = codec.levels - 1
        heard = codec.decode(np.array([[0, 0], [0, last], [last, 0], [last, last]]))
        assert np.abs(heard).max() == 1.0
        apart = codec.decode(codec.encode(np.array([[1.0, -1.0], [-1.0, 1.0]])))
        np.testing.assert_allclose(apart, [[0.5, -0.5], [-0.5, 0.5]], atol=2e-4)


def test_16_bit_levels_count_to_the_classes_of_mu_law():
    """Few and near silence fine ones, so that a histogram of a minute of music is no sieve."""
    codec, coarse = PCM16(), MuLaw(256)
    np.testing.assert_array_equal(codec.classes, coarse.encode(codec.values[None])[:, 0])
    counts = np.bincount(codec.classes)
    assert len(counts) == 256 and counts.min() >= 1 and counts.sum() == 65536
    assert codec.classes[codec.levels // 2] == 128 and (np.diff(codec.classes) >= 0).all()
    assert counts[128] < 10 < 500 < counts[1]  # the outermost class is half as wide
    for levels in (5, 256, 1024):
        np.testing.assert_array_equal(MuLaw(levels).classes, np.arange(levels))


def test_silence_of_16_bits_stays_silent():
    codec = PCM16(2)
    assert codec.levels == 65536 and codec.values[32768] == 0
    assert not codec.decode(codec.encode(np.zeros((2, 5), np.float32))).any()


@pytest.mark.parametrize("codec", [MuLaw(64), PCM16()])
def test_tables_cannot_be_written_to(codec):
    assert codec.values.shape == (codec.levels,) and codec.edges.shape == (codec.levels - 1,)
    assert codec.values.dtype == codec.edges.dtype == np.float32
    for table in (codec.values, codec.edges, codec.classes):
        with pytest.raises(ValueError, match="read-only"):
            table[0] = 0


def test_a_model_has_the_codec_of_its_head():
    for config, kind in (
        (WaveNetConfig(channels=2), PCM16),
        (WaveNetConfig(head="softmax", levels=32), MuLaw),
        (SpectralLSTMConfig(), STFT),
    ):
        codec = codec_of(config)
        assert type(codec) is kind and codec.channels == config.channels
        assert codec.frame_samples == config.frame_samples
    assert codec_of(WaveNetConfig(head="softmax", levels=32)).levels == 32


# STFT


@given(stfts(), st.integers(0, 300), SEEDS, st.sampled_from([(), (1,), (2, 3)]))
def test_signal_comes_back_and_energy_stays(codec, samples, seed, batch_shape):
    signal = noise(seed, *batch_shape, codec.channels, samples)
    frames = codec.encode(signal)
    count = -(-(samples + codec.delay_samples) // codec.hop_length)
    assert frames.shape == (*batch_shape, count, codec.features) and frames.dtype == np.float32
    decoded = codec.decode(frames, samples)
    assert decoded.dtype == np.float32
    np.testing.assert_allclose(decoded, signal, rtol=0, atol=3e-7)
    energy = np.sum(signal.astype(np.float64) ** 2)
    assert np.sum(frames.astype(np.float64) ** 2) == pytest.approx(energy, rel=1e-5)


@pytest.mark.parametrize("n_fft, hop_length", [
    (1024, 512), (1024, 256), (1024, 700), (1000, 37), (2048, 2048), (65536, 30001),
])  # fmt: skip
@pytest.mark.parametrize("kind", ["noise", "square", "sine", "constant"])
def test_stft_error_is_as_documented(n_fft, hop_length, kind):
    codec = STFT(n_fft, hop_length, 2)
    signal = noise(1, 2, 20001)
    if kind == "square":
        signal = np.sign(signal)
    elif kind == "sine":
        signal = np.repeat(sine(1)[:, :20001], 2, 0)
    elif kind == "constant":
        signal = np.ones_like(signal)
    decoded = codec.decode(codec.encode(signal), 20001)
    assert np.max(np.abs(decoded - signal)) <= 1.3e-7
    assert snr_db(signal, decoded) >= 140


@given(st.integers(1, 60).map(lambda half: 2 * half), st.data())
def test_window_is_tight_and_symmetric(n_fft, data):
    hop_length = data.draw(st.integers(1, n_fft))
    window = tight_window(n_fft, hop_length)
    assert window.shape == (n_fft,) and np.all(window > 0)
    squares = np.zeros(5 * n_fft)
    for start in range(0, 4 * n_fft, hop_length):
        squares[start : start + n_fft] += window**2
    np.testing.assert_allclose(squares[n_fft : 4 * n_fft], 1, rtol=1e-12)
    np.testing.assert_allclose(window, window[::-1], rtol=1e-12)


def test_half_overlap_is_the_sine_window_and_no_overlap_is_none():
    expected = np.sin(np.pi * (np.arange(64) + 0.5) / 64)
    np.testing.assert_allclose(tight_window(64, 32), expected, rtol=1e-12)
    np.testing.assert_allclose(tight_window(64, 64), 1, rtol=1e-12)
    assert np.sum(tight_window(64, 48) == 1) == 32


@given(stfts(), SEEDS, st.lists(st.integers(0, 7), max_size=6), st.integers(0, 500))
def test_stft_in_blocks_is_stft_at_once(codec, seed, blocks, first):
    hop = codec.hop_length
    signal = noise(seed, 2, codec.channels, sum(blocks) * hop)
    starts = [first, first + 3]  # each row of a batch at its own place
    encoder = codec.encode_initial((2,), starts)
    decoder = codec.decode_initial((2,), starts)
    whole, end = codec.encode_step(signal, encoder)
    heard, _ = codec.decode_step(whole, decoder)
    parts, sounds, done = [whole[:, :0]], [heard[..., :0]], 0
    for block in blocks:
        part, encoder = codec.encode_step(signal[..., done : done + block * hop], encoder)
        sound, decoder = codec.decode_step(part, decoder)
        parts.append(part)
        sounds.append(sound)
        done += block * hop
    np.testing.assert_allclose(np.concatenate(parts, 1), whole, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(np.concatenate(sounds, -1), heard, rtol=0, atol=1e-7)
    np.testing.assert_array_equal(encoder.past, end.past)
    np.testing.assert_array_equal(encoder.frame, end.frame)


def test_more_frames_than_one_block_holds():
    codec = STFT(1024, 64, 2)
    signal = noise(3, 2, 64 * 400)
    state, parts = codec.encode_initial(), []
    for start in range(0, signal.shape[-1], 64):
        frames, state = codec.encode_step(signal[:, start : start + 64], state)
        parts.append(frames)
    whole = codec.encode(signal)
    np.testing.assert_allclose(whole[:400], np.concatenate(parts), rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(codec.decode(whole, 64 * 400), signal, rtol=0, atol=1.3e-7)


@given(stfts(), SEEDS, st.integers(0, 12))
def test_a_later_start_with_its_past_is_a_slice_of_the_whole(codec, seed, first):
    hop, delay = codec.hop_length, codec.delay_samples
    signal = noise(seed, codec.channels, (first + 5) * hop)
    quiet = np.concatenate([np.zeros((codec.channels, delay), np.float32), signal], -1)
    past = quiet[:, first * hop : first * hop + delay]
    frames, _ = codec.encode_step(
        signal[:, first * hop :], codec.encode_initial((), first, past=past)
    )
    np.testing.assert_allclose(
        frames, codec.encode(signal)[first : first + 5], rtol=1e-6, atol=1e-7
    )


@given(SEEDS)
def test_rows_of_a_batch_start_where_they_like(seed):
    codec = STFT(24, 7, 2)
    signal, past = noise(seed, 3, 2, 21), noise(seed + 1, 3, 2, codec.delay_samples)
    starts = np.array([0, 5, 1000])
    together, _ = codec.encode_step(signal, codec.encode_initial((3,), starts, past))
    for row, start in enumerate(starts):
        alone, _ = codec.encode_step(signal[row], codec.encode_initial((), start, past[row]))
        np.testing.assert_allclose(together[row], alone, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("hop_length", [128, 64, 23, 200, 255, 256])
@pytest.mark.parametrize("offset", [0, 1])
@pytest.mark.parametrize("coefficient", [0, 37, 60, 91, 128])
def test_a_tone_turns_only_by_its_distance_from_the_bin(hop_length, coefficient, offset):
    codec, n_fft = STFT(256, hop_length), 256
    offset *= 0 < coefficient < n_fft // 2  # DC and Nyquist are real, they cannot turn
    time = np.arange(20 * n_fft)
    tone = np.cos(2 * np.pi * (coefficient + offset) * time / n_fft + 0.25)
    frames = codec.encode(tone[None])[n_fft // hop_length : 20 * n_fft // hop_length]
    real, imaginary = np.moveaxis(frames.reshape(-1, 2, n_fft // 2), 1, 0)
    if coefficient in (0, n_fft // 2):
        value = (imaginary if coefficient else real)[:, 0]
    else:
        value = real[:, coefficient] + 1j * imaginary[:, coefficient]
    turn = np.exp(2j * np.pi * offset * hop_length * np.arange(len(frames)) / n_fft)
    if not (offset and hop_length > 250):  # a nearly flat window sees nothing beside the tone
        assert abs(value[0]) > 1
    np.testing.assert_allclose(value, value[0] * turn, atol=0.01 * math.sqrt(n_fft / 2))


def test_layout_is_channel_part_coefficient():
    codec = STFT(16, 16, 2, "left_right")  # no overlap: the window is one
    time = np.arange(16)
    left = 1 + 0.5 * np.cos(np.pi * time)
    right = np.sin(2 * np.pi * 3 * time / 16)
    frame = codec.encode(np.stack([left, right])).reshape(2, 2, 8)
    expected = np.zeros((2, 2, 8))
    expected[0, 0, 0] = 4  # DC: 16 / sqrt(16)
    expected[0, 1, 0] = 2  # Nyquist, in the imaginary place of DC
    expected[1, 1, 3] = -math.sqrt(8)  # a sine is minus imaginary; its energy is 16 / 2
    np.testing.assert_allclose(frame, expected, atol=1e-6)


def test_mid_side_sums_and_differs():
    mid_side, left_right = STFT(32, 16, 2), STFT(32, 16, 2, "left_right")
    assert mid_side.stereo == "mid_side"
    signal = noise(4, 2, 100)
    left, right = np.moveaxis(left_right.encode(signal).reshape(-1, 2, 32), 1, 0)
    mid, side = np.moveaxis(mid_side.encode(signal).reshape(-1, 2, 32), 1, 0)
    np.testing.assert_allclose(mid, (left + right) / math.sqrt(2), atol=1e-6)
    np.testing.assert_allclose(side, (left - right) / math.sqrt(2), atol=1e-6)


def test_dropping_the_state_is_heard():
    codec = STFT(32, 12)
    signal = noise(5, 1, 240)
    first, state = codec.encode_step(signal[:, :120], codec.encode_initial())
    second, _ = codec.encode_step(signal[:, 120:], state)
    fresh = codec.encode_initial()
    for dropped in (fresh, EncodeState(fresh.past, state.frame), EncodeState(state.past, fresh[1])):
        frames, _ = codec.encode_step(signal[:, 120:], dropped)
        assert np.max(np.abs(frames[0] - second[0])) > 0.1
    _, kept = codec.decode_step(first, codec.decode_initial())
    with_state, _ = codec.decode_step(second, kept)
    without, _ = codec.decode_step(second, codec.decode_initial())
    assert np.max(np.abs(with_state - without)) > 0.1


def test_a_state_can_be_used_twice():
    codec = STFT(32, 12, 2)
    signal = noise(6, 2, 48)
    frames, state = codec.encode_step(signal, codec.encode_initial())
    _, back = codec.decode_step(frames, codec.decode_initial())
    before = [array.copy() for array in (*state, *back)]
    once = codec.encode_step(signal, state)[0], codec.decode_step(frames, back)[0]
    twice = codec.encode_step(signal, state)[0], codec.decode_step(frames, back)[0]
    for one, two in zip((*once, *before), (*twice, *state, *back), strict=True):
        np.testing.assert_array_equal(one, two)
    signal[:] = 0  # the caller's buffer is the caller's
    np.testing.assert_array_equal(state.past, before[0])


@given(stfts(), st.integers(0, 3))
def test_a_state_keeps_its_shapes_and_types(codec, count):
    start, back = codec.encode_initial((2,)), codec.decode_initial((2,))
    frames, state = codec.encode_step(
        np.zeros((2, codec.channels, count * codec.hop_length)), start
    )
    _, after = codec.decode_step(frames, back)
    for old, new in zip((*start, *back), (*state, *after), strict=True):
        assert old.shape == new.shape and old.dtype == new.dtype
    assert state.frame.tolist() == after.frame.tolist()


def test_decoding_without_a_length_keeps_every_complete_sample():
    codec = STFT(16, 6)
    signal = noise(7, 1, 50)
    frames = codec.encode(signal)
    assert codec.decode(frames).shape == (1, len(frames) * 6 - 10)
    np.testing.assert_allclose(codec.decode(frames)[:, :50], signal, atol=3e-7)
    assert codec.decode(frames[:1]).shape == (1, 0)


# both


@pytest.mark.parametrize("make, words", [
    (lambda: MuLaw(3), "levels=3"),
    (lambda: MuLaw(4097), "levels=4097"),
    (lambda: MuLaw(channels=0), "channels=0"),
    (lambda: PCM16(0), "channels=0"),
    (lambda: STFT(15, 5), "n_fft=15"),
    (lambda: STFT(0, 1), "n_fft=0"),
    (lambda: STFT(16, 0), "hop_length=0"),
    (lambda: STFT(16, 17), "hop_length=17"),
    (lambda: STFT(16, 8, 0), "channels=0"),
    (lambda: STFT(16, 8, 2, "mono"), "stereo='mono'"),
    (lambda: MuLaw().encode(np.zeros(5)), r"\(5,\)"),
    (lambda: MuLaw().encode(np.zeros((5, 2))), r"\(5, 2\)"),
    (lambda: MuLaw().decode(np.zeros((5, 2), int)), r"\(5, 2\)"),
    (lambda: MuLaw().decode(np.zeros((5, 1))), "float64"),
    (lambda: MuLaw().decode(np.array([[-1]])), "level -1"),
    (lambda: MuLaw(8).decode(np.array([[0], [8]])), "level 8"),
    (lambda: PCM16().decode(np.array([[0], [65536]])), "level 65536"),
    (lambda: PCM16().encode(np.zeros((2, 5))), r"\(2, 5\)"),
    (lambda: STFT(16, 8).encode(np.zeros((2, 5))), r"\(2, 5\)"),
    (lambda: STFT(16, 8).decode(np.zeros((2, 5))), r"\(2, 5\)"),
    (lambda: STFT(16, 8).decode(np.zeros((2, 16)), 9), "samples=9"),
    (lambda: STFT(16, 8).decode(np.zeros((2, 16)), -1), "samples=-1"),
    (lambda: STFT(16, 8).encode_step(np.zeros((1, 12)), STFT(16, 8).encode_initial()), "12"),
    (lambda: STFT(16, 8).encode_initial(past=np.zeros((1, 9))), "past"),
    (lambda: STFT(16, 8).encode_initial((2,), past=np.zeros((3, 1, 8))), "past"),
    (lambda: STFT(16, 8).encode_initial((2,), frame=[1, 2, 3]), "frame"),
])  # fmt: skip
def test_misuse_is_named(make, words):
    with pytest.raises(UsageError, match=words):
        make()


def test_clocks_of_the_codecs():
    mu_law, stft = MuLaw(16, 2), STFT(32, 12, 2)
    assert (mu_law.frame_samples, mu_law.features, mu_law.delay_samples) == (1, 2, 0)
    assert (stft.frame_samples, stft.features, stft.delay_samples) == (12, 64, 20)


def test_snr_counts_energies():
    reference = np.array([3.0, 4.0])
    assert snr_db(reference, reference * 1.1) == pytest.approx(20)
    assert snr_db(reference, reference) == math.inf
    assert snr_db(np.zeros(2), reference) == -math.inf


def test_codec_loads_without_a_network_library():
    code = "import sys, wavegen.codec; print({'keras', 'tensorflow', 'librosa'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_width_bits_make_a_density_of_every_level():
    """Uniform over 16 bits costs 16 bits, however coarse the levels are."""
    for codec in (MuLaw(256), MuLaw(1024), PCM16()):
        share = np.exp2(codec.width_bits.astype(np.float64)) / 65536
        assert abs(share.sum() - 1) < 1e-4 and len(share) == codec.levels
        cost = -np.log2(share) + codec.width_bits
        assert np.allclose(cost, 16.0)
    assert MuLaw(256).width_bits.min() > MuLaw(1024).width_bits.min() > -1.5


@settings(max_examples=50)
@given(st.integers(0, 2**24 - 1), st.integers(0, 2**24 - 1))
def test_24_bits_hold_256_levels_where_16_hold_one(left, right):
    for codec in (PCM24(2), PCM24(2, "mid_side")):
        frames = np.array([[left, right]], np.int32)
        sound = codec.decode(frames)
        assert sound.shape == (2, 1) and sound.dtype == np.float32
        if np.abs(sound).max() < 1.0 and np.abs(frames / codec.half - 1).max() < 0.5:
            assert np.abs(codec.encode(sound) - frames).max() <= 1
    assert np.array_equal(PCM24(1).decode(np.array([[0], [2**23]])), [[-1.0, 0.0]])
    assert np.array_equal(
        PCM24(1).encode(np.array([[-2.0, 0.0, 2.0]])), [[0], [2**23], [2**24 - 1]]
    )
    sixteen = PCM16(1).encode(np.array([[0.25]]))
    assert np.array_equal(PCM24(1).encode(np.array([[0.25]])), sixteen * PCM24.fine)
