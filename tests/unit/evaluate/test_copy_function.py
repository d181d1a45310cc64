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


@pytest.mark.parametrize(
    ("before", "behind"),
    [
        ("", " || return 0"),
        ("", "; return 0"),
        ("", " && return 1"),
        ('echo "$1 to $2"; ', ""),
        ('[ -e "$1" ] || { echo "no $1" >&2; return 2; }; ', ""),
        ("", ' || { echo "failed: $?"; return 1; }'),
        ("", '; rc=$?; if [ $rc -ne 0 ]; then logger "$1: $rc"; fi; return $rc'),
    ],
)
def test_of_a_function_that_says_something_besides_the_agent_does_what_copies(before, behind):
    text = f"put() {{ {before}{MKDIR}; {RSYNC}{behind}; }}"
    found = recognised(text)
    assert found is not None
    assert found.makes_parent
    assert found.failed is None
    assert text[slice(*found.spoken)] == f"{MKDIR}; {RSYNC}"


def test_a_parent_may_be_cut_off_the_name():
    found = recognised('put() { local dst="$2"; mkdir -p "${dst%/*}" && rsync -a "$1" "$dst"; }')
    assert found is not None
    assert found.makes_parent
    assert found.cuts


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
        f"put() {{ {MKDIR}; echo between; {RSYNC}; }}",
        f"put() {{ PATH=/x; {RSYNC}; }}",
        f"put() {{ echo a >>/etc/a; {RSYNC}; }}",
        f"put() {{ {RSYNC}; echo done >/etc/a; }}",
        f'put() {{ {RSYNC}; chmod 600 "$2"; }}',
        f"put() {{ {RSYNC} || fix; }}\nfix() {{ :; }}",
        f"put() {{ echo a & {RSYNC}; }}",
        f"put() {{ shift; {RSYNC}; }}",
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
