"""Completion for bash; it needs nothing of the bash-completion package."""

from collections.abc import Iterator

from pages.command import Argument, Command, Takes

_FRAME = """# Completion of nodeagent for bash. Made from the parsers that --help is made from.
_nodeagent() {{
    local current=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD - 1]}} verb='' word
    COMPREPLY=()
    for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
        case "$verb/$word" in
            {verbs}) verb=${{verb:+$verb }}$word ;;
        esac
    done
    # --option=value comes as three words
    if [ "$current" = = ]; then
        current=''
    elif [ "$previous" = = ]; then
        previous=${{COMP_WORDS[COMP_CWORD - 2]}}
    fi
    case "$verb/$previous" in
{values}
    esac
    case "$verb/$current" in
{words}
    esac
}}
complete -F _nodeagent nodeagent
"""
_FILES = 'compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$current")'
_DIRECTORIES = 'compopt -o filenames; mapfile -t COMPREPLY < <(compgen -d -- "$current")'


def completion(root: Command) -> str:
    """The script that bash sources."""
    return _FRAME.format(
        verbs=" | ".join(f"'{' '.join(command.words[:-1])}/{command.words[-1]}'" for command in _verbs(root)),
        values="\n".join(f"        {line}" for command in root.walk() for line in _values(command)),
        words="\n".join(f"        {line}" for command in root.walk() for line in _words(command)),
    )


def _verbs(root: Command) -> Iterator[Command]:
    return (command for command in root.walk() if command.words)


def _values(command: Command) -> Iterator[str]:
    """What may follow an option that takes a value; nothing else is offered there."""
    for option in command.options:
        if option.takes is not Takes.NOTHING:
            patterns = " | ".join(f"'{' '.join(command.words)}/{flag}'" for flag in option.flags)
            yield f"{patterns}) {_offer(option)}; return ;;"


def _words(command: Command) -> Iterator[str]:
    verb = " ".join(command.words)
    flags = " ".join(flag for option in command.options for flag in option.flags)
    yield f"'{verb}/-'*) {_compgen(flags)} ;;"
    if command.commands:
        yield f"'{verb}/'*) {_compgen(' '.join(below.words[-1] for below in command.commands))} ;;"
    elif command.positionals:
        yield f"'{verb}/'*) {_offer(command.positionals[0])} ;;"


def _offer(argument: Argument) -> str:
    match argument.takes:
        case Takes.FILE:
            return _FILES
        case Takes.DIRECTORY:
            return _DIRECTORIES
        case Takes.CHOICE:
            return _compgen(" ".join(argument.choices))
        case _:
            return ":"


def _compgen(words: str) -> str:
    return f"mapfile -t COMPREPLY < <(compgen -W '{words}' -- \"$current\")"
