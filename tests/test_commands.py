"""Commands that documents tell can be pasted: every script understands them."""

from __future__ import annotations

import importlib
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from utils.common.commandline import parse
from utils.sampling.options import with_film_format
from utils.training.arguments import parse_command_line

SCRIPTS = (
    "dcgan", "wgan", "r3gan", "sample", "evaluate", "prepare_dataset", "scrape_mahq",
)  # fmt: skip
DOCUMENTS = [
    REPOSITORY / "README.md",
    *sorted((REPOSITORY / "docs").glob("*.md")),
    *(REPOSITORY / f"{script}.py" for script in SCRIPTS),
]


def commands(document: Path) -> list[tuple[str, list[str]]]:
    """Scripts and their arguments, in indented and fenced lines and between backticks."""
    text = document.read_text().replace("\\\n", " ")
    lines = re.findall(r"^(?:    )?(?:[A-Z_]+=\S+ )*python \w+\.py[^\n]*", text, re.M)
    lines += re.findall(r"`(python \w+\.py[^`]*)`", text)
    words = [shlex.split(line.partition(" > ")[0], comments=True) for line in lines]
    words = [each[each.index("python") + 1 :] for each in words]
    return [(script.removesuffix(".py"), rest) for script, *rest in words]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_is_understood(document, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for script, words in commands(document):
        module = importlib.import_module(script)
        words = [each for each in words if each != "--help"]
        # A run of the reader's, and what goes with it alone.
        for option in {"--resume", "--start-from", "--freeze-discriminator"} & set(words):
            place = words.index(option)
            del words[place : place + 2]
        if hasattr(module, "Hyperparameters"):
            parse_command_line(module.Hyperparameters, "", words)
        else:
            chosen = parse(module.Options, "", "", with_film_format(words))
            if hasattr(chosen, "check") and "--output" in words:
                chosen.check()


def test_there_are_commands():
    assert sum(len(commands(document)) for document in DOCUMENTS) > 60


def test_help_and_mistakes_do_not_wait_for_keras():
    probe = (
        "import runpy, sys\n"
        "for script in ('dcgan', 'wgan', 'r3gan', 'sample', 'evaluate'):\n"
        "    for option in ('--help', '--nix'):\n"
        "        sys.argv = [f'{script}.py', option]\n"
        "        try:\n"
        "            runpy.run_path(sys.argv[0], run_name='__main__')\n"
        "        except SystemExit as stop:\n"
        "            print(script, option, stop.code, *{'keras'} & set(sys.modules))\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", probe], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    for script in ("dcgan", "wgan", "r3gan", "sample", "evaluate"):
        assert f"\n{script} --help 0\n" in result.stdout
        assert f"\n{script} --nix 2\n" in result.stdout
