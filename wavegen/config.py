"""What a model is made of: plain frozen dataclasses, read without Keras (see `train_settings`).

The command line turns every field into a flag, the model file carries them whole, and `build`
checks each value against hard bounds before anything is allocated.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from dataclasses import dataclass
from typing import Any, ClassVar

from wavegen.errors import UsageError
from wavegen.fields import bounded, checked, nearest
from wavegen.framing import STEREO

# While a WaveNet draws under bands: share of the shifts that it learned on music (on its own sound,
# which it never heard, they make tones waver, and what is to begin the bands say); how much longer
# than when it learned its predictor listens; share of the excitation that leads it (`leading`).
GIVEN_SHIFT, GIVEN_SUSTAIN, GIVEN_FOLLOW = 0.0, 8.0, 0.9
POLE = 0.97  # of a running mean of errors: a memory of about 33 samples


@dataclass(frozen=True)
class WaveNetConfig:
    """A dilated causal CNN over samples (van den Oord et al. 2016, arXiv:1609.03499)."""

    controls: ClassVar[dict[str, float]] = {"temperature": 1.0, "top_p": 1.0}  # while drawing
    level_is_held: ClassVar[bool] = True  # while drawing: each sample leans on the ones before
    rests: ClassVar[bool] = False  # while drawing it may play nothing ever again
    enough: ClassVar[float] = 0.0  # strangeness of a moment that is as good as any: none
    tried: ClassVar[dict[str, tuple[float, ...]]] = {}  # by the candidates of a moment, see `take`
    frame_samples: ClassVar[int] = 1  # in one frame: a WaveNet draws one at a time
    # Which numbers that a frame takes are normals, or say how far the power of a band swings: none.
    normals: ClassVar[slice] = slice(0, 0)
    swings: ClassVar[slice] = slice(0, 0)
    condition_units: ClassVar[int] = 128  # width between the bands of a knot and the gates
    sample_rate: int = bounded(16000, 1000, 192000, "samples a second, Hz")
    channels: int = bounded(1, 1, 2, "1 mono, 2 stereo (the second is drawn given the first)")
    stereo: str = bounded("mid_side", 0, 0, "how two channels are turned", STEREO)
    head: str = bounded(
        "logistic",
        0,
        0,
        "logistic draws 16-bit samples from a mixture of logistics; softmax draws mu-law levels",
        ("logistic", "softmax"),
    )
    mixtures: int = bounded(8, 1, 64, "components of the logistic head's mixture")
    mixture_shift: float = bounded(
        1.0, 0.0, 1.0, "share of how far its components would leave what the predictor expects"
    )
    levels: int = bounded(256, 4, 4096, "mu-law levels of the softmax head; 256 is 8 bits")
    cycles: int = bounded(2, 1, 16, "how often the dilations 1, 2, 4, ... start again")
    layers_per_cycle: int = bounded(10, 1, 14, "dilations of one cycle: 1 .. 2^(n-1) samples")
    kernel_size: int = bounded(2, 2, 8, "taps of each dilated convolution")
    residual_channels: int = bounded(32, 1, 4096, "width of the residual path")
    gate_channels: int = bounded(32, 1, 4096, "width of tanh and of sigmoid in a block")
    skip_channels: int = bounded(128, 1, 8192, "width of the skip sum")
    post_channels: int = bounded(256, 1, 8192, "width between the two 1x1 output layers")
    predictor_order: int = bounded(
        512, 0, 4096, "taps of the linear predictor that is started from; 0 is a plain WaveNet"
    )
    predictor_hop: int = bounded(256, 1, 65536, "samples until the predictor is fitted anew")
    predictor_memory: float = bounded(0.075, 1e-4, 10.0, "how long ago it listens most, s")
    scale_memory: float = bounded(
        0.0, 0.0, 10.0, "how long it remembers errors, s; if 0, and under bands, 33 samples"
    )
    condition_bands: int = bounded(
        0, 0, 512, "mel bands a channel whose levels say what to play; 0 plays on by itself"
    )
    condition_hop: int = bounded(128, 16, 16384, "samples until the bands are looked at again")

    @property
    def dilations(self) -> tuple[int, ...]:
        """Distance between taps in samples, layer after layer."""
        return tuple(2**layer for _ in range(self.cycles) for layer in range(self.layers_per_cycle))

    @property
    def outputs(self) -> int:
        """Outputs of the last layer, a channel."""
        return self.levels + 2 if self.head == "softmax" else 3 * self.mixtures

    @property
    def receptive_field(self) -> int:
        """Samples of the past that the network sees; the predictor's window has no sharp end."""
        return (self.kernel_size - 1) * sum(self.dilations) + 1

    @property
    def sustain(self) -> float:
        """By default, for how much longer than when it learned a predictor remembers while drawing.

        What is fitted to drawn sound follows the chance that was drawn: with a longer memory tones
        ring, and noise does not wander. Errors that were remembered for few samples want more.
        """
        return 2.5 if self.scale_memory else 3.0

    @property
    def scale_pole(self) -> float:
        """Pole of the predictor's running mean of errors; under bands, which say more, of few."""
        samples = 0.0 if self.condition_bands else self.scale_memory * self.sample_rate
        return 1.0 - 1.0 / max(samples, 2.0) if samples else POLE

    @property
    def noise_shape(self) -> tuple[int, ...]:
        """Uniforms that one frame takes: one a channel."""
        return (self.channels,)

    def sustained(self, factor: float) -> WaveNetConfig:
        """Returns what draws: the same model whose predictor remembers `factor` times as long.

        A conditioned one draws around what its predictor expects (`GIVEN_SHIFT`).
        """
        names = "predictor_memory", "scale_memory"
        longer: dict[str, Any] = {name: factor * getattr(self, name) for name in names}
        if self.condition_bands and self.predictor_order:
            longer["mixture_shift"] = min(self.mixture_shift, GIVEN_SHIFT)
        return dataclasses.replace(self, **longer)


