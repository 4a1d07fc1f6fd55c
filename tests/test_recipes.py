"""The tricks of the DCGAN: labels, noise, feature matching, balance, presets."""

from __future__ import annotations

import csv
import dataclasses

import keras
import numpy as np
import pytest
from keras import layers, ops

import dcgan
import wgan
from tests.conftest import TINY, run_script
from tests.test_alternation import (
    real_images,
    tiny_method,
    update_discriminator,
    update_generator,
    values,
)
from utils import backend
from utils.common.errors import UserError
from utils.models.recipes import Balance, Labels, feature_distance
from utils.training.arguments import parse_command_line
from utils.training.presets import DCGAN_PRESETS, WGAN_PRESETS

# Balance: who learns in a step ------------------------------------------------------------------


class Rules:
    """The rules in plain Python, written from their description alone."""

    def __init__(self, rule: str) -> None:
        self.rule, self.boosted, self.left, self.generator_loss = rule, "", 0, 0.0

    def decide(self, k: np.float32, d_loss: float, g_loss: float) -> tuple[bool, bool, bool]:
        """Whether the discriminator learns, the generator learns, and labels are swapped."""
        if self.rule == "always":
            return True, True, False
        if self.rule == "monitored":
            learns = d_loss > 0.8 * self.generator_loss
            self.generator_loss = g_loss
            return learns, True, False
        if self.left == 0:
            self.boosted = ""
            if np.float32(0.0001) < k < np.float32(0.001):
                self.boosted, self.left = "D", 100
            elif k < np.float32(0.0001):
                self.boosted, self.left = "G", 100
        if self.left:
            self.left -= 1
            return self.boosted == "D", self.boosted == "G", False
        return True, bool(k > np.float32(0.001)), bool(k >= np.float32(0.93))


def recorded(rule: str) -> list[tuple[float, float, float]]:
    """Draws and losses, with every boundary and both boosts among them."""
    random = np.random.default_rng(3)
    draws = random.uniform(0.0011, 1, 700).astype(np.float32)
    draws[[5, 6, 7, 8]] = [0.001, 0.0001, 0.93, 0.92999]
    draws[20] = 0.0005  # the discriminator alone, steps 20 to 119
    draws[60] = 0.00005  # within it, and of no consequence
    draws[120] = 0.00002  # the generator alone, 120 to 219
    draws[219] = 0.99  # in its last step
    draws[400] = 0.0005
    losses = random.uniform(0, 2, (700, 2)).astype(np.float32)
    losses[10, 0] = np.float32(0.8) * losses[9, 1]  # equal is not above
    return list(zip(draws.tolist(), *losses.T.tolist(), strict=True))


@pytest.mark.parametrize("rule", ["always", "monitored", "boosting"])
def test_balance_decides_as_the_rules_say(rule, monkeypatch):
    balance = Balance(rule, 0.0, 0.93, keras.random.SeedGenerator(0))

    def decide(k, d_loss, g_loss):
        monkeypatch.setattr(keras.random, "uniform", lambda *_, **__: k)
        turn = balance.begin()
        decisions = {
            "d": balance.trains_discriminator(turn, d_loss),
            "g": balance.trains_generator(turn, g_loss),
            "swaps": turn.swaps_labels,
        }
        return {name: ops.cast(value, "float32") for name, value in decisions.items()}

    compiled = backend.compile_step(decide, balance.variables)
    rules, found, expected = Rules(rule), [], []
    for step in recorded(rule):
        step = [np.float32(value) for value in step]
        decisions = compiled(*(ops.convert_to_tensor(value) for value in step))
        found.append(tuple(bool(decisions[name]) for name in ("d", "g", "swaps")))
        expected.append(rules.decide(*step))
    assert found == expected
    if rule == "boosting":
        assert [step[:2] for step in found[20:120]] == [(True, False)] * 100
        assert [step[:2] for step in found[120:220]] == [(False, True)] * 100
        # Neither side: no boost begins, and at or below 0.001 the discriminator learns alone.
        assert found[5:9] == [
            (True, False, False), (True, False, False), (True, True, True), (True, True, False),
        ]  # fmt: skip


