"""--hosts: who joins, who does not, and what is said of it. (A training: test_several.py.)"""

from __future__ import annotations

import errno
import queue
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import dcgan
from tests.conftest import TINY
from utils import backend
from utils.common.errors import RunError, UserError
from utils.data.order import BatchOrder
from utils.hosts import channel, hello_of
from utils.hosts import first as first_module
from utils.hosts import follower as follower_module
from utils.hosts.first import First, LostProcessError
from utils.hosts.follower import Follower
from utils.hosts.place import FORM, Place, place_of
from utils.training import trainer
from utils.training.arguments import options_like, parse_command_line
from utils.training.feed import StreamedFeed
from utils.training.waiting import Waiting

VERSIONS = {"jax": "0.10.2", "script": "dcgan.py"}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def at(number: int, port: int, count: int = 2) -> Place:
    return Place("127.0.0.1", port, count, number)


def hello(number: int, count: int = 2, **versions: str) -> dict[str, Any]:
    return hello_of(at(number, 1, count), VERSIONS | versions, 8 * 10**9)


@contextmanager
def gathering(count: int = 2, patience: float = 20.0) -> Iterator[tuple[First, Callable[[], str]]]:
    """The first process, gathering in a thread; what that has raised."""
    first, problem = First(at(0, free_port(), count), patience), []

    def gather() -> None:
        try:
            first.gather(hello(0, count))
        except UserError as error:
            problem.append(str(error))

    thread = threading.Thread(target=gather)
    thread.start()

    def outcome() -> str:
        thread.join(20)
        assert not thread.is_alive()
        return "".join(problem)

    try:
        yield first, outcome
    finally:
        first.close()


def come(first: First, number: int, count: int = 2, **versions: str) -> Follower:
    follower = Follower(at(number, first.place.port, count), 20)
    follower.greet(hello(number, count, **versions))
    return follower


@pytest.fixture
def pair() -> Iterator[tuple[First, Follower]]:
    with gathering() as (first, outcome):
        follower = come(first, 1)
        assert outcome() == ""
        yield first, follower
        first.end()
        follower.close()


@pytest.mark.parametrize(
    ("option", "environment", "expected"),
    [
        ("10.0.0.1:7000,2,1", {}, Place("10.0.0.1", 7000, 2, 1)),
        ("[::1]:7000,3,0", {}, Place("::1", 7000, 3, 0)),
        ("", {}, None),
        (
            "",
            {
                "KERAS_DISTRIBUTION_JOB_ADDRESSES": "one:7000,two:7000",
                "KERAS_DISTRIBUTION_PROCESS_ID": "1",
            },
            Place("one", 7000, 2, 1),
        ),
        (
            "auto",
            {
                "SLURM_PROCID": "3", "SLURM_NTASKS": "8", "SLURM_JOB_ID": "4099",
                "SLURM_STEP_NODELIST": "gpu-[007-008,012],other",
            },
            Place("gpu-007", 61443, 8, 3, is_managed=True),
        ),
        (
            "auto",
            {"SLURM_PROCID": "0", "SLURM_NTASKS": "1", "SLURM_STEP_NODELIST": "n1"},
            None,
        ),
        (
            "auto",
            {
                "OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "2",
                "OMPI_MCA_orte_hnp_uri": "1531576320.0;tcp://10.96.0.1,10.148.0.1:34911",
            },
            Place("10.96.0.1", 61440 + 1531576 % 4096, 2, 1, is_managed=True),
        ),
    ],
)  # fmt: skip
def test_places(option, environment, expected):
    assert place_of(option, environment) == expected


