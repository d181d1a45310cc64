"""The files that one command prints to, and the words of it that name them.

A *text* is what a statement prints into a file: see :mod:`nodeagent.evaluate.texts`. Here stands what its redirections
and the operands of ``tee`` say, whatever the command is.
"""

import re
from dataclasses import dataclass

from nodeagent.evaluate.redirects import is_log
from nodeagent.evaluate.syntax import Command, Redirect, Word, substitutes
from nodeagent.model.evaluation import Phase

INPUTS = frozenset({"<", "<<", "<<-", "<<<"})
_SUBSTITUTION = re.compile(rb"\$\([^()\"'`<>&|;]*\)")  # by itself, it is not split in the target of a redirection
_BRACED = re.compile(rb"\$\{\w+\}")  # a parameter, not an expansion of braces
_STATUS = re.compile(rb"\$(?:\?|\{\?)")
_QUOTED = re.compile(rb"""'[^']*'|"(?:[^"\\]|\\.)*\"""", re.S)
_VARIABLE = re.compile(rb"\$(?:\w+|\{\w+\})")
_TEE_APPENDS, _TEE_HARMLESS = frozenset({"-a", "--append", "-ai", "-ia"}), frozenset({"-i", "--ignore-interrupts"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """``word`` names the file. ``split``: what it expands to is subject to field splitting, and stays so."""

    word: Word
    phase: Phase
    split: bool = False

    @property
    def is_log(self) -> bool:
        return is_log(self.word)


def redirected(redirects: tuple[Redirect, ...], *, noclobber: bool) -> tuple[Output, ...] | None:
    """The files that standard output, and by ``2>>`` standard error, go to.

    None where one of the redirections would have to be known and is not. ``noclobber``: whether ``>`` may write depends
    on what is there.
    """
    found: list[Output] = []
    for redirect in redirects:
        target, operator = redirect.target, redirect.operator
        to_error = redirect.descriptor == 2
        if operator in INPUTS or (to_error and operator in {">", ">|"}) or (operator == ">&" and _is_number(target)):
            continue
        if operator not in {">", ">>", ">|"} or redirect.descriptor not in {None, 1, 2}:
            return None
        if target is None or not is_one_file(target) or (noclobber and operator == ">"):
            return None
        found.append(Output(word=target, phase=Phase.APPEND if operator == ">>" else Phase.WRITE))
    return tuple(found)


def of_tee(command: Command) -> tuple[Output, ...]:
    """The operands of ``tee``; nothing where they, or its options, are not understood."""
    if command.name != "tee":
        return ()
    phase, operands, options = Phase.WRITE, [], True
    for word in command.words[1:]:
        if options and word.literal == "--":
            options = False
        elif options and word.literal in _TEE_APPENDS:
            phase = Phase.APPEND
        elif options and word.text.startswith(b"-"):
            if word.literal not in _TEE_HARMLESS:
                return ()
        else:
            operands.append(word)
    found = [Output(word=word, phase=phase, split=bool(_VARIABLE.fullmatch(word.text))) for word in operands]
    known = (o.split or (is_one_file(o.word) and b"$" not in _QUOTED.sub(b"", o.word.text)) for o in found)
    return tuple(found) if all(known) else ()


def is_one_file(word: Word) -> bool:
    """Does an assignment make of it what a redirection does?

    In a redirection's target bash expands patterns and braces, an assignment does not. A substitution may stand in it
    when it is quoted: it runs once either way.
    """
    text = word.text
    if word.literal is not None:
        return True
    if _STATUS.search(text) or b"\n" in text or b"<(" in text or b">(" in text:
        return False
    if substitutes(word):
        return _SUBSTITUTION.fullmatch(text) is not None or (len(text) > 1 and text[:1] == text[-1:] == b'"')
    bare = _BRACED.sub(b"", _QUOTED.sub(b"", text).removeprefix(b"~/"))
    return not any(c in bare for c in b"*?[{~")


def _is_number(word: Word | None) -> bool:
    return word is not None and word.text.isdigit()
