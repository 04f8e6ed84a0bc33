import io

import numpy as np
import pytest
import soundfile
import soxr
from conftest import tune
from scipy import signal as filters

from wavegen.bandwidth import Spectrum

RATE = 44100


def found(sound, rate=RATE):
    """Returns (bandwidth, cut) of a sound as a file of 16 bits holds it."""
    sound = np.atleast_2d(np.round(sound * 32767) / 32768).astype("float32")
    spectrum = Spectrum(rate)
    for start in range(0, sound.shape[1], rate):
        spectrum.add(sound[:, start : start + rate])
    return spectrum.bandwidth()


def noise(seconds=3.0, rate=RATE, level=0.1):
    return level * np.random.default_rng(0).standard_normal(round(seconds * rate))


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 32000])
@pytest.mark.parametrize("quality", ["HQ", "LQ"])
def test_what_was_resampled_from_a_lower_rate_is_found(rate, quality):
    bandwidth, cut = found(soxr.resample(noise(rate=rate), rate, RATE, quality))
    assert cut and 0.94 < bandwidth / (rate / 2) <= 1.01
    bandwidth, cut = found(filters.resample_poly(noise(rate=rate), RATE, rate))
    assert cut and 0.94 < bandwidth / (rate / 2) < 1.2


@pytest.mark.parametrize(("level", "low", "high"), [(0.3, 17e3, 19.5e3), (0.9, 7e3, 8.2e3)])
def test_what_was_an_mp3_is_found(level, low, high):
    file = io.BytesIO()
    options = {"format": "MP3", "subtype": "MPEG_LAYER_III", "compression_level": level}
    soundfile.write(file, tune(4.0, RATE, 2).T + 0.1 * noise(4.0)[:, None], RATE, **options)
    file.seek(0)
    bandwidth, cut = found(soundfile.read(file, always_2d=True)[0].T)
    assert cut and low < bandwidth < high


def test_the_whole_range_is_no_cut():
    white = noise()
    assert found(white) == (RATE / 2, False)
    spectrum = np.fft.rfft(white)
    pink = np.fft.irfft(spectrum / np.sqrt(np.arange(1, len(spectrum) + 1)))
    assert found(0.5 * pink / np.abs(pink).max()) == (RATE / 2, False)
    assert found(tune(4.0, RATE, 2)) == (RATE / 2, False)


@pytest.mark.parametrize("order", [2, 4, 8, 12])
@pytest.mark.parametrize("corner", [500, 2000, 5000])
def test_a_filters_slope_is_no_cut(order, corner):
    sound = filters.sosfilt(filters.butter(order, corner, fs=RATE, output="sos"), noise())
    bandwidth, cut = found(sound)
    assert not cut and bandwidth > 1.5 * corner


def test_tones_and_whistles_are_no_cut():
    time = np.arange(6 * RATE) / RATE
    bandwidth, cut = found(0.5 * np.sin(2 * np.pi * 440 * time))
    assert not cut and 440 <= bandwidth < 550
    harmonics = sum(0.3 / k * np.sin(2 * np.pi * 200 * k * time) for k in range(1, 26))
    bandwidth, cut = found(harmonics)
    assert not cut and 5000 <= bandwidth < 5200
    f0_hz = 1500 + 2000 * np.abs(time % 2 - 1)
    whistle = 0.4 * np.sin(2 * np.pi * np.cumsum(f0_hz) / RATE)
    assert not found(whistle + noise(6.0, level=1e-3))[1]


def test_converters_may_cut_near_half_the_rate():
    sound = soxr.resample(soxr.resample(noise(), RATE, 42000), 42000, RATE)
    bandwidth, cut = found(sound)
    assert not cut and 20000 < bandwidth < 21500


def test_nothing_and_next_to_nothing():
    assert found(np.zeros(RATE)) == (0.0, False)
    assert found(np.zeros(5)) == (0.0, False)
    bandwidth, cut = found(noise(0.02))  # one frame, mostly padding
    assert bandwidth > 20000 and not cut


def test_a_click_does_not_make_a_dull_recording_bright():
    dull = soxr.resample(noise(16.0, 16000), 16000, RATE)
    dull[[5 * RATE, 11 * RATE]] = 0.9
    assert found(dull)[1]