def train_with(method: dcgan.DCGAN, decisions: dict[str, bool]) -> dict[str, float]:
    """One compiled step in which the balance decides what it is told."""
    tensors = {name: ops.convert_to_tensor(value) for name, value in decisions.items()}
    method.balance.trains_discriminator = lambda *_: tensors["discriminator"]
    method.balance.trains_generator = lambda *_: tensors["generator"]
    variables = [v for group in method.state().values() for v in group]
    step = backend.compile_step(method.train_step, variables)
    images = ((real_images() + 1) * 127.5).astype(np.uint8)
    return backend.fetch([step(images[None])])[0]


@pytest.mark.parametrize("skipped", ["discriminator", "generator"])
def test_a_skipped_update_moves_no_weight_and_no_state_of_the_optimizer(skipped):
    method = tiny_method(balance="monitored")
    other = {"discriminator": "generator", "generator": "discriminator"}[skipped]
    train_with(method, {"discriminator": True, "generator": True})  # momentum to go on with

    def state(network: str) -> list[np.ndarray]:
        optimizer = getattr(method, f"{network}_optimizer")
        trained = getattr(method, network).trainable_variables
        return [np.array(ops.convert_to_numpy(v)) for v in [*optimizer.variables, *trained]]

    before = {network: state(network) for network in (skipped, other)}
    results = train_with(method, {skipped: False, other: True})
    for one, two in zip(state(skipped), before[skipped], strict=True):
        np.testing.assert_array_equal(one, two)
    assert any(np.any(a != b) for a, b in zip(state(other), before[other], strict=True))
    assert results[f"{skipped[0]}_updates"] == 1
    assert results[f"{other[0]}_updates"] == 2


def test_history_tells_how_often_each_network_has_learned(tmp_path, data_file):
    result = run_script(
        "dcgan.py", *TINY, "--data", data_file, "--balance", "monitored", "--steps", 20,
        "--history-interval", 10, "--generator-learning-rate", 0, folder=tmp_path,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    with open(tmp_path / "images" / "dcgan-1" / "history.csv") as file:
        rows = list(csv.DictReader(file))
    assert [row["g_updates"] for row in rows] == ["10", "20"]
    assert 1 <= int(rows[0]["d_updates"]) <= int(rows[1]["d_updates"]) <= 20


@pytest.mark.parametrize("rule", ["monitored", "boosting"])
def test_a_resumed_run_decides_as_if_it_had_not_stopped(tmp_path, data_file, rule):
    common = [*TINY, "--data", data_file, "--balance", rule, "--label-swap", 0.3]
    for name, steps in (("whole", 6), ("parts", 3)):
        result = run_script(
            "dcgan.py", *common, "--run-name", name, "--steps", steps, folder=tmp_path
        )
        assert result.returncode == 0, result.stderr
    result = run_script("dcgan.py", "--resume", "parts", "--steps", 6, folder=tmp_path)
    assert result.returncode == 0, result.stderr
    archives = [
        np.load(tmp_path / "saved_models" / name / "checkpoints" / "step_0000006.npz")
        for name in ("whole", "parts")
    ]
    assert any(name.startswith("balance/") for name in archives[0].files)
    for name in archives[0].files:
        if name != "loop/seconds":
            np.testing.assert_array_equal(archives[0][name], archives[1][name], err_msg=name)


# Labels and noise -------------------------------------------------------------------------------


def cross_entropy(labels: np.ndarray, logits: np.ndarray) -> float:
    answers = 1 / (1 + np.exp(-logits.astype(np.float64)))
    return float(-(labels * np.log(answers) + (1 - labels) * np.log(1 - answers)).mean())


@pytest.mark.parametrize("swaps", [False, True])
def test_swapped_labels(swaps):
    method = tiny_method(label_smoothing=0.2, smoothing_sides="one-sided")
    fake_images = real_images()[::-1] * 0.5
    real, fake = (
        ops.convert_to_numpy(method.discriminator(images, training=True))
        for images in (real_images(), fake_images)
    )
    real_label, fake_label = (0.0, 0.8) if swaps else (0.8, 0.0)
    swaps = ops.convert_to_tensor(swaps)
    results = update_discriminator(method, real_images(), fake_images, swaps)
    expected = cross_entropy(np.full((4, 1), real_label), real) + cross_entropy(
        np.full((4, 1), fake_label), fake
    )
    assert float(results["d_loss"]) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    "tricks",
    [
        {}, {"label_smoothing": 0.2}, {"label_smoothing": 0.2, "smoothing_sides": "two-sided"},
        {"label_noise": 0.3}, {"balance": "boosting"},
        {"label_smoothing": 0.1, "label_noise": 0.2, "label_swap": 0.25},
    ],
)  # fmt: skip
def test_the_most_confident_answer_is_the_mean_label(tricks):
    h = dcgan.Hyperparameters(batch_size=2000, **tricks)
    labels = Labels(
        h.batch_size, h.label_smoothing, h.smoothing_sides, h.label_noise,
        keras.random.SeedGenerator(2),
    )  # fmt: skip
    real, swapped = (
        float(ops.mean(labels.draw(ops.convert_to_tensor(swaps))[0])) for swaps in (False, True)
    )
    swaps = h.label_swap + (0.07 if h.balance == "boosting" else 0.0)
    assert h.most_confident_answer() == pytest.approx(
        (1 - swaps) * real + swaps * swapped, abs=0.005
    )


