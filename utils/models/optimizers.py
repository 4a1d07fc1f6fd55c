"""Optimizers whose state is complete from the start, with learning rates that may decay."""

from __future__ import annotations

import keras

from utils.backend import Tensor


class _OfAnotherCount(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule that goes by something else than its optimizer's own updates."""

    def __init__(
        self, schedule: keras.optimizers.schedules.LearningRateSchedule, counter: keras.Variable
    ) -> None:
        self.schedule, self.counter = schedule, counter

    def __call__(self, step: Tensor) -> Tensor:
        """The learning rate; ``step`` is not looked at."""
        return self.schedule(self.counter.value)


def decaying(
    learning_rate: float, factor: float, steps: int, counter: keras.Variable | None = None
) -> keras.optimizers.schedules.LearningRateSchedule:
    """A learning rate that is multiplied by ``factor`` every ``steps`` updates.

    A schedule even where nothing decays: a plain number would become part of the checkpoint and
    win over the command line when the run resumes.

    Args:
        learning_rate: at first.
        factor: 1 lets it stay.
        steps: updates from one decay to the next.
        counter: what counts them; None is the optimizer's own count. A critic makes several updates
            for one of the generator, so both networks go by the generator's count.
    """
    schedule: keras.optimizers.schedules.LearningRateSchedule = (
        keras.optimizers.schedules.ExponentialDecay(learning_rate, steps, factor, staircase=True)
    )
    return schedule if counter is None else _OfAnotherCount(schedule, counter)


def built(
    optimizer: keras.optimizers.Optimizer, network: keras.Model
) -> keras.optimizers.Optimizer:
    """The optimizer with its state for a network, so that a checkpoint of step 0 is complete."""
    optimizer.build(network.trainable_variables)
    return optimizer
