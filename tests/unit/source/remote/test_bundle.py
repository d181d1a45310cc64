import contextlib
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeagent.source.remote.bundle import read_header

A, B = "a" * 40, "b" * 40


def header(text):
    return read_header(io.BytesIO(text if isinstance(text, bytes) else text.encode()))


def test_refs_and_prerequisites_are_read_up_to_the_pack():
    file = io.BytesIO(f"# v2 git bundle\n-{B} Change: the nodes\n{A} refs/heads/main\n{A} HEAD\n\nPACK".encode())

    found = read_header(file)

    assert found.heads == {"refs/heads/main": A, "HEAD": A}
    assert found.prerequisites == {B}
    assert file.read() == b"PACK"


def test_a_prerequisite_may_have_no_comment_and_a_ref_no_utf8():
    found = header(f"# v2 git bundle\n-{B}\n".encode() + A.encode() + b" refs/heads/\xff\n\n")

    assert found.prerequisites == {B}
    assert list(found.heads) == ["refs/heads/\udcff"]


def test_version_3_may_name_the_format_that_is_understood():
    assert header(f"# v3 git bundle\n@object-format=sha1\n{A} HEAD\n\n").heads == {"HEAD": A}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no bundle"),
        ("# v1 git bundle\n", "no bundle"),
        ("# v4 git bundle\n", "no bundle"),
        ("# v2 git bundle\n", "does not end"),
        (f"# v2 git bundle\n{A} HEAD", "does not end"),
        (f"# v2 git bundle\n{A}\n\n", "is damaged"),
        ("# v2 git bundle\nabc HEAD\n\n", "is damaged"),
        ("# v2 git bundle\n@object-format=sha1\n\n", "is damaged"),
        ("# v3 git bundle\n@object-format=sha256\n\n", "SHA-1"),
        ("# v3 git bundle\n@filter=blob:none\n\n", "partial"),
        ("# v3 git bundle\n@unknown\n\n", "capability"),
        ("# v2 git bundle\n" + "a" * 70_000 + "\n\n", "does not end"),
    ],
)
def test_what_is_no_bundle_that_can_be_used_is_refused_with_the_reason(text, reason):
    with pytest.raises(ValueError, match=reason):
        header(text)


def test_a_header_without_end_is_given_up_before_it_fills_the_memory():
    file = io.BytesIO(b"# v2 git bundle\n" + f"-{A} {'x' * 60_000}\n".encode() * 2000)

    with pytest.raises(ValueError, match="header of more than"):
        read_header(file)
    assert file.tell() < 40 * 2**20


@given(st.binary(max_size=300))
def test_no_bytes_break_the_reader(data):
    for start in (b"", b"# v2 git bundle\n", b"# v3 git bundle\n"):
        with contextlib.suppress(ValueError):
            header(start + data)
