"""Import this before loading a saved network that has layers of this project."""

from utils.models.layers import *  # noqa: F403
