"""The comparison of one program's two ways, as a list of what is not as it must be."""

from collections.abc import Callable, Mapping, Sequence

from tests.equivalence.differences import comparable, granted
from tests.equivalence.root import Entry, File
from tests.equivalence.sandbox import Order
from tests.equivalence.ways import Left

Run = Callable[[Sequence[Order]], list[list[Left]]]
Tree = Mapping[bytes, Entry]
TIMES = 2


def both_ways(
    run: Run, files: Mapping[bytes, File], args: Sequence[str] = (), *, times: int = TIMES
) -> tuple[list[Left], list[Left]]:
    """Run a program so many times by the plain shell, and as often by nodeagent."""
    plain, ours = run([Order(way=way, files=files, args=args, times=times) for way in ("plain", "apply")])
    return plain, ours


def deviations(plain: Sequence[Left], ours: Sequence[Left], differs: Sequence[tuple[str, str]] = ()) -> list[str]:
    """What the first apply left otherwise than the plain shell, and what the second changed on its own."""
    found = []
    if plain[0].status != ours[0].status:
        found.append(f"exit status: {plain[0].status} plain, {ours[0].status} by nodeagent")
    outputs = [comparable(left.output) for left in (plain[0], ours[0])]
    if outputs[0] != outputs[1]:
        found.append(f"output:\n  plain     {outputs[0]}\n  nodeagent {outputs[1]}")
    found += _first(plain[0].tree, ours[0].tree, differs)
    if len(ours) > 1:
        found += _second(plain, ours)
    return found


def _first(plain: Tree, ours: Tree, differs: Sequence[tuple[str, str]]) -> list[str]:
    permitted = {path.encode(): granted(name) for name, path in differs if path}
    found = []
    for path in sorted(plain.keys() | ours.keys()):
        entries = plain.get(path), ours.get(path)
        may = permitted.get(path)
        if may is not None and may.entries is not None:
            if entries[0] == entries[1] or not may.entries(*entries):
                found.append(f"{path!r}: the claimed difference is not there, both {_shown(entries[0])}")
        elif entries[0] != entries[1]:
            found.append(f"{path!r}:\n  plain     {_shown(entries[0])}\n  nodeagent {_shown(entries[1])}")
    return found


def _second(plain: Sequence[Left], ours: Sequence[Left]) -> list[str]:
    again = changed(plain[0].tree, plain[1].tree)
    return [
        f"{path!r}: changed by the second apply only:\n  first  {_shown(ours[0].tree.get(path))}\n"
        f"  second {_shown(ours[1].tree.get(path))}"
        for path in sorted(changed(ours[0].tree, ours[1].tree) - again)
    ]


def changed(before: Tree, after: Tree) -> set[bytes]:
    return {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}


def _shown(entry: Entry | None) -> str:
    return "nothing" if entry is None else f"{entry[0]:o} {entry[1]}:{entry[2]} {entry[3]!r}"
