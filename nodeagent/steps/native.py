"""COPY, APPEND, WRITE and MERGE: from a request of the shell to the verb, the ledger and the account."""

import errno
import os
import re
import time
from collections.abc import Callable, Sequence, Set
from dataclasses import replace
from pathlib import Path

from nodeagent.apply import append, complaint, copy, merge, write
from nodeagent.apply.paths import open_directory
from nodeagent.apply.redirection import is_plain_destination, refusal
from nodeagent.apply.rsync import CopyOptions, is_local
from nodeagent.apply.rsync import parse as parse_flags
from nodeagent.evaluate.copy_function import CopyFunction
from nodeagent.evaluate.meaning import CopyCall
from nodeagent.evaluate.stand import Stand
from nodeagent.ledger.view import View
from nodeagent.model.destinations import Block, Treatment
from nodeagent.model.evaluation import Change, FileChange, Phase, Statement
from nodeagent.steps.account import Account
from nodeagent.steps.frame import Frame

_CUT_AS_DIRNAME = re.compile(r".*[^/]/[^/]+", re.S)  # where "${2%/*}" is what dirname says
TEXT_LIMIT = 64 * 2**20  # bytes that one statement may append or write


class Native:
    """The native verbs of one evaluation.

    ``statements`` are the keys of all that the program has; ``fresh`` the numbers of those whose verb begins anew in
    every evaluation. ``waiting`` has a line for each destination whose new text waits. ``holds``: is a function, once
    it is defined, surely the one that was read?
    """

    def __init__(
        self,
        view: View,
        account: Account,
        *,
        statements: Set[str],
        fresh: Set[int],
        holds: Callable[[CopyFunction], bool],
    ) -> None:
        self._view = view
        self._fresh = fresh
        self._account = account
        self._holds = holds
        self._appends = append.Appends(statements=statements)
        self._merges = merge.Merges(statements=statements)
        self._done: set[str] = set()
        self._failures: list[str] = []  # of the last COPY
        self._left_to_shell: set[str] = set()
        self.waiting: list[str] = []

    @property
    def reached(self) -> Set[str]:
        """The keys of the statements that were reached, and were done here whenever they were."""
        return self._done - self._left_to_shell

    def unclaimed(self, path: str) -> Sequence[Block] | None:
        """The blocks of a file that no append of this evaluation wanted; None: there was no append to it."""
        return self._appends.unclaimed(path)

    def is_left_absent(self, path: str) -> bool:
        """Whether a step that is done removed the destination, perhaps with its directory."""
        return self._view.left_absent(path)

    def copy(self, statement: Statement, call: CopyCall, arguments: list[str], stand: Stand) -> int | None:
        """Do a COPY or a MERGE; gives its status, or None when only the shell knows what the call means."""
        operands = _operands(call, arguments)
        options = parse_flags(call.flags)
        as_read = stand.in_shell == (call.function is not None)  # else the name means something else by now
        as_read = as_read and (call.function is None or self._holds(call.function))
        if options is None or len(operands) < 2 or not stand.cwd or not as_read:
            self._left_to_shell.add(statement.key)
            return None
        merges = statement.phase is Phase.MERGE
        if not (_can_merge(operands, stand.cwd) if merges else _can_copy(call, operands, stand.cwd)):
            self._left_to_shell.add(statement.key)
            return None
        return (
            self._merge(statement, operands, stand) if merges else self._copy(statement, call, operands, options, stand)
        )

    def says(self, call: CopyCall, arguments: list[str], stand: Stand, status: int) -> str:
        """What rsync would have said of the COPY that has failed just now."""
        return complaint.of_rsync(
            [*call.flags, *_operands(call, arguments)], self._failures, cwd=stand.cwd, status=status
        )

    def _copy(
        self, statement: Statement, call: CopyCall, operands: list[str], options: CopyOptions, stand: Stand
    ) -> int:
        number, began = self._account.next_number(), time.monotonic()
        self._view.statement, self._view.anew = statement, statement.number in self._fresh
        self._failures.clear()
        unchanged = 0

        def report(change: FileChange) -> None:
            nonlocal unchanged
            change = self._ruled(statement, change)
            if change.change is Change.UNCHANGED:
                unchanged += 1
                self._account.counts[Change.UNCHANGED] += 1
                return
            if change.change is Change.FAILED:
                self._failures.append(change.reason)
            self._account.placed(statement, change, number)

        function = call.function
        status = copy.copy(
            operands[:-1],
            operands[-1],
            cwd=stand.cwd,
            umask=stand.umask,
            options=options,
            make_parent=function is not None and function.makes_parent,
            make_destination=function is not None and function.makes_destination,
            destinations=self._view,
            report=report,
            mode=statement.annotation.mode,
            user=statement.annotation.user,
            group=statement.annotation.group,
        )
        self._view.flush()
        (self._left_to_shell if status else self._done).add(statement.key)
        if status == 0 and unchanged:
            self._account.unchanged(statement, operands[-1], unchanged, number=number, began=began)
        failed = None if function is None else function.failed
        return failed if status and failed is not None else status

    def _merge(self, statement: Statement, operands: list[str], stand: Stand) -> int:
        self._view.statement, self._view.anew = statement, statement.number in self._fresh
        change = merge.merge(
            operands[0],
            operands[1],
            cwd=stand.cwd,
            statement=statement.key,
            destinations=self._view,
            session=self._merges,
        )
        self._view.flush()
        failed = change.change is Change.FAILED
        (self._left_to_shell if failed else self._done).add(statement.key)
        self._account.placed(statement, change, self._account.next_number())
        return 1 if failed else 0

    def _ruled(self, statement: Statement, change: FileChange) -> FileChange:
        """Say of a destination that stays as it is although its text is new what it waits for."""
        ruling = self._view.waiting.get(change.path)
        if ruling is None or change.change is not Change.UNCHANGED:
            return change
        if ruling.treatment is not Treatment.HOLD:
            return replace(change, reason=ruling.reason)
        self.waiting.append(f"{statement.file}:{statement.line} {statement.text}: {change.path} {ruling.reason}")
        return replace(change, change=Change.DEFERRED, reason=ruling.reason)

    def place(self, frame: Frame, status: int) -> int:
        """Place the text of a step that has ended with a status; returns the one that it comes to have."""
        if frame.statement is None or frame.stand is None:
            return status
        statement = frame.statement
        path = os.path.join(frame.stand.cwd, frame.target)
        if frame.staged is None:
            why = refusal(os.path.realpath(path)) or "it could not be opened for writing"
            reason = f"{statement.text}: cannot create {path}: {why}"
            self._account.placed(statement, FileChange(path=path, change=Change.FAILED, reason=reason), frame.number)
            return status
        if not frame.staged.exists() and frame.partial:  # the step that prints it was skipped
            frame.staged.touch()
        if not frame.staged.exists():  # </none stands before it, or an expansion ended the shell
            self._left_to_shell.add(statement.key)
            reason = f"{statement.text}: exit status {status}, before it opened {path}"
            self._account.placed(statement, FileChange(path=path, change=Change.FAILED, reason=reason), frame.number)
            return status
        text = _read_limited(frame.staged)
        placed = [self._place(statement, frame, target, text, status) for target in (frame.target, *frame.others)]
        self._done.add(statement.key)
        return status or (1 if Change.FAILED in placed else 0)

    def _place(self, statement: Statement, frame: Frame, target: str, text: bytes | None, status: int) -> Change:
        """Place one text in one file; ``text`` is None where there is too much of it."""
        stand = frame.stand
        assert stand is not None
        self._view.statement, self._view.anew = statement, statement.number in self._fresh
        if text is None:
            path = os.path.join(stand.cwd, target)
            change = FileChange(path=path, change=Change.FAILED, reason=f"more than {TEXT_LIMIT} bytes of text")
        elif statement.phase is Phase.APPEND:
            change = append.append(
                target,
                cwd=stand.cwd,
                text=text,
                partial=frame.partial,
                statement=statement.key,
                umask=stand.umask,
                destinations=self._view,
                session=self._appends,
            )
        else:
            change = write.write(target, cwd=stand.cwd, text=text, umask=stand.umask, destinations=self._view)
        self._view.flush()
        change = self._ruled(statement, change)
        if status and change.change is not Change.FAILED:
            reason = f"{statement.text}: exit status {status}"
            change = FileChange(path=change.path, change=Change.FAILED, reason=reason)
        self._account.placed(statement, change, frame.number)
        return change.change


