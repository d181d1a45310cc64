"""Each rule has a hit and near misses: what looks alike and is right."""

from collections.abc import Callable, Mapping

import pytest

from nodeagent.evaluate.merge_function import BODY
from nodeagent.lint.catalogue import RULES
from nodeagent.lint.finding import Finding, Severity

Lint = Callable[..., list[Finding]]

SH = "#!/bin/sh\n"
COPY = 'COPY() {\n  mkdir -p "$(dirname "$2")"\n  rsync -av "$1" "$2"\n}\n'
PUT = COPY.replace("COPY", "PUT")
MERGE = f"MERGE() {{{BODY.decode()}}}\n"
RUN = 'RUN() {\n  logger -t postscripts "$*"\n  "$@"\n}\n'
TOP = 'TOP=$(dirname "$(realpath "$0")")\ncd "$TOP/files" || exit 1\n'
KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQ\n"
LOCKED = (
    "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAACmFlczI1Ni1jdHI\n-----END OPENSSH PRIVATE KEY-----\n"
)

Files = Mapping[str, str | bytes]


def post(text: str, **more: str) -> Files:
    return {"post.sh": SH + text, **{name.replace("__", "/"): content for name, content in more.items()}}


def script(text: str, call: str = "RUN job\n", first: str = SH) -> Files:
    """A postscript that post.sh runs."""
    return {"post.sh": f'{SH}{RUN}PATH="$PWD/postscripts:$PATH"\n{call}', "postscripts/job": first + text}


def copied(path: str, content: str, then: str = "") -> Files:
    """A file that post.sh copies to /etc/x/NAME."""
    name = path.rsplit("/", 1)[-1]
    return {"post.sh": f"{SH}{COPY}{TOP}COPY ./{path} /etc/x/{name}\n{then}", f"files/{path}": content}


