"""``nodeagent key check`` against a real OpenSSH server."""

import argparse
import json
import os
import subprocess  # noqa: TID251 - a process with another environment
import sys

import pytest

from nodeagent.cli import key, main
from nodeagent.errors import InvalidConfiguration
from testbed.programs import run
from testbed.webserver import Authority, WebServer

STEPS = ["password", "server", "host key", "deploy key", "repository", "branch", "post.sh", "lint"]
POST = {"post.sh": "#!/bin/sh\n"}


@pytest.fixture
def check(site, capfd):
    """Run the verb on the site's configuration; exit code and output."""

    def run(*words, **source):
        values = {"url": site.url, "key": site.key_file, "known_hosts": site.known_hosts, "user": "nobody", **source}
        lines = [
            "[source]",
            *(
                f"{name} = {json.dumps(value if isinstance(value, list) else str(value))}"
                for name, value in values.items()
            ),
        ]
        lines += ["[password]", f"file = {json.dumps(str(site.password_file))}"]
        file = site.directory / "nodeagent.toml"
        file.write_text("\n".join(lines))
        parser = argparse.ArgumentParser()
        key.add_parser(parser.add_subparsers())
        arguments = parser.parse_args(["key", "check", "--config", str(file), *map(str, words)])
        code = arguments.func(arguments)
        return code, capfd.readouterr().out

    return run


def test_when_all_is_well_it_says_so_line_by_line(site, check):
    commit = site.repository.commit(POST)

    code, output = check()

    assert code == 0
    lines = output.splitlines()
    assert [line.split(":")[0].split(maxsplit=1) for line in lines] == [["ok", step] for step in STEPS]
    assert commit in lines[5]
    assert "0 errors" in lines[-1]


def test_json_says_the_same(site, check):
    site.repository.commit(POST)

    code, output = check("--json")

    told = json.loads(output)
    assert (code, told["schema"], told["ok"]) == (0, 1, True)
    assert len(told["findings"]) == len(STEPS)
    assert all(finding["ok"] and finding["code"] == "" and finding["message"] for finding in told["findings"])


def unpin(site):
    site.known_hosts.write_text("")


def change_host_key(site):
    site.server.stop()
    site.server.new_host_key()
    site.server.start()


def lock_out(site):
    (site.server.directory / "authorized_keys").write_text("")


def wrong_password(site):
    site.password_file.write_text("wrong\n")


def no_key_file(site):
    site.key_file.unlink()


def no_post_sh(site):
    site.repository.commit({"post.sh": None, "README.md": ""})


def hostile_tree(site):
    site.repository.commit({".nodeagent-staging/x": ""})


def faulty_post_sh(site):
    site.repository.commit({"post.sh": "#!/bin/sh\nif\n"})


def stop_server(site):
    site.server.stop()


@pytest.mark.parametrize(
    ("harm", "source", "passed", "failed"),
    [
        (wrong_password, {}, [], ("password", "WrongPassword")),
        (no_key_file, {}, [], ("password", "KeyFileInvalid")),
        (stop_server, {}, ["password"], ("server", "RemoteUnreachable")),
        (unpin, {}, STEPS[:2], ("host key", "HostKeyUnknown")),
        (change_host_key, {}, STEPS[:2], ("host key", "HostKeyMismatch")),
        (lock_out, {}, STEPS[:3], ("deploy key", "AuthenticationFailed")),
        (None, {"url": "elsewhere.git"}, STEPS[:4], ("repository", "RepositoryNotFound")),
        (None, {"ref": "production"}, STEPS[:5], ("branch", "ReferenceNotFound")),
        (no_post_sh, {}, STEPS[:6], ("post.sh", "PostScriptMissing")),
        (hostile_tree, {}, STEPS[:6], ("post.sh", "RevisionRejected")),
        (faulty_post_sh, {}, STEPS[:7], ("lint", "LintErrors")),
    ],
)
def test_it_stops_at_what_is_wrong_and_names_it(site, check, *, harm, source, passed, failed):
    site.repository.commit(POST)
    if harm is not None:
        harm(site)
    if "url" in source:
        source = {"url": site.url.replace("repository.git", source["url"])}

    exit_code, output = check("--json", **source)

    told = json.loads(output)
    assert (exit_code, told["ok"]) == (1, False)
    assert [(finding["check"], finding["code"]) for finding in told["findings"]] == [*((p, "") for p in passed), failed]

    _, text = check(**source)
    assert text.splitlines()[-1].startswith("FAILED")
    assert ": " in text.splitlines()[-1].partition(": ")[2], "it says what to do, too"
    assert "/checkout" not in text
    assert len(text.splitlines()) == len(passed) + 1


def test_a_password_file_goes_before_the_daemons_password(site, check, tmp_path):
    site.repository.commit(POST)
    (tmp_path / "password").write_text("wrong\n")
    assert check("--password-file", tmp_path / "password")[0] == 1

    (tmp_path / "password").write_text(site.password_file.read_text())
    site.password_file.unlink()
    assert check("--password-file", tmp_path / "password")[0] == 0
    code, output = check()
    assert code == 1
    assert output.startswith("FAILED  password: no password for the key file")


def test_a_key_that_is_a_credential_needs_no_password(site, check, tmp_path, monkeypatch):
    site.repository.commit(POST)
    (tmp_path / "nodeagent.key").touch(mode=0o400)
    (tmp_path / "nodeagent.key").write_bytes(site.key.read_bytes())
    site.password_file.unlink()
    site.key_file.unlink()
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))

    code, output = check()

    assert code == 0
    assert "password: is not needed: the credential nodeagent.key is the deploy key" in output


