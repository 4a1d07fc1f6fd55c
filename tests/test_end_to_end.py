"""From addresses of pages to a trained step: collect, prepare, train."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import pytest

from tests.conftest import TINY, run_script
from tests.fixture_site import BASE, FixtureServer, old_site


@pytest.fixture
def server():
    server = FixtureServer()
    server.routes |= old_site(server.host)
    yield server
    server.close()


def run(script: str, *arguments: object, folder: Path, codes: tuple[int, ...] = (0,)) -> str:
    result = run_script(script, *arguments, folder=folder)
    assert result.returncode in codes, result.stderr
    assert "Traceback" not in result.stderr
    return result.stdout


def test_from_a_site_to_a_trained_step(server, tmp_path, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "*")
    index = f"{server.root}{BASE}/index.htm"
    # 1: pages of the fixture are missing, as pages of real sites are.
    run(
        "scrape_mahq.py", "--source", "mahq", "--index-url", index, "--delay", 0, "--retries", 0,
        "--variants", "--backoff", 0, folder=tmp_path, codes=(0, 1),
    )  # fmt: skip
    manifest = (tmp_path / "data/mahq/manifest.jsonl").read_text().splitlines()
    assert len(manifest) >= 4
    run(
        "prepare_dataset.py", "data/mahq", "--output", "data/mahq-32.h5", "--size", 32, "--fit",
        "figure", "--mirror", folder=tmp_path,
    )  # fmt: skip
    report = json.loads((tmp_path / "data/mahq-32.report.json").read_text())
    assert report["found"] >= len(manifest)
    assert report["kept"] + sum(report["rejected"].values()) == report["found"]
    with h5py.File(tmp_path / "data/mahq-32.h5") as file:
        assert file["images"].shape[1:] == (32, 32, 3)
        assert len(file["images"]) == 2 * report["kept"] >= 8
        titles = {json.loads(line)["title"] for line in manifest}
        assert any(
            title in name.decode() or name.decode() in title
            for title in titles
            for name in file["names"]
        )
    output = run("dcgan.py", *TINY, "--data", "data/mahq-32.h5", "--steps", 2, folder=tmp_path)
    assert "done at step 2" in output
    assert (tmp_path / "images/dcgan-1/step_0000002.png").exists()
