"""``index.html``: the page of a run, from its first steps to its end, in the run's own folder.

The page shows the pictures that lie beside it and has everything else inside: curves, options, the
plotting library. It needs no server and asks nothing of any network; its content security policy
forbids both requests and any script but the two it came with.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import re
import shlex
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

import numpy as np

from utils.common.commandline import option_name, option_names
from utils.common.files import atomic_path, files_by_step
from utils.common.html import content_policy, fill_template, script_safe
from utils.training import checkpoints
from utils.training.options import RunOptions, from_preset
from utils.watching import alarms as alarm_rules
from utils.watching.alarms import Health
from utils.watching.answers import KINDS, Answers
from utils.watching.history import History, thin

TEMPLATE = Path(__file__).with_name("page.html")
SCRIPT = Path(__file__).with_name("page.js")
STYLE = Path(__file__).with_name("page.css")
"""What the page and the explorer look like."""
LIBRARY = Path(__file__).parents[2] / "assets" / "uplot"

DIGITS = 5
"""Of the numbers in the curves; a plot of a thousand pixels shows four."""
COLOURS = ("tab:blue", "tab:orange", "tab:green")
"""What stands for each of the page's first colours in answers.png."""
NOT_SHOWN = ("run_name", "resume", "dry_run")
"""Options that do not say how a run was trained."""
HEALTH_PLOTS = (
    ("alikeness: 0 as reals, 1 all the same", ["alikeness"], False),
    ("KID: distance to held-out reals", ["kid"], True),
    ("closeness to training images, beside reals'", ["closeness"], False),
    ("weights: root mean square", ["generator_weights", "judge_weights"], True),
)
"""Labels, columns of health.csv, and whether the axis is logarithmic."""
LINKS = {
    "answers.png": "answers of the discriminator",
    "history.png": "curves as a picture",
    "history.csv": "curves as numbers",
    "answers.csv": "answers as numbers",
    "health.csv": "what alarms are raised by",
    "architecture.png": "the networks",
    "augmented.png": "what the discriminator sees",
    "nearest.png": "nearest training pictures",
    "training.gif": "the grids as a film",
}
"""Files beside the page, where they exist, and what they hold."""
EXPLORERS = {
    "average": ("explorer.html", "averaged weights"),
    "current": ("explorer-current.html", "weights of the last step"),
    "best": ("explorer-best.html", "averaged weights at the best score"),
}
"""Pages in which the generator runs, by ``sample.py --weights``: the file, and what is in it."""


class Alarm(TypedDict):
    """Something that goes wrong in a training."""

    step: int
    """Since when."""
    level: str
    """``warning`` or ``error``."""
    message: str
    """What was measured."""
    advice: str
    """Which option to turn, and where to."""


def write_page(
    path: Path,
    config: Mapping[str, Any],
    options: type[RunOptions],
    history: History | None = None,
    answers: Answers | None = None,
    best: Mapping[str, float] | None = None,
    alarms: Sequence[Alarm] | None = None,
    health: Health | None = None,
    is_running: bool = False,
) -> None:
    """Write the page of a run, whole, in place of the one before.

    Args:
        path: the file; the run's pictures are looked for in its folder.
        config: what ``config.json`` of the run says.
        options: the class of the method's hyperparameters, for their defaults.
        history: losses and scores; None before the first of them.
        answers: of the discriminator; None where there are none.
        best: step and scores of the best networks, empty or None where there are none.
        alarms: what has gone wrong so far; None takes those of ``health``.
        health: what was measured to find alarms; None where nobody looked.
        is_running: whether there is more to come.

    Raises:
        OSError: the folder cannot be written, or the disk is full.
    """
    data = contents(
        path.parent, config, options, history, answers, best, alarms, health, is_running
    )
    _write(path, data)


def refresh_page(path: Path) -> None:
    """Let a page that is there already show what has been made beside it since.

    What else it says stays: whether the training goes on is in no other file.

    Raises:
        OSError: the file cannot be read or written.
    """
    text = path.read_text(encoding="utf-8")
    if found := re.search(r'<script id="data" type="application/json">(.*?)</script>', text, re.S):
        with contextlib.suppress(ValueError):  # damaged: nothing of it could be kept
            _write(path, json.loads(found[1]) | _beside(path.parent))


