"""What rsync says of a copy that failed, for a script that keeps it in a file."""

import os
from collections.abc import Sequence

from nodeagent.apply import process

_TIME_LIMIT = 10.0  # seconds for a dry run
_ENDS = {
    3: "errors selecting input/output files, dirs",
    11: "error in file IO",
    23: "some files/attrs were not transferred (see previous errors)",
}


def of_rsync(arguments: Sequence[str], failures: Sequence[str], *, cwd: str, status: int) -> str:
    """The words of the node's own rsync, by a dry run; else, as of what only a real run meets, the agent's own.

    Args:
        arguments: rsync's options and operands.
        failures: the reasons that the agent has.
        cwd: where the shell stands.
        status: how the copy ended, as rsync counts.
    """
    environment = {"PATH": os.defpath + ":/usr/sbin:/sbin", "LANG": "C.UTF-8"}
    dry = ["rsync", "--dry-run", "--quiet", *arguments]
    ended, said = process.question(dry, environment=environment, time_limit=_TIME_LIMIT, cwd=cwd)
    if ended and said.startswith("rsync"):
        return said
    end = f"rsync error: {_ENDS.get(status, 'the copy failed')} (code {status})"
    return "".join(f"{line}\n" for line in (*failures, end))
