"""What holds for the project as a whole: its linters, its documents, its pinned dependencies."""

import argparse
import importlib.util
import os
import re
import shutil
import subprocess  # noqa: TID251 - linters are programs
import sys
import zipfile
from pathlib import Path

import pytest

from nodeagent.cli import main
from nodeagent.config import Config, load
from testbed import documents

PROJECT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
DOCUMENTS = [
    "README.md",
    "HACKING.md",
    "CHANGELOG.md",
    "docs/architecture.md",
    "docs/lint.md",
    "docs/performance.md",
    "docs/rollout.md",
    "docs/migration.md",
    "docs/source.md",
    "docs/packaging.md",
    "docs/scaling.md",
    "docs/security.md",
    "docs/spec.md",
    "examples/compute-configs/README.md",
    "examples/ready-gate/README.md",
]

# Every block of commands in the documents, and what runs it.
RUN_BY = {
    ("README.md", "try"): "tests/integration/test_demo.py",  # and `make test` is what runs this
    ("README.md", "install"): "testbed/wheel.py",
    ("README.md", "install-debian"): "vm-tests/test_packages.py",
    ("README.md", "install-el"): "vm-tests/test_packages.py",
    ("docs/packaging.md", "upgrade"): "vm-tests/test_packages.py",
    ("docs/packaging.md", "verify"): "tests/packaging/test_release.py",
    ("README.md", "configure"): "vm-tests/test_readme.py",
    ("README.md", "look"): "vm-tests/test_readme.py",
    ("README.md", "plan"): "vm-tests/test_readme.py",
    ("README.md", "apply"): "vm-tests/test_readme.py",
    ("docs/spec.md", "merge"): "tests/integration/test_merge.py",
    ("docs/spec.md", "annotations"): "tests/unit/evaluate/test_attached.py",
    ("docs/source.md", "seal"): "vm-tests/test_secrets.py",
    ("docs/source.md", "beacon"): "tests/integration/test_source_beacon.py",
    ("docs/scaling.md", "herd"): "tests/integration/test_bench_herd.py",
    ("docs/rollout.md", "observe"): "vm-tests/test_rollout.py",
    ("docs/rollout.md", "look"): "vm-tests/test_rollout.py",
    ("docs/rollout.md", "go"): "vm-tests/test_rollout.py",
    ("docs/rollout.md", "back"): "vm-tests/test_rollout.py",
    ("docs/rollout.md", "canary"): "vm-tests/test_rollout.py",
    ("docs/migration.md", "lint"): "vm-tests/test_enroll.py",
    ("docs/migration.md", "gather"): "vm-tests/test_enroll.py",
    ("docs/migration.md", "look"): "vm-tests/test_enroll.py",
    ("docs/migration.md", "enrol"): "vm-tests/test_enroll.py",
    ("docs/migration.md", "boot"): "vm-tests/test_enroll.py",
    ("docs/migration.md", "booted"): "vm-tests/test_enroll.py",
    ("docs/migration.md", "back"): "vm-tests/test_enroll.py",
    ("docs/migration.md", "stop"): "vm-tests/test_enroll.py",
    ("docs/migration.md", "cloud-init"): "vm-tests/test_enroll.py",
    ("docs/migration.md", "disk"): "vm-tests/test_enroll.py",
    ("HACKING.md", "targets"): "tests/unit/test_project.py",
    ("HACKING.md", "bench"): "tests/integration/test_bench.py",
    ("examples/compute-configs/README.md", "both"): "vm-tests/test_readme.py",
    ("examples/ready-gate/README.md", "gate"): "vm-tests/test_ready.py",
}


def text_of(path: str) -> str:
    return (PROJECT / path).read_text()


def tracked(*patterns: str) -> list[str]:
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *patterns],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [path for path in listing.stdout.splitlines() if (PROJECT / path).is_file()]


