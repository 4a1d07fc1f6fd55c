"""The two folders of a run: whether it may have them, and the names of the files in them."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
from collections.abc import Iterator
from pathlib import Path

from utils.common.commandline import option_name
from utils.common.errors import UserError
from utils.common.files import FolderLock, files_by_step, remove_leftovers
from utils.preparing.kept import Pictures
from utils.preparing.opening import source_of
from utils.training.config import CONFIG, read_config
from utils.training.options import RunOptions
from utils.training.repeat import command
from utils.watching import outputs

CHECKPOINTS, BEST = "checkpoints", "best"


def check_folders(h: RunOptions) -> None:
    """Raise UserError, before anything is made, for a name that is taken or a folder out of reach.

    Whatever takes long comes later, and a mistake should not.
    """
    for option in ("images_dir", "models_dir"):
        folder = Path(getattr(h, option))
        if h.run_name and not h.resume and not is_free(folder / h.run_name):
            raise name_is_taken(h, folder / h.run_name)
        own = folder / h.run_name
        # A resumed run makes nothing outside its own folders.
        for written in (own, own / CHECKPOINTS, own / BEST) if h.resume else (folder,):
            _check_writable(
                written, f"--resume {h.run_name}" if h.resume else f"{option_name(option)} {folder}"
            )
    source, drawn = Path(h.data).resolve(), Path(h.images_dir).resolve()
    is_folder = isinstance(source_of(h.data), Pictures) and source.is_dir()
    if is_folder and source in (drawn, *drawn.parents):
        raise UserError(
            f"--images-dir {h.images_dir}: is in --data {h.data}, and what a run draws would be "
            "trained on; expected a folder outside"
        )


def _check_writable(folder: Path, shown: str) -> None:
    """Raise UserError for a folder that cannot be written, or made."""
    existing = next(path for path in (folder, *folder.absolute().parents) if os.path.lexists(path))
    if existing.is_dir() and os.access(existing, os.W_OK | os.X_OK):
        return
    reason = "not writable" if existing.is_dir() else "not a folder"
    if not existing.exists():
        reason = f"a link to {os.readlink(existing)}, which is not there"
    raise UserError(f"{shown}: {existing} is {reason}")


def is_free(folder: Path) -> bool:
    """Whether a new run may have this folder: it is not there, or a run that was killed before it
    had written anything has left it empty."""
    try:
        return not any(folder.iterdir())
    except FileNotFoundError:
        return not folder.is_symlink()
    except OSError:
        return False


def name_is_taken(h: RunOptions, folder: Path) -> UserError:
    """The error of a run that would be written over another."""
    hint = ""
    with contextlib.suppress(UserError):  # there is something else in that folder
        config = read_config(h.run_name, Path(h.models_dir, h.run_name, CONFIG))
        words = ["--resume", h.run_name]
        if h.models_dir != RunOptions.models_dir:
            words += ["--models-dir", h.models_dir]
        hint = f", or go on with: {command(str(config.get('method')), *words)}"
    return UserError(f"--run-name {h.run_name}: {folder} exists already; choose another name{hint}")


class Folders:
    """The two folders of a run, and the names of the files in them."""

    def __init__(self, h: RunOptions, is_new: bool) -> None:
        """Make the folders of a new run, which thereby has its name; find those of another.

        Raises:
            UserError: the name is taken, a folder cannot be made, or the run is being trained.
        """
        automatic = is_new and not h.run_name
        numbered = (f"{h.METHOD}-{number}" for number in itertools.count(1))
        for name in numbered if automatic else (h.run_name,):
            h.run_name = name
            self.images, self.models = Path(h.images_dir, name), Path(h.models_dir, name)
            try:
                self._make(is_new)
                break
            except (BlockingIOError, FileExistsError) as error:
                if not automatic:
                    raise _not_to_be_had(h, is_new, error) from None
            except OSError as error:
                raise UserError(
                    f"--images-dir {h.images_dir} --models-dir {h.models_dir}: "
                    f"{error.filename} cannot be made ({error.strerror})"
                ) from None
        self.checkpoints = self.models / CHECKPOINTS
        self.best = self.models / BEST
        self.config = self.models / CONFIG
        self.history = self.images / outputs.HISTORY
        self.answers = self.images / outputs.ANSWERS
        self.health = self.images / outputs.HEALTH
        self.architecture = self.images / outputs.ARCHITECTURE
        self.events = self.images / outputs.EVENTS
        self.reals = self.images / outputs.REALS
        self.augmented = self.images / outputs.AUGMENTED
        self.best_and_worst = self.images / outputs.BEST_AND_WORST
        self.page = self.images / outputs.PAGE
        self.history_plot = self.images / outputs.HISTORY_PLOT
        self.answers_plot = self.images / outputs.ANSWERS_PLOT
        self.film = self.images / outputs.FILM

    def _make(self, is_new: bool) -> None:
        # The same folder twice, under whatever names, is one.
        folders = {self.images.resolve(): self.images, self.models.resolve(): self.models}
        made: list[Path] = []
        try:
            for folder in folders.values():
                if is_new and not is_free(folder):
                    raise FileExistsError(errno.EEXIST, "exists", str(folder))
                folder.parent.mkdir(parents=True, exist_ok=True)
                if not folder.is_dir():
                    folder.mkdir()
                    made.append(folder)
            self.lock = FolderLock(self.models)
            if is_new and len(made) < len(folders) and not self.lock.is_held:
                # Without locks, an empty folder may be one that another run is about to fill.
                raise FileExistsError(errno.EEXIST, "exists", str(self.models))
        except OSError:
            for folder in made:
                with contextlib.suppress(OSError):
                    folder.rmdir()
            raise
        for folder in folders.values():
            remove_leftovers(folder, is_locked=True)

    @contextlib.contextmanager
    def begun(self) -> Iterator[None]:
        """Keep others out; and give the name back if it ends before there was anything to keep."""
        try:
            with self.lock:
                yield
        except BaseException:
            if not self.config.exists():
                for folder in (self.images, self.models):
                    with contextlib.suppress(OSError):  # it is not empty
                        folder.rmdir()
            raise

    def sample(self, step: int) -> Path:
        """Where the sample grid of a step goes."""
        return self.images / f"step_{step:07d}.png"

    def samples(self) -> dict[int, Path]:
        """The sample grids there are, by their steps, in ascending order."""
        return files_by_step(self.images, ".png")


def _not_to_be_had(h: RunOptions, is_new: bool, error: OSError) -> UserError:
    """The error of a run whose folders are not free, or are none."""
    if isinstance(error, BlockingIOError):
        return UserError(
            f"{'--run-name' if is_new else '--resume'} {h.run_name}: another process is training "
            "it; two would write over each other's files"
        )
    if is_new:
        return name_is_taken(h, Path(error.filename))
    return UserError(f"--resume {h.run_name}: {error.filename} is not a folder")
