"""What the scripts share: everything that does not differ between one GAN and another."""

import importlib.util
import sys

NEEDED = ("numpy", "h5py", "PIL", "matplotlib", "tqdm", "tyro", "keras")
"""Imported by most scripts; where one of them is absent, all of ``requirements.txt`` is."""


def _require_packages() -> None:
    """End the process with one line where the environment of the scripts is not the one in use.

    A new shell that does not know the environment is what everybody meets on the second day; a
    traceback that ends in "No module named 'tyro'" does not say so.
    """
    absent = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if absent:
        print(
            f"error: {', '.join(absent)}: not installed for {sys.executable}; activate the "
            "environment (. .venv/bin/activate) or pip install -r requirements.txt",
            file=sys.stderr,
        )
        raise SystemExit(2)


_require_packages()
