"""Text in, text out: put the agent's verbs around the statements whose meaning is known.

Lines stay where they are, ``$?`` and ``set -e`` work as before, and whatever is not recognised is left alone.
What the text becomes::

    COPY ./a /etc/b         __na_cp 1 COPY ./a /etc/b
    cat a >>/etc/b          { __na_t=/etc/b; __na_to 2; cat a >>"$__na_o"; __na_tx 2 && __na_no; }
    date >>/etc/b           the same around the step; so with $?: { __na_s=$?; __na_t=...; __na_is && :; echo $? ...
    systemctl restart x     if __na_go 3 systemctl; then systemctl restart x; __na_ok 3 && :; else __na_no; fi
    RUN name args           if __na_go 4 name; then __na_at 4; RUN name args; __na_ok 4 && :; else __na_no; fi
    if RUN name; ...        if { __na_at 5 && :; RUN name; __na_of && :; }; ...
    "$@" in RUN             __na_run "$@"; "$@"; __na_ran && :
    logger ... in RUN       __na_log ...
    v=$(date >>/etc/b)      v=$({ __na_t=/etc/b; __na_st 6; date >>"$__na_o"; __na_sx 6 && __na_no; })
    { ...; return; } >>F    { ...; { __na_tx 7 && :; return; }; } >>"$__na_o"
    ( ... )                 { ( ... ); __na_up && :; }
    . ./lib.sh              { __na_dot . ./lib.sh && :; . ./lib.sh; }

The verbs are in ``prelude.sh``. ``&& :`` keeps a status that the step was allowed to have (``set -e`` lets ``a && b``
fail in ``a``) from counting a second time, for ``set -e`` and for an ERR trap.
"""

from nodeagent.evaluate import hearing
from nodeagent.evaluate.copy_function import Understood
from nodeagent.evaluate.functions import functions
from nodeagent.evaluate.meaning import Meaning
from nodeagent.evaluate.sources import Sourced
from nodeagent.evaluate.statements import Instrumented, Statements
from nodeagent.evaluate.syntax import Script
from nodeagent.evaluate.texts import Texts, Traits
from nodeagent.evaluate.touches import temporary, written
from nodeagent.evaluate.untouchable import any_untouchable, looks_at_verbs, not_understood
from nodeagent.evaluate.writer import Writer


def instrument(script: Script, file: str, understood: Understood, sourced: Sourced | None = None) -> Instrumented:
    """Instrument one program.

    Args:
        script: the parsed text.
        file: its name for reports, relative to the checkout.
        understood: tells which lists of rsync flags the agent can do itself.
        sourced: the files that it may source.
    """
    sourced = sourced or Sourced()
    files = {file: script, **sourced.scripts}
    reason = not_understood(script) or any_untouchable(file, files) or looks_at_verbs(script)
    if reason:
        return Instrumented(text=script.text, file=file, scripts=files, whole=reason)
    known = functions(files, understood, sourced.dots)
    traits = Traits.of(files.values())
    kept, always_kept = any(map(hearing.anywhere, files.values())), any(map(hearing.for_good, files.values()))
    unreadable = {n: why for n, s in files.items() if (why := not_understood(s) or looks_at_verbs(s)) is not None}
    readable = {n: s for n, s in files.items() if n not in unreadable}
    unread = (written(node) for n, s in files.items() if n not in readable for node, _ in s.block.items)
    shared: frozenset[bytes] = frozenset().union(*map(temporary, files.values()), *unread)
    resets: frozenset[bytes] = frozenset()
    while True:  # a step that is to run each time may be what makes another one so
        statements = Statements(file)
        statements.parallel = traits.parallel
        texts: dict[str, bytes] = {}
        for name, one in readable.items():
            meaning = Meaning(one, known, understood, Texts(one, traits))
            writer = Writer(
                one, name, known=known, meaning=meaning, statements=statements, dots=sourced.dots, heard=kept
            )
            texts[name] = writer.write(shared, resets, heard=always_kept or (kept and name != file))
        if statements.repeated <= shared and statements.reset <= resets:
            return statements.instrumented(file, files, texts, sourced.dots, unreadable)
        shared |= statements.repeated
        resets |= statements.reset
