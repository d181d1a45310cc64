"""The verbs' calls, and where they stand in a program's text. What they do is in ``prelude.sh``."""

import contextlib
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence

from nodeagent.evaluate.outputs import Output
from nodeagent.evaluate.sources import may_be_asked_twice
from nodeagent.evaluate.syntax import Command, Node, Script, substitutes

_SPECIAL = re.compile(rb'["$`\\]')  # between double quotes


class Edits:
    """Collects what one text becomes. Of two statements that begin or end at one place, the inner one comes first.

    Where the program traces itself (``traced``), the verbs' own trace goes nowhere, so that a file that keeps it holds
    what the plain shell says; but for what expands the script's own words, whose errors are to be seen.
    """

    def __init__(self, script: Script, *, traced: bool) -> None:
        self._script = script
        self._traced = traced
        self._openings: defaultdict[int, list[bytes]] = defaultdict(list)
        self._closings: defaultdict[int, list[bytes]] = defaultdict(list)
        self._replaced: dict[int, tuple[int, bytes]] = {}
        self._doubly = False  # what is written now stands between double quotes

    def gate(self, node: Node, number: int, names: Sequence[bytes], *, mark: bool = False) -> None:
        """A step that runs if it may.

        Args:
            node: the statement.
            number: of the step.
            names: it is one only if none of them is a function or a built-in when it is reached.
            mark: it calls a function that tells what it runs.
        """
        before = self._open_gate(number, names) + (self._verb(b"__na_at %d" % number) + b"; ") * mark
        self._around(node, before, self._close_gate(b"; ", b"__na_ok %d && :" % number))

    def start_gate(self, node: Node, ampersand: int, number: int) -> None:
        """A job in the background that starts if it may; ``ampersand`` is the place of its ``&``."""
        more = self._script.text[ampersand + 1 :].lstrip(b" \t")[:1] not in {b"", b"\n", b";", b")", b"#"}
        self.before(node.start, self._open_gate(number, ()))
        end = self._close_gate(b"& ", b"__na_ok %d" % number)
        self.replace(ampersand, ampersand + 1, end + b"; " * more)

    def told(self, node: Node, number: int) -> None:
        """A call that always runs of a function that tells what it runs."""
        before = b"{ " + self._verb(b"__na_at %d && :" % number) + b"; "
        self._around(node, before, b"; " + self._verb(b"__na_of && :") + b"; }")

    def dot(self, node: Command, *, as_it_is: bool = False) -> None:
        """A ``.``. ``as_it_is``: its file is read without verbs. A name that a program makes is asked for once."""
        name, word = node.words[1], node.words[1].text
        once = b""
        if not may_be_asked_twice(word):
            before, behind = (self._verb(verb) + b"; " for verb in (b"__na_s=$?; __na_is && :", b"__na_fs && :"))
            once = before + b"__na_f=%s && :; " % word + behind
            word = b'"$__na_f"' if word.startswith(b'"') else b"$__na_f"
            self.replace(name.start, name.end, word)
        words = node.words[0].text + b" " + word
        verb = b"__na_see %s && :" if as_it_is else b"__na_dot %s && :"
        self._around(node, b"{ " + once + self._verb(verb % words, words) + b"; ", b"; }")

    def copy_of(self, name: bytes, span: tuple[int, int]) -> None:
        """What copies in a function that says something besides: the agent does it where the call is marked."""
        self.before(span[0], b"if " + self._verb(b'__na_cc %s "$@"' % name, b'"$@"') + b"; then ")
        self._closings[span[1]].append(b"; else " + self._verb(b"__na_no") + b"; fi")

    def program_of_run(self, node: Command) -> None:
        self._around(node, self._verb(b'__na_run "$@"') + b"; ", b"; " + self._verb(b"__na_ran && :"))

    def log(self, node: Command) -> None:
        """``logger`` in such a function; where it is traced, it runs, and says so."""
        if not self._traced:
            self.replace(node.words[0].start, node.words[0].end, b"__na_log")

    def place(self, node: Node, outputs: Sequence[tuple[int, Output]], *, status: bool, aside: bool = False) -> None:
        """Have the agent place what a statement prints into files.

        Args:
            node: the statement.
            outputs: the files, with the numbers of their steps.
            status: the statement looks at ``$?``.
            aside: another process than the shell's own may print it.
        """
        begin, end = (b"st", b"sx") if aside else (b"to", b"tx")
        several = len(outputs) > 1
        before, behind = b"{ " + (self._verb(b"__na_s=$?") + b"; ") * status, b""
        for number, output in outputs:
            word = output.word
            name = b"__na_o%d" % number if several else b"__na_o"
            assigned = b"__na_t=%s" % word.text + b" && :" * substitutes(word)
            before += self._verb(assigned, word.text) + b"; "
            before += self._verb(b"__na_%s %d" % (begin, number) + (b"; %s=$__na_o" % name) * several) + b"; "
            self.replace(word.start, word.end, b"$" + name if output.split else b'"$%s"' % name)
            behind = b"; " + self._verb(b"__na_%s %d && __na_no" % (end, number)) + behind
        self._around(node, before + (self._verb(b"__na_is && :") + b"; ") * status, behind + b"; }")

    def leave(self, node: Command, texts: Sequence[int], *, aside: bool = False) -> None:
        """A command that leaves texts in their middle: nothing else will be printed into them."""
        end = b"__na_sx %d && :" if aside else b"__na_tx %d && :"
        ends = (self._verb(end % number) + b"; " for number in texts)
        self._around(node, b"{ " + b"".join(ends), b"; }")

    def behind_subshell(self, node: Node) -> None:
        """What ``set -e`` ended it in is placed before anything else looks at it."""
        self._around(node, b"{ ", b"; " + self._verb(b"__na_up && :") + b"; }")

    @contextlib.contextmanager
    def between_double_quotes(self) -> Iterator[None]:
        """What is written meanwhile stands in a text between double quotes."""
        self._doubly = True
        yield
        self._doubly = False

    def with_verbs(self, text: int, *, doubly: bool) -> None:
        """The text of ``sh -c``, which begins there between single or double quotes, is to know the verbs."""
        self.before(text, b'. \\"$__na_v\\"; ' if doubly else b""". "'"$__na_v"'"; """)

    def at_the_end(self, text: int) -> None:
        """The text of a trap, which begins there: what the shell's end left in its middle is placed before it."""
        self.before(text, self._verb(b"__na_end") + b" && :; ")

    def before(self, at: int, new: bytes) -> None:
        self._openings[at].append(self._quoted(new))

    def replace(self, start: int, end: int, new: bytes) -> None:
        self._replaced[start] = end, self._quoted(new)

    def _around(self, node: Node, before: bytes, behind: bytes) -> None:
        self._openings[node.start].append(self._quoted(before))
        self._closings[node.end].append(self._quoted(behind))

    def _quoted(self, new: bytes) -> bytes:
        return _SPECIAL.sub(rb"\\\g<0>", new) if self._doubly else new

    def _open_gate(self, number: int, names: Sequence[bytes]) -> bytes:
        words = b" ".join([b"%d" % number, *names])
        return b"if " + self._verb(b"__na_go %s" % words, words) + b"; then "

    def _close_gate(self, end: bytes, ok: bytes) -> bytes:
        return end + self._verb(ok) + b"; else " + self._verb(b"__na_no") + b"; fi"

    def _verb(self, call: bytes, words: bytes = b"") -> bytes:
        """``words``: those of the script's own in it."""
        expands = b"$" in words or b"`" in words
        return b"{ %s; } 2>/dev/null" % call if self._traced and not expands else call

    def text(self) -> bytes:
        """The text as it has become."""
        text, done = bytearray(), 0
        for at in sorted(self._openings.keys() | self._closings.keys() | self._replaced.keys()):
            text += self._script.text[done:at]
            text += b"".join(self._closings[at]) + b"".join(reversed(self._openings[at]))
            if self._closings[at] and self._script.text.startswith(b"#", at):  # ``(a)#`` is a comment, ``fi#`` is none
                text += b" "
            done = at
            if at in self._replaced:
                done, new = self._replaced[at]
                text += new
        return bytes(text + self._script.text[done:])
