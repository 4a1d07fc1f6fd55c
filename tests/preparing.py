"""prepare_dataset.py in the test's own process, and what its report says."""

from __future__ import annotations

import contextlib
import io
import json
import signal
import sys
from types import SimpleNamespace

import pytest
from PIL import Image

import prepare_dataset


def save(folder, images):
    folder.mkdir()
    for index, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{index:02d}.png")


def prepare(folder, *arguments, code=0, processes=1):
    """Run the script in this process, as a person does in ``folder``."""
    output, errors = io.StringIO(), io.StringIO()
    arguments = [*map(str, arguments), "--processes", str(processes)]
    at_sigterm = signal.getsignal(signal.SIGTERM)
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(output),
        contextlib.redirect_stderr(errors),
    ):
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["prepare_dataset.py", *arguments])
        patch.setenv("COLUMNS", "200")
        try:
            prepare_dataset.main()
            found = 0
        except SystemExit as stop:
            found = stop.code or 0
        finally:
            signal.signal(signal.SIGTERM, at_sigterm)
    assert found == code, errors.getvalue()
    return SimpleNamespace(stdout=output.getvalue(), stderr=errors.getvalue())


def report_of(folder, name="set"):
    report = json.loads((folder / f"{name}.report.json").read_text())
    assert report["found"] == len(report["pictures"])
    assert report["kept"] + sum(report["rejected"].values()) == report["found"]
    assert sum(source["pictures"] for source in report["sources"]) == report["found"]
    rows = [picture["row"] for picture in report["pictures"] if picture["verdict"] == "kept"]
    assert rows == list(range(report["kept"]))
    for picture in report["pictures"]:
        kept = picture["verdict"] == "kept"
        assert kept == (picture["row"] is not None)
        assert kept or picture["reason"] or picture["decision"] == "excluded", picture
    return report


def verdicts(folder, name="set"):
    return {
        picture["file"]: picture["filter"] or picture["decision"] or picture["verdict"]
        for picture in report_of(folder, name)["pictures"]
    }


def refused(folder, *arguments):
    result = prepare(folder, *arguments, code=2)
    lines = [line for line in result.stderr.splitlines() if "error:" in line]
    assert len(lines) == 1
    assert not list(folder.glob("*.h5"))
    assert not list(folder.glob(".*.part*"))
    return lines[0].removeprefix("prepare_dataset.py: error: ")
