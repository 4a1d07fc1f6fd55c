"""The notebook runs from top to bottom, and lies in the repository without its outputs."""

from __future__ import annotations

import base64
import contextlib
import io
import shutil
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

import dcgan  # noqa: F401 - what the notebook imports is found already
from tests.conftest import REPOSITORY, TINY, blobs
from utils.data.hdf5 import write_dataset

nbformat = pytest.importorskip("nbformat")
kernel_streams = pytest.importorskip("ipykernel.iostream")

NOTEBOOK = REPOSITORY / "notebooks/gandam.ipynb"
# Without "--holdout 0": the notebook scores.
OPTIONS = [*TINY[: TINY.index("--holdout")], "--history-interval", "2"]
SIZES = f"""
DATA = "data/blobs-32.h5"
IMAGE_SIZE = 32
STEPS = 6
GRID_EVERY = 2
OPTIONS = {OPTIONS}
"""


class Executed(NamedTuple):
    """A cell and what it has put out."""

    source: str
    text: str
    errors: str
    pictures: list[np.ndarray]
    """(H, W, 3); of a film, its first frame."""


class KernelStream(io.StringIO):
    """Looks like the streams of a kernel, for the progress bar."""

    __module__ = kernel_streams.OutStream.__module__


def code_cells(notebook) -> list:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def cell_with(cells, words: str):
    (found,) = [cell for cell in cells if words in cell.source]
    return found


def test_the_notebook_is_kept_without_outputs():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    for cell in code_cells(notebook):
        assert cell.outputs == []
        assert cell.execution_count is None
    # Nothing of the machine on which it was last opened either.
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    assert notebook.metadata.kernelspec.name == "python3"
    assert dict(notebook.metadata.language_info) == {"name": "python"}


def picture_of(data: bytes | str) -> np.ndarray:
    content = data if isinstance(data, bytes) else base64.b64decode(data)
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))


def execute(notebook, project: Path) -> list[Executed]:
    """Run the cells in an IPython shell of this process: a kernel would load TensorFlow again."""
    from IPython.core.interactiveshell import InteractiveShell
    from IPython.utils.capture import capture_output
    from traitlets.config import Config

    executed, main = [], sys.modules["__main__"]
    without_history = Config(HistoryManager={"enabled": False})
    shell = InteractiveShell.instance(config=without_history)
    try:
        with contextlib.chdir(project / "notebooks"):
            for cell in code_cells(notebook):
                with (
                    contextlib.redirect_stderr(KernelStream()) as errors,
                    capture_output(stderr=False) as captured,
                    warnings.catch_warnings(record=True) as warned,
                ):
                    # What Python shows by default.
                    warnings.simplefilter("default")
                    for hidden in (DeprecationWarning, PendingDeprecationWarning, ResourceWarning):
                        warnings.simplefilter("ignore", hidden)
                    shell.run_cell(cell.source).raise_error()
                pictures = [
                    picture_of(output.data[kind])
                    for output in captured.outputs
                    for kind in ("image/png", "image/gif")
                    if kind in output.data
                ]
                errors = "\n".join([errors.getvalue(), *map(str, warned)])
                executed.append(Executed(cell.source, captured.stdout, errors, pictures))
                if "STEPS =" in cell.source:
                    shell.run_cell(SIZES).raise_error()
    finally:
        InteractiveShell.clear_instance()
        sys.modules["__main__"] = main
    return executed


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """The cells after a run at tiny size, in a thread as some front ends do it, and the folder."""
    project = tmp_path_factory.mktemp("notebook")
    (project / "notebooks").mkdir()
    (project / "dcgan.py").touch()  # by which it finds the project
    shutil.copy(REPOSITORY / "requirements.txt", project)
    # 260 pictures: a fifth is held out, and 50 are the fewest to score with.
    write_dataset(project / "data/blobs-32.h5", blobs(260), ["blob"] * 260, made_by="test_notebook")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIP_NO_INDEX", "1")  # nothing is to be installed here
        patch.setenv("IPYTHONDIR", str(project / "ipython"))
        patch.setattr(sys, "path", [*sys.path])
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(execute, notebook, project).result(), project


def test_it_trains_and_shows_the_training(executed):
    cells, project = executed
    run = project / "images/dcgan-1"
    grids = sorted(run.glob("step_*.png"))
    assert [path.name for path in grids] == [f"step_{step:07d}.png" for step in (0, 2, 4, 6)]
    cell = cell_with(cells, "folders = run(")
    assert "6/6" in cell.text
    assert "done at step 6" in cell.text
    for shown, path in zip(cell.pictures, grids, strict=True):
        np.testing.assert_array_equal(shown, np.asarray(Image.open(path)))


def test_it_shows_pictures_in_every_section(executed):
    cells, _ = executed
    counts = {
        "dataset.take(np.sort(some))": 1,
        '"reals.png"': 5,
        '"history.png"': 1,
        '"answers.png"': 1,
        '"nearest.png"': 1,
        "latents.slerp": 1,
        "latents.walk": 1,
        '"training.gif"': 1,
    }
    for words, count in counts.items():
        found = cell_with(cells, words).pictures
        assert len(found) == count, words
        assert all(picture.std() > 1 for picture in found), words
    # Four arcs of nine pictures of 32 px, two pixels between them.
    (arcs,) = cell_with(cells, "latents.slerp").pictures
    assert arcs.shape == (4 * 34 + 2, 9 * 34 + 2, 3)
    # An arc ends where the next one begins.
    end, beginning = arcs[2:34, -34:-2].astype(int), arcs[36:68, 2:34].astype(int)
    assert abs(end - beginning).max() <= 1


def test_it_scores_without_warnings(executed):
    cells, _ = executed
    printed = cell_with(cells, "print_evaluation").text
    assert "run dcgan-1: 52 generated images" in printed
    header = "floor  last, averaged (6)  last, current (6)"
    assert any(line.strip() == header for line in printed.splitlines())
    for score in ("kid", "precision", "swd", "likeness"):
        assert any(line.startswith(score) for line in printed.splitlines()), score
    assert not [cell.source for cell in cells if "Warning" in cell.errors]


def test_it_clones_the_project_where_it_is_not(tmp_path):
    def git(*arguments: object) -> None:
        subprocess.run(["git", *map(str, arguments)], cwd=tmp_path, check=True)

    (tmp_path / "origin").mkdir()
    (tmp_path / "origin/dcgan.py").write_text("found = True\n")
    git("init", "--quiet", "origin")
    git("-C", "origin", "add", ".")
    author = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    git("-C", "origin", *author, "commit", "--quiet", "--message", "A project")
    (tmp_path / "fresh").mkdir()
    source = cell_with(code_cells(nbformat.read(NOTEBOOK, as_version=4)), '"clone"').source
    for repository, error in (
        (tmp_path / "origin", ""),
        ("", "The project is not here: put the address of a copy into REPOSITORY.\n"),
    ):
        shutil.rmtree(tmp_path / "fresh/gandam", ignore_errors=True)
        code = f"REPOSITORY = {str(repository)!r}\n{source}\nimport dcgan\nassert dcgan.found\n"
        result = subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path / "fresh", capture_output=True, text=True
        )
        assert (result.returncode, result.stderr) == (1 if error else 0, error)
