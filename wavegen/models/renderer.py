"""From what a frame is like to the frame: a density of every coefficient, tones in phase.

A tone's coefficients turn from frame to frame by an angle that the last two frames tell; all
coefficients around a peak turn alike (phase locking as in Laroche and Dolson 1999, IEEE Trans.
Speech Audio Process. 7:323), so a tone stays one tone. How much of a coefficient goes on as a tone,
towards which size, and how far around that it may lie, by its own past or by the code's spectrum,
is a network's to say, from the codes of this frame and the next and from the bands of the last two.
Around its mean lies a Student-t.

The network also says which power to expect of every band. A thousand coefficients drawn one by one
miss it, now by more and now by less, and the frame after them starts from there: level and colour
flicker and sink. So a drawn frame is brought to the power that is expected, or to one as far from
that as powers are.
"""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from wavegen.config import EMBEDDING, SpectralLSTMConfig
from wavegen.models import student
from wavegen.models.frames import squared, times, without_highest
from wavegen.models.spectrum import RelativeSpectrum
from wavegen.streaming import one_pole

DEGREES = 8.0  # of freedom of the Student-t, once level and code are known
QUANTUM = 2**-15 / 12**0.5  # RMS of 16-bit rounding, also of a coefficient: no scale is finer
VARIANCE = 2 * DEGREES / (DEGREES - 2)  # mean square of such a coefficient of scale 1
STEADY = 0.95  # of the mean of the angles is what it was a frame ago
LOUDEST = 2.0  # log of how far a tone may stand out of its band
FURTHEST = 5.0  # log of a power that a band may miss what is expected by, and be brought to it


