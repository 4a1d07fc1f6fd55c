"""What the scripts share: everything that does not differ between one GAN and another."""

import importlib.util
import os
import sys
import warnings

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


def _ignore_personal_settings() -> None:
    """Drop what the person's environment tells libraries for other work, and would end this."""
    for name in [name for name in os.environ if name.startswith("TQDM_")]:
        if name != "TQDM_DISABLE":
            del os.environ[name]  # of another type than tqdm expects, it cannot be imported
    if not {"matplotlib", "ipykernel"} & sys.modules.keys():  # Keras imports it as well
        (folder,) = importlib.util.find_spec("matplotlib").submodule_search_locations
        os.environ["MATPLOTLIBRC"] = os.path.join(folder, "mpl-data", "matplotlibrc")
        os.environ["MPLBACKEND"] = "agg"
    if any(option.startswith("error") for option in sys.warnoptions):
        warnings.simplefilter("default")  # libraries warn of each other


_require_packages()
_ignore_personal_settings()
