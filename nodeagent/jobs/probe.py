"""The probe: asked before a step runs that must not disturb a job. What cannot be told counts as busy."""

import time
from collections.abc import Sequence

from nodeagent import node
from nodeagent.apply import process
from nodeagent.config import Jobs
from nodeagent.jobs import slurm
from nodeagent.jobs.running import Program, programs

_FRESH = 5.0
"""Seconds for which an answer holds: the steps of one evaluation ask one after the other."""

_FREE, _BUSY = 0, 1  # exit codes of the configured command

# Daemons that run jobs and whose jobs nodeagent cannot tell: while one is there, the node counts as busy.
SCHEDULERS = {
    "pbs_mom": "PBS",
    "sge_execd": "Grid Engine",
    "sbatchd": "LSF",
    "condor_startd": "HTCondor",
    "flux-broker": "Flux",  # it appends its rank
    "kubelet": "Kubernetes",
    "k3s": "Kubernetes",
    "k3s-agent": "Kubernetes",
    "oar-node": "OAR",
    "LoadL_startd": "LoadLeveler",
}


class Probe:
    """Call it: it says what runs on the node that must not be disturbed; empty: nothing does."""

    def __init__(self, settings: Jobs) -> None:
        self._settings = settings
        self._environment = node.login_environment(None)
        self._asked = -_FRESH
        self._answer = ""

    def __call__(self) -> str:
        if time.monotonic() - self._asked >= _FRESH:
            self._answer = self._look()
            self._asked = time.monotonic()
        return self._answer

    def _look(self) -> str:
        match self._settings.probe:
            case "none":
                return ""
            case "command":
                return self._command()
            case "auto":
                return self._auto()

    def _auto(self) -> str:
        running = list(programs())
        return slurm.busy(running, self._ask, self._environment["PATH"]) or _other(running)

    def _command(self) -> str:
        """0 says free, 1 says busy, and anything else that it does not know."""
        status, said = self._ask(self._settings.command)
        first = next((line.strip() for line in said.splitlines() if line.strip()), "")[:200]
        name = self._settings.command[0]
        if status == _FREE:
            return ""
        if status == _BUSY:
            return first or f"{name} says that a job runs here"
        how = f"exited with {status}" if status is not None else "gave no answer"
        return f"whether a job runs here cannot be told: {name} {how}" + (f": {first}" if first else "")

    def _ask(self, argv: Sequence[str]) -> tuple[int | None, str]:
        return process.question(argv, environment=self._environment, time_limit=self._settings.timeout)


def _other(running: Sequence[Program]) -> str:
    for program in running:
        name = next((n for n in SCHEDULERS if program.name == n or program.name.startswith(f"{n}-")), None)
        if name is not None:
            whose = f"{program.name} ({SCHEDULERS[name]})"
            return f"{whose} runs here, of whose jobs only a command can tell: see [jobs] probe"
    return ""
