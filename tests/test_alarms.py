"""Alarms: what begins, persists and ends, from rows whose meaning is known."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import replace

import keras
import numpy as np
import pytest

import dcgan
import r3gan
import wgan
from utils.common.fields import option_name, spell
from utils.models.adversarial import kernel_size
from utils.watching.advice import spell_advice
from utils.watching.alarms import Health, find, watched_since
from utils.watching.rules import MEASURED, Limits

HEALTHY = {
    "alikeness": 0.05, "kid": 200.0, "kid_spread": 10.0, "coverage": 0.6, "originality": 1.0,
    "overfitting": 0.1, "d_real": 0.8, "d_fake": 0.2, "gradient_first": 2.0,
    "gradient_last": 3.0, "change": 8.0, "generator_weights": 0.04, "judge_weights": 0.03,
}  # fmt: skip


def rows(*changes: dict[str, float]) -> list[dict[str, float]]:
    """A healthy run of twelve rows, and then what the changes make of its health."""
    whole = [HEALTHY] * 12 + [HEALTHY | change for change in changes]
    start = dict.fromkeys(HEALTHY, math.nan) | {"generator_weights": 0.02, "judge_weights": 0.02}
    later = [{"step": 1000 * (number + 1), **row} for number, row in enumerate(whole)]
    return [{"step": 0, **start}, *later]


def test_a_healthy_run_is_left_alone():
    assert find(rows(HEALTHY, HEALTHY)) == []
    assert find([]) == []
    assert set(HEALTHY) == set(MEASURED)


def test_what_was_not_measured_speaks_neither_for_an_alarm_nor_against_it():
    bad, unknown = {"overfitting": 0.9}, {"overfitting": math.nan}
    (alarm,) = find(rows(bad, unknown, unknown, bad, unknown))
    assert (alarm.since, alarm.step, alarm.over) == (13_000, 16_000, None)
    assert find(rows(bad, unknown, HEALTHY, bad)) == []
    (alarm,) = find(rows(bad, bad, unknown, HEALTHY))
    assert (alarm.step, alarm.over) == (14_000, 16_000)


def test_scores_of_other_pictures_are_not_compared(tmp_path):
    health = Health(tmp_path / "health.csv", pictures_since=9000)
    for row in rows(*[HEALTHY | {"kid": 5000.0}] * 4):
        if row["step"] > 9000:
            row = row | {"kid": 5000.0}
        health.add(row["step"], row)
    assert health.alarms() == []
    health.pictures_since = 0
    assert [alarm.name for alarm in health.alarms()] == ["getting worse"]


BAD = {
    "collapse": {"alikeness": 0.5},
    "discriminator wins": {"d_real": 0.99, "d_fake": 0.01},
    "discriminator sees nothing": {"d_real": 0.51, "d_fake": 0.5},
    "vanishing gradients": {"gradient_first": 0.001},
    "exploding gradients": {"gradient_last": 500.0},
    "runaway generator": {"generator_weights": 0.4},
    "runaway discriminator": {"judge_weights": 0.6},
    "dead generator": {"change": 0.01},
    "copies": {"originality": 0.3},
    "memorised": {"overfitting": 0.9},
}
MESSAGES = {
    "collapse": "collapse: generated images are as alike as if there were only 2.0 different ones",
    "discriminator wins": "the discriminator wins: its mean answers are 0.990 to real and 0.010 to "
    "generated images, and the generator learns little from it",
    "discriminator sees nothing": "the discriminator cannot tell real from generated images: its "
    "mean answers are 0.510 and 0.500",
    "vanishing gradients": "vanishing gradients: the generator's first layer gets 0.0005 of its "
    "usual gradient",
    "exploding gradients": "exploding gradients: the generator's are 167 times as large as usual",
    "runaway generator": "the generator's weights run away: their distance from where they began "
    "is 20 times their size there",
    "runaway discriminator": "the discriminator's weights run away: their distance from where they "
    "began is 30 times their size there",
    "dead generator": "dead generator: its samples change by 0.01 of 255 shades on average",
    "copies": "copies: generated images are 0.30 times as far from training images as other real "
    "pictures are",
    "memorised": "the discriminator overfits: its answers to held-out pictures are 90% of the way "
    "from training pictures to generated ones",
}


@pytest.mark.parametrize("name", BAD)
def test_each_condition_raises_its_alarm_and_no_other(name):
    found = find(rows(BAD[name], BAD[name], BAD[name]))
    assert [alarm.name for alarm in found] == [name]
    (alarm,) = found
    assert (alarm.since, alarm.step, alarm.over) == (13_000, 14_000, None)
    assert alarm.message == MESSAGES[name]
    assert alarm.advice.startswith("Try ")
    assert alarm.sentence() == (f"step 14000: {alarm.message} (since step 13000). {alarm.advice}")


@pytest.mark.parametrize(
    "change",
    [
        {"alikeness": 0.24}, {"d_real": 0.99}, {"d_fake": 0.01}, {"d_real": 0.54, "d_fake": 0.5},
        {"gradient_first": 0.003}, {"gradient_last": 290.0}, {"change": 0.06},
        {"originality": 0.61}, {"overfitting": 0.69}, {"coverage": 0.31}, {"kid": 270.0},
        {"kid": 490.0, "kid_spread": 60.0},
    ],
)  # fmt: skip
def test_within_the_limits_there_is_no_alarm(change):
    assert find(rows(*[change] * 5)) == []


@pytest.mark.parametrize("name", BAD)
def test_a_single_row_is_no_alarm(name):
    assert find(rows(BAD[name], HEALTHY, BAD[name], HEALTHY)) == []


def test_an_alarm_ends_and_can_come_again():
    bad = BAD["collapse"]
    found = find(rows(bad, bad, bad, HEALTHY, bad, bad))
    assert [(alarm.since, alarm.step, alarm.over) for alarm in found] == [
        (13_000, 14_000, 16_000), (17_000, 18_000, None),
    ]  # fmt: skip


def test_nothing_is_said_of_the_first_steps():
    early = [{"step": 500 * n, **HEALTHY, **BAD["collapse"]} for n in range(1, 5)]
    assert find(early) == []  # at 2000 for the first time
    assert [a.step for a in find([*early, early[-1] | {"step": 2500}])] == [2500]


def test_what_is_not_measured_raises_nothing():
    unknown = dict.fromkeys(HEALTHY, math.nan)
    assert find([{"step": 1000 * n, **unknown} for n in range(1, 20)]) == []


def test_scores_that_get_worse_name_the_best():
    good = rows({"kid": 100.0, "kid_spread": 8.0}, *[{"kid": 160.0, "kid_spread": 6.0}] * 4)
    # By five deviations of 10, which are those of the difference.
    assert find(good, Limits(worse=6.0)) == []
    (alarm,) = find(good)
    assert alarm.name == "getting worse"
    assert (alarm.since, alarm.step) == (14_000, 17_000)
    assert alarm.message == ("scores are getting worse: KID is 160 ± 6, and was 100 at step 13000")
    assert "best/" in alarm.advice


def test_lost_modes_are_what_was_there_before():
    (alarm,) = find(rows(*[{"coverage": 0.29}] * 4))
    assert (alarm.name, alarm.since, alarm.step) == ("lost modes", 13_000, 16_000)
    assert alarm.message == (
        "the generator loses kinds of pictures: images are near 29% of the held-out ones, and were "
        "near 60%"
    )
    # Where it never had them, it is the images that are bad.
    bad = rows(*[{"coverage": 0.0}] * 5)
    assert find([row | {"coverage": min(row["coverage"], 0.2)} for row in bad]) == []


def test_scores_of_other_features_have_columns_of_their_own(tmp_path):
    path = tmp_path / "health.csv"
    for features, kid in (("random_64_aacde0d0", 1.0), ("imagenet_128_57934424", 200.0)):
        health = Health(path, features=features)
        health.resume(12_000)
        for row in rows()[1:]:
            health.add(row["step"] + 1000 * len(health.rows), row | {"kid": kid})
    assert health.alarms() == []
    header = path.read_text().splitlines()[0].split(",")
    assert header[:3] == ["step", "alikeness", "kid_imagenet_128_57934424"]
    before = [f"{name}_random_64_aacde0d0" for name in ("kid", "kid_spread", "coverage")]
    assert header[-3:] == before


def test_only_options_that_the_script_has_are_advised():
    bad = rows(BAD["vanishing gradients"], BAD["vanishing gradients"])
    options = {"--critic-learning-rate": "0.0002", "--mirror": "False"}
    (alarm,) = find(bad, options=options, discriminator="critic")
    assert alarm.advice == "Try a lower --critic-learning-rate"
    (alarm,) = find(bad, options=options)
    assert alarm.advice == "Try other hyperparameters"
    runaway = rows(BAD["runaway discriminator"], BAD["runaway discriminator"])
    (alarm,) = find(runaway, discriminator="critic")
    assert alarm.message.startswith("the critic's weights run away: ")
    health = Health(None, options, discriminator="critic")
    health.rows = [[row[name] for name in ("step", *MEASURED)] for row in runaway]
    assert health.alarms() == [replace(alarm, advice="Try a lower --critic-learning-rate")]
    for method, network in (
        (dcgan.Hyperparameters, "discriminator"),
        (wgan.Hyperparameters, "critic"),
        (r3gan.Hyperparameters, "discriminator"),
    ):
        for bad in BAD.values():
            values = dataclasses.asdict(method())
            options = {option_name(name): spell(value) for name, value in values.items()}
            (alarm,) = find(rows(bad, bad), None, options, network)
            assert "other hyperparameters" not in alarm.advice


def test_what_is_advised_can_be_done_and_would_change_something():
    advice = ("--minibatch discrimination", "a lower --learning-rate", "less --noise", "--mirror")
    options = {
        "--minibatch": "none", "--learning-rate": "0.1 0.01", "--noise": "0.0", "--mirror": "False"
    }  # fmt: skip
    fixed = ["--minibatch"]
    assert spell_advice(advice, options, fixed) == (
        "Try a lower --learning-rate or --mirror; in a new run --minibatch discrimination"
    )
    options |= {"--noise": "0.5", "--mirror": "True", "--learning-rate": "0.0 0.0"}
    assert spell_advice(advice[::2], options, fixed[:0]) == (
        "Try --minibatch discrimination or less --noise"
    )
    assert spell_advice(advice[:2], options, fixed) == (
        "Try in a new run --minibatch discrimination"
    )
    assert spell_advice(advice[1::2], options, fixed) == "Try other hyperparameters"
    both = ("--augmentation color translation --probability 1",)
    for probability, sentence in (("0.75", f"Try {both[0]}"), ("1.0", "Try other hyperparameters")):
        options = {"--augmentation": "color translation", "--probability": probability}
        assert spell_advice(both, options) == sentence


def test_what_is_not_watched_is_said():
    """Nothing before alarms begin, nothing that is not measured."""
    healthy = rows(*[HEALTHY] * 2)
    assert set(watched_since(healthy).values()) == {2000}
    unscored = [row | dict.fromkeys(("alikeness", "kid", "coverage"), math.nan) for row in healthy]
    since = watched_since(unscored)
    assert {name for name in since if since[name] is None} == {"collapse", "getting worse"}
    young = [row | {"step": row["step"] // 10} for row in healthy]
    assert set(watched_since(young).values()) == {None}


def test_a_gradient_that_was_never_measured_hides_no_other():
    unknown = [
        row | {"gradient_first": math.nan} for row in rows(*[BAD["exploding gradients"]] * 2)
    ]
    (alarm,) = find(unknown)
    assert alarm.message == MESSAGES["exploding gradients"]
    (alarm,) = find(rows(*[{"gradient_first": 500.0}] * 2))
    assert alarm.message.endswith("are 250 times as large as usual")


def test_the_longer_a_run_the_further_weights_may_go():
    bad = rows(BAD["runaway generator"], BAD["runaway generator"])
    (alarm,) = find(bad)
    assert alarm.name == "runaway generator"
    # sqrt(20**2 - 1) / sqrt(14,000) is 0.16882.
    assert find(bad, Limits(drift=0.1689)) == []
    assert len(find(bad, Limits(drift=0.1688))) == 1
    later = [row | {"step": 3 * row["step"]} for row in bad]
    assert find(later) == []
    # Where the weights of this run began is unknown.
    far = rows({"generator_weights": 4.0}, {"generator_weights": 4.0})
    assert [alarm.name for alarm in find(far)] == ["runaway generator"]
    assert find(far[1:]) == []


def test_the_size_of_kernels():
    network = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2), keras.layers.Dense(1)])
    network.set_weights([np.array(each, "float32") for each in (
        [[1, -2], [3, 0]], [50, 50], [[4], [0]], [70]
    )])  # fmt: skip
    assert kernel_size(network) == pytest.approx(math.sqrt(30 / 6))


def test_other_limits():
    assert find(rows(BAD["copies"], BAD["copies"]), Limits(originality=0.2)) == []
    assert len(find(rows(BAD["copies"]), Limits(patience=1))) == 1


def test_the_file_says_what_was_noted(tmp_path):
    health = Health(tmp_path / "health.csv")
    health.resume(0)
    for number in range(4):
        health.add(1000 * (number + 1), HEALTHY | BAD["copies"])
    again = Health(tmp_path / "health.csv")
    again.resume(3000)
    assert again.rows == health.rows[:3]
    assert [alarm.name for alarm in again.alarms()] == ["copies"]
    assert [alarm.step for alarm in again.alarms()] == [3000]
