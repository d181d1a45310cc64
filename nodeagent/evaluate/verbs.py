"""The verbs' calls, and where they stand in a program's text. What they do is in ``prelude.sh``."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from nodeagent.evaluate.outputs import Output
from nodeagent.evaluate.syntax import Command, Node, Script, substitutes


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """What is put in front of a statement, and behind it."""

    before: bytes
    behind: bytes


def gate(number: int, names: Sequence[bytes], *, mark: bool = False) -> Around:
    """A step that runs if it may.

    Args:
        number: of the step.
        names: it is one only if none of them is a function or a built-in when it is reached.
        mark: it calls a function that tells what it runs.
    """
    before = b"if __na_go %s; then " % b" ".join([b"%d" % number, *names]) + b"__na_at %d; " % number * mark
    return Around(before=before, behind=b"; __na_ok %d && :; else __na_no; fi" % number)


def told(number: int) -> Around:
    """A call that always runs of a function that tells what it runs."""
    return Around(before=b"{ __na_at %d && :; " % number, behind=b"; __na_of && :; }")


def dot(node: Command, *, as_it_is: bool = False) -> Around:
    """A ``.``. ``as_it_is``: its file is read without verbs."""
    words = node.words[0].text + b" " + node.words[1].text
    return Around(before=b"{ __na_%s %s && :; " % (b"see" if as_it_is else b"dot", words), behind=b"; }")


PROGRAM_OF_RUN = Around(before=b'__na_run "$@"; ', behind=b"; __na_ran && :")


class Edits:
    """Collects what one text becomes. Of two statements that begin or end at one place, the inner one comes first."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._openings: defaultdict[int, list[bytes]] = defaultdict(list)
        self._closings: defaultdict[int, list[bytes]] = defaultdict(list)
        self._replaced: dict[int, tuple[int, bytes]] = {}

    def around(self, node: Node, verbs: Around) -> None:
        self._openings[node.start].append(verbs.before)
        self._closings[node.end].append(verbs.behind)

    def replace(self, start: int, end: int, new: bytes) -> None:
        self._replaced[start] = end, new

    def before(self, at: int, new: bytes) -> None:
        self._openings[at].append(new)

    def place(self, node: Node, outputs: Sequence[tuple[int, Output]], *, status: bool) -> None:
        """Have the agent place what a statement prints into files.

        Args:
            node: the statement.
            outputs: the files, with the numbers of their steps.
            status: the statement looks at ``$?``.
        """
        several = len(outputs) > 1
        before, behind = b"{ " + b"__na_s=$?; " * status, b""
        for number, output in outputs:
            word = output.word
            before += b"__na_t=%s" % word.text + (b" && :; " if substitutes(word) else b"; ") + b"__na_to %d; " % number
            name = b"__na_o%d" % number if several else b"__na_o"
            before += name + b"=$__na_o; " if several else b""
            self.replace(word.start, word.end, b"$" + name if output.split else b'"$%s"' % name)
            behind = b"; __na_tx %d && __na_no" % number + behind
        self.around(node, Around(before=before + b"__na_is && :; " * status, behind=behind + b"; }"))

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
