"""Configuration: what is read, and how a mistake is named."""

from pathlib import Path

import pytest

from nodeagent.config import load
from nodeagent.errors import InvalidConfiguration

MINIMAL = '[source]\nurl = "ssh://git@mgmt/site.git"\n'


def written(tmp_path: Path, text: str, **drop_ins: str) -> Path:
    file = tmp_path / "nodeagent.toml"
    file.write_text(text)
    if drop_ins:
        directory = tmp_path / "nodeagent.toml.d"
        directory.mkdir()
        for name, content in drop_ins.items():
            (directory / f"{name}.toml").write_text(content)
    return file


def test_an_address_is_all_that_is_needed(tmp_path):
    config = load(written(tmp_path, MINIMAL))
    assert config.source.ref == "main"
    assert config.source.checkout == Path("/configs")
    assert (config.interval, config.first_start) == (300, "auto")


def test_drop_ins_go_over_the_file_in_the_order_of_their_names(tmp_path):
    file = written(tmp_path, MINIMAL, a="interval = 10\n[source]\nref = 'one'\n", b="[source]\nref = 'two'\n")
    config = load(file)
    assert (config.interval, config.source.ref, config.source.url) == (10, "two", "ssh://git@mgmt/site.git")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["source", "missing"]),
        ("[source]\n", ["source.url", "missing"]),
        (MINIMAL + "brunch = 'x'\n", ["source.brunch", "unknown key", "ref"]),
        ("intervall = 3\n" + MINIMAL, ["intervall", "unknown key", "interval"]),
        ('interval = "60"\n' + MINIMAL, ["interval", "number"]),
        ("interval = 0\n" + MINIMAL, ["interval", "greater than or equal to 1"]),
        ('drift = "maybe"\n' + MINIMAL, ["drift", "'repair' or 'report'"]),
        (MINIMAL + '[drift]\n"etc" = "report"\n', ["drift", "absolute"]),
        ('prune = "yes"\n' + MINIMAL, ["prune", "'report', True or False"]),
        ('first_start = "maybe"\n' + MINIMAL, ["first_start", "'auto', 'apply' or 'observe'"]),
        (MINIMAL + '[ready]\nrequire = "most"\n', ["ready.require", "'end' or 'all-steps'"]),
        (MINIMAL + '[jobs]\nprobe = "slurm"\n', ["jobs.probe", "'auto', 'none' or 'command'"]),
        (MINIMAL + '[jobs]\nprobe = "command"\n', ["jobs", "go together"]),
        (MINIMAL + '[jobs]\ncommand = ["x"]\n', ["jobs", "go together"]),
        (MINIMAL + 'key = "key.enc"\n', ["source.key", "absolute"]),
        ('[source]\nurl = "http://mgmt/site.git"\n', ["source.url", "https://"]),
        ('[source]\nurl = "https://git:x@mgmt/site.git"\n', ["source.url", "no password"]),
        (MINIMAL + 'proxy = "http://user:x@proxy:3128"\n', ["source.proxy", "http://HOST:PORT"]),
        (MINIMAL + 'proxy = "http://proxy:99999"\n', ["source.proxy", "http://HOST:PORT"]),
        (MINIMAL + 'beacon = "http://mgmt:99999/beacon"\n', ["source.beacon", "http://HOST[:PORT]/PATH"]),
        (MINIMAL + 'beacon = "http://[::1/beacon"\n', ["source.beacon", "http://HOST[:PORT]/PATH"]),
        (MINIMAL + 'beacon = "http://mgmt/b\\u00e9acon"\n', ["source.beacon", "in ASCII"]),
        (MINIMAL + 'beacon = "https://user:word@mgmt/beacon"\n', ["source.beacon", "without a password"]),
        (MINIMAL + 'beacon = "file:///srv/b%00"\n', ["source.beacon", "file:///PATH"]),
        (MINIMAL + 'ref = "-x"\n', ["source.ref", "full commit id"]),
        (MINIMAL + 'host_keys = ["host"]\n', ["source.host_keys", "line of known_hosts"]),
        ("source = 3\n", ["source"]),
        ("interval = \n", ["not TOML"]),
        ("\xff", ["cannot be read"]),
    ],
)
def test_a_mistake_is_named_with_its_file_and_key(tmp_path, text, words):
    file = tmp_path / "nodeagent.toml"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(InvalidConfiguration) as caught:
        load(file)
    for word in [str(file), *words]:
        assert word in str(caught.value)


def test_a_mistake_in_a_drop_in_names_the_drop_in(tmp_path):
    file = written(tmp_path, MINIMAL, site="interval = -1\n")
    with pytest.raises(InvalidConfiguration, match=r"nodeagent\.toml\.d/site\.toml: interval"):
        load(file)


def test_a_missing_file_says_what_to_write(tmp_path):
    with pytest.raises(InvalidConfiguration, match=r"no such file.*url"):
        load(tmp_path / "nothing.toml")


@pytest.mark.parametrize(
    ("value", "earliest", "first"),
    [
        ('"2026-01-31"', 1769817600, ""),
        ("2026-01-31", 1769817600, ""),
        ("2026-01-31T01:00:00+01:00", 1769817600, ""),
        (f'"{"a" * 40}"', 0, "a" * 40),
        ('""', 0, ""),
    ],
)
def test_not_before_is_a_date_in_utc_or_a_commit(tmp_path, value, earliest, first):
    source = load(written(tmp_path, f"{MINIMAL}not_before = {value}\n")).source
    assert (source.earliest, source.first_commit) == (earliest, first)


@pytest.mark.parametrize("value", ['"yesterday"', '"abc123"', "5"])
def test_another_not_before_is_refused(tmp_path, value):
    with pytest.raises(InvalidConfiguration, match=r"source\.not_before"):
        load(written(tmp_path, f"{MINIMAL}not_before = {value}\n"))
