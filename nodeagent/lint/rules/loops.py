"""Who reads what was meant for a loop: ``while read -r host; do ssh "$host" date; done <hosts`` ends after one host."""

import re
from collections.abc import Iterator
from itertools import pairwise

from nodeagent.evaluate.syntax import Command, Compound, Node, Opaque, Pipeline, Redirect
from nodeagent.lint.finding import Finding, shown
from nodeagent.lint.places import Place
from nodeagent.lint.program import Call, Program

_GIVEN = frozenset({"<", "<<", "<<-", "<<<", "<>", "<&"})
_REMOTE = frozenset({"ssh", "rsh", "plink"})
_TAKE_ALL = frozenset(
    {"chpasswd", "clush", "ffmpeg", "mail", "mailx", "mpiexec", "mpirun", "sendmail", "srun", "tee", "tr"}
)
# Those that read their input when no file is named.
_WITHOUT_FILE = frozenset({
    "bash", "cat", "cut", "dash", "head", "md5sum", "sh", "sha256sum", "sort", "tac", "tail", "uniq", "wc", "xargs",
})  # fmt: skip
_VALUE_OPTIONS = frozenset("BbcDEeFIiJLlmOopQRSWw")  # of ssh
_SPARES = re.compile(rb"(?:^|\s)(?:--nostdin|-nostdin|--input[= ]?(?:none|/dev/null)|-i\s?none|-c\b)")
_SUBSTITUTED = re.compile(rb"(?:\$\(|`)\s*(?:ssh|rsh|srun)\s(?!\s*-[nf]\b)[^)`|<]*(?=[)`|])")


def loop_input(program: Program) -> Iterator[Finding]:
    loops = {id(place.node) for place in program.places if _reads_lines(place)}
    if not loops:
        return
    for call in program.calls():
        if _reads(call) and _shares_input(loops, call.place):
            yield program.finding("loop-input", call.command.start, shown(program.slice(call.command), 60))
    for place in program.places:
        if isinstance(place.node, Opaque | Command) and _shares_input(loops, place):
            found = _SUBSTITUTED.search(program.slice(place.node))
            if found:
                yield program.finding("loop-input", place.node.start + found.start(), shown(found.group() + b")", 60))


def _reads_lines(place: Place) -> bool:
    """A ``while read`` whose input is a file, a text or a pipeline."""
    node = place.node
    if not isinstance(node, Compound) or node.kind != "while" or not (node.bodies and node.bodies[0].items):
        return False
    behind_pipe = bool(place.around) and _behind_pipe(place.around[-1], node)
    if not behind_pipe and not any(map(_is_input, node.redirects)):
        return False
    return any(_is_plain_read(item) for block in node.conditions for item, _ in block.items)


def _is_plain_read(node: Node) -> bool:
    if not isinstance(node, Command) or node.name != "read" or any(map(_is_input, node.redirects)):
        return False
    return not any(word.text.startswith(b"-u") for word in node.words)


def _is_input(redirect: Redirect) -> bool:
    return redirect.operator in _GIVEN and redirect.descriptor in {None, 0}


def _behind_pipe(around: Node, node: Node) -> bool:
    return isinstance(around, Pipeline) and node is not around.parts[0] and any(node is p for p in around.parts)


def _shares_input(loops: set[int], place: Place) -> bool:
    """Is it in such a loop's body, and is its input the loop's: not that of something around it, nor a job's, none?"""
    index = next((n for n in range(len(place.around) - 1, -1, -1) if id(place.around[n]) in loops), None)
    if index is None or place.background:
        return False
    loop = place.around[index]
    if not isinstance(loop, Compound) or place.node.start < loop.bodies[0].items[0][0].start:
        return False
    inner = (*place.around[index + 1 :], place.node)
    redirected = any(any(map(_is_input, n.redirects)) for n in inner if isinstance(n, Command | Compound))
    heredoc = isinstance(place.node, Command) and place.node.heredoc
    return not (redirected or heredoc or any(_behind_pipe(outer, node) for outer, node in pairwise(inner)))


def _reads(call: Call) -> bool:
    words = b" ".join(word.text for word in call.words[1:])
    if call.name in _REMOTE:
        return not _closed(call)
    if call.name in _TAKE_ALL:
        return not _SPARES.search(words) and not (call.name == "clush" and call.has("n"))
    if call.name in _WITHOUT_FILE:
        return not call.operands and not _SPARES.search(words) and not call.has("", "--version", "--help")
    return call.name == "crontab" and words.strip() == b"-"


def _closed(call: Call) -> bool:
    """``ssh -n``, among the options that stand before the host."""
    value = False
    for word in call.words[1:]:
        option = word.text.decode(errors="replace")
        if value:
            value = False
        elif not option.startswith("-"):
            return False
        elif set(option) & set("nf") and not set(option[1:]) & _VALUE_OPTIONS:
            return True
        else:
            value = len(option) == 2 and option[1] in _VALUE_OPTIONS
    return False
