"""Start programs, wait for things: the two verbs that every harness here is made of."""

import subprocess  # noqa: TID251 - a harness starts programs; the product's door is apply/process.py
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

POLL_SECONDS = 0.05


def run(
    command: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: str = "",
    timeout: float = 120,
) -> str:
    """Run a program to its end and return what it wrote to stdout.

    Raises:
        RuntimeError: it ended with another status than 0; the message carries its stderr.
    """
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=env,
        input=stdin,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=timeout,
        check=False,
    )
    if done.returncode != 0:
        line = " ".join(map(str, command))
        raise RuntimeError(f"{line}: exit status {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
    return done.stdout


def wait_until(what: str, probe: Callable[[], T | None], *, seconds: float = 30) -> T:
    """Ask ``probe`` again and again until it answers with something true, and return that.

    Raises:
        TimeoutError: it never did; the message says what was waited for.
    """
    deadline = time.monotonic() + seconds
    while True:
        if answer := probe():
            return answer
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds:g} s: {what}")
        time.sleep(POLL_SECONDS)
