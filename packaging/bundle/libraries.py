"""The libraries below one directory: what a node runs, compiled, and nothing else."""

import compileall
import py_compile
import shutil
import subprocess  # noqa: TID251 - the compiler
import sysconfig
import tempfile
from collections.abc import Iterable
from pathlib import Path

from bundle.wheels import Distribution, texts, unpack

LEFT_OUT = (
    r"\.(pyi|h|c|pyx|pxd)$|/py\.typed$",  # for those who compile or check types
    r"(^|/)tests?/|/test_cases\.py$",
    r"^(cffi|pycparser)/",  # they make bindings; what is made needs only _cffi_backend
    r"^pygit2/(_run\.py|decl/)",  # so do these
    r"^pydantic/(v1/|mypy\.py)",  # an earlier pydantic, and a plug-in of a type checker
)
"""Patterns of what no node needs."""

_LIBSYSTEMD = "239"
"""The oldest one that the module is to be loaded with: EL 8's."""


_COMPILER = (
    *("gcc", "-std=c99", "-O2", "-g0", "-fPIC", "-shared", "-s"),
    *("-D_FORTIFY_SOURCE=2", "-fstack-protector-strong", "-Wl,-z,relro,-z,now"),
)


def install(distributions: Iterable[Distribution], product: Path, target: Path) -> None:
    """Put the libraries and the package ``nodeagent`` of that source tree below ``target``, and compile them."""
    for distribution in distributions:
        if not distribution.is_source:
            unpack(distribution.file, target, left_out=LEFT_OUT)
        elif distribution.name == "systemd-python":
            _systemd(distribution, target / "systemd")
        else:
            raise NotImplementedError(f"{distribution.file}: how to build it is not known")
    shutil.copytree(product / "nodeagent", target / "nodeagent", ignore=shutil.ignore_patterns("__pycache__"))


def compile_all(target: Path, root: Path) -> None:
    """Make byte code that is valid for as long as it stands there: it has no time in it, and is never written again."""
    done = compileall.compile_dir(
        target,
        quiet=1,
        stripdir=str(root),
        prependdir="/",
        workers=1,  # more of them would leave other references in the marshalled code
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )
    if not done:
        raise RuntimeError(f"{target}: not everything could be compiled")


def _systemd(distribution: Distribution, target: Path) -> None:
    """The one module of systemd-python that the agent imports. The others ask for a later libsystemd."""
    target.mkdir()
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch)
        for name, text in texts(distribution, r"^[^/]+/systemd/[^/]+\.(c|h|py)$"):
            (source / name).write_bytes(text)
        for name in ("__init__.py", "daemon.py"):
            shutil.copyfile(source / name, target / name)
        include = f"-I{sysconfig.get_path('include')}"
        defines = [f'-DPACKAGE_VERSION="{distribution.version}"', f"-DLIBSYSTEMD_VERSION={_LIBSYSTEMD}"]
        module = target.resolve() / f"_daemon{sysconfig.get_config_var('EXT_SUFFIX')}"
        subprocess.run(
            [*_COMPILER, include, *defines, "_daemon.c", "pyutil.c", "util.c", "-lsystemd", "-o", module],
            cwd=source,
            check=True,
        )
