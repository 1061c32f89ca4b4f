"""Runs a line of seediff in several processes of one group, as a launcher would:
`python several_processes.py COUNT train …`.

It is a separate process, which imports everything once and forks a child for each, before anything has used torch's
threads. `accelerate launch` is not used, because without GPUs it starts only one process, whatever number is requested.
"""

import os
import socket
import sys
import traceback

import accelerate
import torch

from seediff.cli.main import main
from seediff.train import models, run

PRELOADED = (accelerate, models, run)


def child(rank, count, port, line):
    process = os.fork()
    if process == 0:
        torch.set_num_threads(1)
        os.environ |= {
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "WORLD_SIZE": str(count),
            "LOCAL_WORLD_SIZE": str(count),
        }
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "ACCELERATE_USE_CPU": "true"}
        code = 70
        try:
            code = main(line)
            torch.distributed.destroy_process_group()
        except BaseException:
            traceback.print_exc()
        os._exit(code)
    return process


def start(count, line):
    """Run the line in `count` processes; returns their exit codes."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    processes = [child(rank, count, port, line) for rank in range(count)]
    return [os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) for process in processes]


if __name__ == "__main__":
    print(*start(int(sys.argv[1]), sys.argv[2:]))
