"""What the discriminator answers to pictures it learns from, to held-out ones, to generated ones.

A discriminator that knows its training pictures by heart takes held-out ones for generated: the
answers to the two kinds of real pictures part before anything is seen in the losses or the grids.

With ``--augmentation`` it is asked about the pictures as they are, though it learns from augmented
ones only: what is compared is how it takes three kinds of pictures that are treated alike, and
without random numbers. As they are, they are near what it has seen but not among it (with cutout,
no picture was ever whole), so that the level of the answers can differ from ``d_real`` and
``d_fake``, which are of augmented images.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from utils import backend
from utils.common import grids
from utils.common.files import atomic_path
from utils.models.adversarial import layer_options
from utils.watching.history import Table, thin

# isort: split
import keras
from keras import layers, ops

MOST_ASKED = 64
"""Pictures of each kind. At the default intervals, asking about so many takes 0.8 % of the time."""
KINDS = {"training": "tab:blue", "held out": "tab:green", "generated": "tab:orange"}
"""What is asked about, and its colour."""
PERCENTILES = (5, 25, 50, 75, 95)


def number_asked(available: int, batch_size: int) -> int:
    """How many pictures of a kind are asked about: whole batches, where there is one."""
    number = min(available, max(MOST_ASKED, batch_size))
    return number // batch_size * batch_size or number


class Judge:
    """Asks a discriminator (or critic) as it is in training, without dropout, and leaves no trace.

    In training mode batch normalisation takes the statistics of the batch, each kind of picture in
    batches of its own, as the losses do; the moving statistics, by which inference mode would
    answer, follow real and generated batches by turns and fit neither. Dropout is noise here: of a
    DCGAN after 200 epochs of 320 pictures, the answers to training and to held-out pictures were 9
    standard errors apart without it, 4 with it, and 7 in inference mode.

    What a pass in training mode changes is changed in a scope that is thrown away: a run that asks
    more often ends with the same weights.
    """

    def __init__(
        self,
        discriminator: keras.Model,
        generator: keras.Model,
        batch_size: int,
        state: Sequence[keras.Variable],
    ) -> None:
        """Compile what is asked.

        Args:
            discriminator: images (B, H, W, 3) in [-1, 1] to answers (B, 1); more means more real.
            generator: latent vectors (B, latent_dim) to images, as it is trained.
            batch_size: of the batches in which both are trained.
            state: every variable of both.
        """
        self.discriminator = discriminator
        self.generator = generator
        self._dropouts = [x for x in discriminator.layers if isinstance(x, layers.Dropout)]
        self.batch_size = batch_size
        self._compiled_real = backend.compile_step(self._answer_real, state)
        self._compiled_generated = backend.compile_step(self._answer_generated, state)

    @contextmanager
    def _asked(self) -> Iterator[None]:
        rates = [layer.rate for layer in self._dropouts]
        variables = [*self.discriminator.variables, *self.generator.variables]
        with layer_options:
            try:
                for layer in self._dropouts:
                    layer.rate = 0.0
                # With their values: on JAX, those of the compiled function's arguments.
                with keras.StatelessScope([(variable, variable.value) for variable in variables]):
                    yield
            finally:
                for layer, rate in zip(self._dropouts, rates, strict=True):
                    layer.rate = rate

    def _answer_real(self, images: backend.Tensor) -> dict[str, backend.Tensor]:
        images = ops.cast(images, "float32") / 127.5 - 1.0
        with self._asked():
            return {"answers": self.discriminator(images, training=True)}

    def _answer_generated(self, latents: backend.Tensor) -> dict[str, backend.Tensor]:
        with self._asked():
            images = self.generator(latents, training=True)
            return {"answers": self.discriminator(images, training=True)}

    def answers_to_real(self, images: np.ndarray) -> np.ndarray:
        """Answers, float32 (N,), to pictures, uint8 (N, H, W, 3)."""
        return self._by_batches(self._compiled_real, images)

    def answers_to_generated(self, latents: np.ndarray) -> np.ndarray:
        """Answers, float32 (N,), to what the generator makes of latent vectors (N, latent_dim)."""
        return self._by_batches(self._compiled_generated, latents)

    def _by_batches(self, compiled: backend.Step, inputs: np.ndarray) -> np.ndarray:
        found = []
        for start in range(0, len(inputs), self.batch_size):
            batch = inputs[start : start + self.batch_size]
            # Always a whole batch: another shape would be compiled anew.
            padded = np.resize(batch, (self.batch_size, *inputs.shape[1:]))
            found.append(compiled(padded)["answers"])
        return np.concatenate([ops.convert_to_numpy(x)[:, 0] for x in found])[: len(inputs)]


def best_and_worst(
    images: np.ndarray, answers: np.ndarray, count: int, columns: int, judge: str
) -> tuple[np.ndarray, list[str]]:
    """A picture of those with the highest answers, and below of those with the lowest.

    Args:
        images: uint8 (N, H, W, 3).
        answers: (N,).
        count: of either.
        columns: of the picture.
        judge: what has answered: ``discriminator`` or ``critic``.

    Returns:
        The picture, uint8 (height, width, 3), and what can be said of either half.
    """
    order = np.argsort(-answers, kind="stable")
    blocks, texts = [], []
    for word, chosen in (("best", order[:count]), ("worst", order[::-1][:count])):
        text = (
            f"{word} {count} of {len(images)}: the {judge}'s answer {answers[chosen[0]]:.2f} to "
            f"{answers[chosen[-1]]:.2f} (middle {np.median(answers):.2f})"
        )
        blocks.append(grids.caption(grids.tile(images[chosen], columns), [text]))
        texts.append(f"{text}; samples {' '.join(map(str, chosen))}")
    return grids.stack(blocks), texts


def overfitting(answers: Mapping[str, np.ndarray]) -> float:
    """How far held-out pictures are on the way from training pictures to generated ones.

    It is a ratio of differences between means of a few dozen answers. Where training pictures and
    generated images get nearly the same answers, as of a discriminator that is far from winning, it
    can be anything: the difference must be four times its standard error.

    Args:
        answers: (N,) of each of `KINDS`.

    Returns:
        r_v of Karras et al. 2020 (arXiv:2006.06676, equation 1): 0 where the discriminator answers
        training and held-out pictures alike, 1 where it takes held-out ones for generated. NaN
        where chance could have made it, or where no pictures are held out.
    """
    if "held out" not in answers:
        return math.nan
    return _clear_overfitting(*((len(x), x.mean(), x.std()) for x in map(answers.get, KINDS)))


def _clear_overfitting(
    training: tuple[float, float, float],
    held_out: tuple[float, float, float],
    generated: tuple[float, float, float],
) -> float:
    """The above, of numbers, means and standard deviations of the answers."""
    difference = training[1] - generated[1]
    error = math.hypot(*(deviation / math.sqrt(n) for n, _, deviation in (training, generated)))
    return (training[1] - held_out[1]) / difference if abs(difference) > 4.0 * error else math.nan


class Answers(Table):
    """``answers.csv``: three rows a sample, one for each kind of picture; and ``answers.png``.

    Columns: ``step`` (generator updates so far), ``kind`` (training, held out, generated),
    ``pictures`` (how many were asked about), then mean, standard deviation and percentiles of the
    answers: logits of a discriminator, values of a critic.
    """

    TEXTS: ClassVar[tuple[str, ...]] = ("kind",)

    def __init__(self, path: Path) -> None:
        percentiles = [f"percentile_{percentile}" for percentile in PERCENTILES]
        columns = ["step", "kind", "pictures", "mean", "standard_deviation", *percentiles]
        super().__init__(path, columns)
        self.latest: dict[str, np.ndarray] = {}
        """The last answers, (N,) of each kind."""

    @staticmethod
    def _format(row: Sequence[float | str]) -> list[str]:
        step, kind, pictures, *numbers = row
        return [f"{step:.0f}", kind, f"{pictures:.0f}", *(f"{number:.6g}" for number in numbers)]

    def add(self, step: int, answers: Mapping[str, np.ndarray]) -> None:
        """Add the rows of a step to the file: its answers, (N,) of each kind."""
        self.latest = dict(answers)
        self.append(
            [step, kind, len(x), x.mean(), x.std(), *np.percentile(x, PERCENTILES)]
            for kind, x in answers.items()
        )

    def curves(self, kind: str) -> np.ndarray:
        """The rows of a kind, (rows, columns) without the kind itself."""
        rows = [[row[0], *row[2:]] for row in self.rows if row[1] == kind]
        return np.array(rows, np.float64).reshape(-1, len(self.columns) - 1)

    def overfitting(self) -> np.ndarray:
        """How far held-out pictures are on the way from training pictures to generated ones.

        0 where the discriminator answers training and held-out pictures alike, 1 where it takes
        held-out ones for generated: r_v of Karras et al. 2020 (arXiv:2006.06676, equation 1).

        Returns:
            Steps and values, (rows, 2); no rows where no pictures are held out.
        """
        mean = self.columns.index("mean") - 1
        by_kind = [
            {row[0]: row[mean] for row in self.curves(kind)}
            for kind in ("training", "held out", "generated")
        ]
        training, held_out, generated = by_kind
        found = [
            (step, (training[step] - value) / (training[step] - generated[step]))
            for step, value in held_out.items()
            if training.get(step) != generated.get(step)
        ]
        return np.array(found, np.float64).reshape(-1, 2)

    def clear_overfitting(self) -> float:
        """The last `overfitting`, or NaN where chance could have made it (see the function)."""
        values = self.overfitting()
        if not len(values):
            return math.nan
        columns = [
            self.columns.index(name) - 1 for name in ("pictures", "mean", "standard_deviation")
        ]
        last = (
            next(row for row in self.curves(kind)[::-1] if row[0] == values[-1, 0])
            for kind in KINDS
        )
        return float(_clear_overfitting(*(tuple(row[columns]) for row in last)))

    def plot(self, path: Path, title: str) -> None:
        """Draw median and 5-95 % band of each kind over the steps, and the last answers."""
        overfitting = thin(self.overfitting())
        figure = Figure(figsize=(9, 4.6 if len(overfitting) else 3.2), layout="constrained")
        FigureCanvasAgg(figure)
        if len(overfitting):
            places = [["curves", "last"], ["overfitting", "last"]]
            axes = figure.subplot_mosaic(places, width_ratios=[2, 1], height_ratios=[2, 1])
            axis = axes["overfitting"]
            axis.plot(overfitting[:, 0], overfitting[:, 1], color=KINDS["held out"], linewidth=1)
            axis.axhline(0, color="grey", linewidth=0.6)
            axis.set_ylim(-0.5, 1.5)
            axis.set_ylabel("overfitting")
            axis.sharex(axes["curves"])
            axes["curves"].tick_params(labelbottom=False)
        else:
            axes = figure.subplot_mosaic([["curves", "last"]], width_ratios=[2, 1])
            axis = axes["curves"]
        axis.set_xlabel("step (generator updates)")

        axis = axes["curves"]
        for kind, colour in KINDS.items():
            table = thin(self.curves(kind))
            if len(table):
                steps, lower, median, upper = table[:, [0, 4, 6, 8]].T
                axis.fill_between(steps, lower, upper, color=colour, alpha=0.15, linewidth=0)
                axis.plot(steps, median, color=colour, linewidth=1, label=kind)
        axis.axhline(0, color="grey", linewidth=0.6)
        axis.set_ylabel("answer: median, 5-95 %")
        axis.set_title(title)
        axis.legend(loc="upper left", frameon=False, ncols=len(KINDS))

        axis = axes["last"]
        finite = {kind: x[np.isfinite(x)] for kind, x in self.latest.items()}
        edges = np.histogram_bin_edges(np.concatenate([*finite.values(), np.zeros(0)]), bins=25)
        for kind, x in finite.items():
            axis.hist(x, edges, histtype="step", color=KINDS[kind], linewidth=1.2)
        axis.axvline(0, color="grey", linewidth=0.6)
        axis.set_xlabel("answer")
        axis.set_ylabel("pictures")
        last = max((row[0] for row in self.rows), default=0)
        axis.set_title(f"step {last:.0f}")
        for axis in axes.values():
            axis.grid(alpha=0.3)
        with atomic_path(path) as temporary:
            figure.savefig(temporary, dpi=100)
