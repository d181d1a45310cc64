"""Values of :mod:`nodeagent.model` as lines of JSON, for the pipe between a worker and the daemon.

A frame is ``{"kind": CLASS, "value": {FIELD: ...}}`` in ASCII, ended by a newline. Whatever is no ASCII is escaped, so
that a path which is no UTF-8 (lone surrogates, :func:`os.fsdecode`) comes out as it went in.

The reading side trusts nothing: a frame that is not exactly one of the known classes, with exactly its fields and their
types, raises :class:`ValueError`.
"""

import enum
import functools
import json
import os
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

from nodeagent.model.events import EVENT_TYPES
from nodeagent.model.outcomes import AcceptOutcome, ApplyOutcome, Failure, PlanOutcome, PollOutcome

LIMIT = 2**20
"""The longest frame, in bytes; a longer one is a fault of its sender."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Crash:
    """A worker's job raised what no job raises on purpose; ``traceback`` is Python's own text."""

    traceback: str

    @property
    def summary(self) -> str:
        """The last line: the exception itself."""
        return self.traceback.rstrip().rpartition("\n")[2] or "crashed"


_KINDS: dict[str, type[Any]] = {
    kind.__name__: kind
    for kind in (*EVENT_TYPES, AcceptOutcome, PollOutcome, ApplyOutcome, PlanOutcome, Failure, Crash)
}


def encode(value: object) -> bytes:
    """One frame, with its newline.

    Raises:
        TypeError: the value is of no class that may cross, or a field of it is.
        ValueError: the frame would be longer than :data:`LIMIT`.
    """
    kind = type(value).__name__
    if _KINDS.get(kind) is not type(value):
        raise TypeError(f"a {kind} does not cross a process border")
    frame = json.dumps({"kind": kind, "value": value}, default=_plain, separators=(",", ":")).encode("ascii") + b"\n"
    if len(frame) > LIMIT:
        raise ValueError(f"a {kind} of {len(frame)} bytes is too long for a frame")
    return frame


def decode(frame: bytes) -> object:
    """The value of one frame.

    Raises:
        ValueError: it is not what :func:`encode` makes.
    """
    try:
        raw = json.loads(frame)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(raw, dict) or raw.keys() != {"kind", "value"} or raw["kind"] not in _KINDS:
        raise ValueError("not a frame")
    return _reader(_KINDS[raw["kind"]])(raw["value"])


def _plain(value: object) -> object:
    """What :mod:`json` cannot write by itself."""
    if is_dataclass(value):
        return {f.name: getattr(value, f.name) for f in fields(value)}
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"a {type(value).__name__} does not cross a process border")


def _make_reader(hint: Any) -> Callable[[Any], Any]:
    """The function that checks a JSON value against a type, and builds it."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if is_dataclass(hint):
        return _dataclass_reader(typing.cast(type, hint))
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return hint
    if origin in {types.UnionType, typing.Union}:
        (other,) = (a for a in arguments if a is not types.NoneType)  # X | None is the only union in model/
        read = _reader(other)
        return lambda raw: None if raw is None else read(raw)
    if origin is Sequence:
        read = _reader(arguments[0])
        return lambda raw: tuple(read(item) for item in _checked(raw, list))
    if origin is Mapping:
        read = _reader(arguments[1])
        return lambda raw: {key: read(item) for key, item in _checked(raw, dict).items()}
    return lambda raw: _checked(raw, hint)


_reader: Callable[[Any], Callable[[Any], Any]] = functools.cache(_make_reader)


def _dataclass_reader(kind: type) -> Callable[[Any], Any]:
    hints = typing.get_type_hints(kind)
    readers = {name: _reader(hint) for name, hint in hints.items()}

    def read(raw: Any) -> Any:
        if _checked(raw, dict).keys() != readers.keys():
            raise ValueError(f"not the fields of a {kind.__name__}")
        return kind(**{name: readers[name](value) for name, value in raw.items()})

    return read


def _checked(raw: Any, kind: type[Any]) -> Any:
    if type(raw) is not kind:
        raise ValueError(f"a {type(raw).__name__} where a {kind.__name__} belongs")
    if kind is str and not raw.isascii():
        os.fsencode(raw)  # a surrogate that stands for no byte would break whoever writes the text down
    return raw
