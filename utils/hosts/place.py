"""Which process of how many this one is, and where the first of them listens."""

from __future__ import annotations

import contextlib
import ipaddress
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass

from utils.common.errors import UserError

REMINDER = 30.0
"""Seconds after which a process says again what it waits for."""
FORM = "ADDRESS:PORT,NUMBER,THIS, such as 10.0.0.1:7000,2,0"


@dataclass(frozen=True)
class Place:
    """One process among several."""

    address: str
    """Of the first process: a name or a number."""
    port: int
    """On which it listens."""
    count: int
    """Processes of the training, at least 2."""
    number: int
    """Of this one, from 0."""
    is_managed: bool = False
    """Whether a scheduler has started it, which may have started others on the same machine."""

    def __str__(self) -> str:
        address = f"[{self.address}]" if ":" in self.address else self.address
        return f"{address}:{self.port}"

    def numeric(self) -> str:
        """The address as a number.

        Raises:
            UserError: nobody knows the name, or it stands for every address of a machine.
        """
        try:
            found = socket.getaddrinfo(self.address, self.port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            reason = getattr(error, "strerror", None) or "no name of a machine"
            raise UserError(
                f"--hosts {self}: no such address ({reason}); expected {FORM}"
            ) from None
        number = str(found[0][4][0])
        if ipaddress.ip_address(number.partition("%")[0]).is_unspecified:
            raise UserError(
                f"--hosts {self}: stands for every address of this machine; expected the one that "
                "the others reach it at"
            )
        return number

    def check(self, backend: str, devices: str) -> None:
        """Raise UserError where several processes cannot train together.

        Args:
            backend: of Keras.
            devices: ``one`` or ``all``.
        """
        if backend != "jax":
            raise UserError(
                f"--hosts {self}: {backend} trains in one process here; set KERAS_BACKEND=jax, or "
                "leave out --hosts (and KERAS_DISTRIBUTION_JOB_ADDRESSES)"
            )
        if devices != "all":
            raise UserError(f"--hosts {self}: --devices {devices}; expected --devices all")

    def check_name(self) -> None:
        """Raise UserError where CPUs of several machines would look for this one in vain.

        They connect to the address that a machine's own name stands for.
        """
        name = socket.gethostname()
        with contextlib.suppress(OSError, UnicodeError):
            own, first = map(ipaddress.ip_address, (socket.gethostbyname(name), self.numeric()))
            if own.is_loopback and not first.is_loopback:
                raise UserError(
                    f"--hosts {self}: this machine's name, {name}, stands for {own}, where no "
                    "other machine reaches it; expected its own address in /etc/hosts"
                )


def place_of(option: str, environment: Mapping[str, str]) -> Place | None:
    """The place of this process; None where it trains alone.

    Args:
        option: the value of ``--hosts``; an empty one leaves it to Keras' variables.
        environment: variables of Keras, SLURM and Open MPI.

    Raises:
        UserError: it cannot be one, or the environment does not say it.
    """
    if option == "auto":
        return _scheduled(environment)
    if option:
        address, _, numbers = option.partition(",")
        return _place(f"--hosts {option}", address, *_two(numbers), f"expected {FORM}, or auto")
    names = [
        f"KERAS_DISTRIBUTION_{name}" for name in ("JOB_ADDRESSES", "NUM_PROCESSES", "PROCESS_ID")
    ]
    addresses, count, number = (environment.get(name, "") for name in names)
    if not (addresses or count or number):
        return None
    first, *others = addresses.split(",")
    shown = " ".join(f"{name}={environment.get(name, '')}" for name in names)
    if others and count not in ("", str(1 + len(others))):
        raise UserError(f"{shown}: {1 + len(others)} addresses; expected {count}")
    count = count or str(1 + len(others))
    return _place(shown, first, count, number, "expected ADDRESS:PORT, how many, and which of them")


def _two(words: str) -> tuple[str, str]:
    first, _, second = words.partition(",")
    return first, second


def _place(
    shown: str, where: str, count: str, number: str, expected: str, is_managed: bool = False
) -> Place | None:
    found = re.fullmatch(r"(?:\[([^\]\s]+)\]|([^:\s]+)):(\d{1,5})", where)
    if not found or not re.fullmatch(r"\d{1,6}", count) or not re.fullmatch(r"\d{1,6}", number):
        raise UserError(f"{shown}: {expected}")
    place = Place(found[1] or found[2], int(found[3]), int(count), int(number), is_managed)
    if not 0 < place.port < 65536:
        raise UserError(f"{shown}: port {place.port}; expected 1 to 65535")
    if place.number >= max(1, place.count):
        raise UserError(
            f"{shown}: process {place.number} of {place.count}; expected 0 to {place.count - 1}"
        )
    if place.count < 2 and not is_managed:
        raise UserError(f"{shown}: {place.count} process; expected 2 or more, or no --hosts")
    return place if place.count > 1 else None


def _scheduled(environment: Mapping[str, str]) -> Place | None:
    """The place that SLURM or Open MPI says; the port follows from the job's number."""
    if "SLURM_PROCID" in environment:
        nodes = environment.get("SLURM_STEP_NODELIST") or environment.get("SLURM_JOB_NODELIST", "")
        # node01,node02 or node[01-04,07],other
        name = re.match(r"([^,\[]*)(?:\[(\d+)[^\]]*\])?([^,\[]*)", nodes)
        address, job = "".join(filter(None, name.groups())), environment.get("SLURM_JOB_ID", "")
        count, number = (environment.get(f"SLURM_{name}", "") for name in ("NTASKS", "PROCID"))
    elif "OMPI_COMM_WORLD_RANK" in environment:
        # 1531576320.0;tcp://10.96.0.1,10.148.0.1:34911
        launcher = environment.get("OMPI_MCA_orte_hnp_uri", "")
        found = re.search(r"tcp://([^,:]+)|tcp6://(\[[^,\]]+)", launcher)
        address = (found[1] or f"{found[2]}]") if found else ""
        job = launcher.partition(".")[0][:-3]  # which ends in the number of the launcher
        count, number = (
            environment.get(f"OMPI_COMM_WORLD_{name}", "") for name in ("SIZE", "RANK")
        )
    else:
        raise UserError(
            f"--hosts auto: neither SLURM nor Open MPI has started this process; expected {FORM}"
        )
    port = 61440 + (int(job) if job.isdecimal() else 0) % 4096
    address = environment.get("JAX_COORDINATOR_ADDRESS") or f"{address}:{port}"
    return _place(
        "--hosts auto", address, count, number,
        "the scheduler does not say where process 0 is; expected JAX_COORDINATOR_ADDRESS="
        "ADDRESS:PORT in the environment", is_managed=True,
    )  # fmt: skip
