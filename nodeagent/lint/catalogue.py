"""Every rule's id: how bad it is, why it matters on a running node, and how to mend it."""

from dataclasses import dataclass

from nodeagent.lint.finding import Severity

_E, _W = Severity.ERROR, Severity.WARNING


@dataclass(frozen=True, slots=True)
class Rule:
    severity: Severity
    why: str
    fix: str


RULES: dict[str, Rule] = {
    # --- files and their modes ---
    "not-executable": Rule(_E, "it cannot be run", "git update-index --chmod=+x FILE, and commit it"),
    "no-shebang": Rule(
        _E,
        "nothing says that it is shell, so it runs whole, as one step: nothing in it is done natively or only once",
        "begin it with #!/bin/sh",
    ),
    "crlf": Rule(
        _E,
        "the carriage return is part of each line's last word, and of the interpreter's name",
        "sed -i 's/\\r$//' FILE",
    ),
    "missing-source": Rule(
        _E,
        "the statement fails on every node, and post.sh goes on without it",
        "add it to the repository, mend the path, or remove the statement",
    ),
    "placeholder-copied": Rule(
        _W, "it lands on every node; daemons that read a whole directory read it too", "remove the placeholder"
    ),
    "dirty-checkout": Rule(
        _W,
        "it changes the checkout, which is put back before each evaluation of a new commit: keep the mode in git",
        "git update-index --chmod=+x FILE..., commit, and remove this statement",
    ),
    # --- understanding ---
    "unparsable": Rule(_E, "it ends where the shell meets the error", "mend the syntax: sh -n FILE"),
    "run-whole": Rule(
        _W,
        "post.sh is run whole, as one step: all of it again with each commit, and nothing in it is done natively",
        "write it without this construct, or move that part to a postscript",
    ),
    "copy-not-native": Rule(
        _W,
        "the shell does it, not the agent: no atomic placing, no drift check, no record of what was there",
        'keep the function to mkdir -p "$(dirname "$2")" and rsync -a "$1" "$2"; call it as a statement of its own',
    ),
    "unknown-annotation": Rule(
        _E,
        "the agent refuses a revision with an annotation that it cannot follow",
        "the words are on=PATHS boot always idle anytime retry=N timeout=TIME mode=MODE owner=USER:GROUP prune=no "
        "ignore=ID",
    ),
    "annotation-unread": Rule(
        _W,
        "the agent reads annotations in post.sh and what it sources, not in what it runs",
        "put it on the line of post.sh that runs this script",
    ),
    # --- secrets ---
    "secret-mode": Rule(
        _E,
        "git keeps only the execute bit, so it arrives readable by everybody; munge, sshd and sssd refuse such a file",
        "add '# nodeagent: mode=0400' to the line, or a chmod behind it",
    ),
    "secret-in-clear": Rule(
        _W,
        "whoever can read the repository, its history or a node's checkout has it",
        "fetch it on the node from where secrets are kept, and replace this one: it has been seen",
    ),
    "traced-secret": Rule(
        _W, "set -x prints it into the log with each command that uses it", "set +x before it is read, or remove set -x"
    ),
    "host-key-unchecked": Rule(
        _W,
        "whoever answers at that address is believed, and may get the secret or give the configuration",
        "pin the host: put its key into known_hosts, or the authority into the trust store",
    ),
    # --- not safe to run again ---
    "append-in-script": Rule(
        _E,
        "each new commit runs it again on a node that is up, and appends once more",
        'append from post.sh, where the agent does it once, or test before it: grep -qxF "$line" FILE ||',
    ),
    "sed-append": Rule(
        _W,
        "each run adds the line once more",
        'append from post.sh, or test before it: grep -qxF "$line" FILE ||',
    ),
    "crontab-append": Rule(
        _W, "each run adds the line once more", "put a file into /etc/cron.d, or set the whole table: crontab FILE"
    ),
    "firewall-append": Rule(
        _W,
        "each run adds the rule once more",
        "test before it (iptables -C RULE || iptables -A RULE), or load a whole file: iptables-restore, nft -f",
    ),
    "ln-sfn": Rule(
        _W,
        "the second run fails; or, where the first link leads to a directory, plants a link inside it",
        "ln -sfn SOURCE DESTINATION",
    ),
    "mount-unguarded": Rule(
        _W, "each run mounts it once more, over the first", "mountpoint -q DIR || mount ... DIR; or fstab and mount -a"
    ),
    "user-unguarded": Rule(
        _W,
        "the second run fails, because it is there",
        "id -u NAME >/dev/null 2>&1 || useradd ...; or systemd-sysusers",
    ),
    "clone-again": Rule(
        _W,
        "the second run fails, because the directory is there; and what it holds is never renewed",
        "[ -d DIR/.git ] || git clone URL DIR; git -C DIR pull --ff-only",
    ),
    "daemon-again": Rule(
        _W,
        "each run starts one more, and nothing starts it when it has ended",
        "give it a unit, as a file of the repository; or systemd-run --unit=NAME, which refuses a second one",
    ),
    # --- what disturbs a node ---
    "rm-rf-ungated": Rule(
        _E,
        "each new commit runs it again on a node that is up, where it takes away what others work with",
        "say '# nodeagent: boot' (once a boot) where post.sh does it",
    ),
    "chmod-here": Rule(
        _E,
        "it works in whatever directory it stands in, and that is / when a cd before it failed",
        "name the directory",
    ),
    "restart-without-on": Rule(
        _W,
        "each new commit restarts the service, whatever it changed",
        "say '# nodeagent: on=PATHS' (what the service reads), or boot, where post.sh does it",
    ),
    "reboot-ungated": Rule(
        _E, "each new commit reboots the node, and so does each boot", "test for what the reboot is to bring about"
    ),
    # --- steps ---
    "always-runs": Rule(
        _W,
        "nothing may keep it from running, so it runs in every evaluation, beside jobs too, not only when it is due",
        "PROGRAM || { echo ...; exit 1; }, or PROGRAM || logger ...: these let it be a step; or put program and test "
        "into a postscript",
    ),
    "exec-output": Rule(
        _W,
        "a step that is not due says nothing there, and what is printed there does not reach the journal",
        "{ ...; } >FILE around what makes the file's content, where all runs each time; for a log, leave out the exec: "
        "the journal has what steps print",
    ),
    # --- flow ---
    "loop-input": Rule(
        _W,
        "it reads what is left of the loop's input, and the loop ends after one turn",
        "give it </dev/null (ssh -n)",
    ),
    "endless-loop": Rule(
        _E,
        "nothing below it is reached while it waits, and the evaluation is ended at its time limit",
        "count: n=0; until CONDITION || [ $n -ge 60 ]; do n=$((n + 1)); sleep 1; done",
    ),
    "cd-subshell-exit": Rule(
        _E, "exit leaves only the subshell, and the script goes on in the wrong directory", "cd DIR || exit 1"
    ),
    "exit-in-subshell": Rule(
        _W, "it leaves only the subshell, and the script goes on", "use { ...; exit 1; } instead of ( )"
    ),
}
