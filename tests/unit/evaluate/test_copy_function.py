import pytest

from nodeagent.apply.rsync import parse as parse_flags
from nodeagent.evaluate.functions import functions
from nodeagent.evaluate.grammar import parse

MKDIR = 'mkdir -p "$(dirname "$2")"'
RSYNC = 'rsync -a "$1" "$2"'


def recognised(text):
    found = functions({"post.sh": parse(text.encode())}, lambda flags: parse_flags(flags) is not None)
    return found.copies.get("put")


@pytest.mark.parametrize(
    "body",
    [
        f"{MKDIR} && {RSYNC}",
        f"{MKDIR} &&\n  {RSYNC}",
        f"{MKDIR} || return 1; {RSYNC}",
        f"{MKDIR} || return; {RSYNC} || return",
        f"{MKDIR} || {{ echo failed; return 1; }}\n{RSYNC}; return $?",
        f'[ -d "$(dirname "$2")" ] || {MKDIR}; {RSYNC}',
        'local src="$1" dst="$2"; mkdir -p "$(dirname "$dst")" && rsync -a "$src" "${dst}"',
        'local src="$1"\nlocal dst="$2"\nmkdir -p "$(dirname "${dst}")"\nrsync -a "$src" "$dst"',
        'SRC=$1 DST="$2"; mkdir -p $(dirname "$DST"); rsync -a "$SRC" "$DST"',
    ],
)
def test_a_function_that_makes_the_directory_and_copies_is_a_copy(body):
    found = recognised(f"put() {{ {body}; }}\nput a /b")
    assert found is not None
    assert found.makes_parent
    assert not found.makes_destination


def test_a_local_name_may_be_that_of_something_else_too():
    put = 'put() { local dst="$2"; rsync -a "$1" "$dst"; }\n'
    assert recognised(put + 'export PATH=/bin dst=x\n. ./lib.sh\nother() { local dst="$1"; rm "$dst"; }') is not None


@pytest.mark.parametrize(
    ("body", "failed"),
    [
        (f"{MKDIR}; {RSYNC} || return 7", 7),
        (f"{MKDIR} && {RSYNC} || return 7", 7),
        (f"{MKDIR} || return 7; {RSYNC}", None),
        (f'{MKDIR}; {RSYNC} || return "$?"', None),
    ],
)
def test_what_it_returns_when_rsync_fails_is_known(body, failed):
    assert recognised(f"put() {{ {body}; }}").failed == failed


@pytest.mark.parametrize(
    "text",
    [
        f"put() {{ {RSYNC} || return 0; }}",
        f"put() {{ {RSYNC} || return 256; }}",
        f"put() {{ {RSYNC}; return 0; }}",
        f"put() {{ {RSYNC} && return 1; }}",
        f"put() {{ {MKDIR} || {RSYNC}; }}",
        f"put() {{ {MKDIR} 2>/dev/null && {RSYNC}; }}",
        f"put() {{ {RSYNC} && {MKDIR}; }}",
        f"put() {{ {MKDIR} && {RSYNC} && {RSYNC}; }}",
        f"put() {{ {MKDIR} && {RSYNC} & }}",
        f'put() {{ mkdir -p "$1" && {RSYNC}; }}',
        f'put() {{ [ -d "$2" ] || {MKDIR}; {RSYNC}; }}',
        f'put() {{ [ -d "$2" ] && mkdir -p "$2"; {RSYNC}; }}',
        'put() { dst=$2; rsync -a "$1" "$dst"; }\necho "$dst"',
        'put() { dst=$2; rsync -a "$1" "$dst"; }\n. ./lib.sh',
        'put() { local dst=$2; rsync -a "$1" "$dst"; }',
        'put() { local dst="$2"; rsync -a "$1" "$dst"; }\nreadonly dst',
        'put() { local dst="$1"; rsync -a "$1" "$dst"; }',
        'put() { local dst="$2"; rsync -a "$1" $dst; }',
        'put() { IFS=$2; rsync -a "$1" "$IFS"; }',
    ],
)
def test_what_may_do_something_else_is_none(text):
    assert recognised(text) is None
