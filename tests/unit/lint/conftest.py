from collections.abc import Callable, Collection, Mapping

import pytest

from nodeagent.lint.check import lint
from nodeagent.lint.finding import Finding
from nodeagent.lint.rules.understanding import Syntax
from nodeagent.lint.tree import Entry, Kind, Tree

Lint = Callable[..., list[Finding]]


def tree_of(files: Mapping[str, str | bytes], plain: Collection[str] = ()) -> Tree:
    """A repository; post.sh and the postscripts are executable, but for those in ``plain``."""
    entries: dict[str, Entry] = {}
    for path, content in files.items():
        for end in (n for n, char in enumerate(path) if char == "/"):
            entries[path[:end]] = Entry(kind=Kind.DIRECTORY)
        executable = (path == "post.sh" or path.startswith("postscripts/")) and path not in plain
        data = content.encode() if isinstance(content, str) else content
        entries[path] = Entry(kind=Kind.FILE, executable=executable, content=data)
    return Tree(entries=entries)


@pytest.fixture
def linted() -> Lint:
    def run(
        files: Mapping[str, str | bytes], plain: Collection[str] = (), syntax: Syntax = lambda _file, _shell: ()
    ) -> list[Finding]:
        return lint(tree_of(files, plain), syntax)

    return run
