"""Where the blocks of APPEND stand in a file, whatever was done to it since. Pure; no I/O.

A text without a newline at its end is continued by what is appended next, as the shell does. Each block says whether it
*continues* the one before it: those that make up a line stand, and are looked for, together. What a block continues is
a block too: nodeagent's own, or a *stub*, the beginning of somebody else's line.
"""

import difflib
from collections.abc import Sequence

from nodeagent.model.destinations import Block

NEWLINE = b"\n"
STUB = ""
"""The statement of a stub: no step's."""

Span = tuple[int, int]

_MEND_SLACK = 8  # lines of others that may have come between the lines of a broken block
_MEND_LIMIT = 100_000  # comparisons; a larger block is appended anew


def find_blocks(content: bytes, blocks: Sequence[Block]) -> list[Span | None]:
    """Find where each block stands, no two in one place; None for a block that is gone.

    They are looked for in their order, which is that of the file when they were recorded, and then anywhere; from the
    end, since what nodeagent appended stands below an equal line of somebody else's. In a file that is as it was when
    they were recorded each is found: the lines that a run of blocks makes up stand in that order, and begin lines.
    """
    spans: list[Span | None] = [None] * len(blocks)
    limit = len(content)
    last = len(blocks) - 1
    while last >= 0:
        first, span = _find_run(content, blocks, last, limit)
        if span is not None:
            limit = begin = span[0]
            for index in range(first, last + 1):
                spans[index] = (begin, begin + len(blocks[index].text))
                begin += len(blocks[index].text)
        last = first - 1
    for index, block in reversed(list(enumerate(blocks))):
        if spans[index] is None and block.statement != STUB:
            spans[index] = find_free(content, block.text, spans, whole=block.adopted)
    return spans


def _find_run(content: bytes, blocks: Sequence[Block], last: int, limit: int) -> tuple[int, Span | None]:
    """Find a block with those before it that it continues, or as many of them as still stand so; tells the first."""
    if blocks[last].statement == STUB:
        return last, None  # means nothing without what continues it
    first = last
    while first > 0 and blocks[first].continues and not blocks[first - 1].text.endswith(NEWLINE):
        first -= 1
    for begin in range(first, last + 1):
        text = b"".join(block.text for block in blocks[begin : last + 1])
        if (span := _find(content, text, limit, whole=blocks[last].adopted)) is not None:
            return begin, span
    return last, None


def _find(content: bytes, text: bytes, limit: int, *, whole: bool) -> Span | None:
    """The last place up to ``limit`` where the text begins a line. ``whole``: it must end one as well."""
    while limit >= len(text):
        begin = content.rfind(NEWLINE + text, 0, limit) + 1
        end = begin + len(text)
        if not begin and not content.startswith(text):
            return None
        if not whole or text.endswith(NEWLINE) or end == len(content) or content.startswith(NEWLINE, end):
            return (begin, end)
        limit = end - 1
    return None


def find_free(content: bytes, text: bytes, spans: Sequence[Span | None], *, whole: bool) -> Span | None:
    """The last place of the text where nothing of ``spans`` stands."""
    limit = len(content)
    while (found := _find(content, text, limit, whole=whole)) is not None:
        clash = min((span[0] for span in spans if span and span[0] < found[1] and found[0] < span[1]), default=None)
        if clash is None:
            return found
        limit = min(clash, found[1] - 1)
    return None


def survivors(content: bytes, text: bytes, taken: Sequence[Span]) -> list[Span]:
    """The lines of a broken block that still stand near one another, in its order; none if less than half do.

    Blank lines prove nothing. Of several places the one with the most lines counts, and of these the last, since what
    nodeagent appended stands below an equal line of somebody else's.
    """
    wanted = [line for line in _lines(text) if line.strip()]
    lines = _free_lines(content, taken)
    starts = [index for index, (line, _) in enumerate(lines) if line in set(wanted)]
    if len(starts) * len(wanted) > _MEND_LIMIT:
        return []
    best: list[Span] = []
    for start in starts:
        window = lines[start : start + len(wanted) + _MEND_SLACK]
        matcher = difflib.SequenceMatcher(None, wanted, [line for line, _ in window], autojunk=False)
        found = [window[m.b + k][1] for m in matcher.get_matching_blocks() for k in range(m.size)]
        if len(found) >= len(best):
            best = found
    return best if 2 * len(best) >= len(wanted) else []


def _lines(content: bytes) -> list[bytes]:
    """Split at newlines alone (``bytes.splitlines`` splits at carriage returns too), keeping them."""
    return [part + NEWLINE for part in content.split(NEWLINE)[:-1]] + [
        rest for rest in content.split(NEWLINE)[-1:] if rest
    ]


def _free_lines(content: bytes, taken: Sequence[Span]) -> list[tuple[bytes, Span]]:
    """The whole lines that nothing of ``taken`` touches, with their places."""
    lines = []
    begin = 0
    for line in _lines(content):
        end = begin + len(line)
        if line.endswith(NEWLINE) and not any(begin < stop and start < end for start, stop in taken):
            lines.append((line, (begin, end)))
        begin = end
    return lines
