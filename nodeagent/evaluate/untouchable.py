"""What makes a program one that cannot be instrumented at all."""

import re
from collections.abc import Mapping

from nodeagent.evaluate.syntax import Script, functions_in, without_comments

# Programs that look at what instrumenting would change (the last argument, a pipeline's statuses, a function's text)
# or that replace what the verbs are made of. They are run whole.
_LOOKS = re.compile(rb"PIPESTATUS|\$_(?!\w)|\$\{_\}|BASH_COMMAND")
_UNTOUCHABLE = re.compile(
    rb"(?<![\w-])(?:un)?alias(?![\w-])|lastpipe|__na_"
    rb"|(?<![\w-])(?:declare|typeset|export|local)\s+-\w*f|(?<![\w-])trap\b[^\n]*\bDEBUG\b"
)
_VERB_WORDS = frozenset({"printf", "pwd", "umask", "read", "command", "return", "shift", "case", "while"})


def untouchable(script: Script) -> str | None:
    """Why neither a program nor what it sources can be instrumented, or None."""
    found = _UNTOUCHABLE.search(without_comments(script))
    if found:
        return f"it uses {found.group().decode(errors='replace').split()[0]}"
    taken = sorted({f.name for f in functions_in(script.block)} & _VERB_WORDS)
    return f"it redefines {taken[0]}" if taken else None


def looks_at_verbs(script: Script) -> str | None:
    """Why this one text cannot be instrumented, or None."""
    found = _LOOKS.search(without_comments(script))
    return f"it uses {found.group().decode()}" if found else None


def not_understood(script: Script) -> str | None:
    return None if script.error_line is None else f"line {script.error_line} is not understood"


def any_untouchable(entry: str, files: Mapping[str, Script]) -> str | None:
    for name, script in files.items():
        if reason := untouchable(script):
            return reason if name == entry else f"{name}: {reason}"
    return None
