import numpy as np
import pytest
from conftest import make_model, tune

from wavegen.errors import UsageError
from wavegen.sampling import Sampler


@pytest.fixture(params=["wavenet", "spectral_lstm"])
def sampler(request):
    spectral = dict(n_fft=256, hop_length=128) if request.param == "spectral_lstm" else {}
    return Sampler(make_model(request.param, channels=2, **spectral))


SEED = tune(0.5, 8000, 2)


def test_continuations_have_the_length_and_channels_asked_for(sampler):
    for seconds in (0.3, 0.0127):
        drawn = sampler.generate(SEED, seconds, count=2, rng_seed=3)
        assert drawn.shape == (2, 2, round(seconds * 8000)) and drawn.dtype == np.float32
        assert np.isfinite(drawn).all()


def test_same_number_same_bytes_whatever_the_batch_or_block(sampler):
    whole = sampler.generate(SEED, 0.25, count=3, rng_seed=3)
    again = sampler.generate(SEED, 0.25, count=3, rng_seed=3)
    alone = sampler.generate(SEED, 0.25, count=1, rng_seed=3, first_variation=2)
    blocks = sampler.generate(SEED, 0.25, count=3, rng_seed=3, block_seconds=0.033)
    longer = sampler.generate(SEED, 0.5, count=3, rng_seed=3)
    assert np.array_equal(whole, again)
    assert np.array_equal(whole[2], alone[0])
    assert np.array_equal(whole, blocks)
    assert np.array_equal(whole, longer[..., : whole.shape[-1]])
    assert not np.array_equal(whole[0], whole[1])
    assert not np.array_equal(whole, sampler.generate(SEED, 0.25, count=3, rng_seed=4))


def test_the_seed_is_heard(sampler):
    other = tune(0.5, 8000, 2, seed=9)
    a, b = (sampler.generate(seed, 0.1, rng_seed=1) for seed in (SEED, other))
    assert not np.array_equal(a, b)


def test_a_short_seed_is_preceded_by_silence(sampler):
    short = SEED[:, -50:]
    padded = np.concatenate([np.zeros((2, 16000), "float32"), short], axis=1)
    assert np.array_equal(
        sampler.generate(short, 0.1, rng_seed=1), sampler.generate(padded, 0.1, rng_seed=1)
    )
    empty = sampler.generate(np.zeros((2, 0), "float32"), 0.1, rng_seed=1)
    assert empty.shape == (1, 2, 800)


def test_stream_begins_where_the_seed_can_no_longer_be_finished(sampler):
    """The stream's start overlaps the seed's end by the codec's delay, and only there."""
    heard = sampler.listen(SEED)
    blocks = list(sampler.stream(heard, 0.2, rng_seed=1))
    assert sum(block.shape[-1] for block in blocks) == 1600 + sampler.codec.delay_samples


def test_what_is_too_loud_is_turned_down_and_not_cut_off(sampler, monkeypatch):
    def louder(frames, state, decode=sampler.codec.decode_step):
        signal, state = decode(frames, state)
        return signal * np.float32(factor), state

    monkeypatch.setattr(sampler.codec, "decode_step", louder)
    factor = 1.0
    drawn = sampler.generate(SEED, 0.5, rng_seed=3)
    factor = 1.6 / np.abs(drawn).max()
    loud = sampler.generate(SEED, 0.5, rng_seed=3)
    assert 0.9 < np.abs(loud).max() <= 1.0
    cut = np.clip(drawn * factor, -1, 1)
    assert np.count_nonzero(np.abs(loud) > 0.999) < 0.5 * np.count_nonzero(np.abs(cut) > 0.999)
    assert np.array_equal(sampler.generate(SEED, 0.3, rng_seed=3), loud[..., :2400])


def test_temperature_is_one_or_one_for_each(sampler):
    both = sampler.generate(SEED, 0.1, count=2, rng_seed=1, temperature=[0.5, 2.0])
    first = sampler.generate(SEED, 0.1, count=1, rng_seed=1, temperature=0.5)
    assert np.array_equal(both[0], first[0])


def test_a_control_the_family_lacks_is_refused():
    with pytest.raises(UsageError, match="no top-p; it has temperature"):
        Sampler(make_model("spectral_lstm", head="mse")).generate(SEED[:1], 0.1, top_p=0.5)
    with pytest.raises(UsageError, match="no noisiness; it has temperature, top_p"):
        Sampler(make_model("wavenet")).generate(SEED[:1], 0.1, noisiness=0.5)
    with pytest.raises(UsageError, match="is not an engine"):
        Sampler(make_model("wavenet"), "warp")


def test_top_p_narrows_what_is_drawn():
    sampler = Sampler(make_model("wavenet", head="softmax"))
    tight = sampler.generate(SEED[:1], 0.1, rng_seed=1, top_p=1e-6)
    likeliest = sampler.generate(SEED[:1], 0.1, rng_seed=7, temperature=0.0)
    assert np.array_equal(tight, likeliest)
