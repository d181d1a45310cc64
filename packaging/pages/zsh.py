"""Completion for zsh, by its own ``_arguments``."""

from pages.command import Argument, Command, Takes

_FRAME = """#compdef nodeagent
# Completion of nodeagent for zsh. Made from the parsers that --help is made from.

{functions}
_nodeagent "$@"
"""
_WITH_VERBS = """{name}() {{
    local context state state_descr line
    typeset -A opt_args
    _arguments -C \\
{specs}
        '1:verb:->verb' \\
        '*::argument:->argument'
    case $state in
        verb)
            local -a verbs=(
{verbs}
            )
            _describe verb verbs
            ;;
        argument)
            case $line[1] in
{cases}
            esac
            ;;
    esac
}}
"""
_PLAIN = """{name}() {{
    _arguments \\
{specs}
}}
"""


def completion(root: Command) -> str:
    """The file that zsh loads as ``_nodeagent``."""
    below = [command for command in root.walk() if command is not root]
    return _FRAME.format(functions="\n".join(map(_function, [*below, root])))


def _function(command: Command) -> str:
    specs = [f"        {_quoted(_option(option))}" for option in command.options]
    if not command.commands:
        specs += [f"        {_quoted(_positional(argument))}" for argument in command.positionals]
        return _PLAIN.format(name=_name(command), specs=" \\\n".join(specs))
    specs = [f"{spec} \\" for spec in specs]
    verbs = (_quoted(f"{below.words[-1]}:{below.summary}") for below in command.commands)
    return _WITH_VERBS.format(
        name=_name(command),
        specs="\n".join(specs),
        verbs="\n".join(f"                {verb}" for verb in verbs),
        cases="\n".join(f"                {below.words[-1]}) {_name(below)} ;;" for below in command.commands),
    )


def _name(command: Command) -> str:
    return "_".join(("_nodeagent", *command.words)).replace("-", "_")


def _option(option: Argument) -> str:
    """One flag, or several that are the same option, as _arguments has it."""
    told = f"[{_plain(option.help)}]{_value(option)}"
    if len(option.flags) == 1:
        return f"{option.flags[0]}{told}"
    return f"({' '.join(option.flags)})" + "{" + ",".join(option.flags) + "}" + told


def _positional(argument: Argument) -> str:
    if argument.repeated:
        return f"*{_value(argument)}"
    return f":{_value(argument)}" if argument.optional else _value(argument)


def _value(argument: Argument) -> str:
    name = _plain(argument.metavar.removeprefix("-- ").lower())
    match argument.takes:
        case Takes.NOTHING:
            return ""
        case Takes.FILE:
            return f":{name}:_files"
        case Takes.DIRECTORY:
            return f":{name}:_files -/"
        case Takes.CHOICE:
            return f":{name}:({' '.join(argument.choices)})"
        case Takes.TEXT:
            return f":{name}: "


def _plain(words: str) -> str:
    """A text in which _arguments finds no mark of its own."""
    return words.replace("\\", "\\\\").replace(":", "\\:").replace("[", "\\[").replace("]", "\\]")


def _quoted(word: str) -> str:
    """In single quotes; braces have to stand outside of them to be expanded."""
    if word.startswith("(") and "}" in word:
        excluded, _, rest = word.partition("{")
        flags, _, told = rest.partition("}")
        return f"{_quoted(excluded)}{{{flags}}}{_quoted(told)}"
    return "'" + word.replace("'", "'\\''") + "'"
