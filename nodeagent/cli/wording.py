"""How the verbs print times, revisions and texts that others wrote."""

import time

from nodeagent.model.evaluation import Commit

SHORT = 12  # hex digits of a commit id that are enough for people


def moment(epoch: float) -> str:
    """A time of the local day, as ``2026-01-31 23:59:59``."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(epoch))


def safe(text: str) -> str:
    """Without what a terminal would take for a command: some of it was written by a server or a script."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def short(revision: str) -> str:
    """A printed revision with its commit cut to what people read."""
    ref, mark, commit = revision.partition("@sha1:")
    return f"{safe(ref)}{mark}{commit[:SHORT]}"


def commit_line(commit: Commit) -> str:
    when = moment(commit.authored) if commit.authored else "at an unknown time"
    return f"{safe(commit.author) or 'an unknown author'}, {when}: {safe(commit.subject)}"


def commit_as_json(commit: Commit | None) -> dict[str, object] | None:
    if commit is None:
        return None
    return {"author": commit.author, "authored": commit.authored, "subject": commit.subject}
