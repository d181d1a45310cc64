"""The repository's files: their modes, their first lines, and what post.sh takes to be there."""

import functools
import posixpath
import re
from collections.abc import Iterator

from nodeagent.evaluate.functions import functions
from nodeagent.evaluate.syntax import Word
from nodeagent.lint.finding import Finding, Severity, shown
from nodeagent.lint.program import Call, Program
from nodeagent.lint.repository import ENTRY, SCRIPTS, Repository, copies_arguments
from nodeagent.lint.values import within
from nodeagent.model.evaluation import Phase

_GLOB = re.compile(r"[*?\[]")
_PLACEHOLDERS = frozenset({".gitkeep", ".keep", ".gitignore", ".gitattributes", ".placeholder"})
_CHECKS_FILE = re.compile(rb"(?:\[|\btest)\s[^\n]*-[efdrsLx]\b|\bls\b|\bfor\b")
# Programs that a RUN function may well be given although no repository has them.
# fmt: off
_SYSTEM = frozenset({
    "ansible-playbook", "apt", "apt-get", "authselect", "awk", "bash", "cat", "chgrp", "chmod", "chown", "chroot",
    "chvt", "cp", "crontab", "curl", "date", "dd", "depmod", "dmesg", "dnf", "dracut", "echo", "env", "ethtool",
    "exportfs", "false", "find", "firewall-cmd", "getent", "git", "grep", "groupadd", "grubby", "hostname",
    "hostnamectl", "hwclock", "id", "install", "ip", "ipmitool", "iptables", "iptables-restore", "journalctl",
    "kill", "killall", "ldconfig", "ln", "localectl", "logger", "losetup", "ls", "lsmod", "lvm", "make", "mdadm",
    "mkdir", "mkfs", "mkswap", "modprobe", "mount", "mountpoint", "mv", "nft", "nmcli", "nvidia-persistenced",
    "nvidia-smi", "passwd", "pip", "pip3", "pkill", "printf", "puppet", "python", "python3", "rdma", "restorecon",
    "rm", "rmdir", "rmmod", "rpm", "rsync", "scontrol", "sed", "semanage", "service", "setcap", "setenforce",
    "setsebool", "sh", "sleep", "ssh", "ssh-keygen", "su", "swapoff", "swapon", "sync", "sysctl", "systemctl",
    "systemd-sysusers", "systemd-tmpfiles", "tar", "tee", "test", "timedatectl", "timeout", "touch", "true",
    "tuned-adm", "udevadm", "umount", "update-ca-certificates", "update-ca-trust", "useradd", "usermod",
    "vgchange", "wget", "wipefs", "xargs", "yum", "zypper",
})
# fmt: on


def not_executable(repository: Repository) -> Iterator[Finding]:
    entry = repository.tree.file(ENTRY)
    if entry and not entry[1].executable:
        what = f"{ENTRY} lacks the execute bit"
        yield _whole(repository, entry[0]).finding("not-executable", 0, what, fix=_chmod(entry[0]))
    for script in repository.scripts:
        runs = [
            run for run in repository.runs_of(script.file) if run.call.words[0].literal not in {"sh", "bash", "dash"}
        ]
        found = repository.tree.entries[script.file]
        if runs and not found.executable:
            mended = any(_makes_executable(p, c, script.file) for p in repository.entries for c in p.calls("chmod"))
            severity = Severity.WARNING if mended else Severity.ERROR
            by = f"{shown(runs[0].caller.file)}:{runs[0].call.command.line}"
            what = f"{shown(script.file)}, which {by} runs, lacks the execute bit"
            if mended:
                what += " in git (a chmod in post.sh stands in for it)"
            yield script.finding("not-executable", 0, what, severity, fix=_chmod(script.file))


def _whole(repository: Repository, path: str) -> Program:
    found = next((program for program in repository.programs if program.file == path), None)
    return found or Program(file=path, text=b"", entry=False)


def _chmod(path: str) -> str:
    return f"git update-index --chmod=+x {shown(path)}, and commit it"


def _makes_executable(program: Program, call: Call, path: str) -> bool:
    operands = [program.value(word) for word in call.operands]
    if len(operands) < 2 or not re.fullmatch(r"[augo]*\+r?x|0?[0-7]*[1357][0-7]{2}", operands[0] or ""):
        return False
    found = (within(operand, "\0") for operand in operands[1:])
    return any(f == path or f == f"{posixpath.dirname(path)}/*" or f == posixpath.dirname(path) for f in found)


def dirty_checkout(repository: Repository) -> Iterator[Finding]:
    for program in repository.entries:
        for call in program.calls("chmod", "chown"):
            paths = [repository.locate(program, call, word) for word in call.operands[1:]]
            if any(path and repository.tree.exists(posixpath.dirname(path)) for path in paths):
                yield program.finding("dirty-checkout", call.command.start, shown(program.slice(call.command)))


