"""Words typed half, and finished by a real shell with the completion that the package brings."""

import os
import pty
import re
import select
import time
from pathlib import Path

import pytest

from testbed.programs import run

PLAIN = {"PATH": os.environ["PATH"], "TERM": "dumb", "LC_ALL": "C.UTF-8"}
DEADLINE = 30.0  # seconds


class Terminal:
    """A shell at a terminal of its own."""

    def __init__(self, shell: str, directory: Path, *arguments: str) -> None:
        self._process, self._terminal = pty.fork()
        if self._process == 0:
            os.chdir(directory)
            os.execvpe(shell, [shell, *arguments], PLAIN | {"HOME": str(directory)})
        self._shown = ""

    def type(self, text: str) -> None:
        os.write(self._terminal, text.encode())

    def wait(self, pattern: str) -> str:
        """What is shown from now on, up to what the pattern matches."""
        until = time.monotonic() + DEADLINE
        while (found := re.search(pattern, self._shown)) is None:
            ready, _, _ = select.select([self._terminal], [], [], max(0.0, until - time.monotonic()))
            assert ready, f"{pattern!r} was not shown in time: {self._shown!r}"
            self._shown += os.read(self._terminal, 65536).decode(errors="replace")
        seen, self._shown = self._shown[: found.end()], self._shown[found.end() :]
        return seen

    def close(self) -> None:
        os.close(self._terminal)  # the shell is hung up
        os.waitpid(self._process, 0)


def bash(pages: Path, line: str, directory: Path) -> list[str]:
    """What bash would offer for the last word of the line."""
    script = """
    set -u; source "$1"; cd "$2"; compopt() { :; }
    COMP_LINE=$3; COMP_WORDS=($3); [ "${3: -1}" != ' ' ] || COMP_WORDS+=('')
    COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); COMP_POINT=${#COMP_LINE}
    _nodeagent; printf '%s\\n' "${COMPREPLY[@]}"
    """
    offered = run(["bash", "--norc", "-c", script, "bash", pages / "completion/nodeagent", directory, line])
    return offered.split()


def fish(pages: Path, line: str, directory: Path) -> list[str]:
    script = 'source $argv[1]; cd $argv[2]; complete -C "$argv[3]"'
    environment = os.environ | {"HOME": str(directory)}
    arguments = ["fish", "--no-config", "-c", script, pages / "completion/nodeagent.fish", directory, line]
    return [row.split("\t")[0] for row in run(arguments, env=environment).splitlines()]


OFFERED = [
    ("nodeagent ap", {"apply"}),
    ("nodeagent key ", {"generate", "encrypt", "decrypt", "check"}),
    ("nodeagent apply --det", {"--detailed-exitcodes"}),
    ("nodeagent key check --js", {"--json"}),
    ("nodeagent lint --format ", {"text", "json", "github"}),
    ("nodeagent lint --format g", {"github"}),
    ("nodeagent run --config some-f", {"some-file"}),
    ("nodeagent key generate --comment ", set()),
]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "some-file").touch()
    (tmp_path / "some-directory").mkdir()
    return tmp_path


@pytest.mark.parametrize(("line", "words"), OFFERED)
def test_bash_offers_what_fits(pages: Path, directory: Path, line: str, words: set[str]) -> None:
    assert set(bash(pages, line, directory)) == words


@pytest.mark.parametrize(("line", "words"), OFFERED)
def test_fish_offers_what_fits(pages: Path, directory: Path, line: str, words: set[str]) -> None:
    assert set(fish(pages, line, directory)) == words


def test_a_directory_is_offered_where_one_is_wanted(pages: Path, directory: Path) -> None:
    assert bash(pages, "nodeagent apply --repo some", directory) == ["some-directory"]
    assert fish(pages, "nodeagent apply --repo some", directory) == ["some-directory/"]


TYPED = {
    "li\t--for\tgi\t": "lint --format github",
    "key chec\t--js\t": "key check --json",
    "run --conf\tsome-f\t": "run --config some-file",
    "apply --rep\tsome-d\t": "apply --repo some-directory",
    "undo some-f\t": "undo some-file",
}
SAYS = """nodeagent() { printf 'words:%s.\\n' "${*%/}"; }"""  # the words as they are entered


@pytest.mark.parametrize("typed", TYPED)
def test_bash_at_a_terminal_finishes_what_is_typed(pages: Path, directory: Path, typed: str) -> None:
    shell = Terminal("bash", directory, "--norc", "--noprofile")
    shell.type(f"source {pages}/completion/nodeagent; {SAYS}; echo re''ady\r")
    shell.wait("ready\r\n")
    shell.type(f"nodeagent {typed}\r")
    assert shell.wait(r"words:.*\.\r\n").endswith(f"words:{TYPED[typed]}.\r\n")
    shell.close()


@pytest.mark.parametrize("typed", TYPED)
def test_zsh_at_a_terminal_finishes_what_is_typed(pages: Path, directory: Path, typed: str) -> None:
    shell = Terminal("zsh", directory, "-f", "-i")
    shell.type(f"fpath=({pages}/completion $fpath); autoload -Uz compinit; compinit -u -D; {SAYS}; echo re''ady\r")
    shell.wait("ready\r\n")
    shell.type(f"nodeagent {typed}\r")
    assert shell.wait(r"words:.*\.\r\n").endswith(f"words:{TYPED[typed]}.\r\n")
    shell.close()
