"""``nodeagent why PATH``: who put it there, when, and instead of what."""

import argparse
import json
import os
import stat
from collections.abc import Iterator, Mapping

from nodeagent.cli import bystanders, ledger_place
from nodeagent.cli.wording import commit_as_json, commit_line, moment, safe, short
from nodeagent.ledger import database, origin
from nodeagent.ledger.destinations import ABSENT
from nodeagent.ledger.origin import Appended, Author, Before, Known, Placed

_SHOWN = 10  # lines of an appended text


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser(
        "why",
        help="say who put a file there, and instead of what",
        description="Say which statement of which commit put a file, link, directory or appended text there, what it "
        "replaced, and whether it is as it was left. Exit code 1: it is not nodeagent's.",
    )
    ledger_place.add_options(parser)
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.add_argument("path", metavar="PATH")
    parser.set_defaults(func=_why)


def candidates(path: str) -> list[str]:
    """The paths that may be meant, as the ledger has them: what stands under this name, then what it leads to."""
    itself = os.path.join(os.path.realpath(os.path.dirname(path) or "."), os.path.basename(path))
    final = os.path.realpath(path)
    named = os.path.basename(path) not in {"", ".", ".."}
    return list(dict.fromkeys([itself, final] if named else [final]))


def _why(args: argparse.Namespace) -> int:
    state = ledger_place.state_directory(args)
    with database.readable(state) as connection:
        names = candidates(args.path)
        found = [origin.find(connection, name, kept=state / "kept") for name in names]
        known = next((one for one in found if one is not None), None)
        path = known.path if known is not None else names[0]
        below = origin.count_below(connection, path)
        said = _of_ours(known) if known is not None else _of_others(path)
    said["below"] = below
    if args.json:
        print(json.dumps({"schema": 1, "path": path, **said}, indent=2))  # noqa: T201 - the verb's output
    else:
        lines = _ours(known) if known is not None else _others(said)
        print("\n".join([_title(args.path, path), *lines, *_below(below)]))  # noqa: T201 - the verb's output
    return 0 if known is not None else 1


# --- for people ------------------------------------------------------------------------------------------------


def _title(asked: str, path: str) -> str:
    leads = os.path.islink(asked) and candidates(asked)[0] != path
    return f"{safe(asked)} is a link to {safe(path)}" if leads else safe(path)


def _ours(known: Known) -> Iterator[str]:
    placed = known.placed
    if placed is not None:
        if not (placed.only_appended and known.blocks):
            yield f"  {placed.phase:<9} {_statement(placed.author)}"
            yield from _history(placed.author, indent="  ")
        yield f"  before    {_stood_before(placed, known.before)}"
        as_left = "removed by a later step of post.sh" if placed.left == ABSENT else "as nodeagent left it"
        yield f"  now       {'; '.join(origin.differences(placed, known.path)) or as_left}"
    elif known.before is not None:
        yield "  nodeagent replaced or removed what stood here, and has nothing here any more"
        yield f"  before    {_of_before(known.before)}"
    for appended in filter(_is_told, known.blocks):
        yield from _block(appended)


def _statement(author: Author) -> str:
    gone = " (no longer in post.sh)" if author.gone else ""
    return f"{author.file}:{author.line}  {safe(author.text)}{gone}"


def _history(author: Author, *, indent: str) -> Iterator[str]:
    if author.revision:
        yield f"{indent}revision  {short(author.revision)}"
    if author.commit is not None:
        yield f"{indent}commit    {commit_line(author.commit)}"
    if author.written is None:
        yield f"{indent}adopted   it stood here already, as post.sh wants it"
    else:
        yield f"{indent}written   {moment(author.written)}"


def _stood_before(placed: Placed, before: Before | None) -> str:
    if placed.created:
        return "nothing stood here"
    return _of_before(before) if before is not None else "what stands here: nothing was replaced"


def _of_before(before: Before) -> str:
    content = before.content
    said = f"{origin.kind_of(content.kind)}, mode {content.mode:04o}, owner {content.uid}:{content.gid}"
    if stat.S_ISLNK(content.kind):
        return f"a link to {safe(content.digest)}"
    if stat.S_ISREG(content.kind):
        return f"{said}, kept as {before.copy}" if before.copy is not None else f"{said}, too large to be kept"
    return said


def _is_told(appended: Appended) -> bool:
    return bool(appended.block.statement)  # else it is somebody else's line that is continued


def _block(appended: Appended) -> Iterator[str]:
    yield f"  {'ADOPTED' if appended.block.adopted else 'APPEND':<9} {_statement(appended.author)}"
    yield from _history(appended.author, indent="    ")
    lines = os.fsdecode(appended.block.text).split("\n")
    if lines[-1] == "":
        lines.pop()
    yield from (f"    | {safe(line)}" for line in lines[:_SHOWN])
    if len(lines) > _SHOWN:
        yield f"    | ... {len(lines) - _SHOWN} more lines"


def _others(said: Mapping[str, object]) -> Iterator[str]:
    yield "  not nodeagent's"
    for name in ("standing", "package", "mount"):
        if said[name]:
            yield f"  {name:<9} {safe(str(said[name]))}"


def _below(count: int) -> Iterator[str]:
    if count:
        yield f"  below it  {count} destinations of nodeagent's"


# --- for programs ----------------------------------------------------------------------------------------------


def _of_ours(known: Known) -> dict[str, object]:
    placed, before = known.placed, known.before
    said: dict[str, object] = {"nodeagent": True}
    if placed is not None:
        changed = origin.differences(placed, known.path)
        said |= {
            "phase": placed.phase,
            **_author_as_json(placed.author),
            "evaluation": placed.evaluation,
            "created": placed.created,
            "as_left": not changed,
            "differences": list(changed),
        }
    said["before"] = None
    if before is not None:
        said["before"] = {
            "kind": origin.kind_of(before.content.kind),
            "mode": f"{before.content.mode:04o}",
            "uid": before.content.uid,
            "gid": before.content.gid,
            "target": before.content.digest if stat.S_ISLNK(before.content.kind) else None,
            "copy": str(before.copy) if before.copy is not None else None,
        }
    said["blocks"] = [
        {"text": os.fsdecode(one.block.text), "adopted": one.block.adopted, **_author_as_json(one.author)}
        for one in filter(_is_told, known.blocks)
    ]
    return said


def _author_as_json(author: Author) -> dict[str, object]:
    return {
        "statement": {"file": author.file, "line": author.line, "text": author.text, "gone": author.gone},
        "revision": author.revision,
        "commit": commit_as_json(author.commit),
        "written": round(author.written, 3) if author.written is not None else None,
    }


def _of_others(path: str) -> dict[str, object]:
    try:
        found = os.lstat(path)
    except OSError as error:
        standing = f"nothing that can be seen: {error.strerror}"
    else:
        standing = f"{origin.kind_of(found.st_mode)} of {bystanders.owner_of(found)}, changed {moment(found.st_mtime)}"
    mount = bystanders.mount_of(path)
    below = f"{mount.point} ({mount.kind}, {mount.source})" if mount is not None and mount.point != "/" else None
    return {"nodeagent": False, "standing": standing, "package": bystanders.package_of(path), "mount": below}
