"""What the page of a run shows, as values for JSON."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from utils.common.commandline import option_name
from utils.common.files import files_by_step
from utils.data.classes import described
from utils.watching import outputs
from utils.watching.alarms import Alarm, Health
from utils.watching.answers import Answers
from utils.watching.curves import Clock, answer_plots, health_plots, history_plots
from utils.watching.history import History

NOT_SHOWN = ("run_name", "resume", "dry_run", "hosts")
"""Options that do not change how a run is trained."""


def contents(
    folder: Path,
    config: Mapping[str, Any],
    defaults: Mapping[str, Any],
    command: str,
    history: History | None = None,
    answers: Answers | None = None,
    health: Health | None = None,
    best: Mapping[str, float] | None = None,
    is_running: bool = False,
) -> dict[str, Any]:
    """What `page.write_page` shows, without NaN or infinity, which JSON lacks.

    Args:
        folder: the run's folder of pictures.
        config: the run's ``config.json``.
        defaults: of its hyperparameters.
        command: the command line that repeats the run.
        history: losses and scores; None before the first of them.
        answers: of the discriminator; None where there are none.
        health: the measurements that alarms are found in; None where nothing was measured.
        best: step and scores of the best networks; empty or None where there are none.
        is_running: whether the training goes on.
    """
    values = config["hyperparameters"]
    clock = Clock(history)
    steps = list(files_by_step(folder, ".png"))
    best = {name: float(value) for name, value in (best or {}).items() if math.isfinite(value)}
    return {
        "name": values.get("run_name") or folder.name,
        "method": config["method"],
        "is_running": is_running,
        "written": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "grids": {
            "steps": steps, "seconds": clock.seconds(steps), "epochs": clock.epochs(steps)
        },
        "last": clock.last(),
        "plots": [
            *history_plots(history),
            *health_plots(health, history, clock),
            *answer_plots(answers, clock),
        ],
        "constant": history.constants() if history else {},
        "best": best if "step" in best else None,
        "alarms": [_alarm(each) for each in health.alarms()] if health and health.rows else None,
        "watched": health.watch() if health else "",
        "facts": _facts(config),
        "options": [
            {
                "option": option_name(name),
                "value": _spell(value),
                "default": _spell(defaults[name]) if name in defaults else None,
                "differs": name in defaults and _spell(value) != _spell(defaults[name]),
            }
            for name, value in values.items()
            if name not in NOT_SHOWN
        ],
        "command": command,
        "resumed": bool(values.get("resume")),
        **files(folder),
    }  # fmt: skip


def files(folder: Path) -> dict[str, Any]:
    """Which files there are for the page to show or link to."""

    def found(name: str) -> str | None:
        return name if (folder / name).exists() else None

    return {
        "pictures": {
            "reals": found(outputs.REALS),
            "best_worst": found(outputs.BEST_AND_WORST),
        },
        "links": [[name, text] for name, text in outputs.LINKS.items() if found(name)],
        "explorers": [[name, text] for name, text in outputs.EXPLORERS.values() if found(name)],
    }


def _alarm(alarm: Alarm) -> dict[str, Any]:
    over = f"; over at step {alarm.over}" if alarm.over else ""
    return {
        "step": alarm.since,
        "level": "warning" if alarm.over else "error",
        "message": alarm.message + over,
        "advice": alarm.advice,
    }


def _spell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _facts(config: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What the run was trained on and with, as names and texts."""
    values, origin = config["hyperparameters"], config["data_set"]
    held_out = origin.get("held_out") or []
    facts = [
        ("data set", values.get("data")),
        ("classes", _classes(values.get("classes"), origin)),
        ("made by", origin.get("made_by")),
        ("pictures", _pictures(origin.get("pictures"), len(held_out), values)),
        ("fingerprint", (origin.get("fingerprint") or "")[:16]),
        ("scores", _scored_by(config.get("scoring") or {})),
        ("device", config.get("device")),
        ("precision", values.get("precision")),
        ("versions", ", ".join(f"{k} {v}" for k, v in config.get("versions", {}).items())),
    ]
    return [(name, str(text)) for name, text in facts if text]


def _classes(attribute: str | None, origin: Mapping[str, Any]) -> str:
    """The attribute, and its classes with their numbers of pictures."""
    found = origin.get("classes")
    return f"{attribute}: {described(found, origin['pictures'])}" if found else ""


def _scored_by(scoring: Mapping[str, Any]) -> str:
    if not scoring.get("pictures"):
        return ""
    return f"{scoring['features']} features of {scoring['pictures']} pictures"


def _pictures(count: int | None, held_out: int, values: Mapping[str, Any]) -> str:
    if count is None:
        return ""
    size = f", {values.get('image_size')} px"
    mirrored = ", with mirror images" if values.get("mirror") else ""
    if not held_out:
        return f"{count}{size}{mirrored}"
    return f"{count - held_out}, and {held_out} held out{size}{mirrored}"
