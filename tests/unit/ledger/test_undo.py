import stat
from pathlib import Path

import pytest

from nodeagent.ledger.origin import Appended, Author, Before, Known, Placed
from nodeagent.ledger.undo import Deed, decide
from nodeagent.model.destinations import Block, Content
from nodeagent.model.evaluation import Phase

AUTHOR = Author(revision="main", commit=None, file="post.sh", line=1, text="", gone=False, written=1.0)


def known(*, placed=True, created=False, before=None, appended=None, adopted=None):
    texts = [(appended, False), (adopted, True)]
    blocks = [Block(statement="k", text=text, adopted=found) for text, found in texts if text]
    return Known(
        path="/x",
        placed=Placed(
            source=1,
            phase=Phase.COPY,
            author=AUTHOR,
            statement="k",
            evaluation=1,
            verbs=1,
            created=created,
            only_appended=bool(blocks),
            left=None,
            left_digest="",
        )
        if placed
        else None,
        before=before,
        blocks=[Appended(block=block, author=AUTHOR) for block in blocks],
    )


def stood(kind=stat.S_IFREG, *, kept=True):
    content = Content(kind=kind, digest="d", mode=0o644, uid=0, gid=0)
    return Before(content=content, copy=Path("/kept/d") if kept and kind == stat.S_IFREG else None)


CHANGED = ["its content is another"]
CASES = [
    # what is known, changed since, something stands there, --force, outcome
    (known(created=True), [], True, False, Deed.REMOVE),
    (known(created=True), CHANGED, True, False, Deed.REFUSE),
    (known(created=True), CHANGED, True, True, Deed.REMOVE),
    (known(created=True), ["it is gone"], False, False, Deed.FORGET),
    (known(before=stood()), [], True, False, Deed.RESTORE),
    (known(before=stood()), CHANGED, True, False, Deed.REFUSE),
    (known(before=stood()), CHANGED, True, True, Deed.RESTORE),
    (known(before=stood()), ["it is gone"], False, False, Deed.REFUSE),
    (known(before=stood(kept=False)), [], True, True, Deed.REFUSE),
    (known(before=stood(stat.S_IFLNK)), [], True, False, Deed.RESTORE),
    (known(before=stood(stat.S_IFDIR)), [], True, False, Deed.RESTORE),
    (known(before=stood(stat.S_IFIFO)), [], True, True, Deed.REFUSE),
    (known(), [], True, False, Deed.FORGET),  # adopted as a whole
    (known(placed=False, before=stood()), [], False, False, Deed.RESTORE),  # by --delete
    (known(placed=False, before=stood()), [], True, False, Deed.REFUSE),
    (known(placed=False, before=stood()), [], True, True, Deed.RESTORE),
    (known(before=stood(), appended=b"a\n"), CHANGED, True, False, Deed.TAKE_OUT),  # others may write there
    (known(created=True, appended=b"a\n"), [], True, False, Deed.TAKE_OUT),
    (known(adopted=b"a\n"), [], True, False, Deed.FORGET),
    (known(appended=b"a\n"), ["it is gone"], False, False, Deed.FORGET),
]


@pytest.mark.parametrize(("one", "changed", "there", "force", "deed"), CASES)
def test_each_path_is_undone_as_its_history_says(one, changed, there, force, deed):
    verdict = decide(one, changed=changed, there=there, force=force)
    assert verdict.deed is deed
    assert bool(verdict.reason) is (deed in {Deed.FORGET, Deed.REFUSE})
