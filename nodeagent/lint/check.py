"""A tree in, findings out."""

from collections.abc import Callable, Iterable, Iterator

from nodeagent.evaluate.annotations import comments
from nodeagent.lint.finding import Finding
from nodeagent.lint.program import Program
from nodeagent.lint.repository import Repository
from nodeagent.lint.rules import again, danger, files, flow, loops, secrets, steps, understanding, unread
from nodeagent.lint.tree import Tree

_OF_PROGRAMS: tuple[Callable[[Program], Iterable[Finding]], ...] = (
    again.sed_append,
    again.crontab_append,
    again.firewall_append,
    again.mount_unguarded,
    again.user_unguarded,
    again.clone_again,
    again.daemon_again,
    danger.reboot_ungated,
    danger.chmod_here,
    flow.endless_loop,
    flow.exit_in_subshell,
    loops.loop_input,
    secrets.traced_secret,
)
_OF_REPOSITORIES: tuple[Callable[[Repository], Iterable[Finding]], ...] = (
    again.append_in_script,
    unread.append_unread,
    again.ln_sfn,
    danger.rm_rf_ungated,
    danger.restart_without_on,
    steps.always_runs,
    steps.exec_output,
    secrets.secret_mode,
    secrets.secret_in_clear,
    secrets.host_key_unchecked,
    files.not_executable,
    files.dirty_checkout,
    files.no_shebang,
    files.crlf,
    files.missing_source,
    files.placeholder_copied,
    files.copy_not_native,
    understanding.run_whole,
    understanding.annotation_words,
)


def lint(tree: Tree, syntax: understanding.Syntax) -> list[Finding]:
    """All findings about a repository, but for those that a comment silences; by file and line, post.sh first.

    Args:
        syntax: asks a shell whether it accepts a program; see :mod:`nodeagent.lint.syntax`.
    """
    repository = Repository(tree=tree)
    found: set[Finding] = set(understanding.unparsable(repository, syntax))
    for rule in _OF_REPOSITORIES:
        found.update(rule(repository))
    for program in repository.programs:
        for check in _OF_PROGRAMS:
            found.update(check(program))
    ordered = sorted(found, key=lambda f: (not _is_entry(repository, f.file), f.file, f.line, f.column, f.id))
    return list(_unsilenced(tree, ordered))


def _is_entry(repository: Repository, file: str) -> bool:
    return any(program.file == file for program in repository.entries)


def _unsilenced(tree: Tree, found: list[Finding]) -> Iterator[Finding]:
    """Leave out what ``# nodeagent: ignore=ID`` on the line, or alone on the line above, silences.

    What is said of a whole file stands at its first line, above which no comment can be: there line 2 counts too.
    """
    silenced: dict[str, dict[int, frozenset[str]]] = {}
    for finding in found:
        if finding.file not in silenced:
            silenced[finding.file] = _silenced(tree, finding.file)
        if finding.id not in silenced[finding.file].get(finding.line, frozenset()):
            yield finding


def _silenced(tree: Tree, file: str) -> dict[int, frozenset[str]]:
    entry = tree.entries.get(file)
    if entry is None or entry.content is None:
        return {}
    by_line: dict[int, frozenset[str]] = {}
    for comment in comments(entry.content, None):
        lines = {comment.line, comment.about}
        if comment.line == 2 and comment.alone:
            lines.add(1)
        for line in lines:
            by_line[line] = by_line.get(line, frozenset()) | comment.ignored
    return by_line
