"""Completion for fish."""

from collections.abc import Iterator

from pages.command import Argument, Command, Takes

_FRAME = """# Completion of nodeagent for fish. Made from the parsers that --help is made from.
function __nodeagent_at --description 'Are these the verbs that were typed so far?'
    set -l verb ''
    for word in (commandline -opc)[2..-1]
        switch "$verb/$word"
            case {verbs}
                set verb (string trim "$verb $word")
        end
    end
    test "$verb" = "$argv"
end

complete -c nodeagent -f
"""


def completion(root: Command) -> str:
    """The script that fish sources."""
    verbs = " ".join(_quoted(f"{' '.join(c.words[:-1])}/{c.words[-1]}") for c in root.walk() if c.words)
    lines = [line for command in root.walk() for line in _lines(command)]
    return _FRAME.format(verbs=verbs) + "\n".join(lines) + "\n"


def _lines(command: Command) -> Iterator[str]:
    where = _quoted(" ".join(("__nodeagent_at", *command.words)))
    for below in command.commands:
        yield f"complete -c nodeagent -n {where} -a {below.words[-1]} -d {_quoted(below.summary)}"
    for option in command.options:
        flags = " ".join(f"-l {flag[2:]}" if flag.startswith("--") else f"-s {flag[1:]}" for flag in option.flags)
        yield f"complete -c nodeagent -n {where} {flags}{_value(option)} -d {_quoted(option.help)}"
    for argument in command.positionals:
        if wanted := _wanted(argument):
            yield f"complete -c nodeagent -n {where} {wanted}"


def _value(option: Argument) -> str:
    if option.takes is Takes.NOTHING:
        return ""
    return " -r -F" if option.takes is Takes.FILE else f" -x {_wanted(option)}".rstrip()


def _wanted(argument: Argument) -> str:
    match argument.takes:
        case Takes.FILE:
            return "-F"
        case Takes.DIRECTORY:
            return "-a '(__fish_complete_directories)'"
        case Takes.CHOICE:
            return f"-a {_quoted(' '.join(argument.choices))}"
        case _:
            return ""


def _quoted(word: str) -> str:
    return "'" + word.replace("\\", "\\\\").replace("'", "\\'") + "'"
