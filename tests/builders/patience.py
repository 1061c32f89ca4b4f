"""Waiting on a busy machine: as long as it takes, up to a limit that only stops tests that hang."""

import time

from hypothesis import HealthCheck, settings

PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""Settings of hypothesis: an example, and drawing it, may take any time."""
PATIENCE = 240.0
"""Seconds to wait at most."""


def wait_until(happened):
    end = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < end, f"not within {PATIENCE:.0f} s"
        time.sleep(0.01)
