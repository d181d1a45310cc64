"""``nodeagent(8)`` and one page for each verb."""

from pages.command import Argument, Command, Takes
from pages.roff import bold, heading, italic, item, subheading, text, title

_FILES = {
    "/etc/nodeagent/nodeagent.toml": "The configuration; the files in nodeagent.toml.d are read after it.",
    "/etc/nodeagent/key.enc": "The encrypted deploy key.",
    "/etc/nodeagent/known_hosts": "The host keys of the git server.",
    "/run/nodeagent.password": "The password of the deploy key, if the service has no credential nodeagent.password.",
    "/run/nodeagent.login": "What an HTTPS server is told, if the service has no credential nodeagent.login.",
    "/configs": "The repository's files, as post.sh finds them.",
    "/run/nodeagent/status.json": "What nodeagent status shows.",
    "/run/nodeagent/ready": "Is there once this node is configured, and holds the revision.",
    "/var/lib/nodeagent": "The ledger, and what stood before nodeagent at the places that it changed.",
}
_CODES = {
    "0": "The verb did what it is for.",
    "1": "It did not, or what it found is not as it should be; the message says what to do.",
    "2": "The command line cannot be understood, or a verb has changed something and was asked to say so.",
    "75": "Not now: another nodeagent is at work, or the daemon is suspended. Try again later.",
    "78": "The configuration cannot be taken (of nodeagent run).",
}
_JOURNAL = (
    "Every step of post.sh is logged under the identifier postscripts, what concerns the daemon itself under "
    "nodeagent; journalctl -x explains the entries."
)


def pages(root: Command, *, date: str, version: str) -> dict[str, str]:
    """The text of each page, by its file name."""
    source = f"nodeagent {version}"
    made = {"nodeagent.8": "\n".join(_main(root, title("nodeagent", 8, date, source))) + "\n"}
    for verb in root.commands:
        name = f"nodeagent-{verb.words[0]}"
        made[f"{name}.8"] = "\n".join(_verb(verb, name, title(name, 8, date, source))) + "\n"
    return made


def _main(root: Command, first: str) -> list[str]:
    lines = [first, heading("NAME"), "nodeagent \\- " + text(_clause(root.description))]
    lines += [heading("SYNOPSIS"), _usage(root)]
    lines += [
        heading("DESCRIPTION"),
        text(
            "A node gets its configuration from a git repository whose entry point is the shell program post.sh. The "
            "daemon, nodeagent run, applies it at boot, polls the repository, applies each new commit, and puts back "
            "what was changed by hand. The other verbs look at what it did, or do a part of its work at once."
        ),
        heading("VERBS"),
    ]
    for verb in root.commands:
        body = f"{text(_sentence(verb.summary))} See {bold('nodeagent-' + verb.words[0])}(8)."
        lines.append(item(bold(verb.words[0]), body))
    lines += [heading("OPTIONS"), *_arguments(root.arguments)]
    lines += [heading("EXIT STATUS"), *(item(bold(code), text(what)) for code, what in _CODES.items())]
    lines += [heading("FILES"), *(item(italic(path), text(what)) for path, what in _FILES.items())]
    lines += [heading("JOURNAL"), text(_JOURNAL)]
    others = [f"nodeagent-{verb.words[0]}(8)" for verb in sorted(root.commands, key=lambda verb: verb.words)]
    return [*lines, *_see_also([*others, "nodeagent.toml(5)", "journalctl(1)", "systemd.exec(5)"])]


def _verb(verb: Command, name: str, first: str) -> list[str]:
    lines = [first, heading("NAME"), text(f"{name} - {_clause(verb.summary)}"), heading("SYNOPSIS")]
    lines += _paragraphs([_usage(command) for command in verb.commands or (verb,)])
    if prose := [part for part in (verb.description, verb.epilog) if part] or [_sentence(verb.summary)]:
        lines += [heading("DESCRIPTION"), *_paragraphs([text(part) for part in prose])]
    if verb.commands:
        lines.append(heading("VERBS"))
    else:
        lines += [heading("OPTIONS"), *_arguments(verb.arguments)]
    for command in verb.commands:
        said = [text(part) for part in (command.description, command.epilog) if part]
        lines += [subheading(" ".join(command.words)), *_paragraphs(said or [text(_sentence(command.summary))])]
        lines += _arguments(command.arguments)
    return [*lines, *_see_also(["nodeagent(8)", "nodeagent.toml(5)"])]


def _paragraphs(parts: list[str]) -> list[str]:
    return [line for part in parts for line in (".PP", part)][1:]


def _usage(command: Command) -> str:
    """The line that ``--help`` begins with: what is typed as it stands in bold, what is replaced in italic."""
    words = " ".join(("nodeagent", *command.words))
    return f"{bold(words)} {text(command.usage.removeprefix(words).strip())}".rstrip()


def _arguments(arguments: tuple[Argument, ...]) -> list[str]:
    return [item(_term(argument), text(_said(argument))) for argument in arguments]


def _term(argument: Argument) -> str:
    if not argument.flags:
        return italic(argument.metavar) + (" ..." if argument.repeated else "")
    flags = ", ".join(map(bold, argument.flags))
    match argument.takes:
        case Takes.NOTHING:
            return flags
        case Takes.CHOICE:
            return f"{flags} {text('|'.join(argument.choices))}"
        case _:
            return f"{flags} {italic(argument.metavar)}"


def _said(argument: Argument) -> str:
    return _sentence(argument.help) if argument.help else f"The {argument.metavar.lower()} in question."


def _sentence(clause: str) -> str:
    """Help is a clause; a page has sentences."""
    begun = clause[:1].upper() + clause[1:]
    return begun if begun.endswith(".") else begun + "."


def _clause(sentence: str) -> str:
    return (sentence[:1].lower() + sentence[1:]).removesuffix(".")


def _see_also(names: list[str]) -> list[str]:
    marked = (f"{bold(name.partition('(')[0])}({name.partition('(')[2]}" for name in names)
    return [heading("SEE ALSO"), ",\n".join(marked)]