def test_labels_are_swapped_in_the_share_of_steps_that_was_asked_for():
    balance = Balance("always", 0.25, 0.93, keras.random.SeedGenerator(1))
    step = backend.compile_step(
        lambda: {"swaps": ops.cast(balance.begin().swaps_labels, "float32")}, [balance.seed.state]
    )
    swapped = [float(step()["swaps"]) for _ in range(2000)]
    assert np.mean(swapped) == pytest.approx(0.25, abs=0.03)


def test_instance_noise_falls_to_nothing():
    method = tiny_method(instance_noise=0.5, instance_noise_steps=4)
    noise = method.discriminator.get_layer("noise")
    levels = []
    for _ in range(6):
        method.train_step(np.zeros((1, 4, 16, 16, 3), np.uint8))
        levels.append(float(ops.convert_to_numpy(noise.level)))
    assert levels == pytest.approx([0.5, 0.375, 0.25, 0.125, 0, 0])
    assert any(variable is noise.level for variable in method.state()["discriminator"])


# Updates ----------------------------------------------------------------------------------------


def test_separate_updates_are_two_of_adams():
    joint, separate = tiny_method(), tiny_method(discriminator_updates="separate")
    for variable, other in zip(
        separate.discriminator.variables, joint.discriminator.variables, strict=True
    ):
        variable.assign(other.value)
    fake_images = real_images()[::-1] * 0.5
    first = float(update_discriminator(joint, real_images(), fake_images)["d_loss"])
    second = float(update_discriminator(separate, real_images(), fake_images)["d_loss"])
    assert int(joint.discriminator_optimizer.iterations) == 1
    assert int(separate.discriminator_optimizer.iterations) == 2
    # Its loss on generated images is that after it has learned from the real ones.
    assert first != pytest.approx(second, rel=1e-6)


def test_separate_updates_do_not_go_with_a_rule_about_both_losses():
    h = dcgan.Hyperparameters(discriminator_updates="separate", balance="monitored", image_size=32)
    with pytest.raises(UserError, match=r"^--discriminator-updates separate: with --balance monit"):
        h.check()


# Feature matching -------------------------------------------------------------------------------


