"""The words of an ``rsync`` command: its options, as the shell will hand them over, and its operands."""

import re

from nodeagent.evaluate.syntax import Command, Word

# Quoted or not, these the shell takes as they stand. A pattern that is not quoted may be a glob and is not one.
_AS_IT_STANDS = re.compile(rb"""(?:[\w./:=,+@%^-]|'[^']*'|"[^"$`\\]*")+""")
_QUOTED = re.compile(rb"""'([^']*)'|"([^"]*)\"""")

# The options whose value may be a word of its own; which values are understood is not decided here.
_VALUED = frozenset({"--exclude", "--include", "--chmod", "--chown", "--info", "--timeout", "--bwlimit"})


def split(command: Command) -> tuple[tuple[str, ...], tuple[Word, ...]] | None:
    """Tell the options of ``rsync OPTIONS SRC... DST`` from the rest.

    Returns:
        The options with their values, after quote removal, and the operands; None for another command, and where what
        stands behind the first operand looks like an option.
    """
    if command.name != "rsync" or command.assigns:
        return None
    words = list(command.words[1:])
    flags: list[str] = []
    while words:
        option = unquoted(words[0])
        if option is None or not option.startswith("-"):
            break
        flags.append(option)
        del words[0]
        if option in _VALUED:
            value = unquoted(words[0]) if words else None
            if value is None:
                return None
            flags.append(value)
            del words[0]
        if option == "--":
            break
    if any(word.text.lstrip(b"'\"").startswith(b"-") for word in words):
        return None
    return tuple(flags), tuple(words)


def unquoted(word: Word) -> str | None:
    """The word after quote removal, if it is ASCII and the shell would change nothing else of it."""
    if not word.text.isascii() or not _AS_IT_STANDS.fullmatch(word.text):
        return None
    return _QUOTED.sub(lambda found: found[1] if found[1] is not None else found[2], word.text).decode()
