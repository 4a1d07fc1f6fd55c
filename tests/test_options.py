"""Options: their types, their defaults, their help, and what a resumed run keeps."""

from __future__ import annotations

import dataclasses
import typing

import keras
import pytest

import dcgan
import evaluate
import prepare_dataset
import r3gan
import sample
import scrape_mahq
import wgan
from utils.common.commandline import parse
from utils.common.errors import UserError
from utils.common.fields import check_fields, fixed_fields, option_name, spell
from utils.common.help import documented
from utils.training.arguments import parse_command_line
from utils.training.options import RunOptions

SCRIPTS = (dcgan, wgan, r3gan)


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_shows_every_option_with_its_sentence_under_the_headings_of_the_source(script, capsys):
    with pytest.raises(SystemExit) as stop:
        parse_command_line(script.Hyperparameters, script.__doc__, ["--help"])
    assert stop.value.code == 0
    shown = capsys.readouterr().out
    words = " ".join(shown.split())
    sentences = {}
    for section in documented(script.Hyperparameters).values():
        sentences |= section
    for field in dataclasses.fields(script.Hyperparameters):
        assert f"  {option_name(field.name)} " in shown
        assert sentences[field.name] in words, field.name
    headings = ["Data", "Networks", "Optimisation", "Output", "Further options of a run"]
    lines = [line for line in shown.splitlines() if line in headings]
    assert lines == headings
    assert words.index("--data") < words.index("--latent-dim") < words.index("--sample-interval")
    if script.Hyperparameters.PRESETS:
        assert shown.index("--max-filters") < shown.index("\nPresets\n")


@pytest.mark.parametrize("script", SCRIPTS)
def test_the_defaults_are_of_their_types_and_in_their_ranges(script):
    check_fields(script.Hyperparameters())
    for image_size in (32, 64, 128, 256):
        script.Hyperparameters(image_size=image_size).check()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("generator_filters", 64, "--generator-filters 64: must be a list, such as (1,)"),
        ("generator_filters", (64, "x"), "--generator-filters 64 x: must be a whole number"),
        ("generator_filters", (0,), "--generator-filters 0: must be 1 or more"),
        ("augmentation", "color", "--augmentation color: must be a list, such as ('color',)"),
        ("augmentation", ("colour",),
         "--augmentation colour: must be one of color, translation, cutout"),
        ("epochs", 1e3, "--epochs 1000.0: must be a whole number"),
        ("epochs", True, "--epochs True: must be a whole number"),
        ("mirror", 1, "--mirror 1: must be True or False"),
        ("data", 5, "--data 5: must be text in quotes"),
        ("generator_learning_rate", "1e-4", "--generator-learning-rate 1e-4: must be a number"),
        ("generator_learning_rate", float("nan"),
         "--generator-learning-rate nan: must be from 0 to 1000000000"),
        ("batch_size", 1, "--batch-size 1: must be 2 or more"),
        ("generator_dropout", 1.0, "--generator-dropout 1.0: must be from 0 to 0.99"),
        ("discriminator_normalized", (1, 2, 3),
         "--discriminator-normalized 1 2 3: must be 2 values, such as (1, 1)"),
        ("score", "fid", "--score fid: must be one of kid, coverage, swd, none"),
        ("image_size", 48, "--image-size 48: must be 32, 64, 128 or 256"),
    ],
)  # fmt: skip
def test_a_value_of_another_type_or_range_is_one_line(name, value, message):
    with pytest.raises(UserError) as error:
        dcgan.Hyperparameters(**{name: value}).check()
    assert str(error.value) == message


def test_an_edited_default_is_refused_before_the_options_are_read():
    @dataclasses.dataclass
    class Edited(r3gan.Hyperparameters):
        blocks: int = "two"

    with pytest.raises(UserError) as error:
        parse_command_line(Edited, "", ["--blocks", "2"])
    assert str(error.value) == "--blocks two: must be a whole number"


