"""``python -m bundle rpm|deb ROOT WHEELS``: makes the tree of a package below ROOT, from the files in WHEELS alone."""

import os
import runpy
import sys
from pathlib import Path

from bundle import layout
from bundle.wheels import collect

PRODUCT = Path(__file__).resolve().parents[2]


def main() -> None:
    os.umask(0o022)
    family, root, wheels = sys.argv[1:]
    layout.build(
        Path(root).absolute(),
        PRODUCT,
        list(collect((PRODUCT / "requirements/runtime.txt").read_text(), Path(wheels))),
        {"rpm": layout.RPM, "deb": layout.DEB}[family],
        version=runpy.run_path(str(PRODUCT / "nodeagent/__init__.py"))["__version__"],
        moment=float(os.environ["SOURCE_DATE_EPOCH"]),
    )


if __name__ == "__main__":
    main()
