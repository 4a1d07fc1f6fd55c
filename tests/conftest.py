"""What several tests share: tiny data, tiny networks, and scripts run as a person runs them."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

# The tests compare bits, and some of them run several scripts at once.
os.environ["CUDA_VISIBLE_DEVICES"] = ""

from utils import backend  # before Keras: it keeps its start quiet

# isort: split
from tests.forked import run_forked, start_forked
from utils.data.hdf5 import write_dataset

REPOSITORY = Path(__file__).resolve().parent.parent

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "chrome"))), None)
DRIVER = shutil.which("chromedriver")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--window-size=1100,900",
)  # fmt: skip

# Those that load TensorFlow, which takes longer than all that a test does with them.
TRAINED = ("dcgan.py", "wgan.py", "r3gan.py", "evaluate.py", "sample.py")

# The smallest thing that still has every kind of layer.
TINY = [
    "--batch-size", "4", "--latent-dim", "5", "--generator-filters", "3",
    "--discriminator-filters", "3", "--sample-rows", "2", "--sample-columns", "3",
    "--precision", "float32", "--holdout", "0",
]  # fmt: skip


def blobs(count: int, size: int = 32, seed: int = 0) -> np.ndarray:
    """Coloured squares on white, uint8 (count, size, size, 3)."""
    random = np.random.default_rng(seed)
    images = np.full((count, size, size, 3), 255, np.uint8)
    for image in images:
        row, column = random.integers(0, size // 2, 2)
        image[row : row + size // 2, column : column + size // 2] = random.integers(0, 200, 3)
    return images


def sprites(count: int, size: int = 32, seed: int = 0) -> np.ndarray:
    """Such squares with soft edges and nothing around, straight RGBA, uint8 (count, size, size, 4).

    What is hidden under alpha 0 has colours of its own.
    """
    images = blobs(count, size, seed)
    alpha = np.where(images.min(-1, keepdims=True) < 255, 255, 0)
    alpha = (2 * alpha + np.roll(alpha, 1, 1) + np.roll(alpha, 1, 2)) // 4
    return np.concatenate([np.where(alpha > 0, images, (255, 0, 255)), alpha], -1).astype(np.uint8)


@pytest.fixture(scope="session", autouse=True)
def _compile_once(tmp_path_factory: pytest.TempPathFactory) -> None:
    """JAX takes half a minute to compile a step, and most tests run the same one several times."""
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(tmp_path_factory.mktemp("jax"))
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Pictures that ``--data`` decodes are not kept among the person's."""
    os.environ["GANDAM_HOME"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def data_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared data set of 20 pictures of 32 px."""
    path = tmp_path_factory.mktemp("data") / "blobs-32.h5"
    images = blobs(20)
    write_dataset(path, images, [f"blob {i}" for i in range(20)], made_by="conftest")
    return path


@pytest.fixture(scope="session")
def sprite_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`data_file` with transparency."""
    path = tmp_path_factory.mktemp("data") / "sprites-32.h5"
    write_dataset(path, sprites(20), [f"sprite {i}" for i in range(20)], made_by="conftest")
    return path


@pytest.fixture(scope="session")
def grey_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`data_file` in grey."""
    path = tmp_path_factory.mktemp("data") / "grey-32.h5"
    write_dataset(path, blobs(20)[..., :1], [f"blob {i}" for i in range(20)], made_by="conftest")
    return path


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A headless Chromium; ``downloads`` is the folder where it saves."""
    if not (CHROMIUM and DRIVER):
        pytest.skip("no Chromium with chromedriver here (Debian: chromium chromium-driver)")
    webdriver = pytest.importorskip("selenium.webdriver")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    downloads = tmp_path_factory.mktemp("downloads")
    options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    driver.downloads = downloads
    yield driver
    driver.quit()


@contextmanager
def deadline(seconds: int = 300) -> Iterator[None]:
    """End a block that would otherwise go on for hours; how long it takes is not what is tested."""

    def stop(*_: object) -> None:
        raise AssertionError(f"it did not end within {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trainings in this process compile nothing and draw nothing with matplotlib."""
    from utils.training.report import Report
    from utils.watching import architecture

    monkeypatch.setattr(backend, "compile_step", lambda step, state: step)
    monkeypatch.setattr(Report, "_curves", lambda *_: None)
    monkeypatch.setattr(architecture, "draw", lambda *_: None)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quick: None) -> Path:
    """The folder of a test, which is where it is, for `quick` trainings."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def start_script(
    script: str,
    *arguments: object,
    folder: Path,
    environment: dict[str, str] | None = None,
    **popen: object,
) -> subprocess.Popen[str]:
    """Start a script in ``folder``, as a person does."""
    return subprocess.Popen(
        [sys.executable, REPOSITORY / script, *map(str, arguments)],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"COLUMNS": "200"} | (environment or {}),
        # A test runner in the background may ignore Ctrl-C, and children inherit that.
        preexec_fn=popen.pop("preexec_fn", None)
        or (lambda: signal.signal(signal.SIGINT, signal.default_int_handler) and None),
        **popen,
    )


def fork_script(script: str, *arguments: object, folder: Path) -> BaseProcess:
    """Start a script in a copy of a process that has loaded TensorFlow; see `tests.forked`."""
    return start_forked(
        REPOSITORY / script, [*map(str, arguments)], folder,
        os.environ | {"COLUMNS": "200"}, (os.devnull, os.devnull),
    )  # fmt: skip


def wait_for(path: Path, is_alive: Callable[[], bool]) -> None:
    """Wait until a process has written a file.

    Raises:
        AssertionError: the process has ended, or it took too long.
    """
    end = time.monotonic() + 600
    while not path.exists():
        assert is_alive(), f"{path} was not written"
        assert time.monotonic() < end, f"{path} did not appear"
        time.sleep(0.005)


def run_script(
    script: str, *arguments: object, folder: Path, **popen: object
) -> subprocess.CompletedProcess[str]:
    """Run a script to its end and return what it printed and its exit code."""
    if script in TRAINED and not popen and sys.platform == "linux":
        return run_forked(
            REPOSITORY / script, [*map(str, arguments)], folder,
            os.environ | {"COLUMNS": "200"}, timeout=1200,
        )  # fmt: skip
    process = start_script(script, *arguments, folder=folder, **popen)
    output, errors = process.communicate(timeout=1200)
    return subprocess.CompletedProcess(process.args, process.returncode, output, errors)
