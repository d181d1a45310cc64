"""Secrets: how they arrive on the node, and who else gets to see them."""

import fnmatch
import posixpath
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from nodeagent.lint.finding import Finding, shown
from nodeagent.lint.program import Call, Program
from nodeagent.lint.repository import Copy, Repository
from nodeagent.lint.tree import Entry, Kind

_SECRET_NAME = re.compile(
    r".*\.(?:key|keytab|p12|pfx|jks|pgpass|netrc|ppk)|id_(?:rsa|dsa|ecdsa|ed25519)|.*_key|g?shadow"
    r"|.*(?:password|secret|token|credential).*|sssd\.conf|slurmdbd\.conf|.*-key\.pem|privkey.*\.pem|nslcd\.conf",
    re.I,
)
_PUBLIC_NAME = re.compile(
    r".*\.(?:pub|crt|cer|md|sh|py|service|target|timer|socket)|.*\.gpg\.key|.*(?:pub|gpg|rpm|apt).*\.key", re.I
)
_PUBLIC_START = (b"-----BEGIN PGP PUBLIC", b"-----BEGIN PUBLIC KEY", b"-----BEGIN CERTIFICATE", b"#!")
_PRIVATE = re.compile(rb"^-----BEGIN (?:(?:RSA|DSA|EC|OPENSSH) )?PRIVATE KEY-----", re.M)
_ENCRYPTED = re.compile(rb"\s+(?:Proc-Type: 4,ENCRYPTED|(?!b3BlbnNzaC1rZXktdjEAAAAABG5vbmU)b3BlbnNzaC1rZXkt)")
_PLACEHOLDER = rb"""\$|<|%|\{|x+["']?\s*$|\*|changeme|none|null|true|false|yes|no\b|/|files\b|example"""
_LITERAL = rb"""(?:"[^\s"`$]{4,}"|'[^\s']{4,}'|[^\s"'`$|;&(){]{4,}(?=[\s;"'|]|$))"""
_VALUE = rb"""(?!["']?(?:""" + _PLACEHOLDER + rb"""))""" + _LITERAL
_IN_SETTINGS = re.compile(
    rb"^[ \t]*(?:bindpw[ \t]+|(?:ldap_default_authtok|storagepass|[\w.-]*(?:password|passwd|secret_?key|api_?token))"
    rb"[ \t]*[=:][ \t]*)(?P<value>" + _VALUE + rb")[ \t]*$",
    re.I | re.M,
)
_IN_SHELL = re.compile(
    rb"(?:^|[\s;])\w*(?:password|passwd|passphrase|secret|token)\w*=(?P<value>" + _VALUE + rb")"
    rb"|\bsshpass\s+-p\s*(?P<ssh>" + _VALUE + rb")|--password[= ](?P<option>" + _VALUE + rb")"
    rb"|\becho\s+[\"']?[\w.-]+:(?P<chpasswd>" + _VALUE + rb")[\"']?\s*\|\s*chpasswd"
    rb"|\bcurl\b[^\n]*\s(?:-u|--user)\s*[\"']?[\w.-]+:(?P<curl>" + _VALUE + rb")",
    re.I,
)
_SETTINGS_FILE = re.compile(r".*\.(?:conf|cfg|ini|toml|yaml|yml|env|properties|d)$|[\w-]+$")
_UNCHECKED = re.compile(
    rb"StrictHostKeyChecking(?:[= ]|\s+)[\"']?(?:no|off|accept-new)\b|UserKnownHostsFile[= ][\"']?/dev/null"
    rb"|\bcurl\b[^\n]*\s(?:-\w*k\b|--insecure)|\bwget\b[^\n]*--no-check-certificate|http\.sslVerify[= ]false"
    rb"|GIT_SSL_NO_VERIFY=|ssh-keyscan\b[^\n]*>>?",
    re.I,
)
_SECRET_WORD = re.compile(
    rb"\$\{?\w*(?:password|passwd|secret|token|passphrase)|-pass(?:in|out)?\s+(?:pass|stdin)|--password", re.I
)


# --- secret-mode ---


@dataclass(frozen=True, slots=True)
class _Narrowing:
    """A chmod: at which offset of post.sh, and what it reaches. A ``pattern`` without ``/`` is a bare name."""

    at: tuple[int, int]
    pattern: str
    recursive: bool

    def reaches(self, destination: str) -> bool:
        pattern = self.pattern
        if "/" not in pattern:
            return fnmatch.fnmatchcase(posixpath.basename(destination), pattern)
        if self.recursive and destination.startswith(pattern.rstrip("/*") + "/"):
            return True
        return fnmatch.fnmatchcase(destination, pattern) and pattern.count("/") == destination.count("/")


def secret_mode(repository: Repository) -> Iterator[Finding]:
    narrowings = list(_narrowings(repository))
    order = {program.file: n for n, program in enumerate(repository.entries)}
    for program, copy in repository.copies:
        line = copy.call.command.line
        if copy.sets_mode or "mode" in program.names_at(line) or _umask(program, copy):
            continue
        at = (order[program.file], copy.call.command.start)
        later = [n for n in narrowings if n.at > at]
        for path, destinations in copy.places(repository.tree):
            if not _is_secret(path, repository.tree.entries[path]):
                continue
            names = destinations or (path,)
            if not any(n.reaches(name) for n in later for name in names):
                yield program.finding("secret-mode", copy.call.command.start, f"{shown(path)} looks like a secret")
                break