@pytest.mark.parametrize(
    "command",
    [
        ("ruff", "check", "."),
        ("ruff", "format", "--check", "."),
        ("mypy",),
        ("lint-imports",),
    ],
    ids=" ".join,
)
@pytest.mark.timeout(300)
def test_the_linters_have_nothing_to_say(command: tuple[str, ...]) -> None:
    if not (BIN / command[0]).exists():
        pytest.skip(f"needs {command[0]} beside the interpreter")
    result = subprocess.run([BIN / command[0], *command[1:]], cwd=PROJECT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_shellcheck_has_nothing_to_say_about_our_shell_programs() -> None:
    if shutil.which("shellcheck") is None:
        pytest.skip("needs shellcheck")
    recipe = subprocess.run(
        ["make", "--dry-run", "--no-print-directory", "shellcheck"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    assert "scripts/bootstrap" in recipe
    assert "examples/compute-configs/post.sh" in recipe
    result = subprocess.run(["sh", "-c", recipe], cwd=PROJECT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("document", DOCUMENTS)
def test_each_block_of_commands_is_run_by_a_test(document: str) -> None:
    for name, language, text in documents.blocks(document):
        if language != "sh":
            continue
        assert name is not None, f"{document}: a block of commands has no name:\n{text}"
        runner = RUN_BY[document, name]
        assert (PROJECT / runner).is_file()
        assert f'"{name}"' in text_of(runner), f"{runner} does not run {name} of {document}"


def test_no_document_names_a_block_that_is_gone() -> None:
    there = {(document, name) for document in DOCUMENTS for name, _, _ in documents.blocks(document) if name}
    assert there == set(RUN_BY)


def test_what_the_threat_model_claims_is_tested() -> None:
    claimed = set(re.findall(r"`(test_\w+)`", text_of("docs/security.md")))
    assert len(claimed) > 25
    there = {name for path in tracked("*test_*.py") for name in re.findall(r"^def (test_\w+)\(", text_of(path), re.M)}
    assert claimed <= there


def test_every_document_is_looked_at() -> None:
    assert set(tracked("*.md")) - set(DOCUMENTS) == {"nodeagent/enroll/template/README.md", "tests/fixtures/README.md"}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_between_documents_lead_somewhere(document: str) -> None:
    for target, anchor in re.findall(r"\]\(([^)#\s]*)(?:#([^)\s]*))?\)", text_of(document)):
        if "://" not in target:
            path = (PROJECT / document).parent.joinpath(target) if target else PROJECT / document
            assert path.exists(), target
            assert not anchor or anchor in anchors(path.read_text()), f"{target}#{anchor}"


def anchors(text: str) -> set[str]:
    """The headings, as the forges name them in addresses."""
    titles = re.findall(r"^#+ (.*)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_each_verb_and_option_that_a_document_names_exists(document: str) -> None:
    for verb, rest in re.findall(r"`nodeagent ([a-z-]+)([^`\n]*)`", text_of(document)):
        made = main.parser([verb])
        told = next(a for a in made._actions if isinstance(a, argparse._SubParsersAction)).choices
        assert verb in told, f"nodeagent {verb}"
        known = options(told[verb])
        assert set(re.findall(r"(?<=\s)--[a-z-]+", rest)) <= known, f"nodeagent {verb}{rest}"


def options(parser: argparse.ArgumentParser) -> set[str]:
    """Of a verb, and of its own verbs."""
    found: set[str] = set()
    for action in parser._actions:
        found.update(action.option_strings)
        if isinstance(action, argparse._SubParsersAction):
            found.update(*map(options, action.choices.values()))
    return found


@pytest.mark.parametrize("document", DOCUMENTS)
def test_each_setting_that_a_document_shows_is_one(document: str, tmp_path: Path) -> None:
    for number, (_, language, text) in enumerate(documents.blocks(document)):
        if language == "toml":
            file = tmp_path / f"{number}.toml"
            source = "" if "[source]" in text else '[source]\nurl = "ssh://git@host/configs.git"\n'
            file.write_text(source + text)
            load(file)
    for table, key in re.findall(r"`([a-z_]+)\.([a-z_]+)`", text_of(document)):
        if table in Config.model_fields:
            annotation = Config.model_fields[table].annotation
            assert key in getattr(annotation, "model_fields", ()), f"{table}.{key}"


@pytest.mark.parametrize(
    ("document", "name"), [("README.md", "try"), ("HACKING.md", "targets"), ("HACKING.md", "bench")]
)
def test_each_make_target_that_a_document_names_exists(document: str, name: str) -> None:
    targets = re.findall(r"^make ([a-z-]+)", documents.commands(document, name), re.M)
    assert targets
    for target in targets:
        assert re.search(rf"^{target}:.*## ", text_of("Makefile"), re.M), target


def test_make_help_names_every_target_that_hacking_names() -> None:
    told = subprocess.run(["make", "help"], cwd=PROJECT, capture_output=True, text=True, check=True).stdout
    for target in re.findall(r"^make ([a-z-]+)", documents.commands("HACKING.md", "targets"), re.M):
        assert re.search(rf"^{target} ", told, re.M), target


def test_ci_calls_make_check_and_test_and_nothing_else() -> None:
    commands = [line for line in text_of(".ci/run").splitlines() if line and not line.startswith("#")]
    assert commands == ["set -euo pipefail", 'cd "$(dirname "$0")/.."', "exec make check test"]


@pytest.mark.parametrize("name", ["runtime", "build", "dev"])
def test_requirements_are_pinned_with_hashes_and_name_no_index(name: str) -> None:
    text = text_of(f"requirements/{name}.txt")
    assert "://" not in text
    assert not re.search(r"^--(?!hash)", text, re.M)
    pins = re.findall(r"^([a-z0-9-]+)==\S+ \\\n    --hash=sha256:", text, re.M)
    assert pins
    assert len(pins) == len(re.findall(r"^[^\s#]", text, re.M))


@pytest.mark.timeout(180)
def test_the_source_archive_alone_builds_the_wheel_without_a_network(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", tmp_path, PROJECT]
    if importlib.util.find_spec("build") is None:
        pytest.skip("needs the build module")
    offline = ["unshare", "--net", *build] if os.geteuid() == 0 else build
    done = subprocess.run(offline, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    package = {name for name in names if name.startswith("nodeagent/")}
    assert package == set(tracked("nodeagent"))
    data = {name.partition(".data/data/")[2] for name in names if ".data/data/" in name}
    assert data == {
        "lib/systemd/system/nodeagent-ready.path",
        "lib/systemd/system/nodeagent-ready.target",
        "lib/systemd/system/nodeagent.service",
        "lib/systemd/catalog/nodeagent.catalog",
        "lib/sysusers.d/nodeagent.conf",
        "lib/tmpfiles.d/nodeagent.conf",
    }
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_no_file_names_a_place_that_only_one_machine_has() -> None:
    own = re.compile(rf"{re.escape(str(PROJECT))}|/home/|file:///(?!PATH|srv/)")
    for path in tracked(":!tests/fixtures", ":!examples", ":!vm-tests", ":!LICENSE"):
        if path == "tests/unit/test_project.py":
            continue
        found = own.search((PROJECT / path).read_text(errors="replace"))
        assert found is None, f"{path}: {found.group() if found else ''}"


def test_the_package_itself_has_no_module_named_after_nothing() -> None:
    nothing = {"utils", "util", "helpers", "common", "misc", "base"}
    assert not [path for path in tracked("nodeagent", "testbed") if Path(path).stem in nothing]
