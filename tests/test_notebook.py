"""The notebook runs from top to bottom, and lies in the repository without what it puts out."""

from __future__ import annotations

import base64
import io
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import dcgan
from tests.conftest import REPOSITORY, TINY, blobs
from utils.data.hdf5 import write_dataset
from utils.training.run import run

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

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


def code_cells(notebook) -> list:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def pictures_of(cell) -> list[np.ndarray]:
    """The pictures that a cell shows, (H, W, 3) or, of a film, its first frame."""
    found = []
    for output in cell.outputs:
        for kind in ("image/png", "image/gif"):
            if kind in output.get("data", {}):
                data = base64.b64decode(output.data[kind])
                found.append(np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))
    return found


def text_of(cell) -> str:
    return "".join(output.text for output in cell.outputs if output.output_type == "stream")


def cell_with(notebook, words: str):
    (found,) = [cell for cell in code_cells(notebook) if words in cell.source]
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


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """The notebook after a run at tiny size, in a fresh folder, and that folder."""
    folder = tmp_path_factory.mktemp("notebook")
    project = folder / "project"
    (project / "notebooks").mkdir(parents=True)
    for name in ("dcgan.py", "evaluate.py", "sample.py", "requirements.txt"):
        shutil.copy(REPOSITORY / name, project)
    for name in ("utils", "assets"):
        shutil.copytree(REPOSITORY / name, project / name)
    # 260 pictures: a fifth is held out, and 50 are the fewest to score with.
    write_dataset(project / "data/blobs-32.h5", blobs(260), ["blob"] * 260, made_by="test_notebook")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    (place,) = [
        place
        for place, cell in enumerate(notebook.cells)
        if "parameters" in cell.metadata.get("tags", [])
    ]
    notebook.cells.insert(place + 1, nbformat.v4.new_code_cell(SIZES))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIP_NO_INDEX", "1")  # nothing is to be installed here
        for name in ("JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "IPYTHONDIR"):
            patch.setenv(name, str(folder / name.lower()))
        nbclient.NotebookClient(
            notebook,
            timeout=600,
            kernel_name="python3",
            resources={"metadata": {"path": str(project / "notebooks")}},
        ).execute()
    if os.environ.get("KEEP_NOTEBOOK"):  # to look at it
        nbformat.write(notebook, os.environ["KEEP_NOTEBOOK"])
    return notebook, project


def test_it_trains_and_shows_the_training(executed):
    notebook, project = executed
    run = project / "images/dcgan-1"
    assert sorted(path.name for path in run.glob("step_*.png")) == [
        f"step_{step:07d}.png" for step in (0, 2, 4, 6)
    ]
    cell = cell_with(notebook, "folders = run(")
    assert "6/6" in text_of(cell)
    assert "done at step 6" in text_of(cell)
    # The picture that was renewed shows the last grid.
    (shown,) = pictures_of(cell)
    with Image.open(run / "step_0000006.png") as last:
        np.testing.assert_array_equal(shown, np.asarray(last))


def test_it_shows_pictures_in_every_section(executed):
    notebook, _ = executed
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
        found = pictures_of(cell_with(notebook, words))
        assert len(found) == count, words
        assert all(picture.std() > 1 for picture in found), words
    # Four arcs of nine pictures of 32 px, two pixels between them.
    (arcs,) = pictures_of(cell_with(notebook, "latents.slerp"))
    assert arcs.shape == (4 * 34 + 2, 9 * 34 + 2, 3)
    # An arc ends where the next one begins.
    end, beginning = arcs[2:34, -34:-2].astype(int), arcs[36:68, 2:34].astype(int)
    assert abs(end - beginning).max() <= 1


def test_it_scores(executed):
    notebook, _ = executed
    printed = text_of(cell_with(notebook, "print_evaluation"))
    assert "run dcgan-1: 52 generated images" in printed
    header = "floor  last, averaged (6)  last, current (6)"
    assert any(line.strip() == header for line in printed.splitlines())
    for score in ("f_score", "kid", "swd", "diversity"):
        assert any(line.startswith(score) for line in printed.splitlines()), score


def test_all_cells_were_executed_without_warnings(executed):
    notebook, _ = executed
    for cell in code_cells(notebook):
        assert cell.execution_count
        for output in cell.outputs:
            if output.get("name") == "stderr":  # the bars of evaluate.py write there
                assert "Warning" not in output.text


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
    source = cell_with(nbformat.read(NOTEBOOK, as_version=4), '"clone"').source
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


def test_training_outside_the_main_thread(tmp_path, data_file):
    found = []

    def train() -> None:
        folders = run(
            dcgan.DCGAN,
            dcgan.Hyperparameters,
            "",
            [
                *(*TINY, "--data", str(data_file), "--steps", "2", "--sample-interval", "1"),
                *("--images-dir", str(tmp_path / "i"), "--models-dir", str(tmp_path / "m")),
            ],
            on_grid=found.append,
        )
        found.append(folders.images)

    thread = threading.Thread(target=train)
    thread.start()
    thread.join()
    images = Path(tmp_path, "i/dcgan-1")
    assert found == [*(images / f"step_{step:07d}.png" for step in range(3)), images]