def test_an_edited_default_may_be_a_list_and_a_whole_number_for_a_number():
    class Edited(dcgan.Hyperparameters):
        generator_filters = [8, 4]  # noqa: RUF012 - what a person may write

    assert Edited.generator_filters == (8, 4)
    h = dcgan.Hyperparameters(generator_learning_rate=1, image_size=32)
    h.check()
    assert type(h.generator_learning_rate) is float


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--epochs", "1e3"], "--epochs 1e3: must be a whole number"),
        (["--generator-filters", "64", "x"],
         "--generator-filters 64 x: must be a whole number, or several of these"),
        (["--discriminator-normalized", "1"],
         "--discriminator-normalized 1: must be 2 values, each a whole number"),
        (["--augmentation", "colour"],
         "--augmentation colour: must be one of color, translation, cutout, or several of these"),
        (["--holdout", "0.6"], "--holdout 0.6: must be from 0 to 0.5"),
        (["--learning-rat", "1"], "--learning-rat: no such option; did you mean "
         "--generator-learning-rate or --discriminator-learning-rate?"),
        (["--mirror", "True"], "--mirror True: takes no value; expected --mirror or --no-mirror "
         "alone"),
        (["--no-mirror=1"], "--no-mirror 1: takes no value; expected --mirror or --no-mirror "
         "alone"),
        (["--data", ""], "--data '': is empty; expected a name"),
        (["--models-dir="], "--models-dir '': is empty; expected a name"),
        (["my pictures/", "--mirror"],
         "'my pictures/': belongs to no option; did you mean --data 'my pictures/'?"),
        (["--epochs", "3", "4"], "4: belongs to no option; --help lists the options"),
        (["steps", "4"], "steps 4: belongs to no option; did you mean --steps 4?"),
        (["--feature-matching-layer", "9", "--image-size", "32"],
         "--feature-matching-layer 9: must be from 0 to 3"),
        (["--generator-depth", "9", "--image-size", "64"],
         "--generator-depth 9: must be from 0 to 6"),
        (["--generator-filters", "8", "4", "--generator-depth", "2"],
         "--generator-depth 2: must be 0 where --generator-filters is a list, whose length is the "
         "depth"),
    ],
)  # fmt: skip
def test_a_wrong_option_is_one_line(arguments, message):
    with pytest.raises(UserError) as error:
        parse_command_line(dcgan.Hyperparameters, "", arguments)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("script", "given", "meant"),
    [
        (dcgan, "--learning-rate --lr --lr=1 --learnin-rate",
         "--generator-learning-rate or --discriminator-learning-rate"),
        (wgan, "--learning-rate --lr", "--generator-learning-rate or --critic-learning-rate"),
        (wgan, "--discriminator-learning-rate --lr-d --d-lr", "--critic-learning-rate"),
        (r3gan, "--lr --generator-learning-rate", "--learning-rate"),
        (dcgan, "--beta1 --b1", "--generator-beta1 or --discriminator-beta1"),
        (dcgan, "--critic-filters --d-filters", "--discriminator-filters"),
        (dcgan, "--batch --bs -b --batchSize", "--batch-size"),
        (dcgan, "--size --img-size --imageSize --resolution", "--image-size"),
        (dcgan, "--outdir --output -o --results-dir", "--images-dir or --models-dir"),
        (dcgan, "--name", "--run-name"),
        (dcgan, "--gpus --ngpu", "--devices"),
        (dcgan, "--z-dim --nz --latent-size", "--latent-dim"),
        (dcgan, "--dataroot --dataset", "--data"),
        (dcgan, "--num-epochs --niter", "--epochs"),
        (dcgan, "--latent-dims", "--latent-dim"),
        (dcgan, "--image-dir", "--images-dir"),
        (prepare_dataset, "--image-size --resolution", "--size"),
        (prepare_dataset, "--workers", "--processes"),
        (prepare_dataset, "--outdir", "--output"),
        (sample, "--num --num-samples", "--count"),
        (sample, "--trunc", "--truncation"),
        (scrape_mahq, "--max-images", "--limit"),
        (dcgan, "--workers --xyz", ""),
    ],
)  # fmt: skip
def test_what_was_meant_by_the_names_of_other_tools(script, given, meant):
    options = getattr(script, "Hyperparameters", None) or script.Options
    for each in given.split():
        with pytest.raises(UserError) as error:
            parse(options, "", "", [each, "1"])
        hint = f"did you mean {meant}?" if meant else "--help lists the options"
        assert str(error.value) == f"{each}: no such option; {hint}"


@pytest.mark.parametrize(
    ("script", "given"),
    [
        (dcgan, "--data=~/a --images-dir=~/a --models-dir=~/a"),
        (evaluate, "~/a --compare ~/a ~/a --data=~/a --images-dir=~/a --models-dir=~/a"),
        (sample, "~/a --output=~/a --images-dir=~/a --models-dir=~/a"),
        (prepare_dataset, "~/a ~/a --output=~/a --exclude=~/a --include=~/a"),
        (scrape_mahq, "--output=~/a"),
    ],
)
def test_a_home_is_written_out_in_every_path(script, given, monkeypatch):
    """By the shell as well, but not after a ``=`` and not from a notebook."""
    monkeypatch.setenv("HOME", "/home/me")
    options = getattr(script, "Hyperparameters", None) or script.Options
    values = dataclasses.asdict(parse(options, "", "", given.split()))
    found = " ".join(spell(value) for value in values.values() if "/a" in spell(value))
    assert found.split() == ["/home/me/a"] * given.count("/a")