class Renderer(keras.layers.Layer):
    """The density of a frame given its code; frames in units of the level of late."""

    def __init__(
        self, config: SpectralLSTMConfig, spectrum: RelativeSpectrum, **kwargs: Any
    ) -> None:
        """Takes the configuration and its bands."""
        super().__init__(**kwargs)
        self.spectrum = spectrum
        self.coefficients = config.channels * config.n_fft // 2
        self.hears = 2 * self.coefficients, self.coefficients  # widths of `turned` and `around`
        self.channels, self.turn = config.channels, 2 * math.pi * config.hop_length / config.n_fft
        self.sounds = without_highest(config)
        self.embed = keras.layers.Embedding(config.codes, EMBEDDING, name="embed")
        self.hidden = [
            keras.layers.Dense(config.renderer_units, activation="gelu", name=f"hidden_{i}")
            for i in range(2)
        ]
        self.width = keras.layers.Dense(self.coefficients, kernel_initializer="zeros", name="width")
        self.tone = keras.layers.Dense(
            5 * spectrum.features, kernel_initializer="zeros", name="tone"
        )

    def build(self, input_shape: Any = None) -> None:
        """Makes every weight; the shapes all follow from the configuration."""
        self.embed.build((1, 1))
        size = 2 * EMBEDDING + 3 * self.spectrum.features
        for layer in self.hidden:
            layer.build((1, 1, size))
            size = layer.units
        self.width.build((1, 1, size))
        self.tone.build((1, 1, size))
        self.built = True

    def turned(self, before: Any, now: Any, angle: Any) -> tuple[Any, Any]:
        """Returns each frame turned on by the angle that it turned by of late, and the next angle.

        Args:
            before: the frame before `now`, `(batch, time, 2, coefficients)`.
            now: the last frame.
            angle: running mean of products before `now`, `(batch, 1, 2 * coefficients)`.
        """
        conjugate = before * ops.convert_to_tensor(np.array([[1.0], [-1.0]], "float32"))
        shape = (*now.shape[:2], 2, self.channels, -1)
        product = ops.reshape(times(now, conjugate), shape)  # (batch, time, 2, channels, n_fft / 2)
        # A neighbour of the same tone turns by `turn` less for every coefficient it is higher.
        padded = ops.pad(product, [[0, 0]] * 4 + [[1, 1]])
        locked = product
        for side in (1, -1):
            other = padded[..., 1 + side : padded.shape[-1] - 1 + side]
            cosine, sine = math.cos(self.turn), math.sin(side * self.turn)
            real = other[:, :, 0] * cosine - other[:, :, 1] * sine
            imaginary = other[:, :, 0] * sine + other[:, :, 1] * cosine
            locked = locked + 0.5 * ops.stack([real, imaginary], axis=2)
        # The angle between two frames has the chance of both in it, and what is drawn from it hands
        # it on: a tone would wander off. The mean over some frames stays.
        mean = one_pole(ops.reshape(locked, (*now.shape[:2], -1)), angle, STEADY)
        turn = ops.reshape(mean, now.shape)
        turn = turn * ops.rsqrt(squared(turn) + 1e-20)[:, :, None]
        return times(now, turn), mean[:, -1:]

    def around(self, before: Any, now: Any) -> Any:
        """Returns the mean power `(batch, time, coefficients)` around each coefficient of late.

        Args:
            before: the frame before `now`, `(batch, time, 2, coefficients)`.
            now: the last frame.
        """
        power = 0.5 * (squared(before) + squared(now))
        power = ops.reshape(power, (*now.shape[:2], self.channels, -1))
        padded = ops.pad(power, [[0, 0]] * 3 + [[1, 1]])
        power = 0.5 * power + 0.25 * (padded[..., 2:] + padded[..., :-2])
        return ops.reshape(power, (*now.shape[:2], self.coefficients))

    def density(
        self, codes: tuple[Any, Any], template: Any, bands: Any, turned: Any, around: Any
    ) -> tuple[Any, Any, Any, Any]:
        """Returns mean, as `turned`, log scale `(batch, time, coefficients)`, and log powers.

        The latter are those to expect of the bands, `(batch, time, features)`; fourth comes the
        scale of the logistic distribution that they have around it.

        Args:
            codes: int32 `(batch, time)`: of the frame itself and of the last one.
            template: log10 power of its bands by its code, `(batch, time, features)`.
            bands: normalised: the template's, the last frame's and the one's before.
            turned: of the function of that name.
            around: of the function of that name.
        """
        h = ops.concatenate([*map(self.embed, codes), bands], axis=-1)
        for layer in self.hidden:
            h = layer(h)
        base = self.spectrum.by_coefficient(template) * (math.log(10) / 2)  # log of an RMS
        *tones, beyond, unsure = ops.split(self.tone(h), 5, axis=-1)
        towards, gain, apart = map(self.spectrum.by_coefficient, tones)
        least = 1e-4 * ops.exp(2.0 * base)
        power = squared(turned) + least
        size = mixed(0.5 * ops.log(power), base, towards - 0.5)
        size = ops.minimum(size + ops.clip(gain - 1.0, -6.0, 1.0), base + LOUDEST)
        mean = turned * (ops.exp(size) * ops.rsqrt(power))[:, :, None]
        scale = mixed(0.5 * ops.log(around + least), base, apart)
        scale = ops.minimum(scale, base + LOUDEST)  # what feeds on itself has an end
        expected = template * math.log(10) + ops.clip(beyond, -4.0, 4.0)
        scale = scale + ops.clip(self.width(h) - 0.5, -12.0, 1.5)
        return mean, scale, expected, ops.exp(ops.clip(unsure - 1.0, -4.0, 1.0))

    def draw(self, mean: Any, log_scale: Any, noise: Any, noisiness: Any) -> Any:
        """Returns frames `(batch, time, 2, coefficients)`.

        What stands for the highest frequency shares density and turn with what stands for the
        lowest, and would sound as loud; it is left out.

        Args:
            mean: of `density`.
            log_scale: of `density`.
            noise: standard normals, `(batch, time, coefficients, 2)`.
            noisiness: how much tones waver. 1 is as learned. Below, the more of a coefficient goes
                on as a tone the less of it is chance, and the tone makes up for the power. Below
                0.5 there is less chance everywhere, between the tones too: what is drawn there
                would be heard, and drawn again around.
        """
        spread = student.draw(noise, DEGREES)
        tone, chance = squared(mean), VARIANCE * ops.exp(2.0 * log_scale)
        less = (1.0 - noisiness * noisiness) / (tone + chance)
        louder = ops.sqrt(ops.maximum(1.0 + less * chance, 0.0))
        factor = ops.exp(log_scale) * ops.sqrt(ops.maximum(1.0 - less * tone, 0.0))
        factor = factor * ops.minimum(2.0 * noisiness, 1.0)
        drawn = mean * louder[:, :, None] + spread * factor[:, :, None]
        return drawn * ops.convert_to_tensor(self.sounds)

    def brought(self, z: Any, expected: Any, swing: Any, noisiness: Any) -> Any:
        """Returns a drawn frame with its bands brought to the power that is expected of them.

        Args:
            z: of `draw`, `(batch, time, 2, coefficients)`.
            expected: power of the bands, `(batch, time, features)`.
            swing: log of how far from that a band's power is, of the same shape; in full from a
                noisiness of 0.5 on, less of it below. Without it all ranges less than music does.
            noisiness: from 1 on the frame is left as it was drawn, below it comes the nearer.
        """
        least = QUANTUM * QUANTUM
        apart = ops.log((expected + least) / (self.spectrum.power_of(z) + least))
        apart = apart + ops.minimum(2.0 * noisiness, 1.0) * swing
        share = ops.maximum(1.0 - noisiness * noisiness, 0.0)
        gain = 0.5 * share * ops.clip(apart, -FURTHEST, FURTHEST)
        return z * ops.exp(self.spectrum.by_coefficient(gain))[:, :, None]


def mixed(own: Any, template: Any, towards: Any) -> Any:
    """Returns what lies between two values, or beyond the first, away from the second.

    Beyond, what stands out of its band stands out more, and what lies below it less: without, a
    little chance in every frame would fill up the spectrum between the partials.

    Args:
        own: the first.
        template: the second.
        towards: the sigmoid of it is 1/3 at the first and 1 at the second.
    """
    return own + (1.5 * ops.sigmoid(towards) - 0.5) * (template - own)
