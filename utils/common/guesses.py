"""Which options a person meant by one that does not exist."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

ALIKE = tuple(
    frozenset(line.split())
    for line in """
    data dataset dataroot data-root data-dir data-path train-data train-dir input images img-dir i
    output out outdir out-dir output-dir outf o results-dir save-dir images-dir models-dir
    image-size size img-size imagesize imgsize resolution res
    batch-size batch batchsize bs b
    learning-rate lr glr dlr rate
    beta1 beta-1 b1
    beta2 beta-2 b2
    filters ngf ndf channels width
    latent-dim latent-size z-dim zdim z nz noise-dim
    epochs epoch n-epochs num-epochs nepochs niter
    steps iterations iters n-iter max-steps num-steps n-steps train-steps num-train-steps
    run-name name exp-name experiment exp
    devices device gpus gpu n-gpu ngpu num-gpus cuda
    hosts host nodes num-nodes nnodes machines master-addr rank world-size
    processes workers num-workers n-cpu jobs j threads
    seed random-seed manual-seed manualseed
    resume resume-from load load-from restore ckpt continue continue-train
    checkpoint-interval checkpoint-every ckpt-interval save-every save-interval snap
    sample-interval sample-every
    augmentation augment aug diffaugment aug-types
    augmentation-probability aug-prob augment-prob
    mirror flip hflip horizontal-flip random-flip
    clip-value clip
    color-strength color colour color-jitter
    classes class labels label cond conditional
    penalty-weight gp-weight lambda-gp
    precision amp fp16 bf16 mixed-precision dtype
    holdout held-out val-split validation-split test-split
    limit max-images max-samples num-images
    count num n n-samples num-samples images
    truncation trunc truncation-psi
    walk dimension
    """.splitlines()
)
"""On each line, names that this and other tools have for one thing."""
NETWORKS = {
    "generator": ["g", "gen", "generator"],
    "discriminator": ["d", "disc", "discriminator", "critic"],
    "critic": ["d", "disc", "discriminator", "c", "critic"],
}
"""Networks of which there are options, and what else they are called."""


def guess(given: str, options: Sequence[str]) -> str:
    """A question that names what was meant; empty where nothing comes near.

    Args:
        given: an option that does not exist, such as ``--lr=0.1``.
        options: those that do.
    """
    word = given.split("=")[0].lstrip("-").lower()
    found = _meant(word, options)
    if not found:
        known = [option[2:] for option in options]
        known += [each for group in ALIKE for each in sorted(group) if len(each) > 3]
        for close in difflib.get_close_matches(word, known, n=1):
            found = [f"--{close}"] if f"--{close}" in options else _meant(close, options)
    return f"did you mean {' or '.join(found)}?" if found else ""


def _meant(word: str, options: Sequence[str]) -> list[str]:
    """The options that mean the same, of the networks that the word names, or of all."""
    parts = re.fullmatch(r"([a-z]+)-(.+)", word), re.fullmatch(r"(.+)-([a-z]+)", word)
    splits = [(found[1], found[2]) for found in parts[:1] if found]
    splits += [(found[2], found[1]) for found in parts[1:] if found]
    named = {
        network: what
        for called, what in splits
        for network, names in NETWORKS.items()
        if called in names
    }
    meant = {f"{network}-{each}" for network, what in named.items() for each in _alike(what)}
    meant |= {each for what in named.values() for each in _alike(what)}
    if not named:
        meant = {f"{network}-{each}" for network in NETWORKS for each in _alike(word)}
        meant |= _alike(word)
    return [option for option in options if option[2:] in meant]


def _alike(word: str) -> set[str]:
    return {word}.union(*(group for group in ALIKE if word in group))
