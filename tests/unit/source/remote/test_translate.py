"""The table of what libgit2's errors mean; tests/integration/test_source_causes.py brings each of them about."""

import errno
import os
import re
from pathlib import Path

import pytest

from nodeagent.errors import RemoteUnreachable, RepositoryDamaged, StalledError, StoreUnusable, TransientError
from nodeagent.source.libgit2 import LIBGIT2
from nodeagent.source.remote.translate import CAUSES, Stage

DOCUMENT = Path(__file__).resolve().parents[4] / "docs/source.md"


def cause_of(message, kind=0, stage=Stage.ASKING):
    return next(cause for cause in CAUSES if cause.fits(message.lower(), kind, stage))


def test_the_document_has_the_same_table():
    _, _, text = DOCUMENT.read_text().partition("<!-- table: causes -->\n")
    rows = [re.split(r" *\| *", line.strip("| ")) for line in text.partition("\n\n")[0].splitlines()[2:]]

    assert rows == [
        [
            cause.what,
            f"`{cause.error.code}`",
            "again" if issubclass(cause.error, TransientError) else "a person",
            cause.mend,
        ]
        for cause in CAUSES
    ]


def test_each_cause_is_transient_or_stalled_and_says_what_to_do():
    for cause in CAUSES:
        assert issubclass(cause.error, TransientError) != issubclass(cause.error, StalledError)
        assert cause.what
        assert cause.mend
        assert all(text == text.lower() for text in cause.texts)
    assert len({cause.what for cause in CAUSES}) == len(CAUSES)


def test_the_last_cause_fits_whatever_fits_no_other():
    assert [cause for cause in CAUSES if cause.fits("no such thing was ever said", 99, Stage.ASKING)] == [CAUSES[-1]]


@pytest.mark.parametrize("name", ["ENOSPC", "EDQUOT", "EROFS", "EACCES", "EIO"])
def test_what_the_node_s_own_disk_refuses_is_the_store_s_fault(name):
    message = f"cannot extend packfile 'x': {os.strerror(getattr(errno, name))}"

    assert cause_of(message, LIBGIT2.GIT_ERROR_OS, Stage.ADDING).error is StoreUnusable


@pytest.mark.parametrize("name", ["ECONNREFUSED", "EHOSTUNREACH", "ENETUNREACH"])
@pytest.mark.parametrize("stage", Stage)
def test_what_the_network_refuses_is_not(name, stage):
    message = f"failed to connect to h: {os.strerror(getattr(errno, name))}"

    assert cause_of(message, LIBGIT2.GIT_ERROR_OS, stage).error is RemoteUnreachable


def test_bad_data_is_the_server_s_fault_only_where_nothing_was_there_before():
    assert cause_of("packfile trailer mismatch", LIBGIT2.GIT_ERROR_INDEXER, Stage.FILLING).error is RepositoryDamaged
    assert cause_of("packfile trailer mismatch", LIBGIT2.GIT_ERROR_INDEXER, Stage.ADDING).error is StoreUnusable
