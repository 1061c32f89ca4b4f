import os
import time

import pytest
from refusals import user_error

from seediff.errors import UserError
from seediff.workers import AHEAD, in_order


def slow_if_even(number):
    time.sleep(0.03 * (number % 2 == 0))
    if number == 70:
        raise UserError("70 is not to be had")
    return number, os.getpid()


@pytest.mark.parametrize(("workers", "chunk"), [(1, 1), (2, 3)])
def test_results_come_in_order_and_errors_too(workers, chunk):
    taken, got = [], []

    def arguments():
        for number in range(40):
            taken.append(number)
            yield number

    with user_error("70 is not to be had"), in_order(slow_if_even, workers, chunk=chunk) as work:
        results = iter(work(arguments()))
        got.append(next(results))
        assert len(taken) == (1 if workers == 1 else min(40, workers * chunk * AHEAD))
        got.extend(results)
        assert list(work([])) == []
        got.extend(work(range(67, 99)))
    assert [number for number, _ in got] == [*range(40), 67, 68, 69]
    assert (os.getpid() in {process for _, process in got}) == (workers == 1)


def test_a_worker_that_dies_is_told():
    with user_error("a worker process ended unexpectedly"), in_order(os._exit, 2) as work:
        list(work(range(9)))
    with user_error("workers: 0 must be at least 1"), in_order(os._exit, 0):
        pass
