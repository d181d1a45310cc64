"""The command line as values: what ``--help`` is made from, without argparse's inner ways."""

import argparse
import enum
from collections.abc import Iterator
from dataclasses import dataclass


class Takes(enum.Enum):
    """What an argument's value is, as far as a shell can help to type it."""

    NOTHING = enum.auto()
    FILE = enum.auto()
    DIRECTORY = enum.auto()
    CHOICE = enum.auto()
    TEXT = enum.auto()


_BY_METAVAR = {
    "DIR": Takes.DIRECTORY,
    "F": Takes.FILE,
    "FILE": Takes.FILE,
    "PATH": Takes.FILE,
    "-- ARGS": Takes.FILE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Argument:
    """An option, which has flags, or a positional argument, which has none."""

    flags: tuple[str, ...]
    takes: Takes
    metavar: str
    choices: tuple[str, ...]
    help: str
    repeated: bool
    optional: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A verb, or the command itself; ``words`` is what is typed to come here, without ``nodeagent``."""

    words: tuple[str, ...]
    usage: str
    summary: str
    description: str
    epilog: str
    arguments: tuple[Argument, ...]
    commands: tuple["Command", ...]

    @property
    def options(self) -> tuple[Argument, ...]:
        return tuple(argument for argument in self.arguments if argument.flags)

    @property
    def positionals(self) -> tuple[Argument, ...]:
        return tuple(argument for argument in self.arguments if not argument.flags)

    def walk(self) -> Iterator["Command"]:
        """Itself and all below it."""
        yield self
        for command in self.commands:
            yield from command.walk()


def read(parser: argparse.ArgumentParser, words: tuple[str, ...] = (), summary: str = "") -> Command:
    """Read a parser and the parsers of its verbs."""
    arguments, commands = [], []
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            summaries = {choice.dest: choice.help or "" for choice in action._choices_actions}
            commands += [
                read(verb, (*words, name), summaries.get(name, "")) for name, verb in (action.choices or {}).items()
            ]
        elif action.help != argparse.SUPPRESS:
            arguments.append(_argument(parser, action))
    return Command(
        words=words,
        usage=" ".join(parser.format_usage().split()[1:]),
        summary=summary,
        description=parser.description or "",
        epilog=parser.epilog or "",
        arguments=tuple(arguments),
        commands=tuple(commands),
    )


def _argument(parser: argparse.ArgumentParser, action: argparse.Action) -> Argument:
    metavar = str(action.metavar or action.dest.upper())
    if action.nargs == 0:
        takes = Takes.NOTHING
    elif action.choices:
        takes = Takes.CHOICE
    else:
        takes = _BY_METAVAR.get(metavar, Takes.TEXT)
    formatter = parser._get_formatter()
    return Argument(
        flags=tuple(action.option_strings),
        takes=takes,
        metavar=metavar,
        choices=tuple(map(str, action.choices or ())),
        help=formatter._expand_help(action) if action.help else "",
        repeated=action.nargs in {"*", "+"},
        optional=action.nargs in {"?", "*"},
    )
