import dataclasses

import pytest

from wavegen.config import (
    CONFIGS,
    GIVEN_SHIFT,
    SpectralLSTMConfig,
    WaveNetConfig,
    build,
    family_name,
)
from wavegen.errors import UsageError
from wavegen.presets import PRESETS, from_preset
from wavegen.train_settings import TrainSettings


@pytest.mark.parametrize("kind", [*CONFIGS.values(), TrainSettings])
def test_every_field_has_bounds_a_type_and_a_help_text(kind):
    build(kind, {})
    for field in dataclasses.fields(kind):
        assert field.metadata["help"], field.name
        assert isinstance(field.default, (int, float, str, bool))


def test_every_preset_can_be_built():
    for family, presets in PRESETS.items():
        assert {"tiny", "small", "base"} <= set(presets)
        for preset in presets:
            model, settings = from_preset(family, preset, {})
            assert isinstance(model, CONFIGS[family]) and isinstance(settings, TrainSettings)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"residual_chanels": 3}, "did you mean residual_channels"),
        ({"levels": 3}, "levels=3 must lie in 4 .. 4096"),
        ({"levels": 256.0}, "must be of type int"),
        ({"levels": True}, "must be of type int"),
        ({"channels": 3}, "must lie in 1 .. 2"),
        ({"head": "softmx"}, "head='softmx' must be one of logistic, softmax"),
        ({"mixtures": 0}, "mixtures=0 must lie in 1 .. 64"),
        ({"predictor_hop": 0}, "predictor_hop=0 must lie in 1 .. 65536"),
        ({"predictor_order": 4096, "predictor_hop": 63}, "predictor_hop of at least 64, not 63"),
        ({"cycles": 16, "layers_per_cycle": 14, "residual_channels": 512}, "to remember"),
        ({"predictor_memory": 0.0}, "predictor_memory=0.0 must lie in 0.0001 .. 10"),
    ],
)
def test_wrong_values_are_refused_by_name(values, words):
    with pytest.raises(UsageError, match=words):
        build(WaveNetConfig, values)


def test_numbers_that_do_not_fit_together_are_refused():
    with pytest.raises(UsageError, match="must not exceed"):
        build(SpectralLSTMConfig, {"n_fft": 64, "hop_length": 65})
    with pytest.raises(UsageError, match="must be even"):
        build(SpectralLSTMConfig, {"n_fft": 63, "hop_length": 8})
    with pytest.raises(UsageError, match="must be one of"):
        build(SpectralLSTMConfig, {"head": "gaussian"})
    with pytest.raises(UsageError, match="must lie"):
        build(TrainSettings, {"learning_rate": float("nan")})


def test_overrides_reach_the_right_dataclass():
    model, settings = from_preset("wavenet", "tiny", {"levels": 64, "batch": 2})
    assert (model.levels, settings.batch) == (64, 2)
    with pytest.raises(UsageError, match="did you mean"):
        from_preset("wavenet", "tiny", {"cycels": 64})
    with pytest.raises(UsageError, match="did you mean small"):
        from_preset("wavenet", "smal", {})


def test_families_have_aliases_and_near_misses_are_named():
    assert family_name("lstm") == "spectral_lstm"
    assert family_name("spectral-lstm") == "spectral_lstm"
    with pytest.raises(UsageError, match="did you mean wavenet"):
        family_name("wavnet")


def test_receptive_field_of_the_default_wavenet():
    assert WaveNetConfig().receptive_field == 2 * 1023 + 1
    assert build(WaveNetConfig, {"kernel_size": 3}).receptive_field == 2 * 2 * 1023 + 1


def test_outputs_of_the_last_layer_are_those_of_the_head():
    for mixtures in (1, 8):
        assert WaveNetConfig(mixtures=mixtures, levels=64).outputs == 3 * mixtures
    for levels in (64, 256):  # a logit a level, and what moves and widens the predictor's logistic
        assert WaveNetConfig(head="softmax", levels=levels).outputs == levels + 2


def test_receptive_field_is_the_networks_whatever_predicts_before_it():
    for order in (0, 32, 4096):
        assert build(WaveNetConfig, {"predictor_order": order}).receptive_field == 2047


def test_sustain_is_how_long_a_predictor_listens_and_an_lstm_has_none():
    wavenet, lstm = (build(CONFIGS[family], {}) for family in ("wavenet", "spectral_lstm"))
    longer = wavenet.sustained(4.0).predictor_memory
    assert longer == pytest.approx(4 * wavenet.predictor_memory)
    poles = (1 - 1 / 320, 1 - 1 / 1280)  # of the errors that it remembers
    assert build(CONFIGS["wavenet"], {"scale_memory": 0.02}).sustain < wavenet.sustain == 3.0
    for known, found in zip((1, 4.0), poles, strict=True):
        own = build(CONFIGS["wavenet"], {"scale_memory": 0.02}).sustained(known)
        assert own.scale_pole == pytest.approx(found)
        told_too = dataclasses.replace(own, condition_bands=8)
        assert told_too.scale_pole == wavenet.sustained(known).scale_pole == 0.97
    assert wavenet.sustained(4.0).mixture_shift == 1.0
    told = build(CONFIGS["wavenet"], {"condition_bands": 8})
    assert told.sustained(4.0).mixture_shift == GIVEN_SHIFT
    assert lstm.sustained(1.0) is lstm
    with pytest.raises(UsageError, match="--sustain"):
        lstm.sustained(4.0)


def test_a_window_is_of_whole_hops_of_what_conditions():
    asked = {"condition_bands": 8, "condition_hop": 176}
    with pytest.raises(
        UsageError, match="window=2048 must be a multiple of condition_hop=176; 2112"
    ):
        from_preset("wavenet", "small", asked)
    _, settings = from_preset("wavenet", "small", asked | {"window": 2112})
    assert settings.window == 2112
    from_preset("wavenet", "small", {"condition_hop": 176})  # nothing is given
