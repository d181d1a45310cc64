"""The bill of materials (CycloneDX 1.5): what is in the package, with versions, hashes and licences."""

import json
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bundle.wheels import Distribution, texts

FILE = "sbom.cdx.json"

_SPDX = {
    "GPLv2 with linking exception": "GPL-2.0-only WITH GCC-exception-2.0",  # pygit2, as its COPYING reads
    "LGPLv2+": "LGPL-2.1-or-later",  # systemd-python
}
"""What metadata without an SPDX expression says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inside:
    """A library that a wheel has inside as a shared object."""

    name: str
    licence: str
    file: str  # pattern of its path
    version: bytes  # pattern in the file; its group is the version


_INSIDE = (
    Inside(
        name="libgit2",
        licence="GPL-2.0-only WITH GCC-exception-2.0",
        file="pygit2.libs/libgit2-*.so*",
        version=rb"libgit2 (\d+\.\d+\.\d+)",
    ),
    Inside(
        name="libssh2",
        licence="BSD-3-Clause",
        file="pygit2.libs/libssh2-*.so*",
        version=rb"libssh2_(\d+\.\d+\.\d+)",
    ),
    Inside(
        name="openssl",
        licence="Apache-2.0",
        file="pygit2.libs/libcrypto-*.so*",
        version=rb"OpenSSL (\d+\.\d+\.\d+) ",
    ),
)


def write(file: Path, distributions: Sequence[Distribution], site: Path, *, version: str, moment: float) -> None:
    """Write the bill of the libraries that stand below ``site``."""
    bill = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment)),
            "component": {
                "type": "application",
                "bom-ref": "nodeagent",
                "name": "nodeagent",
                "version": version,
                "licenses": [{"expression": "Apache-2.0"}],
            },
        },
        "components": [*map(_distribution, distributions), *_inside(site)],
    }
    file.write_text(json.dumps(bill, indent=2) + "\n")


def _distribution(distribution: Distribution) -> dict[str, Any]:
    purl = f"pkg:pypi/{distribution.name}@{distribution.version}"
    bills = (json.loads(text) for _, text in texts(distribution, r"\.dist-info/sboms/[^/]+\.json$"))
    parts = [part for bill in bills for part in _parts(bill)]
    said = distribution.licence
    return {
        "type": "library",
        "bom-ref": purl,
        "name": distribution.name,
        "version": distribution.version,
        "purl": purl,
        "hashes": [{"alg": "SHA-256", "content": distribution.digest}],
        "licenses": [{"expression": _SPDX.get(said, said)}],
        **({"components": parts} if parts else {}),
    }


def _parts(bill: dict[str, Any]) -> Iterable[dict[str, Any]]:
    """What a wheel's own bill says that is compiled into it."""
    for part in bill.get("components", ()):
        if not part.get("purl", "").startswith("pkg:pypi/"):
            kept = {key: part[key] for key in ("type", "name", "version", "purl", "hashes", "licenses") if key in part}
            yield kept


def _inside(site: Path) -> Iterator[dict[str, Any]]:
    for library in _INSIDE:
        (file,) = site.glob(library.file)
        found = re.search(library.version, file.read_bytes())
        if found is None:
            raise RuntimeError(f"{file}: has no version of {library.name} in it")
        version = found.group(1).decode()
        yield {
            "type": "library",
            "bom-ref": f"pkg:generic/{library.name}@{version}",
            "name": library.name,
            "version": version,
            "purl": f"pkg:generic/{library.name}@{version}",
            "licenses": [{"expression": library.licence}],
        }
