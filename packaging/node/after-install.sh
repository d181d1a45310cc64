systemd-sysusers nodeagent.conf || :
systemd-tmpfiles --create nodeagent.conf || :
journalctl --update-catalog || :
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload || :
    if [ -e /run/nodeagent/upgrading ]; then
        rm -f /run/nodeagent/upgrading
        systemctl start nodeagent.service || :
    elif systemctl is-active --quiet nodeagent.service; then
        systemctl start --no-block nodeagent-restart.service || :
    fi
fi