def write_page_of_files(images: Path, models: Path, options: type[RunOptions]) -> None:
    """Write the page of a run that is not in training, from what lies in its two folders.

    Args:
        images: the run's folder of pictures, in which the page goes.
        models: the run's folder of networks.
        options: the class of the method's hyperparameters.

    Raises:
        UserError: ``config.json`` is missing or damaged.
        OSError: a folder cannot be read or written.
    """
    config = checkpoints.read_config(models.name, models / "config.json", option="RUN")
    path = images / "history.csv"
    history = History.of_file(path) if path.exists() else None
    answers = Answers(images / "answers.csv")
    answers.read()
    best = checkpoints.read_best(models / "best")
    since = config["data_set"].get("pictures_since", 0)
    health = Health(images / "health.csv", option_names(options), since)
    health.read()
    write_page(images / "index.html", config, options, history, answers, best, None, health)


def contents(
    folder: Path,
    config: Mapping[str, Any],
    options: type[RunOptions],
    history: History | None = None,
    answers: Answers | None = None,
    best: Mapping[str, float] | None = None,
    alarms: Sequence[Alarm] | None = None,
    health: Health | None = None,
    is_running: bool = False,
) -> dict[str, Any]:
    """What the page shows; `write_page` has the arguments.

    Returns:
        Values that JSON knows: no NaN, no infinity.
    """
    if alarms is None and health is not None and health.rows:
        alarms = [_alarm(each) for each in health.alarms()]
    values = _plain(config["hyperparameters"])
    defaults = _plain(dataclasses.asdict(options()))
    clock = _Clock(history)
    steps = list(files_by_step(folder, ".png"))
    shown = [name for name in values if name not in NOT_SHOWN]
    best = {name: float(value) for name, value in (best or {}).items() if math.isfinite(value)}
    return {
        "name": values.get("run_name") or folder.name,
        "method": config["method"],
        "is_running": is_running,
        "written": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "grids": {"steps": steps, **clock.read(steps), "epochs": clock.epochs(steps)},
        "last": clock.last(),
        "plots": [
            *_history_plots(history),
            *_health_plots(health, clock),
            *_answer_plots(answers, clock),
        ],
        "best": best if "step" in best else None,
        "alarms": None if alarms is None else [dict(alarm) for alarm in alarms],
        "facts": _facts(config),
        "options": [
            {
                "option": option_name(name),
                "value": _spell(values[name]),
                "default": _spell(defaults[name]) if name in defaults else None,
                "differs": values[name] != defaults.get(name, values[name]),
            }
            for name in shown
        ],
        "command": command(config, options),
        "resumed": bool(config["hyperparameters"].get("resume")),
        **_beside(folder),
    }


def _beside(folder: Path) -> dict[str, Any]:
    """Which of the files that the page shows or leads to are there."""
    return {
        "pictures": {
            name: (folder / file).exists()
            for name, file in (("reals", "reals.png"), ("best_worst", "best-worst.png"))
        },
        "links": [[name, text] for name, text in LINKS.items() if (folder / name).exists()],
        "explorers": [
            [name, text] for name, text in EXPLORERS.values() if (folder / name).exists()
        ],
    }


def command(config: Mapping[str, Any], options: type[RunOptions]) -> str:
    """The command line that trains a run of the same options, under a name of its own."""
    values = _plain(config["hyperparameters"])
    words, base = ["python", f"{config['method']}.py"], options()
    preset = values.pop("preset", "none")
    # On a GPU these are not what the class says, whatever they were set to.
    has_accelerator = "CPU" not in config.get("device", "CPU")
    spelled = options.ON_ACCELERATOR if has_accelerator and preset == "none" else {}
    if preset in options.PRESETS:  # one of another version is spelled out
        words += ["--preset", preset]
        base = from_preset(options, preset)
    usual = _plain(dataclasses.asdict(base))
    for name, value in values.items():
        if name in NOT_SHOWN or name not in usual:
            continue
        if value == usual[name] and name not in spelled:
            continue
        option = option_name(name)
        if isinstance(value, bool):
            words.append(option if value else option.replace("--", "--no-", 1))
        else:
            words += [option, *map(str, value if isinstance(value, list) else [value])]
    return shlex.join(words)


