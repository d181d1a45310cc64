"""The commands that the documents give, so that tests run what a reader types.

A code block that holds commands has a comment before it that names it::

    <!-- commands: install -->
    ```sh
    python3 -m venv /usr/lib/nodeagent
    ```
"""

import re
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent

_BLOCK = re.compile(r"^(?:<!-- commands: (?P<name>[\w-]+) -->\n)?```(?P<language>\w+)\n(?P<text>.*?)^```$", re.M | re.S)


def blocks(document: str) -> list[tuple[str | None, str, str]]:
    """Every fenced block that has a language, as (name or None, language, text)."""
    text = (PROJECT / document).read_text()
    return [(match["name"], match["language"], match["text"]) for match in _BLOCK.finditer(text)]


def commands(document: str, name: str) -> str:
    """The commands of one block, a shell program.

    Raises:
        KeyError: the document has no such block.
    """
    return {found: text for found, _, text in blocks(document)}[name]
