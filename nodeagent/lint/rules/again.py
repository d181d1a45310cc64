"""What does harm when it runs a second time: each new commit runs post.sh again on nodes that are up."""

import re
from collections.abc import Iterator

from nodeagent.evaluate.leaving import loses_track
from nodeagent.evaluate.syntax import Command, Compound, Pipeline, Redirect, Word
from nodeagent.lint.finding import Finding, Severity, shown
from nodeagent.lint.places import Place
from nodeagent.lint.program import Call, Program
from nodeagent.lint.repository import Repository

LOOKS = re.compile(
    rb"grep|\bawk\b|\bcmp\b|\bdiff\b|readlink|(?:\[|\btest)\s[^\n]*-[edfLhrsx]\b|\bfind\b|case .*\$\(.*cat|stamp|\.done"
)
_LEAVES = re.compile(rb"(?<![\w-])(?:return|break|continue|exit|exec)(?![\w-])")
_RUNS = re.compile(rb"pgrep|pidof|kill\s+-0|systemctl|\.pid\b|\bps\b|curl|\bss\b|nc\s")
_USERS = re.compile(rb"\bid\b|getent|grep|/etc/(?:passwd|group)")
_MOUNTS = re.compile(rb"mountpoint|findmnt|/proc/(?:self/)?mount|\bmount\b|grep|(?:\[|\btest)\s[^\n]*-[ed]\b")
HARMLESS_APPEND = re.compile(
    rb'"?(?:/var/log/|/run/|/dev/|/proc/|/sys/|/tmp/|/var/tmp/|&)|.*\.log"?$|"?\$\{?\w*(?:log|out|tmp|temp|null)', re.I
)
_ON_NODE = re.compile(rb'["\']?/(?:etc|root|home|boot|usr|opt|var/spool|var/lib|var/cron)/')
_IGNORED_FAILURE = re.compile(rb"\|\|\s*(?:true|:|echo|logger|printf)\b")
_ADDRESS = rb"(?:\d+|\$|/(?:\\.|[^/\n])*/I?)"
_SED_ADDS = re.compile(rb"\s*(?:" + _ADDRESS + rb"(?:," + _ADDRESS + rb")?)?\s*!?\s*[ai](?:\s*\\|\s+\S|[A-Z#])")


def append_in_script(repository: Repository) -> Iterator[Finding]:
    for program in repository.programs:
        for place in (*program.places, *(program.substituted if program.entry else ())):
            for target in _appended(place):
                if not _once(repository, program, place, target):
                    what, fix = f"appends to {shown(target.text)}", ""
                    if program.entry:
                        why, fix = _left(program, place)
                        what += f" {why}, which the agent leaves to the shell"
                    severity = None if _ON_NODE.match(target.text) else Severity.WARNING
                    yield program.finding("append-in-script", place.node.start, what, severity, fix=fix)


def _left(program: Program, place: Place) -> tuple[str, str]:
    """Why the agent does not append what this statement prints, and how to write it so that it does."""
    if place.background:
        return (
            "in a job that may live longer than post.sh",
            "print the text with echo, printf or cat, and wait for the job",
        )
    found = _LEAVES.search(program.slice(place.node)) if isinstance(place.node, Compound) else None
    if found and loses_track(program.script, place.node, 0):
        word = found.group().decode()
        return (
            f"in a statement that '{word}' leaves in its middle",
            f"write it without {word}: if CONDITION; then ...; fi",
        )
    return "in a way of its own", "print the text by cat, echo, printf, or { ...; } around these, with >>FILE behind it"


def _appended(place: Place) -> Iterator[Word]:
    node = place.node
    redirects: tuple[Redirect, ...] = node.redirects if isinstance(node, Command | Compound) else ()
    kept = isinstance(node, Command) and node.name == "exec"  # whatever its number: it is written to further down
    for redirect in redirects:
        if redirect.operator in {">>", "&>>"} and redirect.target and (kept or redirect.descriptor != 2):
            yield redirect.target
    if isinstance(node, Command) and node.name == "tee":
        options = [w for w in node.words[1:] if w.text.startswith(b"-")]
        if any(w.literal in {"-a", "--append"} for w in options):
            yield from (w for w in node.words[1:] if not w.text.startswith(b"-"))


def _once(repository: Repository, program: Program, place: Place, target: Word) -> bool:
    if HARMLESS_APPEND.match(target.text) or program.guarded(place, LOOKS) or _made_anew(program, place, target):
        return True
    if program.entry:
        waited = not place.background or any(True for entry in repository.entries for _ in entry.calls("wait"))
        return waited and target.start in repository.instrumented.texts.get(program.file, ())
    return False


def _made_anew(program: Program, place: Place, target: Word) -> bool:
    """Was the file written, removed or made by mktemp before, in this program?"""
    name = re.fullmatch(rb'"?\$\{?(\w+)\}?"?', target.text)
    if name and name[1] in program.temporary:
        return True
    return _written_before(program, place, target)


def _written_before(program: Program, place: Place, target: Word) -> bool:
    return program.made.get(target.text.strip(b"\"'"), place.node.start) < place.node.start


