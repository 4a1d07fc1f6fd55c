"""Which run a person names: by its name, or by a folder, as the Tab key completes it."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
from pathlib import Path

from utils.common.errors import UserError
from utils.training.config import CONFIG, read_config

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def check_run_name(option: str, name: str, hint: str = "") -> None:
    """Raise UserError for a name that is no plain folder name; an empty one is fine."""
    if name and not NAME.fullmatch(name):
        raise UserError(
            f"{option} {name!r}: must be letters, digits, '.', '_' and '-', starting with a letter "
            f"or digit{hint}"
        )


def name_in(run: str, images_dir: str, models_dir: str) -> str:
    """The name of a run that is given by it, or by its folder in one of these.

    Args:
        run: ``dcgan-1``, ``images/dcgan-1`` or ``saved_models/dcgan-1/``.
        images_dir: where pictures of runs are; those of this run may be elsewhere, if it says so.
        models_dir: where networks of runs are.

    Returns:
        The name; empty for a folder of another place, and for what cannot be a name.
    """
    folder = Path(run)
    if not NAME.fullmatch(folder.name):
        return ""
    places = [Path(images_dir), Path(models_dir)]
    with contextlib.suppress(UserError):
        config = read_config(folder.name, Path(models_dir, folder.name, CONFIG))
        places.append(Path(str(config["hyperparameters"].get("images_dir", images_dir))))
    if folder.parent.resolve() in [each.resolve() for each in places]:
        return folder.name
    is_folder = "/" in run and (folder / CONFIG).is_file()
    return folder.name if len(folder.parts) == 1 and not is_folder else ""


def run_folders(option: str, run: str, images_dir: str, models_dir: str) -> tuple[Path, Path]:
    """The folders of a run's pictures and networks, by its name or one of them, wherever they are.

    Next to a folder ``PARENT/images/RUN`` or ``PARENT/saved_models/RUN``, the other one is called
    after the last part of ``models_dir`` or ``images_dir``.

    Raises:
        UserError: it can be no name.
    """
    if os.sep not in run and "/" not in run and run not in (".", ".."):
        check_run_name(option, run)
    name = name_in(run, images_dir, models_dir)
    if name:
        return Path(images_dir, name), Path(models_dir, name)
    folder = Path(os.path.relpath(run))
    if not folder.name or folder.name == "..":
        folder = Path(os.path.abspath(run))
    places = folder.parent.parent
    is_of_images = folder.parent.name == Path(images_dir).name
    models = places / Path(models_dir).name / folder.name if is_of_images else folder
    return places / Path(images_dir).name / folder.name, models


def named_run(option: str, run: str, images_dir: str, models_dir: str) -> str:
    """The name of the run that an option names.

    Raises:
        UserError: it is no name, and no folder in one of these.
    """
    if not run:
        raise UserError(f"{option} '': is empty; expected the name of a run")
    name, folder = name_in(run, images_dir, models_dir), Path(run)
    if not name and (folder / CONFIG).is_file():
        elsewhere = shlex.join([folder.name, "--models-dir", str(folder.parent)])
        raise UserError(f"{option} {run}: not in {models_dir}; expected {option} {elsewhere}")
    check_run_name(option, name or run, f", or its folder in {images_dir} or {models_dir}")
    return name
