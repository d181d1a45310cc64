# No evaluation is cut: the service is stopped between two. Where it is an evaluation that upgrades the package, or one
# goes on for ten minutes, the service stays as it is, and is started anew when that has ended.
if [ -d /run/systemd/system ] && systemctl is-active --quiet nodeagent.service; then
    if /usr/lib/nodeagent/rest --within 600 systemctl stop nodeagent.service; then
        : >/run/nodeagent/upgrading
    fi
fi
