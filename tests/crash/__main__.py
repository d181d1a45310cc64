"""``make crash``: every point; says how far it is, and what does not hold.

usage: python -m tests.crash [kill] [tree] [random] [ENOSPC] [EIO] [EROFS]
"""

import sys
from collections.abc import Iterator

from tests.crash import trial
from tests.crash.points import Point

MOMENTS = 300


def _trials(every: list[Point], wanted: list[str]) -> Iterator[tuple[str, list[trial.Trial]]]:
    for kind in wanted:
        match kind:
            case "kill" | "tree":
                yield kind, trial.kills(every, tree=kind == "tree")
            case "random":
                yield kind, trial.moments(MOMENTS)
            case "ENOSPC" | "EIO" | "EROFS":
                for lasting in (False, True):
                    yield f"{kind}{' from then on' if lasting else ''}", trial.faults(every, kind, lasting=lasting)
            case _:
                sys.exit(__doc__)


def main(wanted: list[str]) -> int:
    failed = 0
    for kind, trials in _trials(trial.probe(), wanted or ["kill", "tree", "random", "ENOSPC", "EIO", "EROFS"]):
        hit = 0
        for number, verdict in enumerate(trial.run(trials), 1):
            hit += verdict.hit
            if verdict.wrong:
                failed += 1
                print(f"FAILED {verdict.trial}", *(f"    {line}" for line in verdict.wrong), sep="\n", flush=True)
            if number % 20 == 0 or number == len(trials):
                print(f"{kind}: {number} of {len(trials)}, {failed} failed in all", file=sys.stderr, flush=True)
        print(f"{kind}: {len(trials)} trials, {hit} came as far as the disturbance", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