def no_shebang(repository: Repository) -> Iterator[Finding]:
    for program in repository.programs:
        if program.has_interpreter or not program.shell or not program.text.strip():
            continue
        if program.file == ENTRY:
            yield program.finding("no-shebang", 0, "its first line names no shell")
        elif not program.entry and (program.run or repository.tree.entries[program.file].executable):
            why = "only a shell can start it, and takes it for its own language"
            yield program.finding("no-shebang", 0, "its first line names no interpreter", Severity.WARNING, why=why)


def crlf(repository: Repository) -> Iterator[Finding]:
    for program in repository.programs:
        at = program.text.find(b"\r\n")
        if at >= 0 and b"\0" not in program.text[:8192]:
            yield program.finding("crlf", at, "a line ends with CR LF", fix=f"sed -i 's/\\r$//' {shown(program.file)}")


def missing_source(repository: Repository) -> Iterator[Finding]:
    tree = repository.tree
    for program, copy in repository.copies:
        if copy.path is not None and not _there(repository, copy.path) and not _optional(program, copy.call):
            what = f"{shown(copy.path or '.')} is not in the repository"
            yield program.finding("missing-source", copy.source.start, what)
    for program in repository.entries:
        for call in program.calls("cat", ".", "source"):
            words = call.operands if call.name == "cat" else call.words[1:2]
            for word in words:
                path = repository.locate(program, call, word)
                if not path or _optional(program, call):
                    continue
                if call.name != "cat" and b"/" not in word.text:
                    yield from _sought_in_path(repository, program, word, path)
                elif not _there(repository, path):
                    yield program.finding("missing-source", word.start, f"{shown(path)} is not in the repository")
    for run in repository.runs:
        if _optional(run.caller, run.call):
            continue
        at = run.call.words[0].start
        if run.path is not None and not tree.file(run.path) and not _written(run.caller.text, run.path):
            what = f"{shown(run.path)} is not in the repository"
            yield run.caller.finding("missing-source", at, what)
        elif run.path is None and tree.is_directory(SCRIPTS) and run.name not in _SYSTEM:
            what = f"{SCRIPTS}/{shown(run.name)} is not in the repository, unless the node's image has this program"
            yield run.caller.finding("missing-source", at, what, Severity.WARNING)


def _sought_in_path(repository: Repository, program: Program, word: Word, path: str) -> Iterator[Finding]:
    """``. lib.sh``: only bash, when it is not ``sh``, looks in the directory where it stands."""
    if program.shell != "bash" and repository.tree.file(path) and b"PATH=" not in program.text:
        name = shown(word.text)
        what = f"sh looks for {name} in PATH, not in this directory"
        yield program.finding("missing-source", word.start, what, fix=f". ./{name}")


def _there(repository: Repository, path: str) -> bool:
    return (
        bool(_GLOB.search(path))
        or repository.tree.exists(path)
        or any(_written(p.text, path) for p in repository.entries)
    )


@functools.lru_cache(maxsize=1024)
def _written(text: bytes, path: str) -> bool:
    """Might post.sh itself make it? Its name stands behind a redirection into the tree, or behind what makes files."""
    name = re.escape(posixpath.basename(path).encode(errors="surrogateescape")) + rb"(?![\w.-])"
    redirected = rb">\s*[\"']?(?:\./|\$\{?\w+\}?/)?(?:[\w.-]+/)*" + name
    made = rb"\b(?:touch|mkdir|git|curl|wget|tar|install|tee|mktemp)\b[^\n;]*[\s/\"']" + name
    return bool(re.search(redirected + rb"|" + made, text))


def _optional(program: Program, call: Call) -> bool:
    return program.guarded(call.place, _CHECKS_FILE)


def placeholder_copied(repository: Repository) -> Iterator[Finding]:
    for program, copy in repository.copies:
        if copy.call.has("", "--exclude", "--exclude-from", "--filter"):
            continue
        for path, _ in copy.places(repository.tree):
            if posixpath.basename(path) in _PLACEHOLDERS and not _excluded(program, copy.call):
                what = f"{shown(path)} is copied too"
                yield program.finding("placeholder-copied", copy.call.command.start, what)
                break


def _excluded(program: Program, call: Call) -> bool:
    return b"--exclude" in program.bodies.get(call.command.name or "", b"")


def copy_not_native(repository: Repository) -> Iterator[Finding]:
    if repository.instrumented.whole:
        return
    programs = [program for program in repository.entries if program.file not in repository.instrumented.left]
    understood = functions({program.file: program.script for program in programs}, lambda _: True).copies
    called = {call.command.name for program in programs for call in program.calls()}
    for program in programs:
        copying = {name for name in program.functions if copies_arguments(program, name)}
        for name in sorted((copying & called) - understood.keys()):
            what = f"{shown(name)} does more than the agent knows"
            yield program.finding("copy-not-native", program.functions[name][0].start, what)
        native = repository.native[program.file, Phase.COPY]
        for call in program.calls():
            if call.name not in understood or call.command.line in native:
                continue
            if call.place.piped or call.place.background:
                where = "in a pipeline" if call.place.piped else "in the background"
                yield program.finding("copy-not-native", call.command.start, f"{shown(call.name)} {where}")