def _umask(program: Program, copy: Copy) -> bool:
    """``cp`` obeys the umask; rsync -a does not."""
    narrow = [c for c in program.calls("umask") if re.fullmatch(rb"0?[0-7]?77", c.words[-1].text)]
    return copy.call.name == "cp" and any(c.command.start < copy.call.command.start for c in narrow)


def _is_secret(path: str, entry: Entry) -> bool:
    name, content = posixpath.basename(path), entry.content or b""
    if _PRIVATE.search(content):
        return True
    if _PUBLIC_NAME.fullmatch(name) or content.startswith(_PUBLIC_START):
        return False
    return bool(_SECRET_NAME.fullmatch(name))


def _narrowings(repository: Repository) -> Iterator[_Narrowing]:
    order = {program.file: n for n, program in enumerate(repository.entries)}
    for program in repository.entries:
        for call in program.calls("chmod", "find", "install"):
            yield from _narrowed(program, call, (order[program.file], call.command.start))
    for program in repository.scripts:
        runs = repository.runs_of(program.file)
        if runs:
            at = max((order[run.caller.file], run.call.command.start) for run in runs)
            for call in program.calls("chmod", "find", "install"):
                yield from _narrowed(program, call, at)


def _narrowed(program: Program, call: Call, at: tuple[int, int]) -> Iterator[_Narrowing]:
    words = [program.value(word) for word in call.words]
    if call.name == "find":
        if "chmod" not in words or ("-type" in words and "d" in words):
            return
        mode = words[words.index("chmod") + 1] if words.index("chmod") + 1 < len(words) else None
        if mode and _private(mode) and len(words) > 1 and words[1]:
            yield _Narrowing(at, words[1], True)
        return
    if call.name == "install":
        if words[-1] and any(_private(mode) for mode in _modes(words)):
            yield _Narrowing(at, words[-1], False)
        return
    operands = call.operands if not (call.words[1:] and call.words[1].text.startswith((b"-r", b"-w"))) else ()
    # a mode like go-r is an operand for Call.operands, one like -R is not
    if len(operands) < 2 or not _private(program.value(operands[0]) or ""):
        return
    for word in operands[1:]:
        value = program.value(word)
        pattern = value or posixpath.basename(word.text.decode(errors="replace").strip("\"'"))
        if pattern and (value or "$" not in pattern):
            yield _Narrowing(at, pattern, call.has("R", "--recursive"))


def _modes(words: Sequence[str | None]) -> Iterator[str]:
    """The values of ``-m MODE``, ``-mMODE`` and ``--mode=MODE``."""
    for word, following in pairwise(words):
        if word == "-m":
            yield following or ""
        elif word and word.startswith(("-m", "--mode=")):
            yield word.removeprefix("--mode=").removeprefix("-m")


def _private(mode: str) -> bool:
    if re.fullmatch(r"[0-7]{3,4}", mode):
        return int(mode, 8) & 0o007 == 0
    return bool(re.search(r"(?:^|,)(?:u?g?o|a|og)(?:-[rwxX]*r|=(?:,|$))", mode))


# --- what others see ---


def secret_in_clear(repository: Repository) -> Iterator[Finding]:
    programs = {program.file for program in repository.programs}
    for path, entry in sorted(repository.tree.entries.items()):
        if entry.kind is not Kind.FILE or not entry.content:
            continue
        holder = Program(file=path, text=entry.content, entry=False) if path not in programs else None
        for at, what in _clear(path, entry.content, shell=path in programs):
            program = holder or next(p for p in repository.programs if p.file == path)
            yield program.finding("secret-in-clear", at, what)


def _clear(path: str, content: bytes, *, shell: bool) -> Iterator[tuple[int, str]]:
    for match in _PRIVATE.finditer(content):
        if not _ENCRYPTED.match(content, match.end()):
            yield match.start(), "a private key that no password protects"
    if shell:
        for match in _IN_SHELL.finditer(_uncommented(content)):
            at = next(match.start(name) for name in match.groupdict() if match[name])
            yield at, "a password in clear text"
    elif _SETTINGS_FILE.fullmatch(posixpath.basename(path)) and b"\0" not in content:
        for match in _IN_SETTINGS.finditer(content):
            yield match.start("value"), "a password in clear text"


def _uncommented(text: bytes) -> bytes:
    return re.sub(rb"(?m)^([ \t]*)#[^\n]*", lambda m: m[1] + b" " * (len(m[0]) - len(m[1])), text)


def host_key_unchecked(repository: Repository) -> Iterator[Finding]:
    for program in repository.programs:
        if program.shell:
            for match in _UNCHECKED.finditer(_uncommented(program.text)):
                yield program.finding("host-key-unchecked", match.start(), shown(match.group(), 60))


def traced_secret(program: Program) -> Iterator[Finding]:
    if program.traced and not re.search(rb"(?m)^\s*set \+x|\{ set \+x", program.text):
        match = _SECRET_WORD.search(_uncommented(program.text))
        if match:
            yield program.finding("traced-secret", match.start(), f"{shown(match.group(), 40)} is used under set -x")
