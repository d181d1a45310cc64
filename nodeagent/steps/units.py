"""A file and the steps that edit it behind its verb go together: in an evaluation they all do their work, or none."""

from collections.abc import Sequence

from nodeagent.evaluate import policy
from nodeagent.evaluate.policy import Action, Editor, Verdict
from nodeagent.evaluate.statements import Instrumented
from nodeagent.ledger.editors import Editors
from nodeagent.model.destinations import Ruling, Treatment
from nodeagent.model.evaluation import Scope, Statement
from nodeagent.steps.due import Judge


class Units:
    """Of one evaluation."""

    def __init__(self, program: Instrumented, judge: Judge, editors: Editors, *, scope: Scope) -> None:
        self._statements = {statement.key: statement for statement in program.statements}
        self._editing = program.editing
        self._judge = judge
        self._editors = editors
        self._scope = scope
        self._held: dict[tuple[str, int], str] = {}

    def judge(self, statement: Statement, reach: int = 1) -> Verdict:
        """What becomes of a step that is reached: with its file held back it waits, too."""
        verdict = self._judge.judge(statement, reach, anew=self._editors.renewed(statement.key, reach))
        why = self._held.get((statement.key, reach))
        if why is None or verdict.action is Action.DEFER:
            return verdict
        return Verdict(action=Action.DEFER, reason=why)

    def ended(self, key: str, reach: int) -> None:
        """A step has come to its end."""
        self._editors.ended(key, reach)

    def rule(self, path: str, changed: bool, edited: bool) -> Ruling | None:
        """What becomes of a destination that a verb is about to see to; None: no step edits it.

        Args:
            path: The destination.
            changed: Its verbs want something else than the last time.
            edited: Steps have changed its content; else mode or owner alone.
        """
        steps = [step for step in self._editors.of(path) if step[0] in self._statements]
        if not steps or self._scope is Scope.ADOPT:
            return None
        editors = [self._editor(*step, path) for step in steps]
        if not edited:
            mine = all(editor.now.action is Action.RUN for editor in editors)
            return None if mine or not changed else Ruling(treatment=Treatment.DRESSED)
        treatment = policy.edited_file(editors, changed=changed, full=self._scope is Scope.FULL)
        if treatment is Treatment.ANEW:
            done = [s for s, e in zip(steps, editors, strict=True) if e.named and e.now.action is Action.SKIP]
            self._editors.renew(path, done)
        why = self._why(steps, editors, treatment)
        if treatment is Treatment.HOLD:
            self._hold(path, steps, editors, changed=changed, why=why)
        return Ruling(treatment=treatment, reason=why)

    def _editor(self, key: str, reach: int, path: str) -> Editor:
        statement = self._statements[key]
        return Editor(
            now=self._judge.judge(statement, reach, anew=self._editors.renewed(key, reach)),
            anew=self._judge.judge(statement, reach, anew=path),
            named=statement.number in self._editing,
        )

    def _why(self, steps: Sequence[tuple[str, int]], editors: Sequence[Editor], treatment: Treatment) -> str:
        for (key, _), editor in zip(steps, editors, strict=True):
            statement = self._statements[key]
            label = f"{statement.file}:{statement.line} {statement.text}"
            if treatment is Treatment.HOLD and editor.anew.action is Action.DEFER:
                verdict = editor.now if editor.now.action is Action.DEFER else editor.anew
                return f"waits with {label}, which edits it: {verdict.reason}"
            if treatment is Treatment.LEAVE and editor.now.action is Action.SKIP:
                return f"as {label} left it, which does not run now: a new text comes with the next full evaluation"
        return ""

    def _hold(
        self, path: str, steps: Sequence[tuple[str, int]], editors: Sequence[Editor], *, changed: bool, why: str
    ) -> None:
        for step, editor in zip(steps, editors, strict=True):
            if editor.now.action is Action.RUN or (changed and editor.named):
                self._held[step] = f"it edits {path}, which {why}"