@pytest.mark.parametrize(
    ("option", "environment", "problem"),
    [
        ("10.0.0.1", {}, f"--hosts 10.0.0.1: expected {FORM}, or auto"),
        ("10.0.0.1,2,0", {}, f"--hosts 10.0.0.1,2,0: expected {FORM}, or auto"),
        ("10.0.0.1:7000,2,-1", {}, f"--hosts 10.0.0.1:7000,2,-1: expected {FORM}, or auto"),
        ("a:70000,2,0", {}, "--hosts a:70000,2,0: port 70000; expected 1 to 65535"),
        ("a:7000,2,2", {}, "--hosts a:7000,2,2: process 2 of 2; expected 0 to 1"),
        ("a:7000,1,0", {}, "--hosts a:7000,1,0: 1 process; expected 2 or more, or no --hosts"),
        (
            "auto",
            {},
            f"--hosts auto: neither SLURM nor Open MPI has started this process; expected {FORM}",
        ),
        (
            "auto",
            {"OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "2"},
            "--hosts auto: the scheduler does not say where process 0 is; expected "
            "JAX_COORDINATOR_ADDRESS=ADDRESS:PORT in the environment",
        ),
        (
            "",
            {"KERAS_DISTRIBUTION_NUM_PROCESSES": "2"},
            "KERAS_DISTRIBUTION_JOB_ADDRESSES= KERAS_DISTRIBUTION_NUM_PROCESSES=2 "
            "KERAS_DISTRIBUTION_PROCESS_ID=: expected ADDRESS:PORT, how many, and which of them",
        ),
        (
            "",
            {
                "KERAS_DISTRIBUTION_JOB_ADDRESSES": "a:1,b:1",
                "KERAS_DISTRIBUTION_NUM_PROCESSES": "3",
                "KERAS_DISTRIBUTION_PROCESS_ID": "0",
            },
            "KERAS_DISTRIBUTION_JOB_ADDRESSES=a:1,b:1 KERAS_DISTRIBUTION_NUM_PROCESSES=3 "
            "KERAS_DISTRIBUTION_PROCESS_ID=0: 2 addresses; expected 3",
        ),
    ],
)
def test_places_that_cannot_be(option, environment, problem):
    with pytest.raises(UserError) as refused:
        place_of(option, environment)
    assert str(refused.value) == problem


def test_a_name_that_nobody_knows_and_every_address():
    with pytest.raises(UserError, match=r"^--hosts no\.such\.invalid:7000: no such address \("):
        First(Place("no.such.invalid", 7000, 2, 0), 1)
    with pytest.raises(UserError) as refused:
        First(Place("10.0.0..1", 7000, 2, 0), 1)
    assert str(refused.value) == (
        f"--hosts 10.0.0..1:7000: no such address (no name of a machine); expected {FORM}"
    )
    with pytest.raises(UserError) as refused:
        First(Place("0.0.0.0", 7000, 2, 0), 1)
    assert str(refused.value) == (
        "--hosts 0.0.0.0:7000: stands for every address of this machine; expected the one that the "
        "others reach it at"
    )


def test_other_backends_and_one_device():
    for name, devices, problem in (
        ("tensorflow", "all", "tensorflow trains in one process here; set KERAS_BACKEND=jax, or "
         "leave out --hosts (and KERAS_DISTRIBUTION_JOB_ADDRESSES)"),
        ("jax", "one", "--devices one; expected --devices all"),
    ):  # fmt: skip
        with pytest.raises(UserError) as refused:
            at(0, 7000).check(name, devices)
        assert str(refused.value) == f"--hosts 127.0.0.1:7000: {problem}"


@pytest.mark.parametrize("number", [0, 1])
def test_hosts_under_tensorflow(number, place, capsys, monkeypatch):
    monkeypatch.setattr(
        "sys.argv", ["dcgan.py", "--devices", "all", "--hosts", f"127.0.0.1:7000,2,{number}"]
    )
    with pytest.raises(SystemExit) as stopped:
        dcgan.main()
    assert stopped.value.code == 2
    assert capsys.readouterr().err == (
        "dcgan.py: error: --hosts 127.0.0.1:7000: tensorflow trains in one process here; set "
        "KERAS_BACKEND=jax, or leave out --hosts (and KERAS_DISTRIBUTION_JOB_ADDRESSES)\n"
    )
    assert not list(place.iterdir())


def test_a_machine_whose_name_is_its_own_loopback(monkeypatch):
    monkeypatch.setattr(socket, "gethostname", lambda: "desk")
    monkeypatch.setattr(socket, "gethostbyname", lambda name: "127.0.1.1")
    at(0, 7000).check_name()  # among processes of one machine it is right
    with pytest.raises(UserError) as refused:
        Place("10.0.0.1", 7000, 2, 0).check_name()
    assert str(refused.value) == (
        "--hosts 10.0.0.1:7000: this machine's name, desk, stands for 127.0.1.1, where no other "
        "machine reaches it; expected its own address in /etc/hosts"
    )


def test_a_port_that_is_taken_and_an_address_of_another_machine(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(UserError) as refused:
            First(at(0, port), 1)
    assert str(refused.value) == (
        f"--hosts 127.0.0.1:{port}: the port is taken; expected a free one, and a single process 0"
    )

    def elsewhere(*_: object, **__: object) -> None:
        raise OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address")

    monkeypatch.setattr(socket, "create_server", elsewhere)
    with pytest.raises(UserError) as refused:
        First(Place("10.0.0.1", 7000, 2, 0), 1)
    assert str(refused.value) == (
        "--hosts 10.0.0.1:7000: is no address of this machine; expected that of process 0, which "
        "this one is"
    )


def test_the_first_listens_at_its_address_alone():
    with gathering() as (first, _):
        assert first._server.getsockname()[0] == "127.0.0.1"


def test_a_process_that_does_not_come(monkeypatch, capsys):
    monkeypatch.setattr(first_module, "REMINDER", 0.2)
    with gathering(count=4, patience=0.3) as (first, outcome):
        come(first, 2, count=4)
        assert outcome() == (
            f"--hosts 127.0.0.1:{first.place.port}: of 4 processes, 1, 3 did not come within 0 s"
        )
    waiting = f"still waiting at 127.0.0.1:{first.place.port} for 1, 3\n"
    assert waiting in capsys.readouterr().out


def test_a_first_process_that_is_not_there(monkeypatch, capsys):
    monkeypatch.setattr(follower_module, "REMINDER", 1e-3)
    port = free_port()
    with pytest.raises(UserError) as refused:
        Follower(at(1, port), 0.4)
    waiting = f"still waiting for process 0 at 127.0.0.1:{port} (Connection refused)\n"
    assert capsys.readouterr().out.endswith(waiting)
    assert str(refused.value) == (
        f"--hosts 127.0.0.1:{port}: no process 0 answers there for 0 s (Connection refused); "
        "expected it at that address, which this machine can reach"
    )


@pytest.mark.parametrize(
    ("number", "count", "versions", "problem"),
    [
        (
            1, 3, {},
            "--hosts: process 1 (127.0.0.1) expects 3 processes, process 0 expects 2; expected the "
            "same number",
        ),
        (
            0, 2, {},
            "--hosts: two processes have number 0 (here and 127.0.0.1); expected each from 0 to 1 "
            "once",
        ),
        (
            1, 2, {"jax": "0.9.0\x1b"},
            "--hosts: process 1 (127.0.0.1) has jax 0.9.0?, process 0 has 0.10.2; expected the "
            "same everywhere",
        ),
        (
            1, 2, {"script": "wgan.py"},
            "--hosts: process 1 (127.0.0.1) has script wgan.py, process 0 has dcgan.py; expected "
            "the same everywhere",
        ),
    ],
)  # fmt: skip
def test_processes_that_do_not_fit(number, count, versions, problem):
    with gathering() as (first, outcome):
        follower = come(first, number, count, **versions)
        with pytest.raises(UserError) as refused:
            follower.follow()
        assert str(refused.value).replace("\x1b", "?") == f"process 0: {problem}"
        assert outcome() == problem


def test_a_process_that_comes_when_all_are_there(pair):
    first, _ = pair
    with pytest.raises(UserError) as refused:
        come(first, 1).follow()
    assert str(refused.value) == (
        "process 0: --hosts: two processes have number 1 (127.0.0.1 and 127.0.0.1); expected each "
        "from 0 to 1 once"
    )
    assert not first.lost


def test_something_else_that_listens_there(monkeypatch):
    monkeypatch.setattr(follower_module, "REMINDER", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        follower = Follower(at(1, port), 20)
        follower.greet(hello(1))
        with pytest.raises(UserError, match=rf"^process 0: 127\.0\.0\.1:{port} says nothing for"):
            follower.follow()
        follower.close()


def test_a_connection_to_itself_is_none(monkeypatch):
    def itself(*_: object) -> socket.socket:
        connection = socket.socket()
        connection.bind(("127.0.0.1", 0))
        connection.connect(connection.getsockname())
        return connection

    monkeypatch.setattr(socket, "create_connection", itself)
    with pytest.raises(UserError, match=r": no process 0 answers there .*\(Connection refused\)"):
        Follower(at(1, 7000), 0.1)


def test_the_same_number_twice():
    with gathering(count=3) as (first, outcome):
        come(first, 1, count=3)
        come(first, 1, count=3)
        assert outcome() == (
            "--hosts: two processes have number 1 (127.0.0.1 and 127.0.0.1); expected each from 0 "
            "to 2 once"
        )


@pytest.mark.parametrize(
    "said",
    [
        b"GET / HTTP/1.1\r\n", b"[]\n", b'{"number": 1}\n', b"1" * 2**17, b"",
        b'{"number": 1e999, "count": 2, "memory": 1}\n', b'{"arrays": [["f4,(", [1]]]}\n',
    ],
)  # fmt: skip
def test_strangers_are_sent_away(said):
    with gathering() as (first, outcome):
        stranger = socket.create_connection(("127.0.0.1", first.place.port))
        with suppress(OSError):  # it is sent away in the middle of the word
            stranger.sendall(said)
            stranger.shutdown(socket.SHUT_WR)
        come(first, 1)
        assert outcome() == ""
        stranger.settimeout(20)
        with suppress(ConnectionError):
            assert stranger.recv(1) == b""
        stranger.close()


def test_a_stranger_who_says_nothing_keeps_nobody_waiting():
    with (
        gathering() as (first, outcome),
        socket.create_connection(("127.0.0.1", first.place.port)),
    ):
        come(first, 1)
        assert outcome() == ""


def test_calls_reach_the_others_and_answers_come_back(pair):
    first, follower = pair
    calls = []
    follower.functions["add"] = lambda number, *arrays: calls.append((number, arrays))
    follower.functions["digest"] = lambda: "abc"
    first.tell("add", 3, arrays=[np.eye(2, dtype=np.float32), np.uint8(7)])
    first.tell("digest", answer=True)
    first.end()
    assert follower.follow() == []
    ((number, (matrix, seven)),) = calls
    assert number == 3
    np.testing.assert_array_equal(matrix, np.eye(2))
    assert (matrix.dtype, seven.dtype, seven.shape) == ("f4", "u1", ())
    assert first._answers[1].get(timeout=20) == ["abc"]


def test_memory_is_the_least_of_all_machines_and_shared_out(pair):
    first, _ = pair
    assert first.memory == 4 * 10**9  # two processes on one machine


def test_a_process_that_is_gone(pair, monkeypatch):
    monkeypatch.setattr(first_module, "GRACE", 1e6)
    first, follower = pair
    follower.close()
    assert first.wait_for_loss(20)
    with pytest.raises(LostProcessError) as lost:
        first.ask("digest")
    assert str(lost.value) == "process 1 (127.0.0.1) is gone"


def test_a_device_that_does_not_notice_the_loss(pair, monkeypatch):
    said: queue.Queue[tuple[str, int]] = queue.Queue()
    monkeypatch.setattr(first_module, "GRACE", 0.0)
    monkeypatch.setattr(first_module, "leave_now", lambda *words: said.put(words))
    first, follower = pair
    first.ending = lambda: "; the checkpoint of step 3 is intact"
    follower.close()
    assert said.get(timeout=20) == (
        "error: process 1 (127.0.0.1) is gone; the checkpoint of step 3 is intact", 1
    )  # fmt: skip


def test_a_process_that_fails_says_why(pair, monkeypatch):
    monkeypatch.setattr(first_module, "GRACE", 1e6)
    first, follower = pair
    follower.fail("--data d.h5: is damaged", 2)
    assert first.wait_for_loss(20)
    assert (first.lost, first.code) == ("process 1 (127.0.0.1): --data d.h5: is damaged", 2)


def test_the_first_leaves_when_the_others_have(pair):
    first, follower = pair
    follower.fail("--data d.h5: is damaged", 2)
    first.end("the same", 2)
    first.wait_for_others(0)
    (listener,) = first._listeners
    assert listener.is_alive()  # process 1 still has a line to print
    follower.close()
    first.wait_for_others(20)
    assert not listener.is_alive()


def test_a_first_process_that_fails_or_is_gone(pair):
    first, follower = pair
    first.end("became nan", 1)
    with pytest.raises(RunError, match=r"^process 0: became nan$"):
        follower.follow()
    with gathering() as (first, outcome):
        follower = come(first, 1)
        assert outcome() == ""
        first.close()
        with pytest.raises(RunError, match=r"^process 0: 127\.0\.0\.1:\d+ is gone$"):
            follower.follow()


def test_a_request_to_stop_reaches_the_first(pair):
    first, follower = pair
    heard = threading.Event()
    first.on_stop = lambda name: heard.set()
    follower.stop("SIGTERM")
    assert heard.wait(20)
    assert first.stopped == "SIGTERM on process 1"


@pytest.mark.parametrize("number", [errno.ETIMEDOUT, errno.ECONNRESET, errno.EHOSTUNREACH])
@pytest.mark.parametrize("line", ["", '{"call": "x", "arrays": [["<f4", [2]]]}\n'])
def test_a_connection_that_the_system_gives_up_has_ended(line, number):
    def give_up(size: int) -> bytes:
        raise OSError(number, "given up")  # ETIMEDOUT makes it a TimeoutError

    channel_ = channel.Channel(socket_pair()[0])
    channel_._file = SimpleNamespace(
        readline=(lambda size: line.encode()) if line else give_up, read=give_up
    )
    with pytest.raises(EOFError, match="given up"):
        channel_.receive(most_bytes=2**20)


def test_a_message_that_does_not_come_in_time():
    ends = socket_pair()
    ends[0].settimeout(0.01)
    with pytest.raises(TimeoutError):
        channel.Channel(ends[0]).receive()


@pytest.mark.parametrize("head", [["|O", [1]], ["<f4", [-1]], ["<f4", [2**40]], ["<f4", "x"], [1]])
def test_arrays_that_are_none_are_refused(head):
    one, other = map(channel.Channel, socket_pair())
    one.send({"call": "x", "arrays": [head]})
    with pytest.raises(ValueError, match="no message of a training"):
        other.receive(most_bytes=2**20)
    one.close()
    other.close()


def socket_pair() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        one = socket.create_connection(server.getsockname())
        return one, server.accept()[0]


class Recorded:
    """Pictures on a disk, of which it is noted which are read."""

    image_size = 2
    images = SimpleNamespace(bytes_ahead=1, picture_bytes=1)

    def __init__(self) -> None:
        self.read: list[list[int]] = []

    def __len__(self) -> int:
        return 20

    def take(self, indices: np.ndarray) -> np.ndarray:
        self.read.append(indices.tolist())
        return np.zeros((len(indices), 2, 2, 3), np.uint8) + indices[:, None, None, None]


def test_each_process_reads_its_share_of_every_batch(monkeypatch):
    monkeypatch.setattr(backend, "batch_share", lambda size: np.arange(size // 2, size))
    dataset, order = Recorded(), BatchOrder(20, seed=0)
    feed = StreamedFeed(dataset, order, length=8, batch_size=4, waiting=Waiting("data"))
    (found,) = feed.inputs(0)
    feed.close()
    mine = order.indices(0, 8).reshape(2, 4)[:, 2:]
    np.testing.assert_array_equal(found[..., 0, 0, 0], mine)
    assert dataset.read[0] == mine.ravel().tolist()


def test_other_options_than_the_first_process_has():
    there = dcgan.Hyperparameters(batch_size=8, data="here.h5", run_name="dcgan-1")
    own = options_like(there, "", ["--data", "there.h5", "--batch-size", "8"])
    assert (own.data, own.run_name) == ("there.h5", "dcgan-1")
    with pytest.raises(UserError) as refused:
        options_like(there, "", ["--batch-size", "16"])
    assert str(refused.value) == (
        "--batch-size 16: process 0 has 8; expected the same on every process"
    )


def test_a_process_that_follows_has_no_run_of_its_own():
    arguments = ["--resume", "not here", "--hosts", "127.0.0.1:7000,2,1"]
    h, config = parse_command_line(dcgan.Hyperparameters, "", arguments)
    assert (h.resume, config) == ("not here", None)


def test_other_weights_in_another_process(place, data_file, monkeypatch, capsys):
    monkeypatch.setattr(trainer, "answers", lambda name, function: lambda: {1: "another digest"})
    arguments = ["dcgan.py", *TINY, "--data", str(data_file), "--run-name", "a"]
    monkeypatch.setattr("sys.argv", arguments)
    with pytest.raises(SystemExit) as stopped:
        dcgan.main()
    assert stopped.value.code == 1
    assert capsys.readouterr().err.splitlines()[-1] == (
        "dcgan.py: error: process 1 has other weights than process 0 at step 0: the memory of a "
        "machine, or the network between them, is not reliable; nothing was saved yet; go on "
        "with: python dcgan.py --resume a"
    )
