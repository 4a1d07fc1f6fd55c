"""The command on a run's page trains the same run again."""

from __future__ import annotations

import shlex

import pytest

import dcgan
import r3gan
import wgan
from utils.training.arguments import parse_command_line
from utils.training.repeat import repeat_command


@pytest.mark.parametrize(
    ("options", "arguments"),
    [
        (dcgan.Hyperparameters, []),
        (
            dcgan.Hyperparameters,
            ["--data", "</a b> & ' \" @DATA@", "--no-deterministic", "--mirror"],
        ),
        (dcgan.Hyperparameters, ["--generator-filters", "3", "4", "--holdout", "0.1"]),
        (dcgan.Hyperparameters, ["--preset", "edouard99-64", "--latent-dim", "7"]),
        (wgan.Hyperparameters, ["--preset", "arjovsky", "--n-critic", "2", "--epochs", "3"]),
        (r3gan.Hyperparameters, ["--learning-rate", "0.0001", "1e-05", "--shared-pass"]),
    ],
)
def test_the_command_repeats_the_options(options, arguments):
    h, _ = parse_command_line(options, "", [*arguments, "--run-name", "a"])
    words = shlex.split(repeat_command(h, False))
    assert words[:2] == ["python", f"{options.METHOD}.py"]
    again, _ = parse_command_line(options, "", words[2:])
    expected, _ = parse_command_line(options, "", arguments)
    assert again == expected
    # No more than what was given.
    assert len(words) == 2 + len(arguments)


def test_a_run_on_a_gpu_spells_out_the_defaults_of_a_gpu():
    h, _ = parse_command_line(dcgan.Hyperparameters, "", ["--batch-size", "16"])
    words = shlex.split(repeat_command(h, True))
    again, _ = parse_command_line(dcgan.Hyperparameters, "", words[2:], has_accelerator=True)
    assert again == dcgan.Hyperparameters()
    assert {"--batch-size", "--generator-filters", "--discriminator-filters"} <= set(words)


def test_a_preset_of_another_version_is_spelled_out():
    h = dcgan.Hyperparameters(latent_dim=7, preset="forgotten")
    assert repeat_command(h, False) == "python dcgan.py --latent-dim 7"
    h = dcgan.Hyperparameters(**dcgan.Hyperparameters.PRESETS["radford"].values, preset="radford")
    assert repeat_command(h, True) == "python dcgan.py --preset radford"