def test_a_gpu_changes_the_defaults_and_the_first_line_says_which():
    given = ["--discriminator-filters", "16"]
    h, _ = parse_command_line(dcgan.Hyperparameters, "", given, has_accelerator=True)
    assert (h.batch_size, h.generator_filters, h.discriminator_filters) == (64, (64,), (16,))
    assert h.described(has_accelerator=True) == (
        "batches of 64; defaults of a GPU or TPU: --batch-size 64 --generator-filters 64"
    )
    assert h.described(has_accelerator=False) == "batches of 64"
    h, _ = parse_command_line(dcgan.Hyperparameters, "", [])
    assert h.described(has_accelerator=True) == "batches of 16"
    given = ["--preset", "radford"]
    h, _ = parse_command_line(dcgan.Hyperparameters, "", given, has_accelerator=True)
    assert h.described(has_accelerator=True) == "batches of 128"


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_preset_differs_from_the_default_in_the_same_things_on_a_gpu(script):
    presets = script.Hyperparameters.PRESETS
    for preset in presets:
        chosen, default = (
            [
                parse_command_line(script.Hyperparameters, "", ["--preset", name], has_gpu)[0]
                for has_gpu in (False, True)
            ]
            for name in (preset, "none")
        )
        for field in dataclasses.fields(script.Hyperparameters):
            if field.name in presets[preset].values or field.name == "preset":
                continue
            assert [getattr(each, field.name) for each in chosen] == [
                getattr(each, field.name) for each in default
            ]
    if "plain" in presets:
        h, _ = parse_command_line(script.Hyperparameters, "", ["--preset", "plain"], True)
        assert h.described(True) == (
            "batches of 64; defaults of a GPU or TPU: --batch-size 64 --generator-filters 64 "
            "--discriminator-filters 64"
        )


def test_what_shapes_the_networks_is_fixed():
    """A field that is not could be changed under the feet of a resumed run."""
    before = dcgan.Hyperparameters(image_size=64, minibatch="discrimination", feature_matching=1.0)
    changes = {
        "image_size": 32, "minibatch": "none", "minibatch_maps": 3, "minibatch_side": 4,
        "discriminator_normalized": (1, 2), "spectral_normalization": True, "instance_noise": 0.1,
        "feature_matching": 0.0, "feature_matching_layer": 1,
        "latent_dim": 7, "generator_filters": (8,), "generator_depth": 2,
        "generator_start": "convolutional", "upscaling": "upsample", "generator_dropout": 0.1,
        "discriminator_filters": (8,), "discriminator_depth": 2, "discriminator_dropout": 0.1,
        "max_filters": 40, "kernel_size": 6, "generator_architecture": "plain",
        "normalization": "none",
        "normalization_momentum": 0.5, "leaky_relu_slope": 0.1, "initial_stddev": 0.01,
    }  # fmt: skip
    no_matter = {
        "generator_learning_rate", "generator_beta1", "discriminator_learning_rate",
        "discriminator_beta1", "learning_rate_decay", "learning_rate_decay_steps", "label_noise",
        "label_smoothing", "smoothing_sides", "label_swap", "discriminator_updates",
        "instance_noise_steps", "normalization_stddev", "augmentation_confidence",
    }  # fmt: skip
    of_the_state = {"balance"}
    fixed = set(fixed_fields(dcgan.Hyperparameters))
    of_the_loop = {field.name for field in dataclasses.fields(RunOptions)} - set(changes)
    assert of_the_state | {"sample_rows", "sample_columns", "holdout", "preset"} <= fixed
    assert not fixed & no_matter
    assert set(changes) | no_matter | of_the_state | of_the_loop == {
        field.name for field in dataclasses.fields(dcgan.Hyperparameters)
    }

    def networks(h: dcgan.Hyperparameters) -> list[str]:
        keras.backend.clear_session()
        keras.utils.set_random_seed(0)
        shapes = [dcgan.build_generator(h).to_json(), dcgan.build_discriminator(h).to_json()]
        for name in ("stddev", "initial_stddev"):
            shapes = [text.replace(f'"{name}": {h.initial_stddev}', "") for text in shapes]
        return shapes

    known = networks(before)
    for name, value in changes.items():
        changed = networks(dataclasses.replace(before, **{name: value})) != known
        assert changed == (name in fixed), name


def test_a_type_says_what_it_expects():
    hints = typing.get_type_hints(wgan.Hyperparameters, include_extras=True)
    assert {"n_critic", "clip_value", "penalty_weight"} <= set(hints)
    for value, message in ((0, "from 1 to 1000"), (1001, "from 1 to 1000")):
        with pytest.raises(UserError, match=message):
            check_fields(wgan.Hyperparameters(n_critic=value))
