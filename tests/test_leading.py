"""What leads a renderer: the predictor and the excitation of the sound that tells."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import make_config, make_model, tune
from hypothesis import given, settings
from hypothesis import strategies as st

from wavegen import engines, models
from wavegen.bands import FILTER, PARTS, TAPS, bands_of
from wavegen.codec import PCM24, codec_of
from wavegen.framing import mean_and_difference
from wavegen.heldout import nats
from wavegen.leading import Lead
from wavegen.rendering import Instrument

HOP, RATE, ORDER = 16, 8000, 24
CONDITIONED = dict(condition_bands=5, condition_hop=HOP, sample_rate=RATE, predictor_order=ORDER)


def led(config, sound, hops, share=1.0):
    """Returns (what is given with what leads, bands, sound); led from the sound's middle on."""
    bands = bands_of(config)
    lead = Lead(config, bands, share)
    before = -(-len(lead.window) // HOP)
    start = bands.reach + before * HOP
    wanted = start + hops * HOP + bands.reach
    sound = np.pad(sound, [(0, 0), (max(0, wanted - sound.shape[1]), 0)])[None, :, :wanted]
    past = sound[..., : start + bands.reach]
    lead.hear(past, bands.given(bands.levels(past)))
    window = sound[..., start - bands.reach :]
    return lead.step(window, bands.given(bands.levels(window))), bands, sound[0], start


@settings(max_examples=15)
@given(
    st.integers(0, 1000),
    st.sampled_from([1, 2]),
    st.integers(1, 9),
    st.sampled_from([0.0005, 0.02, 0.3]),
)
def test_predictor_and_excitation_give_the_sound_back(number, channels, hops, memory):
    """Each sample is what filter and predictor expect of those before it, and the excitation."""
    config = make_config("wavenet", **CONDITIONED, channels=channels, predictor_memory=memory)
    rng = np.random.default_rng(number)
    sound = 0.3 * np.concatenate([tune(1.0, RATE, seed=s) for s in (number, number + 1)][:channels])
    sound = (sound + 0.01 * rng.standard_normal(sound.shape)).astype("float32")
    found, bands, sound, start = led(config, sound, hops)
    assert found.shape[:2] == (1, hops + 1)
    if bands.turned:
        sound = mean_and_difference(sound)
    end = bands.features + PARTS * channels * FILTER
    lead = found[0, :, end:].reshape(hops + 1, channels, ORDER + HOP)
    filters = found[0, :-1, bands.features : end].reshape(-1, channels, FILTER)
    lead, filters = lead.astype(float), filters.astype(float)
    for c in range(channels):
        whitened = []  # as a renderer hears a sample, by the filter for the one after
        for t in range(hops * HOP):
            size, taps = filters[t * PARTS // HOP, c, 1], filters[t * PARTS // HOP, c, 2:]
            at = start + t
            left = sound[c, at - 1] - taps @ sound[c, at - 2 : at - 2 - TAPS : -1]
            whitened.append(left / size)
            if t < ORDER:
                continue
            rest = (
                lead[t // HOP, c, :ORDER] @ whitened[-ORDER:] + lead[t // HOP, c, ORDER + t % HOP]
            )
            expected = taps @ sound[c, at - 1 : at - 1 - TAPS : -1] + size * rest
            assert abs(expected - sound[c, at]) < 1e-4


def test_nothing_is_led_after_the_last_knot_and_a_share_of_the_excitation_is_played():
    config = make_config("wavenet", **CONDITIONED)
    sound = 0.3 * tune(1.0, RATE, seed=3)
    whole, bands, *_ = led(config, sound, 4)
    less, *_ = led(config, sound, 4, share=0.25)
    end = bands.features + PARTS * FILTER
    assert not whole[:, -1, end:].any() and whole[:, :-1, end:].any()
    assert np.array_equal(whole[..., : end + ORDER], less[..., : end + ORDER])
    assert np.allclose(0.25 * whole[..., end + ORDER :], less[..., end + ORDER :])


def test_a_silent_sound_leads_to_silence():
    config = make_config("wavenet", **CONDITIONED)
    found, bands, *_ = led(config, np.zeros((1, RATE), "float32"), 4)
    assert np.isfinite(found).all() and not found[..., bands.features + PARTS * FILTER :].any()


@pytest.fixture(scope="module")
def instrument():
    fields = dict(condition_bands=12, condition_hop=32, sample_rate=RATE, predictor_order=64)
    model = models.FAMILIES["wavenet"](make_config("wavenet", **fields))
    return Instrument(model, "numba", "float32")


def played(instrument, told, past, **options):
    return np.concatenate(list(instrument.play([told[None]], past, **options)), axis=-1)[0]


def test_what_is_followed_is_the_wave(instrument):
    music = 0.5 * tune(2.0, RATE, seed=5)
    alike = []
    for follow in (0.0, 0.6, 1.0):
        drawn = played(instrument, music[:, RATE:], music[:, :RATE], follow=follow)
        alike.append(np.corrcoef(drawn[0], music[0, RATE:])[0, 1])
    assert abs(alike[0]) < 0.3 < alike[1] < alike[2] and alike[2] > 0.95


def test_tones_are_where_they_are_told(instrument):
    """Bands are too wide to say which tone it is; what was heard before was another one."""
    time = np.arange(2 * RATE) / RATE
    noise = 1e-4 * np.random.default_rng(0).standard_normal(2 * RATE)
    music = np.where(time < 1.0, np.sin(2 * np.pi * 1000 * time), np.sin(2 * np.pi * 1130 * time))
    music = (0.2 * music + noise)[None]
    there = []
    for follow in (0.0, 0.5):
        options = dict(follow=follow, candidates=1)
        drawn = played(instrument, music[:, RATE:], music[:, :RATE], **options)[0, 2000:]
        power = np.square(np.abs(np.fft.rfft(drawn * np.hanning(6000))))
        lines = np.fft.rfftfreq(6000, 1 / RATE)
        there.append(power[np.abs(lines - 1130) < 15].sum() / power.sum())
    assert there[0] < 0.5 and there[1] > 0.9, there


@pytest.mark.slow
@pytest.mark.parametrize("fields", [{}, {"channels": 2}], ids=str)
def test_engines_agree_when_they_are_led(fields):
    model = make_model("wavenet", **CONDITIONED, cycles=1, **fields)
    config, hops = model.config, 6
    sound = 0.2 * np.concatenate([tune(1.0, RATE, seed=s) for s in (1, 2)][: config.channels])
    lead, bands, _, start = led(config, sound, hops, share=0.5)
    lead = np.repeat(lead, 2, axis=0)
    width = bands.features + PARTS * config.channels * FILTER
    begin = bands.reach  # whole hops before what is led
    before = sound[None, :, begin - bands.reach : start + bands.reach].astype("float32")
    plain = np.repeat(bands.given(bands.levels(before)), 2, axis=0)
    codec = PCM24(config.channels, config.stereo)
    frames = codec.encode(sound[:, begin - 1 : start])[None].repeat(2, axis=0)
    noise = np.random.default_rng(4).random((2, hops * HOP, config.channels)).astype("float32")
    reference = engines.make(model, "reference", fine=PCM24.fine)
    fast = engines.make(model, "numba", "float32", fine=PCM24.fine)
    _, session = reference.distributions(frames, given=plain)
    a, after = reference.draw(session, noise, lead)
    b, later = fast.draw(session, noise, lead)
    assert np.abs(a - b).max() < 2e-3 * codec.half
    for ours, theirs in zip(flat(after), flat(later), strict=True):
        assert np.allclose(ours, theirs, atol=5e-3 * max(1.0, np.abs(ours).max()))
    unled, _ = fast.draw(session, noise, lead[..., :width])
    assert np.abs(b - unled).max() > 0.01 * codec.half  # they are heard at all
    assert np.any(b % PCM24.fine)  # and finer than 16 bits
    voices = fast.open(session)
    parts = [
        voices.draw(noise[:, i * HOP : (i + 1) * HOP], lead[:, i : i + 2]) for i in range(hops)
    ]
    assert np.array_equal(np.concatenate(parts, axis=1), b)  # hop by hop is the same
    # Heard in one pass, they expect what they expected while they drew.
    found, _ = reference.distributions(b, session, lead)
    theirs, _ = fast.distributions(b, session, lead)
    assert np.abs(found - theirs).max() < 2e-3 * np.abs(found).mean()


def test_finer_levels_are_as_likely_as_those_of_16_bits_about_them():
    model = make_model("wavenet", **CONDITIONED, cycles=1)
    instrument = Instrument(model, "numba", "float32")
    frames = codec_of(model.config).encode(0.3 * tune(0.1, RATE, seed=4))
    given = instrument.bands.along(codec_of(model.config).decode(frames))
    coarse = engines.make(model, "numba", "float32", instrument.drawing)
    wanted = coarse.log_prob(frames, given)
    found = nats(instrument.engine, model.config, frames, instrument.codec.fine)
    assert np.allclose(found, wanted, atol=1e-5)
    reference = engines.make(model, "reference", None, instrument.drawing, PCM24.fine)
    assert np.allclose(reference.log_prob(frames * PCM24.fine, given), wanted, atol=2e-3)
    assert model.fine == 1  # the model itself is left as it was


def flat(nest):
    """Returns all arrays of nested tuples."""
    if not isinstance(nest, tuple):
        return [np.asarray(nest)]
    return [array for part in nest for array in flat(part)]
