"""Where what a statement prints goes to."""

from collections.abc import Iterator, Sequence

from nodeagent.evaluate.syntax import Redirect, Word


def overwrites(redirects: Sequence[Redirect]) -> Word | None:
    """The file that loses its content to what the statement prints, and so depends on all of it; a log does not."""
    for redirect in redirects:
        target = redirect.target
        if target is not None and _is_file_output(redirect, {">", ">|", "&>"}) and not is_log(target):
            return target
    return None


def output_files(redirects: Sequence[Redirect]) -> Iterator[Word]:
    """The files that the statement prints to; a log is none."""
    for redirect in redirects:
        target = redirect.target
        if target is not None and _is_file_output(redirect, {">", ">>", ">|", "&>", "&>>"}) and not is_log(target):
            yield target


def prints_to_file(redirects: Sequence[Redirect]) -> bool:
    """Does what the statement prints go anywhere but to its caller or ``/dev/null``?"""
    return any(
        _is_file_output(r, {">", ">>", ">|", "&>", "&>>"}) and (r.target is None or r.target.literal != "/dev/null")
        for r in redirects
    )


def _is_file_output(redirect: Redirect, operators: set[str]) -> bool:
    return redirect.operator in operators and redirect.descriptor in {None, 1}


def errors_kept(redirects: Sequence[Redirect]) -> bool:
    """Does what the statement says of its errors go to a file?"""
    files = [r for r in redirects if r.target is not None and r.target.literal != "/dev/null"]
    into = any(
        r.both or r.operator in {"&>", "&>>"} or (r.operator in {">", ">>", ">|"} and r.descriptor == 2) for r in files
    )
    joined = any(r.operator == ">&" and r.descriptor == 2 for r in redirects)
    return into or (joined and any(_is_file_output(r, {">", ">>", ">|"}) for r in files))


def is_log(target: Word) -> bool:
    path = target.text.strip(b"\"'")
    return path.endswith(b".log") or path.startswith((b"/dev/", b"/proc/", b"/sys/", b"/var/log/", b"/run/log/"))


def is_bashism(redirects: Sequence[Redirect]) -> bool:
    """``&>`` redirects in bash, and puts the command into the background in any other shell; which runs it is open."""
    return any(r.operator in {"&>", "&>>"} for r in redirects)