HITS: list[tuple[str, Files]] = [
    ("append-in-script", script("echo a b nfs >>/etc/fstab\n")),
    ("append-in-script", script("echo a b nfs | tee -a /etc/fstab\n")),
    ("append-in-script", script("cat <<END >>/etc/hosts\na\nEND\n")),
    ("append-in-script", script("{ echo a; echo b; } >>/etc/hosts\n")),
    ("append-in-script", script('if [ "$1" = compute ]; then\n  echo a >>/etc/hosts\nfi\n')),
    ("append-in-script", script('for h in a b; do echo "$h" >>/etc/hosts; done\n')),
    ("append-in-script", script('echo a >>"$TARGET"\n')),
    ("append-in-script", post("exec 3>>/etc/hosts\necho a >&3\n")),
    ("append-in-script", post("found=$(exec getent hosts a >>/etc/hosts)\n")),
    ("append-in-script", post("found=`getent hosts a >>/etc/hosts`\n")),
    ("append-in-script", post("trap 'echo a >>/etc/hosts' INT\n")),
    ("append-in-script", post('eval "echo $x >>$TARGET"\n')),
    ("append-in-script", post('sh -c "echo $x >>/etc/hosts"\n')),
    ("append-in-script", post("{ sleep 9; echo a >>/etc/hosts; } &\n")),
    ("append-in-script", post("getent hosts a >>/etc/hosts &\nwait\n")),
    ("append-in-script", post("f() { getent hosts a >>/etc/hosts; }\nf &\nwait\n")),
    ("append-in-script", post("{ echo a; exec prog; } >>/etc/hosts\n")),
    ("append-in-script", script("awk '{ print >> \"/etc/hosts\" }' a\n")),
    ("append-in-script", script("dd if=a of=/etc/hosts oflag=append conv=notrunc\n")),
    ("always-runs", post("dnf -y install x\nif [ $? -ne 0 ]; then echo no; fi\n")),
    ("always-runs", post("./job\nstatus=$?\n", job=SH)),
    ("always-runs", post(RUN + "if ! RUN job; then echo no; fi\n", job=SH)),
    ("always-runs", post(RUN + "RUN job\n[ $? -eq 0 ] || echo no\n", job=SH)),
    ("always-runs", post("if systemctl restart x; then echo yes; fi\n")),
    ("always-runs", post("if [ -e /x ]; then\n  touch /y\n  exit\nfi\n")),
    ("always-runs", post(". ./lib.sh\n", **{"lib.sh": "f() {\n  modprobe x\n  return $?\n}\nf\n"})),
    ("exec-output", post("exec >/var/log/post.out 2>&1\nsystemctl enable x\n")),
    ("exec-output", post("exec 3>&1\nexec 1>/etc/issue\necho a\ndmidecode -s x\nexec >&3\n")),
    ("exec-output", {"post.sh": "#!/bin/bash\nexec &>/root/post.txt\nif true; then systemctl enable x; fi\n"}),
    ("exec-output", post(". ./lib.sh\n", **{"lib.sh": "exec >/etc/x\nmodprobe x\n"})),
    ("loop-input", script("while read -r h; do ssh $h date; done </etc/x\n")),
    ("loop-input", script("cat /etc/x | while read -r h; do sudo ssh -p 22 $h sed -n 1p /x; done\n")),
    ("loop-input", script("while IFS=: read -r a b; do\n  if x; then d=$(ssh $a date); fi\ndone <<END\n1:2\nEND\n")),
    ("loop-input", post("while read -r a; do\n  cat >>/etc/x\ndone <files/a\n", files__a="")),
    (
        "loop-input",
        script("getent hosts | while read -r a; do srun -N1 x; done\nwhile read -r a; do bash -s; done <<<x\n"),
    ),
    ("sed-append", script("sed -i '$a PermitRootLogin no' /etc/ssh/sshd_config\n")),
    ("sed-append", script("sed -i '/^Host/a\\  User root' /etc/ssh/ssh_config\n")),
    ("sed-append", script("sed -i '1i # ours' /etc/x\n")),
    ("crontab-append", script('(crontab -l; echo "* * * * * x") | crontab -\n')),
    ("firewall-append", script("iptables -A INPUT -p tcp --dport 22 -j ACCEPT\n")),
    ("firewall-append", script("nft add rule inet filter input tcp dport 22 accept\n")),
    ("ln-sfn", script("ln -s /mnt/a /opt/a\n")),
    ("ln-sfn", post("ln -s /mnt/a /opt/a || true\n")),
    ("ln-sfn", post(RUN + "RUN ln -s /mnt/a /opt/a\n")),
    ("ln-sfn", script("mkdir -p /mnt/a\nln -sf /mnt/a /opt/a\n")),
    ("ln-sfn", script("ln -sf /mnt/a/ /opt/a\n")),
    ("mount-unguarded", script("mount -t tmpfs tmpfs /scratch\n")),
    ("mount-unguarded", script("mount --bind /a /b || exit 1\n")),
    ("user-unguarded", script("useradd -r slurm\n")),
    ("user-unguarded", script("groupadd -g 64030 slurm\n")),
    ("clone-again", script("git clone https://a/b /opt/b\n")),
    ("clone-again", post("git clone --depth 1 https://a/b\n")),
    ("daemon-again", script("nohup /opt/x >/dev/null 2>&1 &\n")),
    ("daemon-again", post("(setsid /opt/x &)\nsetsid -f y\n")),
    ("rm-rf-ungated", script("rm -rf /scratch/*\n")),
    ("rm-rf-ungated", script("rm -rf /tmp/*\n")),
    ("rm-rf-ungated", script("rm -fr /local/scratch\n")),
    ("rm-rf-ungated", script('rm -rf "$DIR"/*\n')),
    ("rm-rf-ungated", script('rm -rf "/scratch/$USER"\n')),
    ("rm-rf-ungated", script("rm -rf /data/*\n")),
    ("rm-rf-ungated", script("[ -d /scratch ] && rm -rf /scratch/*\n")),
    ("rm-rf-ungated", script("S=/scratch\nrm -rf $S/*\n")),
    ("rm-rf-ungated", script('cd "$1"; rm -r --force ./*\n')),
    ("rm-rf-ungated", script("rm -rf /scratch/*\n", "RUN job # nodeagent: idle\n")),
    ("chmod-here", post("chmod -R g-rwx,o-rwx .\n")),
    ("chmod-here", script("chown -R root:root ./\n")),
    ("restart-without-on", post("systemctl restart sshd\n")),
    ("restart-without-on", post("if [ -e /usr/sbin/sshd ]; then systemctl reload sshd; fi\n")),
    ("restart-without-on", script("service munge restart\n")),
    ("restart-without-on", script("systemctl restart --no-block a b\n", "RUN job # nodeagent: timeout=5m\n")),
    ("reboot-ungated", script("reboot\n")),
    ("reboot-ungated", post("systemctl reboot # nodeagent: boot\n")),
    ("endless-loop", script("while ! id slurm; do sleep 1; done\n")),
    ("endless-loop", post("until mountpoint -q /x; do\n  echo waiting\n  sleep 5\ndone\n")),
    ("endless-loop", script("while [ ! -e /x ]; do sleep 1; done\n")),
    ("endless-loop", script("while true; do x; sleep 1; done\n")),
    ("endless-loop", script("until [ -e /x ]; do :; done\n")),
    ("cd-subshell-exit", post('cd /x || (echo "cd failed" && exit 1)\n./a\n')),
    ("cd-subshell-exit", post("cd /x || (echo failed; exit 1)\n./a\n")),
    ("exit-in-subshell", script("make-it || (echo failed; exit 1)\nother\n")),
    ("exit-in-subshell", script("[ -e /x ] || ( exit 1 )\nother\n")),
    ("exit-in-subshell", script("ls | while read f; do check $f || exit 1; done\nother\n")),
    ("secret-mode", copied("munge.key", "x" * 32)),
    ("secret-mode", copied("munge.key", "x" * 32, "chmod 644 /etc/x/munge.key\n")),
    ("secret-mode", copied("munge.key", "x" * 32, "chmod 400 /etc/y/munge.key\n")),
    ("secret-mode", copied("a/host", KEY)),
    ("secret-mode", {"post.sh": SH + COPY + TOP + "COPY ./ssh/ /etc/ssh/\n", "files/ssh/ssh_host_rsa_key": "x"}),
    ("secret-mode", {"post.sh": SH + TOP + "cp sssd/sssd.conf /etc/sssd/\n", "files/sssd/sssd.conf": "[sssd]\n"}),
    ("secret-mode", {"post.sh": SH + TOP + "chmod 600 /etc/a.key\nrsync -a a.key /etc/a.key\n", "files/a.key": "x"}),
    ("secret-in-clear", {**post("true\n"), "files/ssh/id": KEY}),
    ("secret-in-clear", post("PASSWORD=hunter22\n")),
    ("secret-in-clear", post("echo root:hunter22 | chpasswd\n")),
    ("secret-in-clear", script("curl -u admin:hunter22 https://x/y\n")),
    ("secret-in-clear", {**post("true\n"), "files/sssd.conf": "[d]\nldap_default_authtok = hunter22\n"}),
    ("secret-in-clear", {**post("true\n"), "files/slurmdbd.conf": "StoragePass=hunter22\n"}),
    ("traced-secret", script('curl -d "$PASSWORD" https://x\n', first="#!/bin/bash -ex\n")),
    ("traced-secret", post("set -x\nopenssl enc -d -pass pass:$KEY -in a\n")),
    ("host-key-unchecked", script("ssh -o StrictHostKeyChecking=no a b\n")),
    ("host-key-unchecked", script("curl -sk https://a/b\n")),
    ("host-key-unchecked", script("ssh-keyscan a >>/root/.ssh/known_hosts\n")),
    ("no-shebang", {"post.sh": "echo a\n"}),
    ("no-shebang", script("echo a\n", first="")),
    ("crlf", {"post.sh": "#!/bin/sh\r\necho a\r\n"}),
    ("crlf", script("echo a\r\n")),
    ("missing-source", post(COPY + TOP + "COPY ./a /etc/a\n")),
    ("missing-source", post(COPY + "COPY files/a /etc/a\n")),
    ("missing-source", {**post('PUT() { rsync -a "$@"; }\nPUT files/a files/b /etc/d/\n'), "files/a": ""}),
    ("secret-mode", {**post('PUT() { cp -v "$@"; }\nPUT k.key /etc/k.key\n'), "k.key": "x"}),
    ("append-in-script", script("a >>/etc/x\n", call='TRY() { timeout 9 "$@" || echo no; }\nTRY job\n')),
    ("missing-source", post(". lib.sh\n", **{"lib.sh": "x\n"})),
    ("missing-source", post("cat ./files/hosts >>/etc/hosts\n")),
    ("missing-source", post('. "$(dirname "$0")/lib.sh"\n')),
    ("missing-source", {**script("true\n"), **post(RUN + "RUN jib\n")}),
    ("missing-source", post(RUN + "RUN ./postscripts/job\n")),
    ("missing-source", post("(cd files && rsync -a a /etc/a)\n")),
    ("missing-source", post(COPY + "COPY /configs/files/a /etc/a\n")),
    (
        "missing-source",
        post('. ./lib.sh\nPUT "$PWD/a" /etc/a\nPUT a /etc/a\n', **{"lib.sh": COPY.replace("COPY", "PUT")}),
    ),
    (
        "secret-mode",
        {**post(". ./lib.sh\nPUT k.key /etc/k.key\n"), "lib.sh": COPY.replace("COPY", "PUT"), "k.key": "x"},
    ),
    (
        "append-in-script",
        {**post(". ./lib.sh\nDO job\n"), "lib.sh": RUN.replace("RUN", "DO"), "postscripts/job": SH + "a >>/etc/x\n"},
    ),
    ("placeholder-copied", {**post(COPY + TOP + "COPY ./certs/ /etc/certs/\n"), "files/certs/.gitkeep": ""}),
    ("dirty-checkout", script("true\n", "chmod +x postscripts/*\nRUN job\n")),
    ("run-whole", post("alias ll=ls\nll\n")),
    ("run-whole", {"post.sh": "#!/usr/bin/python3\nprint()\n"}),
    ("copy-not-native", {**post(COPY + "COPY files/a /etc/a | cat\n"), "files/a": ""}),
    ("copy-not-native", {**post(COPY + "COPY files/a /etc/a &\nwait\n"), "files/a": ""}),
    ("copy-not-native", {**post(". ./lib.sh\nCOPY files/a /etc/a | cat\n"), "lib.sh": COPY, "files/a": ""}),
    ("unknown-annotation", {**post(". ./lib.sh\n"), "lib.sh": "x # nodeagent: mode=0400\n"}),
    (
        "copy-not-native",
        {**post('PUT() {\n  if rsync -a "$1" "$2"; then echo ok; fi\n}\nPUT files/a /etc/a\n'), "files/a": ""},
    ),
    ("copy-not-native", {**post(MERGE.replace("mv -f", "mv") + "MERGE files/a /etc/passwd\n"), "files/a": ""}),
    ("copy-not-native", {**post(MERGE + "MERGE files/a /etc/passwd | cat\n"), "files/a": ""}),
    ("missing-source", post(MERGE + "MERGE files/none /etc/passwd\n")),
    ("unknown-annotation", post("x # nodeagent: onn=/etc\n")),
    ("unknown-annotation", post("x # nodeagent: boot, idle\n")),
    ("unknown-annotation", post("x # nodeagent: on=etc/x\n")),
    ("unknown-annotation", post("x # nodeagent: mode=0999\n")),
    ("unknown-annotation", post("x # nodeagent: prune=yes\n")),
    ("unknown-annotation", post("x # nodeagent:\n")),
    ("unknown-annotation", post("x # nodeagent: ignore=no-such-id\n")),
    ("unknown-annotation", post(". ./lib.sh\n", **{"lib.sh": "x y # nodeagent: onn=/etc\n"})),
    ("unknown-annotation", post("if . ./lib.sh; then x; fi\n", **{"lib.sh": "x y # nodeagent: boot\n"})),
    ("annotation-unread", script("systemctl restart x # nodeagent: on=/etc/x\n")),
    ("unparsable", post("if true; then\n")),
]

