"""Work shared out to processes: results in order, deaths survived, this process where need be."""

from utils.common import processes
from utils.common.processes import ordered_map


def test_results_come_in_order_and_a_death_costs_one_of_them():
    drawn = []

    def items():
        for number in range(100):
            drawn.append(number)
            yield "__import__('os')._exit(1)" if number == 9 else f"{number} ** 2"

    results = ordered_map(eval, items(), 2, died=len)
    for number, result in enumerate(results):
        assert result == (25 if number == 9 else number**2)
        assert len(drawn) <= number + 2 * processes.AHEAD * processes.CHUNK
        if number == 20:
            results.close()


def test_where_no_process_can_be_started_this_one_works(monkeypatch):
    def no_pool(*arguments):
        raise OSError("no semaphores here")

    monkeypatch.setattr(processes, "ProcessPoolExecutor", no_pool)
    assert list(ordered_map(abs, [-1, 2, -3], 2, died=len)) == [1, 2, 3]
