"""Each shell reads a program as the grammar does: a statement that is put into ``{ }``, and a command that is put into
an ``if``, still say the same, and the program ends as it did.

The programs are made by chance, of quotes, expansions, here-docs and lists, and some are then spoilt by a character:
what a shell refuses, or the grammar does not understand, tells nothing.
"""

import os
import random
import re
import shutil
import subprocess  # noqa: TID251 - the shells are the oracle here
from collections import Counter
from collections.abc import Callable

import pytest

from nodeagent.evaluate.grammar import parse
from nodeagent.evaluate.syntax import Block, Command, Node, children
from nodeagent.evaluate.texts import starts_job

SHELLS = (("dash",), ("bash",), ("busybox", "ash"))
PROGRAMS = int(os.environ.get("GRAMMAR_PROGRAMS", "500"))
FIRST = int(os.environ.get("GRAMMAR_FIRST", "0"))
_PLAIN = ("a", "b", "\\\\", "\\a", "#", "=", "{", "}", "%", "[", "*", "!", "$", "~", "$x", "$#", "\\\n")
_ELSE = (" ", "\n", ";", "|", "(", ")", "<", ">", "#", "\t", "E", "\nE\n", "# it's\n")
_SPOILS = ("", "", "", *_PLAIN, *_ELSE, "'", '"', "`", "${", "$(", "<<E", ";;", "\r")


