"""``python -m pages DIRECTORY``: writes man pages, completions and the commented configuration below it.

The date in the pages is that of SOURCE_DATE_EPOCH, so that two builds are the same.
"""

import os
import sys
import time
from pathlib import Path

from nodeagent import __version__
from nodeagent.cli.main import parser
from nodeagent.config import Config
from pages import bash, command, fish, man, settings, zsh


def made(date: str) -> dict[str, str]:
    """Each file's text by its place below the directory."""
    root = command.read(parser())
    pages = man.pages(root, date=date, version=__version__)
    return {
        **{f"man8/{name}": text for name, text in pages.items()},
        "man5/nodeagent.toml.5": settings.page(Config, date=date, version=__version__),
        "completion/nodeagent": bash.completion(root),
        "completion/_nodeagent": zsh.completion(root),
        "completion/nodeagent.fish": fish.completion(root),
        "nodeagent.toml": settings.commented(Config),
    }


def main() -> None:
    target = Path(sys.argv[1])
    moment = time.gmtime(float(os.environ.get("SOURCE_DATE_EPOCH", time.time())))
    for place, text in made(time.strftime("%Y-%m-%d", moment)).items():
        file = target / place
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


if __name__ == "__main__":
    main()
