import pytest

from nodeagent.sandbox.secret import reason


@pytest.mark.parametrize(
    ("path", "mode", "content"),
    [
        ("/etc/shadow", 0o644, b""),
        ("/etc/motd", 0o640, b"hello"),
        ("/etc/motd", 0o600, b"hello"),
        ("/etc/munge/munge.key", 0o644, b"x"),
        ("/etc/ssh/ssh_host_ed25519_key", 0o644, b"x"),
        ("/srv/cert.pem", 0o644, b"x"),
        ("/etc/x", 0o644, b"-----BEGIN OPENSSH PRIVATE KEY-----\n"),
        ("/etc/x", 0o644, b"U2FsdGVkX1+abc"),
        ("/etc/x", 0o644, b"root:$6$salt$hash:1:\n"),
        ("/etc/slurm/slurmdbd.conf", 0o644, b"StoragePass=hunter2\n"),
        ("/etc/sssd.conf", 0o644, b"ldap_default_authtok = hunter2\n"),
        ("/etc/x.yaml", 0o644, b"password: 'hunter2'\n"),
    ],
)
def test_what_looks_like_a_secret_is_not_shown(path, mode, content):
    assert reason(path, mode, content)


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("/etc/hosts", b"127.0.0.1 localhost\n"),
        ("/etc/nsswitch.conf", b"passwd:         files sss\nshadow: files\n"),
        ("/etc/pam.d/sshd", b"password  required  pam_unix.so\n"),
        ("/etc/ssh/sshd_config", b"PasswordAuthentication no\n"),
    ],
)
def test_ordinary_configuration_is_shown(path, content):
    assert reason(path, 0o100644, content) == ""