def test_a_systemd_credential_is_used_when_there_is_one(site, check, tmp_path, monkeypatch):
    site.repository.commit(POST)
    (tmp_path / "nodeagent.password").touch(mode=0o400)
    (tmp_path / "nodeagent.password").write_text(site.password_file.read_text())
    site.password_file.unlink()
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))

    assert check()[0] == 0


def test_without_the_fetch_user_it_says_so_and_goes_on(site, check):
    site.repository.commit(POST)

    code, output = check(user="no-such-user")

    assert code == 0
    assert "no-such-user does not exist here" in output
    assert "ok      lint" in output


def test_nothing_is_left_behind(site, check):
    site.repository.commit(POST)
    before = sorted(site.directory.rglob("*"))

    check()

    assert sorted(p for p in site.directory.rglob("*") if p.name != "nodeagent.toml") == before
    assert not (site.memory / "run").exists()


def test_a_directory_can_be_tried_before_a_node_has_it(site, check, tmp_path, capfd):
    site.repository.commit(POST)
    check()  # writes the configuration
    directory = tmp_path / "site"
    directory.mkdir()
    text = (site.directory / "nodeagent.toml").read_text()
    for path in (site.key_file, site.known_hosts):
        text = text.replace(str(path), "/nonexistent")
        (directory / path.name).write_bytes(path.read_bytes())
    (directory / "nodeagent.toml").write_text(text)
    assert main.call(["key", "check", "--from", str(directory), "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["ok"]


def test_a_configuration_that_is_wrong_is_an_error_of_its_own(check):
    with pytest.raises(InvalidConfiguration):
        check(url="http://server/repository.git")


def test_a_generated_key_is_one_for_ssh_keygen_openssl_and_the_server(site, check, tmp_path, capfd):
    site.repository.commit(POST)
    (tmp_path / "password").write_text("pässwörd\n")
    made = tmp_path / "made"
    assert main.call(["key", "generate", str(made), "--password-file", str(tmp_path / "password")]) == 0
    told = capfd.readouterr().out
    opened = ["openssl", "enc", "-d", "-aes-256-cbc", "-a", "-pbkdf2", "-pass", f"file:{tmp_path}/password"]
    assert run([*opened, "-in", made / "key.enc"]) == (made / "key").read_text()
    public = (made / "key.pub").read_text()
    assert run(["ssh-keygen", "-y", "-f", made / "key"]).split()[:2] == public.split()[:2]
    assert "ED25519" in run(["ssh-keygen", "-l", "-f", made / "key.pub"])
    assert public.rstrip() in told
    assert all(server in told for server in ("GitHub", "GitLab", "Gitea"))

    lock_out(site)
    words = ("--password-file", tmp_path / "password")
    assert check(*words, key=made / "key.enc")[1].splitlines()[-1].startswith("FAILED  deploy key")
    site.server.authorize(made / "key.pub")
    assert check(*words, key=made / "key.enc")[0] == 0


# --- other ways than SSH, and mirrors ----------------------------------------------------------------------------


@pytest.fixture
def copies(site, place):
    """An HTTPS server of what the site has, and its authority."""
    authority = Authority(place / "authority")
    with WebServer(site.repository.bare.parent, authority.certify("127.0.0.1")) as web:
        yield web, authority


def steps(output):
    return [(finding["check"], finding["code"]) for finding in json.loads(output)["findings"]]


def test_an_https_server_is_tried_without_a_deploy_key(site, check, copies):
    web, authority = copies
    site.repository.commit(POST)
    site.key_file.unlink()

    code, output = check("--json", url=web.url("repository.git"), ca_file=authority.file)

    names = ["server", "certificate", "login", "repository", "branch", "post.sh", "lint"]
    assert (code, steps(output)) == (0, [(name, "") for name in names])

    code, output = check("--json", url=web.url("repository.git"))
    assert (code, steps(output)) == (1, [("server", ""), ("certificate", "CertificateInvalid")])

    web.login = ("git", "token")
    code, output = check("--json", url=web.url("repository.git"), ca_file=authority.file)
    assert (code, steps(output)[-1]) == (1, ("login", "AuthenticationFailed"))


def test_a_path_is_tried_without_a_deploy_key(site, check):
    site.repository.commit(POST)
    site.key_file.unlink()

    code, output = check("--json", url=str(site.repository.bare))

    assert (code, steps(output)) == (0, [(name, "") for name in ("repository", "branch", "post.sh", "lint")])


def test_each_mirror_is_tried_and_a_bad_one_named(site, check, copies):
    web, authority = copies
    site.repository.commit(POST)
    mirrors = [web.url("repository.git"), "/no/such/repository.git"]

    code, output = check("--json", mirrors=mirrors, ca_file=authority.file)

    told = json.loads(output)["findings"]
    assert code == 1
    assert [(f["check"], f["code"]) for f in told if f["check"] == "mirror"] == [
        ("mirror", ""),
        ("mirror", "RepositoryNotFound"),
    ]
    assert all(url in f["message"] for url, f in zip(mirrors, (f for f in told if f["check"] == "mirror"), strict=True))
    assert ("lint", "") in steps(output)


def test_authorities_that_the_environment_names_do_not_count_beside_the_configured_ones(site, check, copies, place):
    web, authority = copies
    site.repository.commit(POST)
    other = Authority(place / "other")
    for ca_file, code in ((authority.file, 0), (other.file, 1)):
        check("--json", url=web.url("repository.git"), ca_file=ca_file)  # writes the configuration
        words = [sys.executable, "-m", "nodeagent", "key", "check", "--config", str(site.directory / "nodeagent.toml")]
        # pygit2 would load it as it is imported.
        environment = {**os.environ, "SSL_CERT_FILE": str(authority.file)}
        assert subprocess.run(words, check=False, capture_output=True, env=environment, timeout=50).returncode == code