class _Programs:
    """Makes programs; ``depth`` bounds what stands in what."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._depth = 0

    def program(self) -> str:
        text = self.statements()
        for _ in range(self._random.choice((0, 0, 1, 2))):
            place, new = self._random.randrange(len(text) + 1), self._random.choice(_SPOILS)
            text = text[:place] + new + text[place + (not new) :]
        return text.replace("$$", "$a")  # the same in each run

    def statements(self) -> str:
        some = [self._statement() for _ in range(self._random.choice((1, 1, 2, 3)))]
        separators = ("\n", "\n", "; ", " && ", " ||\n", " | ", " # c'\n")
        return "".join(one + self._random.choice(separators) for one in some[:-1]) + some[-1]

    def _statement(self) -> str:
        self._depth += 1
        kinds = (self._simple, self._simple, self._here, self._two, self._compound, self._compound)
        try:
            return (self._random.choice(kinds) if self._depth < 4 else self._simple)()
        finally:
            self._depth -= 1

    def _simple(self) -> str:
        choice = self._random.choice
        redirect = choice(("", "", " >/dev/null", " 2>&1", " >&2", " </dev/null"))
        fixed = choice(("true", "false", ":", "[ a = b ]", "[[ a == a ]]", "((1))", "! true", "x=1 y=2\n! false"))
        return self._one_of(
            lambda: fixed,
            lambda: f"echo {self._words()}",
            lambda: f"echo {self._words()}{redirect} {self._words()}",
            lambda: f"x={self._word()}",
            lambda: f"x=({self._words()} # it's\n{self._word()}) y+=(a)",
            lambda: f"[[ {self._word()} == {self._word()} && ( -z {self._word()} ||\n! a =~ ^(a|b)$ ) ]]",
            lambda: f"cat <({self._simple()}) <<<{self._word()} &>/dev/null",
            lambda: f"x=1 y={self._word()} echo {self._word()}",
        )

    def _one_of(self, *makers: Callable[[], str]) -> str:
        return self._random.choice(makers)()

    def _here(self) -> str:
        operator, text = self._document()
        behind = self._random.choice(("", "; echo b", " | cat", " && echo b", " | cat | cat", " # c'"))
        return f"cat {operator} {self._words()}{behind}\n{text}\nE"

    def _two(self) -> str:
        (one, first), (other, second) = self._document(), self._document()
        between = self._random.choice(("; cat -", " | cat -", " -", " && cat", "; ( cat"))
        return f"cat {one}{between} {other}{' )' * ('(' in between)}\n{first}\nE\n{second}\nE"

    def _document(self) -> tuple[str, str]:
        parts = ("$(echo c)", "${x}", "`echo d`", "a", "'", '"', "\n", "\\\n", " E", "\tE\n", "#", "(", "E")
        text = "".join(self._random.choices(parts, k=self._random.randrange(4)))
        return self._random.choice(("<<E", "<<'E'", "<<-E", "<<\\E", '0<<"E"')), text

    def _compound(self) -> str:
        inner = self.statements()
        function = f"f{self._random.randrange(10**6)}"  # none that would call itself
        return self._one_of(
            lambda: f"{{ {inner}\n}}",
            lambda: f"( {inner}\n)",
            lambda: f"({inner})",
            lambda: f"if {self._simple()}; then {inner}\nelse\n{self.statements()}\nfi",
            lambda: f"for i in {self._word()} b; do {inner}\ndone 2>/dev/null | cat",
            lambda: f"case {self._word()} in (a|b) {inner}\n;; *) {self.statements()}\nesac",
            lambda: f"case {self._word()}\nin # c'\n{self._word()}) {inner}\n# c)\n;; # it's\n*[!a]) ;; esac",
            lambda: f"for i # c'\nin {self._word()} # it's\ndo {inner}; done",
            lambda: f"(({inner}); {self.statements()})",
            lambda: f"if {{ {inner}\n}} then {self._simple()}; elif ({self._simple()}) then {inner}\nfi",
            lambda: f"{function}() {{\n{inner}\n}}\n{function}",
            lambda: f"{function}() ({inner}\n)\n{function}",
            lambda: f"echo a | {self._simple()} | cat",
            lambda: f"! {self._simple()} | cat",
        )

    def _words(self) -> str:
        return " ".join(self._word() for _ in range(self._random.randrange(3)))

    def _word(self) -> str:
        return "".join(self._part() for _ in range(self._random.choice((1, 1, 2, 3))))

    def _part(self) -> str:
        choice = self._random.choice
        if self._depth > 4 or self._random.random() < 0.5:
            return choice(_PLAIN)
        self._depth += 1
        try:
            return self._one_of(
                lambda: f"'{self._text((*_PLAIN, *_ELSE))}'",
                lambda: f'"{self._text((*_PLAIN, *_ELSE, chr(39), self._part()))}"',
                lambda: f"${{x:-{self._text((*_PLAIN, ' ', chr(39), self._part()))}}}",
                lambda: f"${{x#{self._part()}}}",
                lambda: f"$({self.statements()})",
                lambda: f"$({self.statements()}\n)",
                lambda: f"`echo {self._text(('a', ' ', chr(39), '#'))}`",
                lambda: f"$(({choice(('1', '1 + 2', '(1 + 2) * 3', '1 << 2', '$(echo 3)'))}))",
                lambda: choice(("$'a'", "$'\\n'", "$'\\''", "$'\"'")),
            )
        finally:
            self._depth -= 1

    def _text(self, parts: tuple[str, ...]) -> str:
        return "".join(self._random.choices(parts, k=self._random.randrange(4)))


def _marked(text: bytes, block: Block) -> bytes:
    marks: list[tuple[int, bytes]] = []

    def around(node: Node, *, statement: bool) -> None:
        before, behind = (b"{ ", b"; }") if statement else (b"", b"")
        if isinstance(node, Command) and not node.words[0].text.startswith(b"$"):  # which may come to nothing
            before, behind = before + b"if :; then ", b"; fi" + behind
        marks.append((node.start, before))
        for child in children(node):
            for inner in [item for item, _ in child.items] if isinstance(child, Block) else [child]:
                around(inner, statement=isinstance(child, Block))
        blank = b" " * text.startswith(b"#", node.end)  # ``(a)#`` is a comment, ``}#`` is none
        marks.append((node.end, behind + blank))

    for node, _ in block.items:
        around(node, statement=True)
    ordered = sorted(range(len(marks)), key=lambda number: (marks[number][0], number), reverse=True)
    for at, new in (marks[number] for number in ordered):
        text = text[:at] + new + text[at:]
    return text


def _run(argv, directory, text):
    """None if the shell refuses it, else how it ends and the lines that it says, in no order: the parts of a pipeline
    take turns. Numbers of lines are left out: bash names another one for a part of a pipeline than for an ``if``."""
    program, work = directory / "program", directory / "work"
    program.write_bytes(text)
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    for options in ((b"-n",), ()):
        done = subprocess.run(
            [shutil.which(argv[0]), *argv[1:], *options, program],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=20,
            cwd=work,
            env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"},
        )
        # Of ``((`` that is no arithmetic, bash tells errors in what is nested in it, and ends with 0 (seed 301766).
        if options and (done.returncode or b"unexpected" in done.stderr):
            return None
    return done.returncode, sorted(re.sub(rb": line \d+:", b":", done.stdout).splitlines())


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("argv", [argv for argv in SHELLS if shutil.which(argv[0])], ids=lambda argv: argv[-1])
def test_a_shell_reads_a_program_as_the_grammar_does(argv, tmp_path, capsys):
    counts: Counter[str] = Counter()
    wrong = []
    for seed in range(FIRST, FIRST + PROGRAMS):
        script = parse(_Programs(seed).program().encode())
        if script.error_line is not None or starts_job(script.block):  # whose words may come at any time
            counts["not understood"] += 1
            continue
        plain = _run(argv, tmp_path, script.text)
        if plain is None:
            counts["refused by the shell"] += 1
            continue
        counts["compared"] += 1
        marked = _marked(script.text, script.block)
        ours = _run(argv, tmp_path, marked)
        if ours != plain:
            wrong.append(f"{seed}: {plain} but {ours}\n{script.text.decode()}\n--- as\n{marked.decode()}")
    with capsys.disabled():
        print(f"\n{argv[-1]}:", ", ".join(f"{n} {kind}" for kind, n in counts.most_common()))  # noqa: T201 - the figures
    assert not wrong, "\n======\n".join(wrong)
    assert counts["compared"] > PROGRAMS // 4
