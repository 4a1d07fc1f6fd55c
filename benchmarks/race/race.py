"""What the runs of a folder share, and the steps that each makes in the race's seconds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from benchmarks.race.contestants import Contestant
from benchmarks.race.files import read_json, write_json
from benchmarks.race.runs import Moment, Run
from benchmarks.race.timing import first_cores, quiet_seconds, ratio, timed_elsewhere
from utils.common.errors import RunError, UserError


@dataclass(frozen=True)
class Race:
    """The rules of a race, and the folder in which everything is kept."""

    folder: Path
    baseline: Contestant
    """The steps of the others are timed in turns with its own."""
    options: Sequence[str]
    """Of every contestant, as on the command line."""
    settings: dict[str, Any]
    """By option of the benchmark, what a folder's runs must share."""
    clock: Literal["wall", "processor"]
    """Whose seconds a run is given."""
    cores: int
    """That steps are timed on."""
    turn_seconds: float
    timed_at_once: int
    """Contestants timed in one process; the networks of all of them stay in memory."""
    scored_at: tuple[float, ...] = ()
    """Seconds at which a run is scored, besides its end."""

    @property
    def step_times(self) -> Path:
        """The file that holds the settings and the seconds of a step."""
        return self.folder / "step_times.json"

    def command(self, contestant: Contestant) -> list[str]:
        """The script and the options that are the same for every seed and number of steps."""
        return [contestant.script, *self.options, *contestant.flags.split()]

    def settle(self) -> None:
        """Keep the settings in the folder.

        Raises:
            UserError: its runs have others.
        """
        known = read_json(self.step_times)
        for name, value in self.settings.items():
            if known.setdefault(name, value) != value:
                raise UserError(
                    f"--{name} {value}: {self.folder} holds runs of {known[name]}; choose another "
                    "--folder"
                )
        write_json(self.step_times, known)

    def calibrate(
        self, chosen: Sequence[Contestant], turns: int, yardstick: float | None = None
    ) -> None:
        """Time the contestants that are not timed yet, and keep it in ``step_times.json``.

        A contestant that its script refuses is kept there with the error.

        Args:
            chosen: the contestants.
            turns: of each.
            yardstick: seconds of a step of the baseline, where they are known; None measures them.
                A folder keeps its first yardstick.

        Raises:
            RunError: they could not be timed.
        """
        known = read_json(self.step_times)
        entries, refused = known.setdefault("contestants", {}), known.setdefault("refused", {})
        missing = [each for each in chosen if not self._is_timed(known, each)]
        for start in range(0, len(missing), self.timed_at_once):
            some = missing[start : start + self.timed_at_once]
            names = ", ".join(each.name for each in some)
            print(f"timing {names}: {turns} turns ...", flush=True)
            found = self._timed(list(dict.fromkeys([self.baseline, *some])), turns)
            reference = found[self.baseline.name]
            if isinstance(reference, str):
                raise RunError(f"{self.baseline.name} cannot be timed: {reference}")
            for each in some:
                refused.pop(each.name, None)
                if isinstance(found[each.name], str):
                    refused[each.name] = found[each.name]
                    print(f"{each.name}: left out: {found[each.name]}", flush=True)
                    continue
                entries[each.name] = {
                    "command": self.command(each),
                    "turns": found[each.name],
                    "baseline": reference,
                }
            write_json(self.step_times, known)
        if entries and "yardstick" not in known:
            measured = [seconds for entry in entries.values() for seconds in entry["baseline"]]
            known["yardstick"] = yardstick or quiet_seconds(measured)
        write_json(self.step_times, known)

    def runs(self, chosen: Sequence[Contestant], seeds: int, seconds: float) -> list[Run]:
        """The runs of the contestants that have been timed: seed 0 of all of them, then seed 1, ...

        Args:
            chosen: what to train.
            seeds: how many; they are 0, 1, ...
            seconds: of each run.
        """
        known = read_json(self.step_times)
        found = []
        for seed in range(seeds):
            for each in chosen:
                if "yardstick" in known and self._is_timed(known, each):
                    entry = known["contestants"][each.name]
                    taken = known["yardstick"] * ratio(entry["turns"], entry["baseline"])
                    found.append(self._run(each, seed, seconds, taken))
        return found

    def _run(self, contestant: Contestant, seed: int, seconds: float, step_seconds: float) -> Run:
        times = [time for time in self.scored_at if time < seconds] + [seconds]
        moments = tuple(Moment(time, max(1, round(time / step_seconds))) for time in times)
        command = self.command(contestant)
        if contestant.schedule:
            command += [contestant.schedule, str(moments[-1].steps)]
        command += ["--seed", str(seed)]
        return Run(contestant, seed, command, step_seconds, moments, self.folder)

    def _is_timed(self, known: dict[str, Any], contestant: Contestant) -> bool:
        """Whether it was timed with the options it has now."""
        entry = known.get("contestants", {}).get(contestant.name, {})
        return entry.get("command") == self.command(contestant)

    def _timed(self, contestants: Sequence[Contestant], turns: int) -> dict[str, Any]:
        arguments = {
            "commands": {each.name: self.command(each) for each in contestants},
            "turns": turns,
            "turn_seconds": self.turn_seconds,
            "clock": self.clock,
        }
        return timed_elsewhere(
            ["steps", json.dumps(arguments)],
            self.folder / "logs" / "timing.log",
            first_cores(self.cores, "--cores"),
        )