@dataclass(frozen=True)
class SpectralLSTMConfig:
    """A stateful LSTM over real/imaginary STFT frames."""

    sustain: ClassVar[float] = 1.0  # it has no predictor
    level_is_held: ClassVar[bool] = False
    enough: ClassVar[float] = 1.5  # a moment as strange as that is as good as any
    sample_rate: int = bounded(22050, 1000, 192000, "samples a second, Hz")
    channels: int = bounded(2, 1, 2, "1 mono, 2 stereo")
    n_fft: int = bounded(1024, 16, 65536, "samples in a frame; 1024 are 46 ms at 22.05 kHz")
    hop_length: int = bounded(512, 1, 65536, "samples from frame to frame")
    stereo: str = bounded("mid_side", 0, 0, "how two channels are turned", STEREO)
    layers: int = bounded(2, 1, 16, "LSTM layers")
    units: int = bounded(256, 1, 8192, "width of each LSTM layer")
    head: str = bounded(
        "codes",
        0,
        0,
        "codes draws what a frame is like, then the frame; student_t every bin for itself; mse "
        "gives its mean, the baseline that hums",
        ("codes", "student_t", "mse"),
    )
    codes: int = bounded(256, 2, 8192, "kinds of frames that are told apart, at most")
    bands: int = bounded(96, 4, 512, "mel bands a channel that a code is of")
    rise: float = bounded(  # older files say nothing of it: they have 0
        0.0, 0.0, 100.0, "how much it counts in a code by what all bands rise since the last frame"
    )
    timbre_seconds: float = bounded(8.0, 0.1, 600.0, "how long colour and level of late last, s")
    renderer_units: int = bounded(256, 1, 8192, "width of what makes a frame of its code")

    @property
    def controls(self) -> dict[str, float]:
        """What the user can turn while drawing, and where it stands."""
        if self.head == "codes":
            return {"temperature": 1.0, "top_p": 1.0, "noisiness": 0.4, "memory": 1.0}
        return {"temperature": 0.7}  # at 1 the heavy tails of all coefficients drown the tones

    @property
    def rests(self) -> bool:
        """Whether it may play nothing ever again, while drawing, unless it becomes bolder."""
        return self.head == "codes"

    @property
    def tried(self) -> dict[str, tuple[float, ...]]:
        """Shares of a control that the candidates of a moment have, one after the other.

        How much tones should waver hangs on the music, and so does whether what was heard should
        come again: the ear is asked.
        """
        if self.head != "codes":
            return {}
        return {"noisiness": (1.0, 0.5, 2.0, 0.25), "memory": (1.0, 1.0, 0.0, 0.0)}

    @functools.cached_property
    def band_of(self) -> tuple[int, ...]:
        """Number of the mel band (O'Shaughnessy 1987) that each coefficient of a channel is in.

        Bands are even in mel from 0 to half the sample rate; one so narrow that no coefficient
        falls into it has no number.
        """
        top = math.log1p(self.sample_rate / 2 / 700)
        width = self.sample_rate / self.n_fft  # Hz
        places = [
            int(self.bands * math.log1p((k + 0.5) * width / 700) / top)
            for k in range(self.n_fft // 2)
        ]
        numbers = {place: number for number, place in enumerate(sorted(set(places)))}
        return tuple(numbers[place] for place in places)

    @property
    def receptive_field(self) -> int:
        """Samples of seed worth priming on: four seconds; the memory itself has no limit."""
        return 4 * self.sample_rate

    @property
    def remembered(self) -> int:
        """Frames that are kept of what was heard: eight seconds, but 512 at most."""
        return min(512, max(2, round(8 * self.sample_rate / self.hop_length)))

    @property
    def frame_samples(self) -> int:
        """Samples in one frame of the model's clock: one hop."""
        return self.hop_length

    @functools.cached_property
    def noise_shape(self) -> tuple[int, ...]:
        """Numbers that one frame takes, in pairs: two normals a complex coefficient.

        With codes two uniforms for its code come before them, and after them one for each band's
        power.
        """
        pairs = self.channels * self.n_fft // 2
        if self.head == "codes":
            pairs += 1 + (self.channels * (max(self.band_of) + 1) + 1) // 2
        return pairs, 2

    @property
    def normals(self) -> slice:
        """Which of the pairs of `noise_shape` are normals, not uniforms."""
        start = int(self.head == "codes")
        return slice(start, start + self.channels * self.n_fft // 2)

    @property
    def swings(self) -> slice:
        """Which of them say how far the power of each band is from what is expected of it."""
        return slice(self.normals.stop, self.noise_shape[0])

    def sustained(self, factor: float) -> SpectralLSTMConfig:
        """Returns what draws: the model as it is.

        Raises:
            UsageError: the factor is not 1.
        """
        if factor != 1.0:
            raise UsageError(
                "--sustain is how long a WaveNet's predictor listens; an LSTM has none, and keeps "
                "to level and colour of the seed"
            )
        return self


REMEMBERED = 1 << 26  # numbers that a WaveNet may keep of one stream
FITTED = 64  # taps of the predictor that may be fitted for each sample
EMBEDDING = 128  # numbers that a code of a spectral LSTM becomes

Config = WaveNetConfig | SpectralLSTMConfig
CONFIGS: dict[str, type] = {"wavenet": WaveNetConfig, "spectral_lstm": SpectralLSTMConfig}
ALIASES = {"lstm": "spectral_lstm"}
UNASKED = "lstm"  # what is trained where nothing is asked for: it plays on best and learns fastest


def family_name(name: str) -> str:
    """Returns the full name of a family given its name or alias.

    Raises:
        UsageError: no such family.
    """
    name = ALIASES.get(name, name).replace("-", "_")
    if name not in CONFIGS:
        known = ", ".join([*CONFIGS, *ALIASES])
        raise UsageError(
            f"{name!r} is not a model family{nearest(name, CONFIGS)}; there are {known}"
        )
    return name


def family_of(model_config: Config) -> str:
    """Returns the family that a configuration belongs to."""
    return next(name for name, kind in CONFIGS.items() if type(model_config) is kind)


def build(kind: type, values: dict[str, Any]) -> Any:
    """Returns `kind(**values)` after checking every field (`fields.checked`), and some together.

    Raises:
        UsageError: what `checked` refuses, or values that do not go together.
    """
    config = checked(kind, values)
    if isinstance(config, WaveNetConfig):
        remembered = config.residual_channels * config.receptive_field
        if remembered > REMEMBERED:
            raise UsageError(
                f"residual_channels={config.residual_channels} and a receptive field of "
                f"{config.receptive_field} samples lead to {remembered} numbers to remember; "
                f"{REMEMBERED} are allowed"
            )
        if config.condition_bands and config.condition_hop % 4:
            raise UsageError(f"condition_hop={config.condition_hop} must be a multiple of 4")
        if config.predictor_order > FITTED * config.predictor_hop:
            raise UsageError(
                f"predictor_order={config.predictor_order} needs a predictor_hop of at least "
                f"{-(-config.predictor_order // FITTED)}, not {config.predictor_hop}"
            )
    if isinstance(config, SpectralLSTMConfig):
        if config.n_fft % 2:
            raise UsageError(f"n_fft={config.n_fft} must be even")
        if config.hop_length > config.n_fft:
            raise UsageError(f"hop_length={config.hop_length} must not exceed n_fft={config.n_fft}")
    return config
