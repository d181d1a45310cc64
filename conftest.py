"""What holds for every test of the project: the closing line, and no silent skip where CI runs."""

import os
import re
import signal
from collections import Counter
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import settings

from testbed import packages

# CI must be able to run these; a skip for want of one of them is a failure there.
EXPECTED_PROGRAMS = re.compile(
    r"\b(mmdebstrap|systemd-nspawn|nspawn|qemu-system-x86_64|swtpm|cpio|zstd|sshd|rsync|dash|bash|busybox|shellcheck|strace"
    r"|cyclonedx-python-lib)\b"
)

_outcomes: Counter[str] = Counter()


def pytest_configure() -> None:
    """Start as from a terminal: a shell without job control ignores both for what it runs in the background."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)
    # A run that fails is one that a change made fail; `make fuzz` draws other examples.
    settings.register_profile("suite", derandomize=not os.environ.get("FUZZ_MINUTES"))
    settings.load_profile("suite")


@pytest.fixture(scope="session")
def deb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Debian package of this tree."""
    return packages.build(tmp_path_factory.mktemp("deb"), "deb")


@pytest.fixture(scope="session")
def rpm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The EL package of this tree."""
    return packages.build(tmp_path_factory.mktemp("rpm"), "rpm")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _refuse_skip(report)
    return report


def _refuse_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    if not (os.environ.get("CI") and report.skipped and isinstance(report.longrepr, tuple)):
        return
    reason = report.longrepr[2]
    if EXPECTED_PROGRAMS.search(reason):
        report.outcome = "failed"
        report.longrepr = f"{reason} (CI is set: a test may not be skipped for want of this program)"


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Count a test by its call, and by each part before or after it that did not pass, as pytest does."""
    if report.when == "call" or not report.passed:
        _outcomes[report.outcome] += 1


def pytest_collectreport(report: pytest.CollectReport) -> None:
    if not report.passed:
        _outcomes[report.outcome] += 1


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """The last line of ``make test``, after pytest's own summary with the reason of every skip."""
    if not config.option.collectonly:
        counts = (f"{_outcomes[outcome]} {outcome}" for outcome in ("passed", "failed", "skipped"))
        print(", ".join(counts))  # noqa: T201 - the line that `make test` promises