def test_the_distance_of_features():
    random = np.random.default_rng(0)
    real, fake = random.standard_normal((2, 5, 3, 3, 2)).astype(np.float32)
    expected = 0.0
    for row in range(3):
        for column in range(3):
            for channel in range(2):
                means = [features[:, row, column, channel].mean() for features in (real, fake)]
                expected += (means[0] - means[1]) ** 2
    assert float(feature_distance(real, fake)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("layer", [0, 1])
def test_feature_matching_adds_its_gradient_to_the_generators(layer):
    """The update's gradient is that of the loss and the weighted distance, taken by themselves."""
    method = tiny_method(feature_matching=3.0, feature_matching_layer=layer)
    expected_shape = (None, 8, 8, 3) if layer else (None, 4, 4, 6)
    assert method.discriminator.get_layer("features").output.shape == expected_shape
    latents = np.random.default_rng(0).standard_normal((4, 5)).astype(np.float32)
    kept = []
    method.generator_optimizer.apply = lambda gradients, _: kept.extend(gradients)
    results = update_generator(method, latents, real_images())
    trained = method.generator.trainable_variables
    with_features = method.discriminator_with_features
    _, real_features = with_features(real_images(), training=True)

    def gradient_of(part):
        def loss():
            images = method.generator(latents, training=True)
            logits, features = with_features(images, training=True)
            entropy = dcgan.binary_cross_entropy(ops.ones((4, 1)), logits)
            distance = ops.sum((ops.mean(features, axis=0) - ops.mean(real_features, axis=0)) ** 2)
            return {"entropy": entropy, "distance": distance}[part], None

        return backend.value_and_grad(loss, trained)

    (entropy, _), entropy_gradients = gradient_of("entropy")
    (distance, _), distance_gradients = gradient_of("distance")
    assert float(results["g_loss"]) == pytest.approx(float(entropy), rel=1e-5)
    assert float(distance) > 0
    for found, one, other in zip(kept, entropy_gradients, distance_gradients, strict=True):
        np.testing.assert_allclose(
            ops.convert_to_numpy(found),
            ops.convert_to_numpy(one) + 3 * ops.convert_to_numpy(other),
            rtol=1e-3, atol=1e-6,
        )  # fmt: skip


def test_feature_matching_trains_the_generator_alone():
    method = tiny_method(feature_matching=1.0)
    before = values(method.discriminator)
    update_generator(method, np.ones((4, 5), np.float32), real_images())
    trained = {v.path for v in method.discriminator.trainable_variables}
    for path, value in values(method.discriminator).items():
        if path in trained:
            np.testing.assert_array_equal(value, before[path])


# Layers in their places -------------------------------------------------------------------------


def kinds(network: keras.Model) -> list[str]:
    return [type(layer).__name__ for layer in network.layers]


@pytest.mark.parametrize("script", [dcgan, wgan])
def test_where_minibatch_layers_stand(script):
    build = script.build_discriminator if script is dcgan else script.build_critic

    def built(**changes: object) -> list[str]:
        return kinds(build(script.Hyperparameters(image_size=32, **changes)))

    discrimination = built(minibatch="discrimination")
    assert discrimination.index("MinibatchDiscrimination") < discrimination.index(
        "Conv2D", discrimination.index("Conv2D") + 1
    )
    deviation = built(minibatch="deviation")
    assert deviation[deviation.index("MinibatchStandardDeviation") + 1] == "Flatten"
    assert not any("Minibatch" in kind for kind in built())


def test_spectral_normalization_takes_the_place_of_batch_normalisation():
    h = dcgan.Hyperparameters(image_size=32, spectral_normalization=True)
    discriminator = kinds(dcgan.build_discriminator(h))
    assert discriminator.count("SpectralNormalization") == 4
    assert not {"Conv2D", "Dense", "BatchNormalization"} & set(discriminator)
    assert "BatchNormalization" in kinds(dcgan.build_generator(h))


def test_which_layers_of_the_discriminator_are_normalised():
    h = dcgan.Hyperparameters(image_size=256, discriminator_normalized=(1, 3))
    discriminator = dcgan.build_discriminator(dataclasses.replace(h, discriminator_filters=(2,)))
    shapes = [
        layer.output.shape[1]
        for layer in discriminator.layers
        if isinstance(layer, layers.BatchNormalization)
    ]
    assert shapes == [128, 64, 32]


# Presets ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "name"),
    [(dcgan, name) for name in DCGAN_PRESETS] + [(wgan, name) for name in WGAN_PRESETS],
)
def test_every_preset_makes_networks(script, name):
    """At an eighth of the width: a whole one would have up to 200 million weights."""
    h, config = parse_command_line(script.Hyperparameters, "", ["--preset", name])
    assert config is None
    assert h.preset == name
    for field, value in script.Hyperparameters.PRESETS[name].values.items():
        assert getattr(h, field) == value, field
    assert h.augmentation == (), "none of them knew it"
    field = "discriminator_filters" if script is dcgan else "critic_filters"
    h = dataclasses.replace(
        h, image_size=h.image_size or 64, minibatch_side=4, latent_dim=8,
        generator_filters=tuple(max(1, width // 32) for width in h.generator_filters),
        **{field: tuple(max(1, width // 32) for width in getattr(h, field))},
    )  # fmt: skip
    discriminator = script.build_discriminator(h) if script is dcgan else script.build_critic(h)
    assert discriminator.output_shape == (None, 1)
    assert script.build_generator(h).output_shape == discriminator.input_shape


def test_the_first_gandam_from_latents_to_pixels_and_back():
    h, _ = parse_command_line(dcgan.Hyperparameters, "", ["--preset", "gandam-v1"])
    assert h.generator_filters == (2048, 1024, 1024, 512, 256)
    h = dataclasses.replace(
        h, generator_filters=tuple(width // 64 for width in h.generator_filters),
        discriminator_filters=tuple(width // 64 for width in h.discriminator_filters),
    )  # fmt: skip
    generator = [
        layer.output.shape[1:]
        for layer in dcgan.build_generator(h).layers
        if isinstance(layer, (layers.BatchNormalization, layers.Conv2DTranspose))
    ]
    assert generator[0] == (4, 4, 32)
    assert generator[-2:] == [(64, 64, 4), (128, 128, 3)]
    discriminator = kinds(dcgan.build_discriminator(h))
    assert discriminator[1:9] == [
        "Conv2D", "LeakyReLU", "BatchNormalization", "Dropout",
        "Conv2D", "LeakyReLU", "BatchNormalization", "Dropout",
    ]  # fmt: skip
    assert discriminator.count("BatchNormalization") == 3


def test_an_option_wins_over_the_preset():
    h, _ = parse_command_line(
        dcgan.Hyperparameters, "", ["--preset", "edouard99-64", "--batch_size", "8"]
    )
    assert (h.batch_size, h.latent_dim, h.smoothing_sides) == (8, 16, "two-sided")


def test_a_preset_that_does_not_exist():
    with pytest.raises(UserError) as error:
        parse_command_line(dcgan.Hyperparameters, "", ["--preset", "gandam"])
    assert str(error.value) == (
        "--preset gandam: must be plain, gandam-v1, gandam-v2, edouard99-64, edouard99-256, "
        "radford, keras-gan or none"
    )


def test_help_shows_the_presets_with_their_sources(capsys):
    with pytest.raises(SystemExit):
        parse_command_line(dcgan.Hyperparameters, "", ["--help"])
    shown = " ".join(capsys.readouterr().out.split())
    for name, preset in DCGAN_PRESETS.items():
        assert f"{name}: {preset.source}" in shown


def test_a_resumed_run_keeps_its_preset(tmp_path, data_file):
    small = [*TINY, "--data", data_file, "--image-size", 32]
    result = run_script(
        "dcgan.py", "--preset", "edouard99-64", *small, "--steps", 1, folder=tmp_path
    )
    assert result.returncode == 0, result.stderr
    said = "preset edouard99-64: github.com/Edouard99/GAN, 64 px; its two other trainings: "
    assert said in result.stdout
    assert f"Differs: {DCGAN_PRESETS['edouard99-64'].differs}." in result.stdout
    result = run_script("dcgan.py", "--resume", "dcgan-1", "--steps", 2, folder=tmp_path)
    assert result.returncode == 0, result.stderr
    result = run_script("dcgan.py", "--resume", "dcgan-1", "--preset", "radford", folder=tmp_path)
    assert result.returncode == 2
    assert result.stderr.startswith(
        "dcgan.py: error: --preset radford: run dcgan-1 has edouard99-64"
    )
