"""Do a job inside: a process of one's own forks the first process of a sandbox, hears it, and sees what it left."""

import contextlib
import errno
import functools
import os
import selectors
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nodeagent.errors import PlanBrokenOff, SandboxUnavailable, by_code
from nodeagent.model.events import Reporter, StepOutput
from nodeagent.model.outcomes import Failure
from nodeagent.sandbox import crowd, kernel, root
from nodeagent.sandbox.kernel import Mount, Namespace
from nodeagent.sandbox.log import Log
from nodeagent.sandbox.root import Root
from nodeagent.workers import worker
from nodeagent.workers.stop import Stop
from nodeagent.workers.worker import Job, Worker

MEMORY = "25%"
"""Of the node's memory, what may be written inside; as tmpfs(5) takes it."""
_TICK = 0.1  # seconds between two counts of the processes
_ALL = Namespace.MOUNT | Namespace.PID | Namespace.IPC | Namespace.UTS | Namespace.NETWORK
_FIRST_TO_GO = 1000  # of oom_score_adj: rather the plan ends than a job of the node's


@dataclass(frozen=True, slots=True, kw_only=True)
class Enclosed:
    """What the job returned, and the root that it left, to be looked at by this process alone."""

    outcome: object
    root: Root


def run(
    job: Job,
    *,
    prepare: Callable[[Path], Mapping[Path, Path]],
    needed: Sequence[Path],
    reporter: Reporter,
    stop: Stop,
    time_limit: float,
) -> Enclosed:
    """Do a job inside; this process, a worker of its own, leaves the node's namespaces for good.

    Args:
        job: done by the first process inside, with the root as its ``/``. All that it started ends with it.
        prepare: fills directories below the path that it is given, and says for which ones of the node they stand.
        needed: what must be seen inside at its own place.
        reporter: hears what the job reports.
        stop: ends the job.
        time_limit: seconds.

    Raises:
        SandboxUnavailable: the kernel refuses a namespace or a mount.
        PlanBrokenOff: too many processes.
        NodeagentError: what the job raised, or WorkerFailed for one that came to no end of its own.
    """
    with crowd.limited():
        try:
            built = _build(prepare, needed)
        except OSError as error:
            raise SandboxUnavailable(f"a plan cannot be made on this node: {_why(error)}") from error
        log = _open_log(built)
        first = worker.start("sandbox", functools.partial(_inside, built, job), time_limit=time_limit)
        with contextlib.closing(log):
            _attend(first, log, reporter, stop)
    match first.outcome:
        case Failure() as failure:
            raise by_code(failure.code, failure.message)
        case outcome:
            return Enclosed(outcome=outcome, root=built)


def _why(error: OSError) -> str:
    """What the kernel refused, and what to do."""
    what = str(error.filename or "its sandbox").removeprefix(f"{root.BASE}/root") or "/"
    match error.errno:
        case errno.EPERM | errno.EACCES:
            advice = "run it on the node itself, as root with all capabilities, not in a container"
        case errno.ENODEV:
            advice = "the kernel has no overlayfs, or its module is not loaded: modprobe overlay"
        case errno.EINVAL | errno.ELOOP if what == "/":
            advice = "an overlay cannot stand on the file system of /: plan on a node where one can"
        case errno.ENOSPC:
            advice = "a limit is reached: look at sysctl user.max_mnt_namespaces and its like, and at the free memory"
        case errno.EROFS:
            advice = (
                "an apply could not write there either: name another directory (--state; [paths] in the configuration)"
            )
        case _:
            advice = "it needs root, namespaces, a tmpfs and overlayfs; the kernel's log may say more: dmesg"
    return f"{what}: {error.strerror}: {advice}"


def _build(prepare: Callable[[Path], Mapping[Path, Path]], needed: Sequence[Path]) -> Root:
    sockets = root.bound_sockets()
    kernel.unshare(_ALL)
    kernel.mount("none", "/", "", Mount.REC | Mount.PRIVATE)
    kernel.raise_loopback()
    os.umask(0o022)
    return root.build(needed, prepare(root.mount_memory(MEMORY)), sockets)


def _inside(built: Root, job: Job, reporter: Reporter, stop: Stop) -> object:
    # The kernel lets no process inside send its first one a signal that has no handler.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    Path("/proc/self/oom_score_adj").write_text(str(_FIRST_TO_GO))
    root.enter(built)
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    os.close(nothing)
    kernel.drop_privileges()
    return job(reporter, stop)


def _open_log(built: Root) -> Log:
    path = f"{built.path}/dev/log"
    log = Log(path)
    os.chmod(path, 0o666)
    return log


def _attend(first: Worker, log: Log, reporter: Reporter, stop: Stop) -> None:
    """Hear the first process to its end; end it when it is time, or when it has too many others."""
    crowded = False
    with selectors.DefaultSelector() as selector:
        selector.register(first, selectors.EVENT_READ)
        selector.register(log, selectors.EVENT_READ)
        while not first.done:
            selector.select(_TICK)
            if stop.is_set() or crowded:
                first.stop(0)
            if time.monotonic() >= first.deadline:
                first.expire()
            for event in first.advance():
                reporter.report(event)
            for line in log.lines():
                reporter.report(StepOutput(number=0, text=line))
            crowded |= crowd.count(first.pid) >= crowd.LIMIT
    if crowded:
        raise PlanBrokenOff(f"post.sh had {crowd.LIMIT} processes at once: ended; is something started without end?")
