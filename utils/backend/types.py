"""What a step is made of, whichever backend runs it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Tensor = Any
"""A tensor of the running backend."""
Step = Callable[..., dict[str, Tensor]]
"""Takes tensors or NumPy arrays of constant shape and dtype, returns named tensors."""
LossFunction = Callable[..., tuple[Tensor, Any]]
"""Returns the loss (a scalar) and anything else worth keeping."""
Gradients = list[Tensor | None]
"""One for each variable; None where nothing depends on it."""
PullBack = Callable[[Tensor], list[Tensor]]
"""Takes the gradient with respect to a network's outputs, returns that of its variables."""
