"""``explorer.html``: a page in which a generator draws samples in the browser.

It is one file that needs no server and makes no request. A page from the file system cannot read
other files, so that everything is inside: the generator as an ONNX graph, and ONNX Runtime's web
build, unchanged, which computes it. Binary parts are packed with gzip and spelled in base64.

The content security policy lets the library and the page's own script run, by their hashes. The
library fetches its loader and its WebAssembly code from addresses of the scheme ``blob:``, which
the page makes of its own parts. Only a script that runs already can do that.
"""

from __future__ import annotations

import base64
import gzip
from collections.abc import Mapping, Sequence
from pathlib import Path

import keras
import numpy as np

from utils.common.errors import UserError
from utils.common.files import atomic_path
from utils.common.html import content_policy, fill_template, script_safe
from utils.sampling import dimensions
from utils.sampling.export import to_onnx
from utils.sampling.runs import latent_dim, to_float32
from utils.watching.outputs import PAGE
from utils.watching.page import STYLE

TEMPLATE = Path(__file__).with_name("explorer.html")
SCRIPTS = [Path(__file__).with_name(name) for name in ("latents.js", "explorer.js")]
LIBRARY = Path(__file__).parents[2] / "assets" / "onnxruntime-web"

MAX_MEGABYTES = 100
"""Of weights in float32. A browser holds them several times over while it opens the page."""
DIMENSIONS = 8
"""Latent dimensions that get a slider."""


def write_explorer(
    path: Path,
    generator: keras.Model,
    name: str,
    what: str,
    classes: Sequence[str] = (),
    favourites: Mapping[str, np.ndarray] | None = None,
) -> None:
    """Write the explorer of a generator, whole, in place of the one before.

    Args:
        path: the file; the run's page is looked for in its folder.
        generator: latent vectors (N, latent_dim), and class weights (N, K) where there are classes,
            to images (N, H, W, C) in [-1, 1].
        name: of the run.
        what: which weights these are.
        classes: the names of its classes.
        favourites: vectors (latent_dim + K,), by name, that the page has from the start.

    Raises:
        UserError: its weights are larger than ``MAX_MEGABYTES``, or see `to_onnx`.
        OSError: the folder cannot be written, or the disk is full.
    """
    megabytes = 4 * generator.count_params() / 1e6
    if megabytes > MAX_MEGABYTES:
        raise UserError(
            f"--explore: the generator has {megabytes:.0f} MB of weights in float32, and a page "
            f"takes {MAX_MEGABYTES} MB at most; --export knows no such limit"
        )
    model = to_onnx(to_float32(generator), "--explore")
    strongest = dimensions.strongest(dimensions.changes(generator), DIMENSIONS)
    library = _read("ort.wasm.min.js")
    script = "\n".join(path.read_text(encoding="utf-8") for path in SCRIPTS)
    data = {
        "name": name,
        "what": what,
        "height": generator.output_shape[1],
        "width": generator.output_shape[2],
        "channels": generator.output_shape[3],
        "latent_dim": latent_dim(generator),
        "classes": list(classes),
        "dimensions": [[number, round(change, 2)] for number, change in strongest],
        "favourites": [
            [name, base64.b64encode(latent.astype("<f4").tobytes()).decode()]
            for name, latent in (favourites or {}).items()
        ],
        "page": PAGE if (path.parent / PAGE).exists() else None,
    }
    parts = {
        "@POLICY@": content_policy(
            [library, script], "connect-src blob:", also="blob: 'wasm-unsafe-eval'"
        ),
        "@LICENCE@": _read("LICENSE"),
        "@STYLE@": STYLE.read_text(encoding="utf-8"),
        "@DATA@": script_safe(data),
        "@NOTICES@": _packed((LIBRARY / "ThirdPartyNotices.txt").read_bytes()),
        "@LOADER@": _packed((LIBRARY / "ort-wasm-simd-threaded.mjs").read_bytes()),
        "@RUNTIME@": _packed((LIBRARY / "ort-wasm-simd-threaded.wasm").read_bytes()),
        "@MODEL@": _packed(model.SerializeToString(deterministic=True)),
        "@LIBRARY@": library,
        "@SCRIPT@": script,
    }
    with atomic_path(path) as temporary:
        temporary.write_text(fill_template(TEMPLATE, parts), encoding="utf-8")


def _read(name: str) -> str:
    return (LIBRARY / name).read_text(encoding="utf-8")


def _packed(content: bytes) -> str:
    return base64.b64encode(gzip.compress(content, mtime=0)).decode()
