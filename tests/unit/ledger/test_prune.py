import pytest

from nodeagent.ledger.prune import Orphan, Program, is_too_much, stays
from nodeagent.model.destinations import Block
from nodeagent.model.evaluation import Phase, Statement


def statement(key, text, phase=Phase.COPY):
    return Statement(number=0, key=key, file="post.sh", line=1, phase=phase, text=text)


def program(*statements, reached=(), lines=()):
    own = [s.text for s in statements]
    return Program(statements=statements, reached=frozenset(reached), lines=lambda: [*own, *lines])


def orphan(path="/etc/slurm/old.conf", **changes):
    values = {"statement": "gone", "created": True, "changed": (), "permitted": True}
    return Orphan(path=path, **{**values, **changes})


EMPTY = program()
COPY = statement("copy", "COPY files/slurm/ /etc/slurm/")


def runs(text):
    return program(statement("run", text, Phase.EXECUTE))


CASES = [
    # what, after which program, why it stays (empty: it goes)
    (orphan(), EMPTY, ""),
    (orphan(created=False), EMPTY, "before nodeagent"),
    (orphan(changed=["its mode is 0600"]), EMPTY, "its mode is 0600"),
    (orphan(permitted=False), EMPTY, "prune=no"),
    (orphan(verbs=2), EMPTY, "several statements"),
    (orphan(statement=""), EMPTY, "earlier version"),
    (orphan(statement="copy"), program(COPY, reached={"copy"}), ""),
    (orphan(statement="copy"), program(COPY), "not reached"),
    (orphan(), program(COPY), ""),  # another statement
    (orphan(), program(lines=["cp files/old.conf /etc/slurm/"]), "may still be named by: cp files"),
    (orphan(), program(lines=["cp files/very-old.conf /etc/slurm/"]), ""),
    (orphan(), program(statement("c", "COPY files/old.conf /etc/other/old.conf")), ""),  # a native verb: it is known
    (orphan(), runs("rsync -aX files/ /etc/slurm"), "may still be placed by: rsync"),
    (orphan(), runs("rsync -aX files/etc/ /etc/"), "may still be placed by"),
    (orphan(), runs("tar -C /etc -xf files/etc.tar"), "may still be placed by"),
    (orphan(), runs("cp -a files/slurm $PREFIX/etc/"), "may still be placed by"),
    (orphan(), runs('cp "$from" "$to"'), "may still be placed by"),
    (orphan(), runs("cp files/x /etc/munge/"), ""),
    (orphan(), runs("chmod 0755 /etc/slurm"), ""),
]


@pytest.mark.parametrize(("what", "after", "reason"), CASES)
def test_a_file_goes_only_when_it_is_certain_that_nobody_wants_it(what, after, reason):
    said = stays(what, after)
    assert reason in said
    assert bool(said) is bool(reason)


OWN = Block(statement="gone", text=b"\n10.0.0.1 old\n10.0.0.2 older\n", adopted=False)
BLOCKS = [
    (orphan(block=OWN, created=False), EMPTY, ""),
    (orphan(block=OWN, statement="a"), program(statement("a", "echo x >>f", Phase.APPEND)), "not reached"),
    (orphan(block=OWN, statement="a"), program(statement("a", "echo x >>f", Phase.APPEND), reached={"a"}), ""),
    (orphan(block=OWN), program(lines=["grep -q x /f || echo 10.0.0.1 old >>/f"]), "its text still stands in: grep"),
    (orphan(block=OWN, permitted=False), EMPTY, "prune=no"),
]


@pytest.mark.parametrize(("what", "after", "reason"), BLOCKS)
def test_appended_text_goes_only_when_it_is_certain_that_nobody_wants_it(what, after, reason):
    said = stays(what, after)
    assert reason in said
    assert bool(said) is bool(reason)


@pytest.mark.parametrize(
    ("going", "inventory", "too_much"),
    [
        (1, 1, False),
        (2, 3, False),
        (10, 10, False),
        (10, 2000, False),
        (11, 11, True),
        (11, 21, True),
        (11, 22, False),
        (1000, 2000, False),
        (1001, 2000, True),
        (2000, 2000, True),
    ],
)
def test_more_than_ten_and_more_than_half_is_taken_for_a_mistake(going, inventory, too_much):
    assert is_too_much(going, inventory) is too_much
