"""Slurm's jobs on this node, without a word to its controller.

Each step of a job has a ``slurmstepd``. It is found in three ways, of which every one may be missing:

* ``scontrol listjobs`` prints ``JOBID`` and the jobs, or ``No slurmstepd's found on this node``; old versions do not
  know it, and it looks for steps of a node that is called as the host is;
* the step's socket ``NODE_JOB.STEP`` in SlurmdSpoolDir (``stepd_api.c`` of Slurm); a file that nobody listens on was
  left by a crash;
* the name that the process gives itself, ``slurmstepd: [JOB.STEP]``.

One that sees a job is believed. That there is none is believed only if the first or the second could look.
"""

import itertools
import os
import re
import shutil
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from nodeagent.jobs.running import Program

Ask = Callable[[Sequence[str]], tuple[int | None, str]]
"""Runs a program: its exit status (None: it gave none in time) and what it printed."""

_NONE = "No slurmstepd"
_SOCKET = re.compile(r".+_(\d+)\.\d+(?:\.\d+)?")
_TITLE = re.compile(r"slurmstepd: \[(\d+)\.")
_SPOOL = re.compile(r"^\s*SlurmdSpoolDir\s*=\s*(\S+)", re.IGNORECASE | re.MULTILINE)
_CONFIGURATIONS = (
    "/etc/slurm/slurm.conf",
    "/etc/slurm-llnl/slurm.conf",
    "/usr/local/etc/slurm.conf",
    "/opt/slurm/etc/slurm.conf",
    "/run/slurm/conf/slurm.conf",  # of a slurmd that gets it from the controller
)
_SPOOL_DIRECTORIES = (
    "/var/spool/slurmd",  # Slurm's own default
    "/var/spool/slurm/d",
    "/var/spool/slurm/slurmd",
    "/var/lib/slurm/slurmd",  # Debian's
)


def busy(running: Sequence[Program], ask: Ask, path: str) -> str:
    """What of Slurm's runs here; empty: nothing, or there is no Slurm.

    Args:
        running: the programs of the node.
        ask: see :data:`Ask`.
        path: where programs are looked for.
    """
    daemons = [program for program in running if program.name == "slurmd"]
    titled = [match[1] for program in running if (match := _TITLE.match(program.argv[0]))]
    if titled:
        return _named(titled)
    listed = _listed(daemons, ask, path)
    if listed:
        return _named(listed)
    directories = list(_spool_directories(daemons))
    try:
        jobs = [job for directory in directories for job in _sockets(directory)]
    except OSError as error:
        return f"whether a Slurm job runs here cannot be told: {error.filename}: {error.strerror}"
    if jobs:
        return _named(jobs)
    if daemons and listed is None and not directories:
        return "whether a Slurm job runs here cannot be told: slurmd runs, and its SlurmdSpoolDir is not found"
    return ""


def _named(jobs: Sequence[str]) -> str:
    distinct = sorted(set(jobs), key=int)
    more = f" and {len(distinct) - 3} more" if len(distinct) > 3 else ""
    return f"Slurm job {', '.join(distinct[:3])}{more} runs here"


def _listed(daemons: Sequence[Program], ask: Ask, path: str) -> list[str] | None:
    """The jobs that ``scontrol`` knows; None where it cannot tell."""
    program = shutil.which("scontrol", path=os.pathsep.join([path, *_beside(daemons)]))
    if program is None:
        return None
    status, said = ask([program, "listjobs"])
    lines = said.split("\n")
    jobs = [line.strip() for line in lines if line.strip().isdecimal()]
    if status == 0 and jobs:
        return jobs
    return [] if _NONE in said and status is not None else None


def _beside(daemons: Sequence[Program]) -> Iterator[str]:
    """``../bin`` of the running slurmd: a Slurm below /opt is in nobody's PATH."""
    for daemon in daemons:
        try:
            yield str(Path(os.readlink(f"/proc/{daemon.pid}/exe")).parent.parent / "bin")
        except OSError:
            continue


def _spool_directories(daemons: Sequence[Program]) -> Iterator[Path]:
    """The directories that there are of those where a slurmd may keep the sockets of its steps."""
    given = [value for d in daemons for option, value in itertools.pairwise(d.argv) if option == "-f"]
    named = []
    for file in (*given, *_CONFIGURATIONS):
        try:
            named += _SPOOL.findall(Path(file).read_text(errors="replace"))
        except OSError:
            continue
    for pattern in dict.fromkeys((*named, *_SPOOL_DIRECTORIES)):
        # %n is the node's name, %h the host's: whichever stands there
        for directory in Path("/").glob(re.sub("%[nh]", "*", pattern).lstrip("/")):
            if directory.is_dir():
                yield directory


def _sockets(directory: Path) -> Iterator[str]:
    """The jobs of the sockets in a directory that somebody listens on."""
    listening: set[str] | None = None
    for entry in os.scandir(directory):
        match = _SOCKET.fullmatch(entry.name)
        if match and stat.S_ISSOCK(entry.stat(follow_symlinks=False).st_mode):
            if listening is None:
                lines = Path("/proc/net/unix").read_text(errors="replace").splitlines()
                listening = {os.path.basename(line.rpartition(" ")[2]) for line in lines}
            if entry.name in listening:
                yield match[1]
