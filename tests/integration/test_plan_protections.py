"""Each protection of the sandbox is seen from inside, and is missed there when it is switched off.

The number of processes is test_plan_harmless.py's: it lets them run against both of its limits.
"""

import json
import os
import re
import sys

import pytest

from nodeagent.sandbox.kernel import Capability
from testbed.programs import run

pytestmark = pytest.mark.timeout(60)

LOOK = r"""
grep -E '^(Cap|NoNewPrivs)' /proc/self/status
cat /proc/1/environ >/dev/null 2>&1 && echo readable first
for f in kcore kmsg keys sysrq-trigger; do
  [ ! -e /proc/$f ] || [ "$(stat -c %t:%T /proc/$f)" = 1:3 ] || echo readable $f
done
[ "$(stat -c %F /srv/socket)" = socket ] && echo reachable socket
while read -r _ at _ options _; do [ -d "$at" ] && echo "mount $at $options"; done </proc/self/mounts
grep core /proc/self/limits
grep nodeagent-witness /proc/net/unix
"""
KEPT = f"{sum(1 << capability for capability in Capability):016x}"
UNPROTECTED = {
    "capabilities": lambda seen: set(re.findall(r"Cap(?:Eff|Prm|Bnd):\s+(\w+)", seen)) != {KEPT},
    "no_new_privs": lambda seen: "NoNewPrivs:\t1" not in seen,
    "dumpable": lambda seen: "readable first" in seen,
    "masks of /proc": lambda seen: re.search(r"readable (kcore|kmsg|keys|sysrq)", seen) is not None,
    "covered sockets": lambda seen: "reachable socket" in seen,
    "nodev": lambda seen: any(
        "nodev" not in options.split(",")
        for at, options in re.findall(r"mount (\S+) (\S+)", seen)
        if not at.startswith("/dev")
    ),
    "a network of its own": lambda seen: "@nodeagent-witness" in seen,
    "core files": lambda seen: re.search(r"core file size +1 +1 ", seen) is None,
}
PATCHED = {
    "capabilities": "kernel._libc.capset = lambda *a: 0; kernel._MOST_CAPABILITIES = 0",
    "no_new_privs": "kernel._PR_SET_NO_NEW_PRIVS = kernel._PR_CAPBSET_DROP",
    "dumpable": "kernel._PR_SET_DUMPABLE = 8",  # PR_SET_KEEPCAPS: to 0, as it is
    "masks of /proc": "root._MASKED = ()",
    "covered sockets": "root._Builder.cover = lambda *a: None",
    "nodev": "mount = kernel.mount; kernel.mount = lambda s, t, k, f=kernel.PLAIN, d='': mount(s, t, k, f & ~4, d)",
    "a network of its own": "enclosure._ALL &= ~kernel.Namespace.NETWORK",
    "core files": "kernel.resource.setrlimit = lambda *a: None",
}


def unprotected(directory, patch=""):
    """The protections that are missed inside."""
    (directory / "look").write_text(LOOK)
    (directory / "repo").mkdir()
    (directory / "repo/post.sh").write_text(f"#!/bin/sh\nsh {directory}/look\n")
    program = (
        f"from nodeagent.sandbox import enclosure, kernel, root\n{patch}\nfrom nodeagent.cli.main import main\nmain()"
    )
    command = [sys.executable, "-c", program, "plan", "--rehearse", "--json", "--repo", directory / "repo"]
    environment = dict(os.environ, PYTHONDONTWRITEBYTECODE="1")
    seen = json.loads(run([sys.executable, "-m", "testbed.witness", *command], env=environment, timeout=50))
    assert seen["status"] == 2, seen
    return {name for name, is_missed in UNPROTECTED.items() if is_missed(seen["stderr"])}, seen


def test_every_protection_is_there(tmp_path):
    missed, seen = unprotected(tmp_path)
    assert missed == set(), seen


@pytest.mark.parametrize("name", PATCHED)
def test_a_protection_that_is_switched_off_is_missed(tmp_path, name):
    missed, seen = unprotected(tmp_path, PATCHED[name])
    assert name in missed, seen