# ------------------------------------------------------------------------------------------------
# Numbers
# ------------------------------------------------------------------------------------------------


class _Clock:
    """At which second, and in which epoch, a step was made: from the rows of history."""

    def __init__(self, history: History | None) -> None:
        table = history.table()[:, :3] if history is not None else np.zeros((0, 3))
        table = table[np.isfinite(table).all(axis=1)]
        self.table = np.concatenate([np.zeros((1, 3)), table])

    def read(self, steps: Sequence[float] | np.ndarray) -> dict[str, list[float | None]]:
        return {"seconds": _numbers(np.interp(steps, self.table[:, 0], self.table[:, 2]), 2)}

    def epochs(self, steps: Sequence[float]) -> list[float | None]:
        return _numbers(np.interp(steps, self.table[:, 0], self.table[:, 1]), 2)

    def last(self) -> dict[str, float | None]:
        return dict(zip(("step", "epoch", "seconds"), _numbers(self.table[-1], 2), strict=True))


def _history_plots(history: History | None) -> list[dict[str, Any]]:
    if history is None or not history.rows:
        return []
    plots = []
    for panel in history.curves():
        plots.append(
            {
                "label": panel.label,
                "steps": _numbers(panel.times[:, 0], 1),
                "seconds": _numbers(panel.times[:, 2], 2),
                "series": [
                    {"name": name, "values": _numbers(column, logarithmic=panel.is_logarithmic)}
                    for name, column in zip(panel.names, panel.values.T, strict=True)
                ],
                "is_logarithmic": panel.is_logarithmic,
                "limits": panel.limits and _numbers(np.array(panel.limits)),
            }
        )
    # Of a run that has not been scored yet, say, nothing.
    return [
        plot
        for plot in plots
        if any(x is not None for series in plot["series"] for x in series["values"])
    ]


def _health_plots(health: Health | None, clock: _Clock) -> list[dict[str, Any]]:
    """Of what alarms are raised by, what is in no other curve."""
    if health is None or not health.rows:
        return []
    table = thin(np.array(health.rows, np.float64))
    plots = []
    for label, names, is_logarithmic in HEALTH_PLOTS:
        values = table[:, [health.columns.index(name) for name in names]]
        known = np.isfinite(values).any(axis=1)
        if not known.any():
            continue
        steps = table[known, 0]
        plots.append(
            {
                "label": label,
                "steps": _numbers(steps, 1),
                **clock.read(steps),
                "series": [
                    {
                        "name": name.replace("_", " "),
                        "values": _numbers(column, logarithmic=is_logarithmic),
                    }
                    for name, column in zip(names, values[known].T, strict=True)
                ],
                "is_logarithmic": is_logarithmic,
                "limits": None,
            }
        )
    return plots


def _alarm(found: alarm_rules.Alarm) -> Alarm:
    over = f"; over at step {found.over}" if found.over else ""
    return Alarm(
        step=found.since,
        level="warning" if found.over else "error",
        message=found.message + over,
        advice=found.advice,
    )