NEAR_MISSES: list[tuple[str, Files]] = [
    ("append-in-script", post("echo a >>/etc/hosts\ncat f | tee -a /etc/x\n")),
    ("append-in-script", post("trap 'echo a >>/etc/hosts' EXIT\neval 'echo b'\n")),
    ("append-in-script", post("found=$(getent hosts a >>/etc/hosts)\n")),
    ("append-in-script", post("f() {\n  {\n    echo a\n    return\n  } >>/etc/hosts\n}\nf\n")),
    ("append-in-script", post("for h in a b; do\n  { echo $h; break; } >>/etc/hosts\ndone\n")),
    ("append-in-script", post("{\n  echo a\n  [ -e /x ] || exit 1\n  echo b\n} >>/etc/hosts\n")),
    ("append-in-script", post("add() { echo a; } >>/etc/hosts\nadd\n")),
    ("append-in-script", {**post(". ./lib.sh\nadd a\n"), "lib.sh": "add() {\n  echo $1 >>/etc/hosts\n}\n"}),
    ("append-in-script", script("echo a >>/var/log/x\necho b >>/dev/null\ndate >>/tmp/x\n")),
    ("append-in-script", script("grep -q a /etc/fstab || echo a >>/etc/fstab\n")),
    ("append-in-script", script("if ! grep -q a /etc/fstab; then echo a >>/etc/fstab; fi\n")),
    ("append-in-script", script("grep -q a /etc/fstab && exit 0\necho a >>/etc/fstab\n")),
    ("append-in-script", script("add() {\n  echo $1 >>/etc/hosts\n}\ngrep -q a /etc/hosts || add a\n")),
    ("append-in-script", script("echo a >/etc/x\necho b >>/etc/x\n")),
    ("append-in-script", script('T=$(mktemp)\necho b >>"$T"\n')),
    ("append-in-script", script("cp /etc/base /etc/x\necho b >>/etc/x\n")),
    ("append-in-script", script('echo a >>"$LOGFILE" 2>&1\n')),
    ("append-in-script", script("x 2>>/etc/err\n")),
    (
        "append-in-script",
        post("getent hosts a | sort >>/etc/hosts\nfor h in a; do echo $h; break; done >>/etc/hosts\n"),
    ),
    ("append-in-script", script("sh -c 'grep -q a /etc/x || echo a >>/etc/x'\necho 'write >>/etc/x'\n")),
    ("append-in-script", script("sed -i '/ours/d' /etc/x\necho ours >>/etc/x\n")),
    ("append-in-script", post("if [ -e /x ]; then\n  { echo a; echo 'exit '; } >>/etc/hosts\n  exit 1\nfi\n")),
    ("always-runs", post("dnf -y install x || { echo no; exit 1; }\ny || logger no\nz || true\na && b\n")),
    ("always-runs", post("id slurm\nif [ $? -ne 0 ]; then echo no; fi\nrpm -q x\n[ $? -eq 0 ] || echo no\n")),
    ("always-runs", post("if systemctl is-active -q x; then y; fi\nif grep -q a /b; then systemctl restart c; fi\n")),
    ("always-runs", {**script("a\nif [ $? -ne 0 ]; then b; fi\n")}),
    ("always-runs", post(COPY + "COPY ./a /etc/a\n[ $? -eq 0 ] || echo no\necho b >/etc/b\nc=$?\n", a="")),
    ("always-runs", post(RUN + "RUN job || exit 1\ntouch /x\nexit 0\n", job=SH)),
    (
        "exec-output",
        post("exec >/dev/null\nmodprobe x\nexec >>/var/log/x\ny\nexec 2>/var/log/e\nz\nexec ./job\n", job=SH),
    ),
    ("exec-output", post("exec 3>&1 >/etc/issue\necho a\nuname -n\nexec 1>&3\nmodprobe x\n")),
    ("exec-output", {"post.sh": "#!/bin/bash\nexec > >(tee /var/log/x)\nmodprobe x\n"}),
    ("exec-output", script("exec >/var/log/x\nmodprobe x\n")),
    (
        "loop-input",
        script("while read -r h; do ssh -n $h x; ssh -o A=b -nT $h x; ssh $h x </dev/null; ssh $h x & done </x\n"),
    ),
    ("loop-input", script("while read -r h <&3; do ssh $h; done 3</x\nfor h in a b; do ssh $h x; done\nssh c\n")),
    (
        "loop-input",
        script(
            "while read -r a; do echo $a | cat; cat /etc/x; cat <<E; done </x\nb\nE\nwhile true; do cat; break; done\n"
        ),
    ),
    (
        "loop-input",
        script("while read -r a; do { cat; ssh b; } <$a; d=$(ssh -n $a x); srun --input=none x; done </x\n"),
    ),
    (
        "loop-input",
        script("ssh a ls | while read -r b; do echo $b; done\nwhile ssh a true; do sleep 1; break; done </x\n"),
    ),
    ("sed-append", script("sed -i 's/a/b/' /etc/x\nsed -i '/a/d' /etc/x\n")),
    ("sed-append", script("sed -i '/^a/c a b' /etc/x\n")),
    ("sed-append", script("grep -q x /etc/x || sed -i '$a x' /etc/x\n")),
    ("sed-append", script("sed '$a x' /etc/x >/etc/y\n")),
    ("sed-append", script("sed -i 's/^a .*/a c d/' /etc/x\n")),
    ("sed-append", script("sed -i -e 's/#Port 22/Port 22/' -e 's/ i x/ a y/' /etc/x\n")),
    ("crontab-append", script("crontab /etc/site.cron\n(crontab -l | grep -v x; echo x) | crontab -\n")),
    ("firewall-append", script("iptables -F\niptables -A INPUT -j ACCEPT\n")),
    ("firewall-append", script("iptables -C INPUT -j ACCEPT || iptables -A INPUT -j ACCEPT\n")),
    ("ln-sfn", script("ln -sfn /mnt/a /opt/a\nln -snf /mnt/a /opt/b\nln --symbolic --force -T /a /b\n")),
    ("ln-sfn", script("ln -sf /usr/share/zoneinfo/UTC /etc/localtime\nln /a /b\n")),
    ("ln-sfn", script("[ -L /opt/a ] || ln -s /mnt/a /opt/a\nrm -f /opt/b\nln -s /mnt/b /opt/b\n")),
    ("mount-unguarded", script("mount -a\nmount -o remount,rw /\nmount /x\nmountpoint -q /y || mount a /y\n")),
    ("mount-unguarded", script("if ! grep -q /y /proc/mounts; then\n  mount a /y\nfi\numount /z; mount a /z\n")),
    ("user-unguarded", script("id slurm >/dev/null 2>&1 || useradd slurm\ngroupadd -f x\nuseradd y || true\n")),
    ("user-unguarded", script("if ! getent passwd x; then useradd x; fi\n")),
    (
        "clone-again",
        script("[ -d /opt/b ] || git clone https://a/b /opt/b\nrm -rf /opt/c\ngit clone https://a/c /opt/c\n"),
    ),
    ("clone-again", script('T=$(mktemp -d)\ngit clone https://a/b "$T/b"\ngit clone a b || true\ngit -C /x pull\n')),
    ("daemon-again", script("pgrep -x y || nohup y &\nsleep 9 &\nnohup z\nsetsid x\n")),
    ("daemon-again", script("pkill y\nnohup y &\n")),
    ("rm-rf-ungated", script("rm -rf /tmp/installer /var/cache/x /etc/x.d\nrm -f /scratch/x\nrm -r /scratch/y\n")),
    ("rm-rf-ungated", script('T=$(mktemp -d)\nrm -rf "$T"\nrm -rf "${X:?}/y"\n')),
    ("rm-rf-ungated", script("rm -rf /scratch/*\n", "RUN job # nodeagent: boot\n")),
    ("rm-rf-ungated", post("# nodeagent: boot\nrm -rf /scratch/*\n")),
    ("rm-rf-ungated", script("if [ ! -e /run/cleaned ]; then rm -rf /scratch/*; fi\n")),
    ("rm-rf-ungated", script("D=/opt/old\nrm -rf $D\n")),
    ("rm-rf-ungated", script("rm -rf /tmp/build.$$ /opt/tool-$V /opt/old/* /tmp/${X:?} ${T:-/tmp}/x\n")),
    ("chmod-here", script("chmod -R go= /root/.ssh\nchmod 600 *\n")),
    (
        "restart-without-on",
        post("systemctl restart sshd # nodeagent: on=/etc/ssh\n# nodeagent: idle\nservice x reload\n"),
    ),
    ("restart-without-on", post("cmp -s a b || systemctl restart sshd\nsystemctl start x\nsystemctl daemon-reload\n")),
    ("restart-without-on", script("systemctl restart x\n", "RUN job # nodeagent: on=/etc/x\n")),
    ("restart-without-on", script('echo "systemctl restart x"\ncat <<END >/etc/x\nsystemctl restart x\nEND\n')),
    ("reboot-ungated", script("if [ -e /run/reboot-needed ]; then reboot; fi\nshutdown -c\nsystemctl status x\n")),
    ("endless-loop", script("n=0\nwhile ! id a && [ $n -lt 9 ]; do n=$((n+1)); sleep 1; done\n")),
    ("endless-loop", script("while ! id a; do sleep 1; [ $((n+=1)) -gt 9 ] && break; done\n")),
    ("endless-loop", script("while read -r l; do sleep 1; done <f\nwhile [ $# -gt 0 ]; do shift; done\n")),
    ("endless-loop", script("(while true; do sleep 1; done) &\nfor i in 1 2; do sleep 1; done\n")),
    ("endless-loop", script("until timeout 9 x; do sleep 1; exit 1; done\nwhile [ $n -gt 0 ]; do n=$((n-1)); done\n")),
    ("cd-subshell-exit", post("cd /x || { echo failed; exit 1; }\ncd /y || exit 1\n")),
    ("cd-subshell-exit", post("set -e\ncd /x || (echo failed; exit 1)\nx\n")),
    ("exit-in-subshell", script("x || { exit 1; }\n(cd /a && x)\n(x; exit 1) || y\nx || (a; exit 0)\nz\n")),
    ("exit-in-subshell", script("x || (echo; exit 1)\n")),
    ("exit-in-subshell", script("ls | while read f; do exit 1; done || exit 1\nx\n")),
    ("secret-mode", copied("munge.key", "x" * 32, "chmod 400 /etc/x/munge.key\n")),
    ("secret-mode", copied("munge.key", "x" * 32, "chmod -R go-rwx /etc/x\n")),
    ("secret-mode", copied("munge.key", "x" * 32, "install -m 0400 munge.key /etc/x/munge.key\n")),
    ("secret-mode", copied("munge.key", "x" * 32, "find /etc/x -type f -exec chmod 600 {} \\;\n")),
    ("secret-mode", copied("munge.key", "x" * 32, "D=/etc/x\nchmod 600 $D/*\n")),
    ("secret-mode", copied("munge.key", "x" * 32, "chmod 600 ${D}/munge.key\n")),
    ("secret-mode", copied("id_rsa.pub", "ssh-rsa AAAA\n")),
    ("secret-mode", copied("ca.pem", "-----BEGIN CERTIFICATE-----\n")),
    ("secret-mode", copied("repo.gpg.key", "-----BEGIN PGP PUBLIC KEY BLOCK-----\n")),
    ("secret-mode", {**copied("a", ""), "files/munge.key": "not copied"}),
    (
        "secret-mode",
        {
            "post.sh": SH + COPY + TOP + "# nodeagent: mode=0400 owner=munge\nCOPY munge.key /etc/munge/munge.key\n",
            "files/munge.key": "x",
        },
    ),
    (
        "secret-mode",
        {
            "post.sh": f"{SH}{COPY}{RUN}{TOP}COPY munge.key /etc/munge/munge.key\nRUN job\n",
            "files/munge.key": "x",
            "postscripts/job": SH + "chmod 0400 /etc/munge/munge.key\n",
        },
    ),
    ("secret-in-clear", {**post("true\n"), "files/ssh/id": LOCKED, "files/ssh/id.pub": "ssh-rsa AAAA"}),
    ("secret-in-clear", post('PASSWORD=$(cat /run/p)\nTOKEN="$1"\n# PASSWORD=hunter22\nPASSWORD_FILE=/run/p\n')),
    (
        "secret-in-clear",
        {**post("true\n"), "files/sshd_config": "PasswordAuthentication no\nPermitEmptyPasswords no\n"},
    ),
    ("secret-in-clear", {**post("true\n"), "files/nsswitch.conf": "passwd: files sss\nshadow: files\n"}),
    ("secret-in-clear", {**post("true\n"), "files/pw.conf": "password = CHANGEME\npassword = <yours>\n"}),
    ("traced-secret", script("echo hello\n", first="#!/bin/bash -ex\n")),
    ("traced-secret", script('curl -d "$PASSWORD" https://x\n')),
    ("host-key-unchecked", script("ssh -o StrictHostKeyChecking=yes a b\ncurl -sf https://a\n# curl -k\n")),
    ("no-shebang", {**script("true\n"), "postscripts/tool": b"\x7fELF\x02\0"}),
    ("crlf", {**post("printf 'a\\r\\n'\n"), "files/dos.txt": "a\r\nb\r\n"}),
    ("missing-source", {**post(COPY + TOP + "COPY ./a /etc/a\nCOPY ./$X /etc/x\nCOPY /usr/a /etc/b\n"), "files/a": ""}),
    (
        "missing-source",
        {**post(MERGE + "MERGE - /etc/shadow <a\nrsync -a --chmod 'F600' --exclude x a /etc/a\n"), "a": ""},
    ),
    ("not-executable", {**post('PUT() { rsync -a "$@"; }\nPUT ./a ./b /etc/\n'), "a": "", "b": ""}),
    ("missing-source", post(COPY + TOP + "[ -e ./a ] && COPY ./a /etc/a\nif [ -f b ]; then COPY b /etc/b; fi\n")),
    ("missing-source", {**script("true\n"), **post(RUN + "RUN systemctl start x\nRUN job\nRUN $X\n")}),
    ("missing-source", post(COPY + 'cd "$1" || exit 1\nCOPY ./a /etc/a\n')),
    ("missing-source", {**post(COPY + TOP + "COPY ./d/*.conf /etc/d/\nCOPY d /etc\n"), "files/d/x.conf": ""}),
    ("missing-source", post(". git-sh-setup\nPATH=$PATH:.\n. lib.sh\n", **{"lib.sh": "x\n"})),
    ("missing-source", {"post.sh": "#!/bin/bash\n. lib.sh\nsource ./lib.sh\n", "lib.sh": "x\n"}),
    ("missing-source", post("cat /etc/os-release\nhostname >./me\ncat ./me >>/etc/x\n")),
    (
        "placeholder-copied",
        {**post(COPY + TOP + "COPY ./certs/a /etc/a\n"), "files/certs/.gitkeep": "", "files/certs/a": ""},
    ),
    ("placeholder-copied", {**post(TOP + "rsync -a --exclude=.gitkeep c/ /etc/c/\n"), "files/c/.gitkeep": ""}),
    ("dirty-checkout", post("chmod +x /usr/local/bin/x\nchmod 600 /root/.ssh/*\n")),
    ("run-whole", post("x\n# alias\n")),
    ("run-whole", {"post.sh": "#!/usr/bin/env bash\nx\n"}),
    ("copy-not-native", {**post(MERGE + "if ! MERGE files/a /etc/passwd; then\n  echo no\nfi\n"), "files/a": ""}),
    ("secret-mode", {**post(MERGE + "MERGE files/shadow /etc/shadow\n"), "files/shadow": "root:x:1::::::\n"}),
    ("copy-not-native", post("curl -s https://a | sh\nx &\n")),
    ("copy-not-native", {**post(". ./lib.sh\nCOPY files/a /etc/a\n"), "lib.sh": COPY, "files/a": ""}),
    ("copy-not-native", {**post(COPY + "COPY files/a /etc/a\nif true; then COPY files/a /etc/b; fi\n"), "files/a": ""}),
    (
        "unknown-annotation",
        post(
            "x # nodeagent: on=/etc/a,/etc/b idle retry=2 timeout=5m\n# nodeagent: boot anytime\ny\n"
            "# nodeagent: mode=0400 owner=a:b prune=no\n# nodeagent is a daemon\nrsync -a files/b /etc/b\n"
            "cd /tmp # nodeagent: ignore=ln-sfn\n"
        ),
    ),
    ("unknown-annotation", post('for f in d/*; do . "$f"; done\n', **{"d/x": "x y # nodeagent: boot\n"})),
    ("unknown-annotation", post("cat <<END >/etc/x\n# nodeagent: not an annotation\nEND\n")),
    ("annotation-unread", script("ln -s a b # nodeagent: ignore=ln-sfn\n")),
    ("unparsable", post("if true; then x; fi\n")),
    (
        "unparsable",
        {**post("x\n"), "postscripts/py": "#!/usr/bin/python3\nif x:\n  y()\n", "postscripts/e": b"\x7fELF\0"},
    ),
]


