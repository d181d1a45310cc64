"""Where what is said of errors goes to a file: a COPY that fails has to say there what rsync would."""

from collections.abc import Iterator

from nodeagent.evaluate.redirects import errors_kept
from nodeagent.evaluate.syntax import Block, Command, Compound, Node, Script, children


def anywhere(script: Script) -> bool:
    """Does any statement of the text keep its errors?"""
    return any(errors_kept(node.redirects) for node in _redirected(script.block))


def for_good(script: Script) -> bool:
    """Does an ``exec`` keep those of all that follows?"""
    found = (n for n in _redirected(script.block) if isinstance(n, Command) and n.name == "exec")
    return any(errors_kept(node.redirects) for node in found)


def _redirected(block: Block) -> Iterator[Command | Compound]:
    stack: list[Block | Node] = [block]
    while stack:
        current = stack.pop()
        if isinstance(current, Command | Compound) and current.redirects:
            yield current
        if isinstance(current, Block):
            stack.extend(item for item, _ in current.items)
        else:
            stack.extend(children(current))