def _answer_plots(answers: Answers | None, clock: _Clock) -> list[dict[str, Any]]:
    """The median of each kind between its percentiles 5 and 95, and how far they are apart."""
    if answers is None or not answers.rows:
        return []
    curves = {kind: thin(answers.curves(kind)) for kind in KINDS}
    curves = {kind: table for kind, table in curves.items() if len(table)}
    steps = np.unique(np.concatenate([table[:, 0] for table in curves.values()]))
    series = []
    for kind, table in curves.items():
        columns = np.full((len(steps), 3), np.nan)
        columns[np.searchsorted(steps, table[:, 0])] = table[:, [4, 6, 8]]
        low, median, high = map(_numbers, columns.T)
        colour = COLOURS.index(KINDS[kind])
        series.append({"name": kind, "values": median, "low": low, "high": high, "colour": colour})
    plots = [
        {
            "label": "answer: median, 5-95 %",
            "steps": _numbers(steps, 1),
            **clock.read(steps),
            "series": series,
            "is_logarithmic": False,
            "limits": None,
        }
    ]
    overfitting = thin(answers.overfitting())
    if np.isfinite(overfitting[:, 1]).any():
        steps, values = overfitting.T
        plots.append(
            {
                "label": "overfitting",
                "steps": _numbers(steps, 1),
                **clock.read(steps),
                "series": [{"name": "overfitting", "values": _numbers(values)}],
                "is_logarithmic": False,
                "limits": [-0.5, 1.5],
            }
        )
    return plots


def _numbers(
    values: np.ndarray, decimals: int | None = None, logarithmic: bool = False
) -> list[float | None]:
    """Numbers (N,) for JSON, rounded to DIGITS or to decimals; None where there is none.

    For a logarithmic axis there is none at 0 and below.
    """
    values = np.asarray(values, np.float64)
    known = np.isfinite(values) & ((values > 0) | (not logarithmic))
    safe = np.where(known, values, 1.0)
    if decimals is None:
        size = np.floor(np.log10(np.maximum(np.abs(safe), 1e-12)))
        scale = 10.0 ** np.maximum(DIGITS - 1 - size, 0)
        safe = np.rint(safe * scale) / scale
    else:
        safe = np.round(safe, decimals)
    found = safe.tolist()
    if known.all():
        return found
    return [x if is_known else None for x, is_known in zip(found, known.tolist(), strict=True)]


# ------------------------------------------------------------------------------------------------
# Words
# ------------------------------------------------------------------------------------------------


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """The same values as they come back from ``config.json``."""
    return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}


def _spell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def _facts(config: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What the run was trained on and with, as names and texts."""
    values, origin = config["hyperparameters"], config["data_set"]
    held_out = origin.get("held_out") or []
    facts = [
        ("data set", values.get("data")),
        ("made by", origin.get("made_by")),
        ("pictures", _pictures(origin.get("pictures"), len(held_out), values)),
        ("fingerprint", (origin.get("fingerprint") or "")[:16]),
        ("device", config.get("device")),
        ("precision", values.get("precision")),
        ("versions", ", ".join(f"{k} {v}" for k, v in config.get("versions", {}).items())),
    ]
    return [(name, str(text)) for name, text in facts if text]


def _pictures(count: int | None, held_out: int, values: Mapping[str, Any]) -> str:
    if count is None:
        return ""
    size = f", {values.get('image_size')} px"
    mirrored = ", with mirror images" if values.get("mirror") else ""
    if not held_out:
        return f"{count}{size}{mirrored}"
    return f"{count - held_out}, and {held_out} held out{size}{mirrored}"


# ------------------------------------------------------------------------------------------------
# The file
# ------------------------------------------------------------------------------------------------


def _write(path: Path, data: Mapping[str, Any]) -> None:
    library = (LIBRARY / "uPlot.iife.min.js").read_text(encoding="utf-8")
    script = SCRIPT.read_text(encoding="utf-8")
    # A page from the file system has no origin of its own: what lies beside it is named by the
    # scheme.
    policy = content_policy([library, script], "img-src 'self' file:", "frame-src 'self' file:")
    parts = {
        "@POLICY@": policy,
        "@LICENCE@": (LIBRARY / "LICENSE").read_text(encoding="utf-8"),
        "@LIBRARY-STYLE@": (LIBRARY / "uPlot.min.css").read_text(encoding="utf-8"),
        "@STYLE@": STYLE.read_text(encoding="utf-8"),
        "@LIBRARY@": library,
        "@DATA@": script_safe(data),
        "@SCRIPT@": script,
    }
    with atomic_path(path) as temporary:
        temporary.write_text(fill_template(TEMPLATE, parts), encoding="utf-8")