def ids(findings: list[Finding]) -> list[str]:
    return [finding.id for finding in findings]


def named(cases: list[tuple[str, Files]]) -> list[str]:
    return [f"{id_}-{n}" for n, (id_, _) in enumerate(cases)]


@pytest.mark.parametrize(("id_", "files"), HITS, ids=named(HITS))
def test_the_rule_finds_it(linted: Lint, id_: str, files: Files) -> None:
    assert id_ in ids(linted(files))


@pytest.mark.parametrize(("id_", "files"), NEAR_MISSES, ids=named(NEAR_MISSES))
def test_the_rule_leaves_alone_what_only_looks_alike(linted: Lint, id_: str, files: Files) -> None:
    assert [finding for finding in linted(files) if finding.id == id_] == []


@pytest.mark.parametrize("name", ["post.sh", "postscripts/job"])
def test_a_program_that_is_run_and_lacks_the_execute_bit_is_found(linted: Lint, name: str) -> None:
    files = script("true\n")
    assert "not-executable" not in ids(linted(files))
    (finding,) = [f for f in linted(files, plain=[name]) if f.id == "not-executable"]
    assert (finding.file, finding.severity) == (name, Severity.ERROR)
    assert name in finding.fix


def test_a_chmod_in_post_sh_makes_a_missing_execute_bit_a_warning(linted: Lint) -> None:
    files = script("true\n", "chmod +x postscripts/*\nRUN job\n")
    (finding,) = [f for f in linted(files, plain=["postscripts/job"]) if f.id == "not-executable"]
    assert finding.severity is Severity.WARNING


