"""What happens next: an LSTM over the codes of frames, and a renderer that makes the frames.

A code says which of some hundreds of typical spectra a frame is most like, relative to the spectrum
of late, and whether sound begins or ends there (`spectrum`): all bins of all channels at once, so
that they belong together (as the codebook of van den Oord et al. 2017, arXiv:1711.00937, but of
k-means). The LSTM draws the next code from a softmax, and because a code is one of few, what it
hears of itself is always something that it has learned from: it does not drift. The renderer draws
the frame given its code, which it carries as a label: it need not be nearest to it.

The likelihood of a frame is that of its code times that of the frame given its code: a bound, since
other codes might have led to the frame too.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import keras
import numpy as np
from keras import ops

from wavegen import backend
from wavegen.config import EMBEDDING, SpectralLSTMConfig
from wavegen.models import book, heads, student
from wavegen.models.frames import frames_of, parts_of
from wavegen.models.recall import Recall, mixed
from wavegen.models.renderer import DEGREES, QUANTUM, Renderer
from wavegen.models.seen import Seen, apart, widths
from wavegen.models.spectrum import RelativeSpectrum, sounding
from wavegen.streaming import RecurrentStack

WEIGHT = 30.0  # of a coefficient's nats against a code's, while training
LEAST = 1e-7  # what is drawn from 0
POWER = 10.0  # of the nats of a band's power, against the same


class Composer(keras.layers.Layer):
    """The head `codes` of a spectral LSTM."""

    def __init__(self, config: SpectralLSTMConfig, **kwargs: Any) -> None:
        """Takes a checked configuration."""
        super().__init__(**kwargs)
        self.config = config
        self.coefficients = config.channels * config.n_fft // 2
        self.spectrum = RelativeSpectrum(config)
        self.embed = keras.layers.Embedding(config.codes, EMBEDDING, name="embed")
        self.front = keras.layers.Dense(config.units, name="front")
        self.memory = RecurrentStack(config.units, config.layers, name="memory")
        self.out = keras.layers.Dense(config.codes, name="out")
        self.renderer = Renderer(config, self.spectrum, name="renderer")
        features = self.spectrum.features
        self.recall = Recall(config.remembered, config.codes, features)
        self.widths = widths(config, features, self.renderer.hears)

    def build(self, input_shape: Any = None) -> None:
        """Makes every weight; the shapes all follow from the configuration."""
        config, features = self.config, self.spectrum.features
        self.embed.build((1, 1))
        self.front.build((1, 1, EMBEDDING))
        self.memory.build((1, 1, config.units))
        self.out.build((1, 1, config.units))
        self.renderer.build()
        self.book, self.mean, self.deviation = (
            self.add_weight(shape=shape, initializer=start, trainable=False, name=name)
            for name, shape, start in (
                ("book", (config.codes, self.spectrum.kinds), "zeros"),
                ("mean", (features,), "zeros"),
                ("deviation", (features,), "ones"),
            )
        )
        self.built = True

    def start_from(self, pieces: Iterable[np.ndarray]) -> None:
        """Fits the codes by k-means to the frames of recordings.

        Args:
            pieces: float32 `(frames, channels * n_fft + 1)` of contiguous frames each.
        """
        every = book.gathered(pieces, backend.traced(self.described))
        if every is None:
            every = np.zeros((1, self.spectrum.kinds), "float32")
        found = book.fitted(every, self.config.codes)
        for variable, value in zip((self.book, self.mean, self.deviation), found, strict=True):
            variable.assign(value[..., : variable.shape[-1]])  # the renderer hears bands alone

    def look(self, x: Any, last: Any, late: Any) -> tuple[Any, Any, Any, Any, Any, Any]:
        """Returns frames, their bands' powers, both from the last one on, and what hangs on them.

        Args:
            x: `(batch, time, channels * n_fft + 1)`.
            last: the frame before, `(batch, 1, 2, coefficients)`.
            late: state of the spectrum.

        Returns:
            Frames `(batch, 1 + time, 2, coefficients)`; powers `(batch, 1 + time, features)`; of
            `x` what codes are of, level before and after it; and the spectrum's next state.
        """
        z = ops.concatenate([last, parts_of(x, self.config.channels)], axis=1)
        powers = self.spectrum.power_of(z)
        before, level, late = self.spectrum.step(powers[:, 1:], x[..., -1] < 0, late)
        kinds = self.spectrum.kind(powers[:, 1:], powers[:, :-1], before)
        return z, powers, kinds, before, level, late

    def described(self, frames: Any) -> Any:
        """Returns what the codes of frames are of, heard from silence."""
        last, _, late, *_ = self.initial_state(frames.shape[0])
        return self.look(ops.convert_to_tensor(frames), last, late)[2]

    def initial_state(self, batch_size: int) -> Any:
        """Returns the state after endless silence.

        That is (last frame, angles, spectrum of late, LSTM memory, what `Recall` keeps).
        """
        last = ops.zeros((batch_size, 1, 2, self.coefficients))
        angle = ops.zeros((batch_size, 1, 2 * self.coefficients))
        spectrum = self.spectrum.initial_state(batch_size)
        memory, recall = (
            self.memory.initial_state(batch_size),
            self.recall.initial_state(batch_size),
        )
        return last, angle, spectrum, memory, recall

    def step(self, x: Any, state: Any, disturbed: Any = None) -> tuple[Any, Any]:
        """Returns `Seen`, joined, of each frame of `x`, and the next state.

        Args:
            x: float32 `(batch, time, channels * n_fft + 1)`, labels at the end.
            state: of `initial_state` or an earlier step.
            disturbed: in training, a `feed.Disturbed`.
        """
        last, angle, late, memory, recall = state
        z, powers, kinds, before, level, late = self.look(x, last, late)
        code, bands = self.labelled(x, kinds), kinds[..., : self.spectrum.features]
        heard_code, masks, heard = code, None, z
        own = [self.spectrum.relative(part, level) for part in (powers[:, 1:], powers[:, :-1])]
        if disturbed is not None:
            heard_code = ops.where(disturbed.codes < 0, code, disturbed.codes)
            masks = disturbed.masks
            # When it draws, the renderer hears chance of its own, and powers it has itself missed.
            size = ops.sqrt(self.spectrum.by_coefficient(powers))[:, :, None]
            heard = z + size * disturbed.noise
            wrong = disturbed.noise[:, :, 0, : self.spectrum.features]
            own = [own[0] + wrong[:, 1:], own[1] + wrong[:, :-1]]
        h = self.front(self.embed(heard_code))
        h, memory = self.memory.step(h, memory, masks)
        if disturbed is None:
            recalled, recall = self.recall.step(
                bands + 2.0 * ops.log10(before),
                2.0 * ops.log10(ops.max(before, axis=-1, keepdims=True)),
                code,
                heard=x[..., -1] < 0,
                sounding=sounding(powers[:, 1:]),
                state=recall,
            )
        else:  # the LSTM would leave to memory what it is to learn itself
            recalled = self.recall.nothing(bands)
        spectra = ops.matmul(recalled.codes, self.spectra) + 2.0 * ops.log10(level)
        unit = 1.0 / self.spectrum.by_coefficient(level)[:, :, None]
        pair = heard[:, :-1] * unit, heard[:, 1:] * unit
        turned, angle = self.renderer.turned(*pair, angle)
        y = Seen(
            hidden=h,
            recalled=recalled.codes,
            missed=recalled.counts * (recalled.bands - spectra),
            counts=recalled.counts,
            code=ops.cast(code, "float32")[..., None],
            power=powers[:, 1:],
            level=level,
            bands=ops.concatenate(own, axis=-1),
            turned=ops.reshape(turned, (*x.shape[:2], -1)),
            around=self.renderer.around(*pair),
        )
        return ops.concatenate(y, axis=-1), (z[:, -1:], angle, late, memory, recall)

    def seen(self, y: Any) -> Seen:
        """Returns the parts of what `step` returned."""
        return apart(y, self.widths)

    @property
    def spectra(self) -> Any:
        """Log10 powers of the codes' bands against the level of late, `(codes, features)`."""
        return self.book[:, : self.spectrum.features]

    def labelled(self, frames: Any, kinds: Any) -> Any:
        """Returns the int32 codes `(batch, time)` that frames were drawn as, or are nearest to."""
        label = frames[..., -1]
        return ops.where(label < 0, self.code_of(kinds), ops.cast(label, "int32"))

    def code_of(self, kinds: Any) -> Any:
        """Returns the int32 code `(batch, time)` nearest to what it is of."""
        square = ops.sum(self.book * self.book, axis=-1)
        distance = square - 2.0 * ops.matmul(kinds, ops.transpose(self.book))
        return ops.cast(ops.argmin(distance, axis=-1), "int32")

    def logits(self, seen: Seen, memory: Any = 1.0) -> Any:
        """Returns logits of the codes to follow, `(batch, time, codes)`.

        Args:
            seen: of `step`.
            memory: how much what was heard before counts, 0 .. 1.
        """
        learned = ops.softmax(self.out(seen.hidden))
        return mixed(learned, seen.recalled, memory * seen.counts)

    def normal(self, bands: Any) -> Any:
        """Returns bands with mean 0 and deviation 1 over the recordings."""
        return (bands - self.mean) / self.deviation

    def density(self, seen: Seen, code: Any, memory: Any = 1.0) -> tuple[Any, Any, Any, Any]:
        """Returns mean `(batch, time, 2, coefficients)` and log scale of the frame of a code.

        Both are of amplitudes, whatever the level of late. Then come the log powers to expect of
        its bands, relative to that level, and the scale of how far from it they may be. Arguments
        are those of `logits`, and the code, int32 `(batch, time)`.
        """
        logs = ops.take(self.spectra, code, axis=0) + memory * seen.missed
        heard = ops.split(seen.bands, 2, axis=-1)
        before = ops.cast(seen.code[..., 0], "int32")
        mean, log_scale, expected, unsure = self.renderer.density(
            codes=(code, before),
            template=logs,
            bands=ops.concatenate([self.normal(each) for each in (logs, *heard)], axis=-1),
            turned=ops.reshape(seen.turned, (*seen.turned.shape[:2], 2, -1)),
            around=seen.around,
        )
        unit = self.spectrum.by_coefficient(seen.level)
        log_scale = ops.log(ops.exp(log_scale) * unit + QUANTUM)
        return mean * unit[:, :, None], log_scale, expected, unsure

    def log_prob(self, y: Any, following: Any) -> Any:
        """Returns a bound of the log-density, nats per complex coefficient, `(batch, time, 1)`."""
        of_code, of_frame, _ = self.judged(y, following)
        return (of_code / self.coefficients + of_frame)[..., None]

    def judged(self, y: Any, following: Any) -> tuple[Any, Any, Any]:
        """Returns nats `(batch, time)` of a frame's code, the mean of its coefficients', and more.

        Third are the nats of its bands' log powers, which lie around what is expected in a logistic
        distribution. To expect the mean of the powers themselves runs up: it is that of the loudest
        that may follow, and the frame after it would expect more.
        """
        seen = self.seen(y)
        z = parts_of(following, self.config.channels)
        power = self.spectrum.power_of(z)
        code = self.labelled(following, self.spectrum.kind(power, seen.power, seen.level))
        of_code = -ops.sparse_categorical_crossentropy(code, self.logits(seen), from_logits=True)
        mean, log_scale, expected, unsure = self.density(seen, code)
        of_frame = ops.mean(student.log_prob(z - mean, log_scale, DEGREES), axis=-1)
        away = (math.log(10) * self.spectrum.relative(power, seen.level) - expected) / unsure
        of_power = ops.mean(away - 2.0 * ops.softplus(away) - ops.log(unsure), axis=-1)
        return of_code, of_frame, of_power

    def loss(self, y: Any, following: Any) -> Any:
        """Returns the negative log-density as `log_prob` has it, of another gradient.

        A frame has a thousand coefficients and one code; left to the sum, what happens next would
        be learned last. The powers of bands have a gradient only: they are in the frame already.
        """
        of_code, of_frame, of_power = self.judged(y, following)
        nats = -(of_code / self.coefficients + of_frame)
        weighted = -(of_code + WEIGHT * of_frame + POWER * of_power)
        return weighted + ops.stop_gradient(nats - weighted)

    def draw(
        self,
        y: Any,
        noise: Any,
        temperature: Any = 1.0,
        top_p: Any = 1.0,
        noisiness: Any = 1.0,
        memory: Any = 1.0,
    ) -> Any:
        """Returns the next frame `(batch, 1, channels * n_fft + 1)`, its code at the end.

        Args:
            y: output of `step` for one frame.
            noise: `(batch, 1, *config.noise_shape)`, uniforms in [0, 1) but for `config.normals`.
            temperature: of what happens next: divides the codes' logits; 0 takes the likeliest.
            top_p: in (0, 1]; codes beyond this share of the probability are left out.
            noisiness: how much tones waver, see `Renderer.draw`.
            memory: how much what was heard before comes again, 0 .. 1, see `Recall`.
        """
        seen = self.seen(y)
        code = heads.draw_level(self.logits(seen, memory), noise[:, :, 0, 0], temperature, top_p)
        mean, log_scale, expected, unsure = self.density(seen, code, memory)
        end = 1 + self.coefficients
        z = self.renderer.draw(mean, log_scale, noise[:, :, 1:end], noisiness)
        swing = logistic(ops.reshape(noise[:, :, end:], (*noise.shape[:2], -1)))
        swing = unsure * swing[..., : self.spectrum.features]
        power = ops.exp(expected) * seen.level * seen.level
        z = self.renderer.brought(z, power, swing, noisiness)
        frames = frames_of(z, self.config.channels)
        return ops.concatenate([frames, ops.cast(code, frames.dtype)[..., None]], axis=-1)


def logistic(noise: Any) -> Any:
    """Returns draws of the standard logistic distribution, of uniforms in [0, 1)."""
    return ops.log(noise + LEAST) - ops.log1p(-noise)