def _operands(call: CopyCall, arguments: list[str]) -> list[str]:
    """What rsync gets besides its options; nothing where the function was called with fewer arguments than it names."""
    if call.function is None:
        return arguments[len(call.flags) :]
    count = call.function.operands
    return arguments if count is None else arguments[:count] if len(arguments) >= count else []


def _can_copy(call: CopyCall, operands: list[str], cwd: str) -> bool:
    """Not where ``mkdir -p`` fails, for something else stands there: what is then left out depends on the function."""
    made = "/"
    if operands and call.function is not None and call.function.cuts and not _CUT_AS_DIRNAME.fullmatch(operands[-1]):
        return False
    if operands and call.function is not None and call.function.makes_destination:
        made = os.path.join(cwd, operands[-1])
    elif operands and call.function is not None and call.function.makes_parent:
        made = os.path.dirname(os.path.join(cwd, operands[-1]).rstrip("/")) or "/"
    above = made
    while not os.path.lexists(above):
        above = os.path.dirname(above)
    can_make = os.path.isdir(above) and (above == made or os.access(above, os.W_OK))
    return all(map(is_local, operands)) and (can_make or _leads_astray(above))


def _leads_astray(path: str) -> bool:
    """Whether somebody else's link is on the way, which the kernel may not follow either: COPY says so."""
    try:
        open_directory(path, cwd="/").close()
    except OSError as error:
        return error.errno == errno.ELOOP
    return False


def _can_merge(operands: list[str], cwd: str) -> bool:
    source, destination = operands
    return merge.is_plain(source, destination, cwd=cwd) and is_plain_destination(destination, cwd=cwd)


def _read_limited(path: Path) -> bytes | None:
    """The staged text; None when it is too long."""
    with path.open("rb") as file:
        text = file.read(TEXT_LIMIT + 1)
    path.unlink()
    return text if len(text) <= TEXT_LIMIT else None
