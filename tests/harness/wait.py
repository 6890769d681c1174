"""The one place outside the pure crates that waits: for a condition, with a deadline."""

import time


def until(condition, what, timeout=15.0, step=0.05):
    """Returns the first true value of `condition()`; fails with `what` after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= deadline:
            raise AssertionError(f"waited {timeout} s for {what}")
        time.sleep(step)
