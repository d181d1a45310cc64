"""The bugs. Old texts are short and about one thing, so that other changes of the file leave them be."""

from tests.planted.bug import Bug

_APPLY = "tests/integration/test_apply.py"
_CASES = "tests/equivalence/test_cases.py"

BUGS = (
    # --- between the shell and the agent ---
    Bug(
        name="the status of a native verb is lost",
        file="nodeagent/steps/native.py",
        old="return status or (1 if change.change is Change.FAILED else 0)",
        new="return status",
        tests=_APPLY,
    ),
    Bug(
        name="COPY has succeeded whatever rsync's status would be",
        file="nodeagent/steps/native.py",
        old="            self._account.unchanged(statement, operands[-1], unchanged, number=number, began=began)\n"
        "        return status\n",
        new="            self._account.unchanged(statement, operands[-1], unchanged, number=number, began=began)\n"
        "        return 0\n",
        tests=f"{_CASES} -k copy",
    ),
    Bug(
        name="the status of a failing step is lost",
        file="nodeagent/evaluate/prelude.sh",
        old='  __na_call ok "$1" "$__na_s"\n  return "$__na_s"\n',
        new='  __na_call ok "$1" "$__na_s"\n  return 0\n',
        tests=f"{_CASES} -k fail",
    ),
    Bug(
        name="the target of a redirection is quoted once more",
        file="nodeagent/evaluate/instrument.py",
        old='b"{ __na_t=%s; __na_to %d; "',
        new='b"{ __na_t=\\"%s\\"; __na_to %d; "',
        tests=f"{_CASES} -k 'quoting or names'",
    ),
    Bug(
        name="the target of a redirection is a word without quotes",
        file="nodeagent/evaluate/instrument.py",
        old="""b'"$__na_o"'""",
        new='b"$__na_o"',
        tests=f"{_CASES} -k logs",
    ),
    Bug(
        name="the umask is not sent",
        file="nodeagent/evaluate/prelude.sh",
        old="    printf '\\0'\n    umask\n",
        new="    printf '\\0'\n    echo 0022\n",
        tests=f"tests/unit/evaluate/test_shell.py {_CASES} -k 'stands or umask'",
    ),
    Bug(
        name="the directory is not sent",
        file="nodeagent/evaluate/prelude.sh",
        old="pwd -P 2>/dev/null || :",
        new="echo /",
        tests=f"{_CASES} -k copy",
    ),
    Bug(
        name="a read that a signal interrupted is not repeated",
        file="nodeagent/evaluate/prelude.sh",
        old="""while ! IFS= read -r __na_r <"$__na_p"; do :; done""",
        new="""IFS= read -r __na_r <"$__na_p" || :""",
        tests="tests/unit/evaluate/test_shell.py",
    ),
    Bug(
        name="a status that set -e let pass counts a second time",
        file="nodeagent/evaluate/instrument.py",
        old='self._insert(node.end, b"; __na_ok %d && :; else __na_no; fi" % number)',
        new='self._insert(node.end, b"; __na_ok %d; else __na_no; fi" % number)',
        tests=f"{_CASES} -k 'set-e or trap'",
    ),
    Bug(
        name="post.sh's own text is not brought back while it runs",
        file="nodeagent/evaluate/sourcing.py",
        old="        self._standing.close()\n        match words:\n",
        new="        match words:\n",
        tests=f"tests/unit/evaluate {_CASES} -k 'original or positional'",
    ),
    Bug(
        name="a killed agent leaves post.sh instrumented",
        file="nodeagent/evaluate/stand_in.py",
        old="        os.rename(backup, original)\n",
        new="        backup.unlink()\n",
        tests="tests/unit/evaluate/test_stand_in.py tests/integration/test_crash.py",
    ),
    Bug(
        name="a killed agent leaves a sourced file instrumented",
        file="nodeagent/evaluate/sourcing.py",
        old="restore_original(Path(os.fsdecode(name)))",
        new="pass",
        tests="tests/unit/evaluate/test_sourcing.py",
    ),
    # --- what is a step ---
    Bug(
        name="a program whose status is used becomes a step",
        file="nodeagent/evaluate/instrument.py",
        old="        used = context.used or self._meaning.reads(node) or ",
        new="        used = self._meaning.reads(node) or ",
        tests=f"tests/unit/evaluate/test_instrument.py {_CASES}",
    ),
    Bug(
        name="what $? of the next statement looks at becomes a step",
        file="nodeagent/evaluate/instrument.py",
        old="here = _Context(used=context.used or after, after=after)",
        new="here = _Context(used=context.used, after=after)",
        tests=f"tests/unit/evaluate/test_instrument.py {_CASES}",
    ),
    Bug(
        name="a function that a pipeline calls has steps in it",
        file="nodeagent/evaluate/instrument.py",
        old="if usage.isolated:",
        new="if False:",
        tests=f"tests/unit/evaluate/test_instrument.py {_CASES} -k 'function'",
    ),
    Bug(
        name="an unknown annotation is accepted",
        file="nodeagent/evaluate/attached.py",
        old="        raise AnnotationInvalid(f",
        new="        str(f",
        tests="tests/unit/evaluate/test_annotations.py tests/integration/test_apply.py",
    ),
    # --- when steps run ---
    Bug(
        name="a done step runs again",
        file="nodeagent/evaluate/policy.py",
        old="renewed = past.evaluation < now.full",
        new="renewed = past.evaluation <= now.full",
        tests=f"tests/unit/evaluate/test_policy_step.py {_APPLY}",
    ),
    Bug(
        name="a due step is skipped",
        file="nodeagent/evaluate/policy.py",
        old="renewed = past.evaluation < now.full",
        new="renewed = past.evaluation < now.full - 1",
        tests=f"tests/unit/evaluate/test_policy_step.py {_APPLY}",
    ),
    Bug(
        name="a failed step that is skipped has succeeded",
        file="nodeagent/evaluate/policy.py",
        old="reason=reason, status=past.statement_status)",
        new="reason=reason)",
        tests=f"tests/unit/evaluate/test_policy_step.py {_APPLY}",
    ),
    Bug(
        name="a deferral is ignored",
        file="nodeagent/steps/due.py",
        old="return policy.step(replace(facts, busy=self._busy()))",
        new="return verdict",
        tests="tests/integration/test_when.py",
    ),
    Bug(
        name="on= does not see a change",
        file="nodeagent/evaluate/policy.py",
        old="if now.changed and says.on:",
        new="if now.changed and says.boot:",
        tests="tests/unit/evaluate/test_policy_step.py tests/integration/test_when.py",
    ),
    Bug(
        name="a change below a path of on= is not its change",
        file="nodeagent/ledger/view.py",
        old="*(p for p, placed, past in written if past is None or placed.changed)",
        new="*()",
        tests="tests/unit/ledger tests/integration/test_when.py",
    ),
    Bug(
        name="a failed step is tried once more than its retry says",
        file="nodeagent/evaluate/policy.py",
        old="if past.tries <= most else",
        new="if past.tries <= most + 1 else",
        tests="tests/unit/evaluate/test_policy_step.py tests/integration/test_when.py",
    ),
    Bug(
        name="what is due is not on disk before anything is touched",
        file="nodeagent/ledger/sources.py",
        old='" boot = excluded.boot, finished = 0, attempted',
        new='" boot = excluded.boot, attempted',
        tests="tests/unit/ledger tests/integration/test_crash.py",
    ),
    Bug(
        name="a full evaluation that was cut short is forgotten",
        file="nodeagent/ledger/sources.py",
        old="            if scope is Scope.FULL:\n                connection.execute(",
        new="            if scope is Scope.FULL:\n                str(",
        tests="tests/unit/ledger tests/integration/test_crash.py",
    ),
    # --- programs ---
    Bug(
        name="a step's time limit ends nothing",
        file="nodeagent/apply/process.py",
        old="            os.kill(pid, number)\n    return len(pids)",
        new="            os.kill(pid, 0)\n    return len(pids)",
        tests=f"tests/unit/apply/test_process.py {_APPLY}",
    ),
    Bug(
        name="a killed agent's step goes on beside its second run",
        file="nodeagent/apply/process.py",
        old="        for entry in members:\n            with contextlib.suppress(ProcessLookupError):\n"
        "                os.kill(entry.pid, signal.SIGKILL)\n",
        new="",
        tests=f"tests/unit/apply/test_process.py {_APPLY}",
    ),
    # --- files ---
    Bug(
        name="a text that stands there already is appended",
        file="nodeagent/apply/blocks.py",
        old="        or call.adopt()\n",
        new="",
        tests="tests/unit/apply/test_blocks.py tests/unit/apply/test_append.py",
    ),
    Bug(
        name="what nodeagent appended before is not known again",
        file="nodeagent/apply/append.py",
        old="tuple(Piece(block=block) for block in destinations.blocks(path))",
        new="()",
        tests="tests/integration/test_appends.py",
    ),
    Bug(
        name="text of somebody else's is replaced",
        file="nodeagent/apply/blocks.py",
        old="if not older.piece.claim and not block.adopted and may_go(block):",
        new="if not older.piece.claim and may_go(block):",
        tests="tests/unit/apply/test_blocks.py tests/unit/apply/test_append.py tests/integration/test_appends.py",
    ),
    Bug(
        name="a text whose statement is gone does not make way",
        file="nodeagent/steps/native.py",
        old="append.Appends(statements=statements)",
        new="append.Appends()",
        tests="tests/integration/test_appends.py",
    ),
    Bug(
        name="COPY ignores the execute bit",
        file="nodeagent/apply/attributes.py",
        old="mode=self._mode(source, kind),",
        new="mode=self._mode(source, kind) & ~0o111,",
        tests="tests/unit/apply/test_copy.py",
    ),
    Bug(
        name="--delete removes what --exclude protects",
        file="nodeagent/apply/levels.py",
        old="if there is None or self._is_protected(prefix + name, there):",
        new="if there is None:",
        tests="tests/unit/apply/test_copy.py tests/integration/test_copy_rsync.py",
    ),
    Bug(
        name="WRITE is not atomic",
        file="nodeagent/apply/rewrite.py",
        old="    if there.st_nlink > 1:\n        _write_over(",
        new="    if there.st_nlink > 0:\n        _write_over(",
        tests="tests/unit/apply/test_write.py tests/unit/apply/test_rewrite.py tests/integration/test_reader.py",
    ),
    Bug(
        name="a rename without the data on disk",
        file="nodeagent/apply/atomic.py",
        old="        os.fsync(self.fd)\n",
        new="",
        tests="tests/unit/apply/test_atomic.py",
    ),
    Bug(
        name="what stood there before is not kept",
        file="nodeagent/ledger/kept.py",
        old="                to.write(chunk)\n",
        new="",
        tests=f"tests/integration/test_undo.py {_APPLY}",
    ),
    # --- drift ---
    Bug(
        name="the sweep misses a change of the mode",
        file="nodeagent/ledger/destinations.py",
        old="same = (now.mode, now.uid, now.gid) == (self.left.mode, self.left.uid, self.left.gid)",
        new="same = (now.uid, now.gid) == (self.left.uid, self.left.gid)",
        tests=f"tests/unit/ledger {_APPLY}",
    ),
    Bug(
        name="an edit by hand is not put back",
        file="nodeagent/ledger/destinations.py",
        old="return same and digest(path, now.mode) == self.left_digest",
        new="return same",
        tests=_APPLY,
    ),
    Bug(
        name="what a step edits does not begin with the verb's own text",
        file="nodeagent/ledger/view.py",
        old="return self.anew or self._scope is Scope.FULL",
        new="return self.anew",
        tests=_APPLY,
    ),
    # --- seeing before doing ---
    Bug(
        name="a plan touches the ledger",
        file="nodeagent/planning.py",
        old='return {self._state: base / "state", self._runtime: base / "runtime"}',
        new="return {self._state: self._state, self._runtime: self._runtime}",
        tests="tests/integration/test_plan_harmless.py -k normal",
    ),
)
