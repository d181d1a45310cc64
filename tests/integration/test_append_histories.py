"""Whatever becomes of post.sh and of the destination between evaluations, each wanted text stands as often as wanted.

A state machine of random histories: statements are added, changed, moved and removed, the file is edited by hand, and
the agent is killed in the middle. Real shell, files and ledger.
"""

import shutil
import tempfile
from collections import Counter
from pathlib import Path

from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.integration.site import KILL, Site

FORMS = (
    "echo {0} >>$D/f",
    "printf '%s\\n' {0} >>$D/f",
    "cat <<E >>$D/f\n{0}\nE",
    'echo {0} | tee -a "$D/f" >/dev/null',
    "{{ echo {0}; }} >>$D/f",
    "for i in {0}; do echo $i; done >>$D/f",
    "for i in {0}; do echo $i >>$D/f; done",
    "(cd /; echo {0} >>$D/f)",
    "say {0} >>$D/f",
    "{{ echo {0}; true | cat; }} >>$D/f",
)
TEXTS = ("a", "b", "c", "d", "e")
texts = st.sampled_from(TEXTS)
statements = st.tuples(st.sampled_from(FORMS), texts)
places = st.integers(0, 5)


class Histories(RuleBasedStateMachine):
    """``others`` are the lines that somebody else wrote; ``program`` the statements, each with its text."""

    def __init__(self) -> None:
        super().__init__()
        self.top = Path(tempfile.mkdtemp(prefix="histories-"))
        self.site = Site(self.top)
        self.file = self.site.root / "f"
        self.program: list[tuple[str, str]] = []
        self.others: list[str] = []
        self.first: Counter[str] = Counter()  # what was there
        self.most: Counter[str] = Counter()  # what was wanted at any time
        self.settled = False
        self.crashed = False

    def teardown(self) -> None:
        shutil.rmtree(self.top)

    @initialize(there=st.sampled_from([None, "first\n", "a\nfirst\n"]), program=st.lists(statements, max_size=4))
    def begin(self, there, program):
        if there is not None:
            self.file.write_text(there)
            self.first = Counter(there.split())
            self.others = [line for line in there.split() if line == "first"]
        self.program = program

    def change(self, program) -> None:
        self.program, self.settled = program, False

    @rule(place=places, statement=statements)
    def add(self, place, statement):
        self.change([*self.program[:place], statement, *self.program[place:]][:6])

    @precondition(lambda self: self.program)
    @rule(place=places, text=texts)
    def reword(self, place, text):
        place %= len(self.program)
        self.change([(f, text if n == place else t) for n, (f, t) in enumerate(self.program)])

    @precondition(lambda self: self.program)
    @rule(place=places)
    def remove(self, place):
        place %= len(self.program)
        self.change([*self.program[:place], *self.program[place + 1 :]])

    @rule(program=st.data())
    def move(self, program):
        self.change(program.draw(st.permutations(self.program)))

    @rule(place=places)
    def edit(self, place):
        lines = self.file.read_text().splitlines() if self.file.exists() else []
        self.others.append(f"other{len(self.others)}")
        lines.insert(place, self.others[-1])
        self.file.write_text("".join(f"{line}\n" for line in lines))
        self.settled = False

    # After a crash the file counts as left as it is, until an evaluation came to its end.
    @precondition(lambda self: self.file.exists() and not self.crashed)
    @rule(place=places)
    def lose_a_line(self, place):
        lines = self.file.read_text().splitlines(keepends=True)
        if place < len(lines) and lines[place].strip() not in self.others:
            del lines[place]
            self.file.write_text("".join(lines))
            self.settled = False

    @rule()
    def apply(self):
        self.site.program(self.text())
        assert not self.site.apply().failed
        self.settled, self.crashed = True, False

    @rule(place=places)
    def crash(self, place):
        self.site.program(self.text(kill=place))
        self.site.killed()
        self.settled, self.crashed = False, True

    def text(self, kill: int | None = None) -> str:
        self.most |= Counter(text for _, text in self.program)
        lines = [form.format(text) for form, text in self.program]
        if kill is not None:
            lines.insert(min(kill, len(lines)), KILL)
        return "\n".join(["say() { echo $1; }", *lines])

    @invariant()
    def stands(self):
        found = Counter(self.file.read_text().splitlines() if self.file.exists() else ())
        assert all(found[other] == 1 for other in self.others), "others' text is lost"
        assert found <= self.first + self.most + Counter({line: 1 for line in found if line not in TEXTS}), (
            "a text stands too often"
        )
        if not self.settled:
            return
        wanted = Counter(text for _, text in self.program)
        assert all(found[text] >= n for text, n in wanted.items()), f"{wanted} in {found}"


TestHistories = Histories.TestCase
# Without shrinking, which takes minutes here: what failed is printed, and is short.
TestHistories.settings = settings(
    max_examples=60, stateful_step_count=12, deadline=None, derandomize=True, phases=[Phase.generate]
)
