"""What disturbs those who work on the node when it runs again."""

import re
from collections.abc import Iterator

from nodeagent.evaluate.syntax import Word
from nodeagent.lint.finding import Finding, Severity, shown
from nodeagent.lint.program import Call, Program
from nodeagent.lint.repository import Repository

_TESTED = re.compile(rb"(?:\[|\btest)\s|\bcase\b|mountpoint|squeue|scontrol|pgrep|grep|stamp|\bif\b")
_MARKED = re.compile(rb"(?:!\s*-[efds]|-nt|-ot|-z)\s|stamp|squeue|scontrol|pgrep|uptime|boot|grep")
_SHARED = re.compile(
    r"/|/\*|/(?:[\w.-]+/)*tmp(?:/\.?\*.*)|/(?:var/)?tmp/?|/home(?:/.*)?|/dev/shm(?:/\*?)?"
    r"|/(?:[\w.-]+/)*(?:local)?scratch[\w-]*(?:/.*)?|/(?:mnt/)?[\w.-]+/\*|\.?/?\*|\.(?:/\*)?"
)
_UNKNOWN = re.compile(rb"\$(?:\{(?P<name>\w+)(?P<check>:\?|:?-[^}])?[^}]*\}|\w+|\([^)]*\))")
_VARIABLE_AT_START = re.compile(rb'"?\$(?:\{(\w+)(?P<check>:\?|:?-[^}])?[^}]*\}|(\w+))"?(?P<rest>.*)', re.S)
_CHANGED = re.compile(rb"\bcmp\b|\bdiff\b|-nt\b|-ot\b|sha\d*sum|md5sum|chang|is-active|is-failed|rsync|grep", re.I)
_GATES = frozenset({"boot"})
_PACES = frozenset({"on", "boot", "idle"})
_SERVICES = ("systemctl", "service", "rc-service")
_RESTARTS = frozenset({"restart", "reload", "try-restart", "reload-or-restart", "try-reload-or-restart", "condrestart"})


def rm_rf_ungated(repository: Repository) -> Iterator[Finding]:
    for program in repository.programs:
        for call in program.calls("rm"):
            if not (call.has("rR", "--recursive") and call.has("f", "--force")):
                continue
            found = [(word, wide) for word in call.operands if (wide := _wide(program, word)) is not None]
            found.sort(key=lambda item: item[1] is not Severity.ERROR)
            if found and not _gated(repository, program, call, found[0][1]):
                word, severity = found[0]
                fix = _where(repository, program, "say '# nodeagent: boot' (once a boot)")
                fix += '; write variables as "${NAME:?}"' if b"$" in word.text else ""
                yield program.finding("rm-rf-ungated", word.start, f"rm -rf {shown(word.text)}", severity, fix=fix)


def _wide(program: Program, word: Word) -> Severity | None:
    """How much such an operand may take away: what others use, something unknown, or None for a place of its own."""
    value = program.value(word)
    if value is not None:
        return Severity.ERROR if _SHARED.fullmatch(value.strip()) else None
    match = _VARIABLE_AT_START.fullmatch(word.text)
    if match is None:
        return _wide_below(word.text)
    if match["check"]:
        return None
    return None if (match[1] or match[3]) in program.temporary else Severity.WARNING


def _wide_below(text: bytes) -> Severity | None:
    """``/scratch/$USER``: as wide as ``/scratch/*``."""
    if any(match["check"] for match in _UNKNOWN.finditer(text)):
        return None
    known = _UNKNOWN.sub(b"*", text.replace(b'"', b"")).decode(errors="replace")
    return Severity.ERROR if _SHARED.fullmatch(known) else None


def _gated(repository: Repository, program: Program, call: Call, severity: Severity) -> bool:
    """That the directory is there is no reason to empty it; that a mark of an earlier run is missing is one."""
    if program.guarded(call.place, _MARKED if severity is Severity.ERROR else _TESTED):
        return True
    return _paced(repository, program, call, _GATES)


def _paced(repository: Repository, program: Program, call: Call, names: frozenset[str]) -> bool:
    """Does an annotation say when it runs: its own in post.sh, or that of each statement that runs its script?"""
    if program.entry:
        return bool(program.names_at(call.command.line) & names)
    runs = repository.runs_of(program.file)
    return bool(runs) and all(run.caller.names_at(run.call.command.line) & names for run in runs)


def restarts(call: Call) -> bool:
    """Does it restart a service, whichever?"""
    return call.name in _SERVICES and any(word.literal in _RESTARTS for word in call.operands)


def restart_without_on(repository: Repository) -> Iterator[Finding]:
    for program in repository.programs:
        for call in program.calls(*_SERVICES):
            if not restarts(call) or program.guarded(call.place, _CHANGED):
                continue
            if not _paced(repository, program, call, _PACES):
                fix = _where(repository, program, "say '# nodeagent: on=PATHS' (what the service reads), or boot,")
                yield program.finding(
                    "restart-without-on", call.command.start, shown(program.slice(call.command)), fix=fix
                )


def _where(repository: Repository, program: Program, what: str) -> str:
    """What to do in post.sh: on this line, or on those that run this script."""
    if program.entry:
        return f"{what} on this line"
    lines = [f"{shown(run.caller.file)}:{run.call.command.line}" for run in repository.runs_of(program.file)]
    return f"{what} on {', '.join(lines[:3])}, which runs this script" if lines else f"{what} where post.sh runs it"


def reboot_ungated(program: Program) -> Iterator[Finding]:
    for call in program.calls("reboot", "shutdown", "poweroff", "halt", "kexec", "systemctl", "init"):
        words = {w.literal for w in call.words[1:]}
        if call.name == "systemctl" and not words & {"reboot", "poweroff", "halt", "kexec", "soft-reboot"}:
            continue
        if (call.name == "init" and not words & {"0", "6"}) or (call.name == "kexec" and not call.has("e", "--exec")):
            continue
        if call.name == "shutdown" and call.has("c"):
            continue
        if not call.place.conditional and not call.place.function and not call.place.guards:
            yield program.finding("reboot-ungated", call.command.start, shown(program.slice(call.command)))


def chmod_here(program: Program) -> Iterator[Finding]:
    for call in program.calls("chmod", "chown", "chgrp"):
        if call.has("R", "--recursive"):
            for word in call.operands[1:]:
                if program.value(word) in {".", "./", "*", "./*", "/", "/*"}:
                    yield program.finding("chmod-here", call.command.start, shown(program.slice(call.command)))
                    break
