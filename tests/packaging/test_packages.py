"""The packages as files: what is in them, what they ask of a system, and that they can be made again."""

import hashlib
import json
import re
import subprocess  # noqa: TID251 - rpm, dpkg and readelf are programs
from pathlib import Path
from typing import Any

import pytest
from bundle import libraries
from bundle.wheels import NotPinned, collect

from testbed import packages
from testbed.programs import run

PROJECT = Path(__file__).resolve().parents[2]
REQUIREMENTS = (PROJECT / "requirements/runtime.txt").read_text()
SITE = "usr/lib/nodeagent/python"
OLDEST_GLIBC, OLDEST_SYSTEMD = (2, 28), 239  # EL 8's
MOST_BYTES = 60 * 2**20

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="session")
def el_root(rpm: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the RPM holds."""
    root = tmp_path_factory.mktemp("el")
    run(["sh", "-c", 'rpm2cpio "$1" | cpio --quiet -idm', "sh", rpm], cwd=root)
    return root


@pytest.fixture(scope="session")
def debian_root(deb: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("debian")
    run(["dpkg-deb", "--extract", deb, root])
    return root


@pytest.fixture(scope="session")
def bill(el_root: Path) -> list[dict[str, Any]]:
    told: list[dict[str, Any]] = json.loads((el_root / "usr/lib/nodeagent/sbom.cdx.json").read_text())["components"]
    return told


def shared_objects(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*") if path.is_file() and path.read_bytes()[:4] == b"\x7fELF")


def asked(rpm: Path, what: str) -> list[str]:
    return run(["rpm", "--query", "--package", f"--{what}", rpm]).splitlines()


# --- what a node has to have ------------------------------------------------------------------------------------


def test_no_library_inside_asks_for_a_later_glibc_or_libsystemd_than_el_8_has(el_root: Path) -> None:
    found = shared_objects(el_root)
    assert len(found) >= 8
    for library in found:
        needed = run(["readelf", "--version-info", "--wide", library])
        for version in re.findall(r"GLIBC_(\d+)\.(\d+)", needed):
            assert tuple(map(int, version)) <= OLDEST_GLIBC, library
        for version in re.findall(r"LIBSYSTEMD_(\d+)", needed):
            assert int(version) <= OLDEST_SYSTEMD, library


def test_the_packages_bring_all_that_is_neither_pythons_nor_the_systems(el_root: Path) -> None:
    brought = {library.name for library in shared_objects(el_root)}
    systems = re.compile(r"(ld-linux-x86-64|lib(c|dl|m|pthread|rt|gcc_s|z|systemd))\.so\.\d")
    for library in shared_objects(el_root):
        for name in re.findall(r"NEEDED.*\[(.*)\]", run(["readelf", "--dynamic", "--wide", library])):
            assert name in brought or systems.fullmatch(name), f"{library}: {name}"


def test_the_rpm_asks_for_nothing_that_it_has_inside(rpm: Path) -> None:
    requires = asked(rpm, "requires")
    assert "python3.11" in requires
    assert not [name for name in requires if re.search(r"git2|ssh2|libssl|libcrypto|pcre|/usr/bin/python", name)]
    assert not [name for name in asked(rpm, "provides") if ".so" in name]


# --- what is inside ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("root", ["el_root", "debian_root"])
def test_a_package_is_no_larger_than_it_has_to_be(root: str, request: pytest.FixtureRequest) -> None:
    unpacked: Path = request.getfixturevalue(root)
    files = [path for path in unpacked.rglob("*") if path.is_file() and "licenses" not in path.parts]
    assert sum(path.stat().st_size for path in files) < MOST_BYTES
    unused = re.compile(r"/(pip|setuptools|pycparser|cffi|tests?)/|\.(h|c|pyi|a|dist-info)$")
    assert not [path for path in files if unused.search(str(path.relative_to(unpacked)))]


def test_both_packages_bring_the_same_to_a_node(el_root: Path, debian_root: Path) -> None:
    def node(root: Path) -> dict[str, bytes]:
        tops = [root / "etc", root / "usr/lib", root / "usr/sbin", root / "usr/share/man"]
        files = (path for top in tops for path in top.rglob("*") if path.is_file())
        return {str(path.relative_to(root)): path.read_bytes() for path in files}

    assert node(el_root) == node(debian_root)


def test_the_shared_objects_are_the_ones_whose_hashes_are_pinned(el_root: Path, tmp_path: Path) -> None:
    pinned = collect(REQUIREMENTS, packages.pinned())
    libraries.install([found for found in pinned if not found.is_source], PROJECT, tmp_path)
    for library in shared_objects(tmp_path):
        assert (el_root / SITE / library.relative_to(tmp_path)).read_bytes() == library.read_bytes()


def test_all_byte_code_is_there_and_has_no_time_in_it(el_root: Path) -> None:
    sources = list((el_root / SITE).rglob("*.py"))
    assert len(sources) > 300
    for source in sources:
        code = (source.parent / "__pycache__" / f"{source.stem}.cpython-311.pyc").read_bytes()
        assert code[4:8] == b"\1\0\0\0", source  # hash-based, and never compared (PEP 552)


def test_nothing_inside_names_the_place_where_it_was_built(el_root: Path, deb: Path, rpm: Path) -> None:
    for path in el_root.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert str(PROJECT).encode() not in content, path
            assert b"/rpmbuild" not in content, path
            assert b"/BUILDROOT" not in content, path


def test_secrets_have_a_place_that_only_root_can_enter(rpm: Path, deb: Path) -> None:
    listed = run(["rpm", "--query", "--package", "--list", "--verbose", rpm])
    assert re.search(r"^drwx------ .* root +root .* /etc/nodeagent$", listed, re.M)
    assert asked(rpm, "configfiles") == ["/etc/nodeagent/nodeagent.toml"]
    assert re.search(r"^drwx------ root/root .* \./etc/nodeagent/$", run(["dpkg-deb", "--contents", deb]), re.M)
    assert run(["dpkg-deb", "--info", deb, "conffiles"]).split() == ["/etc/nodeagent/nodeagent.toml"]


# --- what they say of themselves --------------------------------------------------------------------------------


def test_the_spec_names_what_is_inside_with_version_and_licence(rpm: Path, bill: list[dict[str, Any]]) -> None:
    there = set()
    for component in bill:
        name = f"python3dist({component['name']})" if "pypi" in component["purl"] else component["name"]
        there.add(f"bundled({name}) = {component['version']}")
        inner = [part for part in component.get("components", ()) if "cargo" not in part["purl"]]
        there |= {f"bundled({part['name']}) = {part['version'].partition('-')[0]}" for part in inner}
    assert {name for name in asked(rpm, "provides") if name.startswith("bundled")} == there
    licence = run(["rpm", "--query", "--package", "--queryformat", "%{LICENSE}", rpm])
    for component in bill:
        assert component["licenses"][0]["expression"] in licence


def test_the_bill_is_one_by_cyclonedxs_own_schema(el_root: Path) -> None:
    validation = pytest.importorskip("cyclonedx.validation.json", reason="needs cyclonedx-python-lib")
    schema = pytest.importorskip("cyclonedx.schema")
    text = (el_root / "usr/lib/nodeagent/sbom.cdx.json").read_text()
    validator = validation.JsonStrictValidator(schema.SchemaVersion.V1_5)
    assert validator.validate_str(text) is None
    assert validator.validate_str(text.replace('"library"', '"anything"')) is not None


def test_the_bill_has_the_hash_of_each_file_that_was_fetched(bill: list[dict[str, Any]]) -> None:
    fetched = {hashlib.sha256(file.read_bytes()).hexdigest() for file in packages.pinned().iterdir()}
    told = {component["hashes"][0]["content"] for component in bill if "pypi" in component["purl"]}
    assert told <= fetched
    assert all(f"sha256:{digest}" in REQUIREMENTS for digest in told)


def test_each_library_inside_has_its_licence_beside_it(el_root: Path, bill: list[dict[str, Any]]) -> None:
    texts = el_root / "usr/share/licenses/nodeagent"
    names = {component["name"] for component in bill if "pypi" in component["purl"]}
    assert names == {directory.name for directory in texts.iterdir() if directory.is_dir()}
    assert all(any(directory.iterdir()) for directory in texts.iterdir() if directory.is_dir())


def test_rpmlint_has_nothing_to_say_but_what_is_answered(rpm: Path) -> None:
    told = subprocess.run(
        ["rpmlint", "--config", PROJECT / "packaging/rpmlint.toml", rpm], capture_output=True, text=True, check=False
    )
    assert "0 errors, 0 warnings" in told.stdout, told.stdout + told.stderr


# --- that they can be made again --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["deb", "rpm"])
def test_a_second_build_makes_the_same_file(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    first: Path = request.getfixturevalue(kind)
    assert packages.build(tmp_path, kind).read_bytes() == first.read_bytes()


def test_a_library_with_another_hash_is_refused(tmp_path: Path) -> None:
    for file in packages.pinned().iterdir():
        (tmp_path / file.name).symlink_to(file)
    (changed,) = tmp_path.glob("tenacity-*.whl")
    content = changed.read_bytes()
    changed.unlink()
    changed.write_bytes(content + b"\0")
    with pytest.raises(NotPinned, match="tenacity"):
        list(collect(REQUIREMENTS, tmp_path))


def test_a_library_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotPinned, match="annotated-types"):
        list(collect(REQUIREMENTS, tmp_path))
