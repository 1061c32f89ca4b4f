"""How far a study is: bars on a terminal, elsewhere a line per minute."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from rich.progress import Progress, TaskID

from ..files.messages import make_console

LINE_SECONDS = 60.0


class Lines(Progress):
    """Tasks without bars: a plain line on stderr after something is done, at most one every LINE_SECONDS."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(console=make_console(stderr=True), disable=True, auto_refresh=False, get_time=clock)
        self.clock = clock
        self.said = clock()

    def advance(self, task_id: TaskID, advance: float = 1) -> None:
        super().advance(task_id, advance)
        if (now := self.clock()) - self.said < LINE_SECONDS:
            return
        self.said = now
        task: Any = next(one for one in self.tasks if one.id == task_id)
        left = ""
        if task.total is not None and task.completed:
            seconds = (now - (now if task.start_time is None else task.start_time)) * (task.total - task.completed) / task.completed
            left = f" of {task.total:.0f}, {timedelta(seconds=round(seconds))} left"
        print(f"seediff: {task.description}: {task.completed:.0f}{left}", file=sys.stderr, flush=True)


def study_progress() -> Progress:
    """To be entered as a block: what the tasks of a study are added to."""
    return Progress(console=make_console(stderr=True), transient=True) if sys.stderr.isatty() else Lines()