@pytest.mark.parametrize("call", ["sh postscripts/job\n", "true\n"])
def test_a_program_that_needs_no_execute_bit_is_left_alone(linted: Lint, call: str) -> None:
    assert "not-executable" not in ids(linted(script("true\n", call), plain=["postscripts/job"]))


def test_a_finding_says_where_post_sh_can_mend_what_a_script_does(linted: Lint) -> None:
    (restart,) = [f for f in linted(script("systemctl restart x\n")) if f.id == "restart-without-on"]
    assert restart.file == "postscripts/job"
    assert "on post.sh:7, which runs this script" in restart.fix
    (removal,) = [f for f in linted(post('rm -rf "$A"\n')) if f.id == "rm-rf-ungated"]
    assert removal.fix == "say '# nodeagent: boot' (once a boot) on this line; write variables as \"${NAME:?}\""


def test_what_keeps_a_program_from_being_taken_apart_is_shown_where_it_stands(linted: Lint) -> None:
    (found,) = linted(post("# no alias here\n. ./lib.sh\n", **{"lib.sh": "# alias\n  alias a=b\n"}))
    assert (found.id, found.file, found.line, found.column) == ("run-whole", "lib.sh", 2, 3)


def test_every_rule_says_why_it_matters_and_how_to_mend_it(linted: Lint) -> None:
    assert all(rule.why and rule.fix for rule in RULES.values())
    for _, files in HITS:
        for found in linted(files):
            what, _, why = found.message.partition(": ")
            assert all((what, why, found.fix)), found


def test_every_rule_has_a_hit_and_a_near_miss() -> None:
    own_tests = {"not-executable"}
    assert {id_ for id_, _ in HITS} | own_tests == set(RULES)
    assert {id_ for id_, _ in NEAR_MISSES} | own_tests == set(RULES)
