"""Asks the shells of this machine whether they accept a program; nothing of it is run."""

import os
import re
import select
import shutil
from pathlib import Path

from nodeagent.apply.process import Process
from nodeagent.lint.rules.understanding import Syntax, Verdict

_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
_TIME_LIMIT = 10_000  # ms
_MOST_SAID = 64 * 1024
# What /bin/sh is differs: dash on Debian, bash on EL. A program for sh must pass both.
_SHELLS = {
    "sh": (("dash",), ("bash", "--posix")),
    "bash": (("bash",),),
    "dash": (("dash",),),
    "ash": (("busybox", "ash"),),
}
_LINE = re.compile(r"(?:line |: )(\d+): (.*)")


def asking(directory: Path) -> Syntax:
    """The shells' answers for the files below a repository."""
    top = directory.absolute()

    def ask(file: str, shell: str) -> list[Verdict]:
        verdicts = []
        for argv in _SHELLS.get(shell, ()):
            program = shutil.which(argv[0], path=_PATH)
            if program is not None:
                verdict = _ask([program, *argv[1:], "-n", str(top / file)], shell=argv[0])
                if verdict is not None:
                    verdicts.append(verdict)
        return verdicts

    return ask


def _ask(argv: list[str], *, shell: str) -> Verdict | None:
    """None when the shell cannot be asked, or does not answer in time."""
    said = os.memfd_create("syntax", os.MFD_CLOEXEC)
    try:
        process = Process.start(argv, cwd="/", environment={"PATH": _PATH, "LC_ALL": "C"}, output=said)
        try:
            poll = select.poll()
            poll.register(process.descriptor, select.POLLIN)
            status = process.poll() if poll.poll(_TIME_LIMIT) else None
        finally:
            process.end()
        text = os.pread(said, _MOST_SAID, 0).decode(errors="replace")
    except OSError:
        return None
    finally:
        os.close(said)
    if status is None:
        return None
    if status == 0:
        return Verdict(shell=shell, line=None)
    match = _LINE.search(text.replace(argv[-1], "FILE"))
    if match is None:
        return Verdict(shell=shell, line=0, message=text.replace(argv[-1], "").strip(": \n"))
    return Verdict(shell=shell, line=int(match[1]), message=match[2])