def sed_append(program: Program) -> Iterator[Finding]:
    for call in program.calls("sed"):
        if not call.has("i", "--in-place") or program.guarded(call.place, LOOKS):
            continue
        adds = [w for w in call.operands if _SED_ADDS.match(w.text.strip(b"\"'"))]
        deletes = any(re.search(rb"/d(?:[;'\"}]|$)", w.text) for w in call.words[1:])
        if adds and not deletes:
            yield program.finding("sed-append", call.command.start, f"sed -i adds a line: {shown(adds[0].text, 40)}")


def crontab_append(program: Program) -> Iterator[Finding]:
    for call in program.calls("crontab"):
        pipeline = next((node for node in reversed(call.place.around) if isinstance(node, Pipeline)), None)
        if pipeline is None or b"-" not in [w.text for w in call.words[1:]]:
            continue
        text = program.slice(pipeline)
        again = re.search(rb"crontab\s+(?:-u\s+\S+\s+)?-l", text)
        filtered = re.search(rb"grep\s+-\w*v|sort\s+-\w*u|uniq|sed", text)
        if again and not filtered and not program.guarded(call.place, LOOKS):
            yield program.finding("crontab-append", pipeline.start, "adds to the crontab that is there")


def firewall_append(program: Program) -> Iterator[Finding]:
    flushed = -1
    for call in program.calls("iptables", "ip6tables", "nft"):
        words = [w.text for w in call.words[1:]]
        if {b"-F", b"--flush", b"flush"} & set(words):
            flushed = call.command.start
        adds = (
            {b"-A", b"-I", b"--append", b"--insert"} & set(words)
            if call.name != "nft"
            else words[:2] == [b"add", b"rule"]
        )
        if adds and flushed < 0 and not program.guarded(call.place, re.compile(rb"\s-C\b|--check|grep|iptables|nft")):
            yield program.finding("firewall-append", call.command.start, f"{call.name} adds a rule")


def ln_sfn(repository: Repository) -> Iterator[Finding]:
    for program in repository.programs:
        for call in program.calls("ln"):
            if call.has("s", "--symbolic") and not program.guarded(call.place, LOOKS) and _leaves_link(program, call):
                yield program.finding("ln-sfn", call.command.start, f"{shown(program.slice(call.command))}")


def _leaves_link(program: Program, call: Call) -> bool:
    operands = call.operands
    if not operands or _written_before(program, call.place, operands[-1]):
        return False
    if not call.has("f", "--force"):
        return True
    if call.has("nT", "--no-dereference", "--no-target-directory") or len(operands) != 2:
        return False
    source = operands[0].text.strip(b"\"'")
    made = (w.text.strip(b"\"'/") for c in program.calls("mkdir") for w in c.operands)
    return source.endswith(b"/") or (source.strip(b"/") in made and not operands[1].text.endswith(b"/"))


def mount_unguarded(program: Program) -> Iterator[Finding]:
    for call in program.calls("mount"):
        options = b" ".join(w.text for w in call.words)
        if len(call.operands) < 2 or call.has("a", "--all") or re.search(rb"remount|--make-|--move|-M\b", options):
            continue
        if not program.guarded(call.place, _MOUNTS) and not _unmounted_before(program, call):
            yield program.finding("mount-unguarded", call.command.start, f"{shown(program.slice(call.command))}")


def _unmounted_before(program: Program, call: Call) -> bool:
    return any(other.command.start < call.command.start for other in program.calls("umount"))


def user_unguarded(program: Program) -> Iterator[Finding]:
    for call in program.calls("useradd", "groupadd", "adduser", "addgroup"):
        if call.name == "groupadd" and call.has("f", "--force"):
            continue
        if program.guarded(call.place, _USERS) or _IGNORED_FAILURE.match(call.place.fallback.strip()):
            continue
        yield program.finding("user-unguarded", call.command.start, f"{shown(program.slice(call.command))}")


def clone_again(program: Program) -> Iterator[Finding]:
    for call in program.calls("git"):
        if len(call.words) < 3 or call.words[1].literal != "clone" or program.guarded(call.place, LOOKS):
            continue
        if not (_IGNORED_FAILURE.match(call.place.fallback.strip()) or _fresh_place(program, call)):
            yield program.finding("clone-again", call.command.start, shown(program.slice(call.command), 60))


def _fresh_place(program: Program, call: Call) -> bool:
    last = call.words[-1].text
    made = any(b"${%s}" % name in last or b"$%s" % name in last for name in program.temporary)
    return made or _written_before(program, call.place, call.words[-1])


def daemon_again(program: Program) -> Iterator[Finding]:
    for call in program.calls():
        starter = call.command.name
        forks = starter == "daemonize" or (
            starter == "setsid" and re.search(rb"\s-\w*f|--fork", program.slice(call.command))
        )
        if not forks and not (starter in {"nohup", "setsid"} and call.place.background):
            continue
        ended = any(other.command.start < call.command.start for other in program.calls("pkill", "killall", "kill"))
        if not ended and not program.guarded(call.place, _RUNS):
            yield program.finding("daemon-again", call.command.start, shown(program.slice(call.command), 60))
