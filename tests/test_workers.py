import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from patience import PATIENCE, wait_until
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


KILLED = """
import os, signal
from seediff.workers import in_order

def process(number):
    return os.getpid()

if __name__ == "__main__":
    with in_order(process, 2) as work:
        for found in work(range(20)):
            print(found, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
"""


def runs(process):
    """Not one that has ended and whose end nobody has asked about: in some containers nobody does."""
    try:
        return Path("/proc", process, "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc")
def test_workers_end_with_a_process_that_is_killed(tmp_path):
    (tmp_path / "killed.py").write_text(KILLED)
    done = subprocess.run([sys.executable, tmp_path / "killed.py"], capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == -signal.SIGKILL
    workers = set(done.stdout.split())
    assert workers
    wait_until(lambda: not any(map(runs, workers)))
