"""The steps that are open: each began in the one before it, and the shell may leave any of them without a word."""

from collections.abc import Callable, Iterator, Sequence

from nodeagent.steps.frame import Frame


class Stack:
    """The open steps of one evaluation, the innermost last.

    Args:
        abandoned: is told of each that closes because its end can no longer come.
    """

    def __init__(self, abandoned: Callable[[Frame], None]) -> None:
        self._frames: list[Frame] = []
        self._abandoned = abandoned

    def __iter__(self) -> Iterator[Frame]:
        """The innermost first."""
        return reversed(self._frames)

    def __len__(self) -> int:
        return len(self._frames)

    @property
    def innermost(self) -> Frame | None:
        return self._frames[-1] if self._frames else None

    def push(self, frame: Frame) -> None:
        self._frames.append(frame)

    def clear(self) -> None:
        self._frames.clear()

    def begin(self) -> None:
        """Another step begins: one in which no other can, has ended with its own subshell (``set -e``)."""
        outer = (n for n, frame in enumerate(self._frames) if not (frame.silent or frame.nests))
        self._abandon_from(next(outer, len(self._frames)))

    def keep(self, texts: Sequence[int]) -> None:
        """Close what a subshell was ended in (``set -e``): the shell is in the middle of these texts alone."""
        still = iter(texts)
        ended = (n for n, f in enumerate(self._frames) if f.target and all(place != f.place for place in still))
        self._abandon_from(next(ended, len(self._frames)))

    def pop(self, place: int) -> Frame:
        """The frame of the step that ends; what was opened in it and never came to its end goes first."""
        index = next(n for n in reversed(range(len(self._frames))) if self._frames[n].place == place)
        self._abandon_from(index + 1)
        return self._frames.pop()

    def returned(self, status: int) -> Frame:
        """The command inside a RUN function has ended; a frame without a gate ends with it."""
        index = next(n for n in reversed(range(len(self._frames))) if self._frames[n].running)
        self._abandon_from(index + 1)
        frame = self._frames[index]
        frame.returned, frame.nests = status, True
        if not frame.gated:
            self._frames.pop()
        return frame

    def _abandon_from(self, index: int) -> None:
        for frame in reversed(self._frames[index:]):
            if not frame.silent or frame.is_text:
                frame.returned = None
                self._abandoned(frame)
        del self._frames[index:]
