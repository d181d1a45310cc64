"""When the next poll is: at the node's own place in the interval, so that the nodes of a cluster never come at once."""

import hashlib
import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """Seconds. ``jitter`` is a share of the interval, ``place`` the node's own: 0 up to, not including, 1."""

    interval: float
    jitter: float
    place: float

    def delay(self, now: float, rng: random.Random | None = None) -> float:
        """How long to wait for the next poll, from a poll at ``now`` (seconds since the epoch).

        Polls fall on the multiples of the interval, shifted by the node's place in it, each by up to ``jitter`` early
        or late. The first one after boot falls anywhere; what follows half an interval after a poll, or sooner, is
        left out.
        """
        interval = self.interval
        earliest = now + interval / 2
        base = earliest - (earliest - self.place * interval) % interval + interval
        return base - now + (rng or random).uniform(-self.jitter, self.jitter) * interval


def place_of(hostname: str) -> float:
    """The place that a name gives a node; the same name always the same, names of one pattern spread evenly."""
    return int.from_bytes(hashlib.sha256(hostname.encode("utf-8", "surrogateescape")).digest()[:6]) / 2**48
