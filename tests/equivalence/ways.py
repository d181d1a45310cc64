"""The two ways of a program: by the plain shell, and by nodeagent's own :func:`nodeagent.reconcile.apply_directory`."""

import contextlib
import io
import os
import select
import signal
import subprocess  # noqa: TID251 - a harness starts programs; the product's door is apply/process.py
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.equivalence.root import LOGGED, REPOSITORY, SCRIPT, Tree

_TIME_LIMIT = 25.0
ENVIRONMENT = {
    "HOME": "/root",
    "USER": "root",
    "LOGNAME": "root",
    "SHELL": "/bin/sh",
    "PATH": f"/stubs:{REPOSITORY}/postscripts:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
    "LC_ALL": "C.UTF-8",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """What one run left. ``steps`` are (file, line, phase, change, path) as the agent told them."""

    status: int
    output: list[str]
    tree: Tree
    steps: list[tuple[str, int, str, str, str | None]] = field(default_factory=list)
    whole: str = ""  # why the agent ran it as one step


def end_the_rest() -> None:
    """End what the program has left running; this process is the first of its namespace."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(-1, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        while True:
            os.waitpid(-1, 0)


def plain(args: Sequence[str], environment: Mapping[str, str] = ENVIRONMENT) -> Left:
    """Run post.sh as the old bootstrap does: by the shell that it names, from its directory."""
    with open(SCRIPT, "rb") as file:
        first = file.readline().removesuffix(b"\n").split(b" ")
    known = first[0].startswith(b"#!/") and os.path.exists(first[0][2:])
    argv = [SCRIPT, *args] if known else ["/bin/sh", SCRIPT, *args]
    read, write = os.pipe()
    process = subprocess.Popen(
        argv,
        cwd=REPOSITORY,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=write,
        stderr=write,
        umask=0o022,
        process_group=0,  # as a login shell's jobs have
    )
    os.close(write)
    os.set_blocking(read, False)
    descriptor = os.pidfd_open(process.pid)
    output = io.BytesIO()

    def drain() -> bool:
        with contextlib.suppress(BlockingIOError):
            while data := os.read(read, 65536):
                output.write(data)
            return False
        return True

    waited = [descriptor, read]
    while True:
        ready, _, _ = select.select(waited, [], [], _TIME_LIMIT)
        if not ready:
            raise TimeoutError("the plain shell did not come to an end")
        if read in ready and not drain():
            waited.remove(read)
        if descriptor in ready:
            break
    drain()
    os.close(read)
    os.close(descriptor)
    code = process.wait()
    text = output.getvalue().decode(errors="backslashreplace")
    lines = text.removesuffix("\n").split("\n") if text else []
    return Left(status=128 - code if code < 0 else code, output=lines, tree={})


def apply(
    repository: Path,
    args: Sequence[str],
    *,
    state: Path = Path("/agent/state"),
    runtime: Path = Path("/agent/run"),
    run_steps: bool = True,
    force: bool = False,
) -> Left:
    from nodeagent import reconcile
    from nodeagent.evaluation import Settings
    from nodeagent.model.events import Event, Notice, StepLogged, StepOutput
    from nodeagent.situation import Wishes

    lines: list[str] = []
    whole: list[str] = []

    class Recorder:
        def report(self, event: Event) -> None:
            match event:
                case StepOutput():
                    lines.append(event.text)
                case StepLogged():
                    with open(LOGGED, "a") as file:
                        file.write(f"{event.tag}: {event.text}\n")
                case Notice():
                    whole.append(event.text)
                case _:
                    pass

    settings = Settings(
        args=list(args),
        environment=ENVIRONMENT,
        step_timeout=_TIME_LIMIT,
        evaluation_timeout=_TIME_LIMIT,
        state=state,
        runtime=runtime,
    )
    done = reconcile.apply_directory(
        repository, settings, Wishes(requested=True, run_steps=run_steps, force=force), threading.Event(), Recorder()
    )
    steps = [(step.file, step.line, str(step.phase), str(step.change), step.path) for step in done.steps]
    return Left(status=done.exit_status, output=lines, tree={}, steps=steps, whole=" ".join(whole))
