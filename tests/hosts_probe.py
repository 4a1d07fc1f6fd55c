"""A script, run by test_several.py: its augmentation adapts within a few steps.

    python -m tests.hosts_probe SCRIPT.py OPTIONS

What takes time in a tiny run and is not tested here is left out: TensorFlow, which Keras seeds as
well, and what matplotlib draws.
"""

from __future__ import annotations

import runpy
import sys

from utils.training import adapt
from utils.training.report import Report
from utils.watching import architecture

# isort: split
from keras.src.utils import module_utils


def main() -> None:
    module_utils.tensorflow._available = False
    adapt.IMAGES_TO_ADAPT = 8
    Report._curves = architecture.draw = lambda *_: None
    sys.argv = sys.argv[1:]
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
