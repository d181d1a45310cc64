"""``nodeagent ready``: has post.sh come to its end since boot? For boot scripts, schedulers' health checks, pdsh."""

import argparse
import sys
import time
from pathlib import Path

from nodeagent.report import readiness

_RUNTIME = "/run/nodeagent"
_CONFIG = Path("/etc/nodeagent/nodeagent.toml")
_TIMEOUT = 900.0  # seconds: a boot that waits here goes on some time, whatever has happened
_SLOWEST = 1.0  # seconds between two looks


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser(
        "ready",
        help="tell whether this node is configured",
        description="Exit with 0 and print the applied revision once post.sh has come to its end since boot; exit with "
        "1, and say why, while it has not. Neither git nor the network is asked.",
    )
    parser.add_argument("--wait", action="store_true", help="wait until it is so")
    parser.add_argument(
        "--timeout", type=_seconds, default=_TIMEOUT, metavar="S", help=f"with --wait: seconds ({_TIMEOUT:g})"
    )
    parser.add_argument(
        "--revision", default="", metavar="R", help="only with this revision: as printed, or a commit's first digits"
    )
    parser.add_argument("--config", type=Path, default=_CONFIG, metavar="FILE", help=f"default: {_CONFIG}")
    parser.set_defaults(func=_ready)


def _seconds(text: str) -> float:
    seconds = float(text)
    if not seconds >= 0:
        raise argparse.ArgumentTypeError("it cannot be less than 0")
    return seconds


def _ready(args: argparse.Namespace) -> int:
    runtime = _runtime(args.config)
    until = time.monotonic() + (args.timeout if args.wait else 0)
    pause = 0.02
    while True:
        revision = readiness.read(runtime)
        if revision is not None and _is(revision, args.revision):
            print(revision)  # noqa: T201 - the verb's output
            return 0
        left = until - time.monotonic()
        if left <= 0:
            break
        time.sleep(min(pause, left))
        pause = min(pause * 1.5, _SLOWEST)
    waited = f" after {args.timeout:g} s" if args.wait else ""
    why = _why(runtime) if revision is None else f"it has {revision}, and {args.revision} is waited for"
    print(f"nodeagent: not ready{waited}: {why}", file=sys.stderr)  # noqa: T201 - the verb's output
    return 1


def _is(revision: str, wanted: str) -> bool:
    return wanted in {"", revision} or revision.rpartition(":")[2].startswith(wanted)


def _why(runtime: str) -> str:
    """What the daemon says of it: the reason for which it is stuck first."""
    import json  # noqa: PLC0415 - not needed where all is well

    try:
        told = json.loads(Path(runtime, "status.json").read_bytes())["conditions"]
        said = {condition["type"]: f"{condition['reason']}: {condition['message']}" for condition in told}
    except (OSError, ValueError, KeyError, TypeError):
        return "the daemon has said nothing since boot: see `systemctl status nodeagent`"
    return str(said.get("Stalled") or said.get("Ready") or "see `nodeagent status`")


def _runtime(file: Path) -> str:
    """``paths.runtime``, read without the checks of the whole configuration (0.1 s); those are the daemon's."""
    runtime = _RUNTIME
    for part in (file, *sorted(file.with_name(file.name + ".d").glob("*.toml"))):
        try:
            text = part.read_text()
            if any("runtime" in line and not line.startswith("#") for line in text.splitlines()):
                import tomllib  # noqa: PLC0415 - it takes as long as all the rest of this verb

                runtime = str(tomllib.loads(text)["paths"]["runtime"])
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return runtime
