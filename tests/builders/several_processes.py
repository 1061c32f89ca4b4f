"""Run a line of seediff in several processes that know of each other: `python several_processes.py COUNT train …`, as a launcher would.

A process of its own, which imports everything once and forks a child for each: nothing has used torch's threads before a fork.
`accelerate launch` is not used: without GPUs it starts one process, however many it is asked for.
"""

import os
import socket
import sys
import traceback

import accelerate
import torch

from seediff.cli import main
from seediff.train import models, run

PRELOADED = (accelerate, models, run)


def child(rank: int, count: int, port: int, line: list[str]) -> int:
    process = os.fork()
    if process == 0:
        torch.set_num_threads(1)
        os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count)}
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "ACCELERATE_USE_CPU": "true"}
        code = 70
        try:
            code = main(line)
            torch.distributed.destroy_process_group()
        except BaseException:
            traceback.print_exc()
        os._exit(code)
    return process


def start(count: int, line: list[str]) -> list[int]:
    """The exit codes of all processes."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    processes = [child(rank, count, port, line) for rank in range(count)]
    return [os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) for process in processes]


if __name__ == "__main__":
    print(*start(int(sys.argv[1]), sys.argv[2:]))
