"""The Python that runs the agent: the interpreter, and of its library only what the agent imports."""

from __future__ import annotations

import importlib.util
import marshal
import sys
from modulefinder import ModuleFinder
from pathlib import Path

import provisioner
from provisioner.ramdisk.errors import RamdiskError
from provisioner.ramdisk.recipe import ENCODINGS, UNUSED_PYTHON_MODULES

AGENT = "provisioner"  # folder in /usr/lib that PYTHONPATH names
UNCHECKED_HASH = 1  # PEP 552: the interpreter doesn't look for a source file to compare with


def interpreter(tree: Path) -> Path:
    found = sorted((tree / "usr/bin").glob("python3.[0-9]*"))
    if len(found) != 1:
        raise RamdiskError(f"one Python was expected in the packages, {len(found)} are there: {found}")
    return found[0]


def install_modules(tree: Path, usr: Path) -> list[Path]:
    """Installs every module that the agent imports; the extension modules among them are returned, since
    they need shared libraries."""
    name = interpreter(tree).name
    library = tree / "usr/lib" / name
    project = Path(provisioner.__file__).parent.parent
    # Sourceless bytecode spares the start a fifth; of another version it would not be read.
    compiled = sys.version_info[:2] == tuple(int(part) for part in name.removeprefix("python").split("."))
    extensions = []
    for module, path in _closure(library, project).items():
        if path.suffix == ".so":
            _write(usr / "lib" / name / "lib-dynload" / path.name, path.read_bytes())
            extensions.append(path)
            continue
        ours = path.is_relative_to(project)
        base = path.relative_to(project if ours else library)
        folder = usr / "lib" / (AGENT if ours else name)
        if compiled:
            _write(folder / base.with_suffix(".pyc"), bytecode(path, module))
        else:
            _write(folder / base, path.read_bytes())
    return extensions


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _closure(library: Path, project: Path) -> dict[str, Path]:
    finder = ModuleFinder(
        path=[str(project), str(library), str(library / "lib-dynload")], excludes=list(UNUSED_PYTHON_MODULES)
    )
    finder.run_script(str(project / "provisioner/agent/__main__.py"))
    finder.import_hook("provisioner.agent.emulation")  # init calls it
    for encoding in ENCODINGS:
        finder.import_hook(encoding)
    files = {name: getattr(module, "__file__", None) for name, module in finder.modules.items()}
    found = {name: Path(file) for name, file in files.items() if file}
    found["provisioner.agent.__main__"] = found.pop("__main__")
    # The finder knows the extensions of the Python that runs it. Those of another architecture have other
    # names, and what is built into one may be a file of the other.
    unresolved = {name for name, file in files.items() if not file} | set(finder.badmodules)
    for path in sorted((library / "lib-dynload").glob("*.cpython-*.so")):
        name = path.name.partition(".")[0]
        if name in unresolved and name not in UNUSED_PYTHON_MODULES:
            found[name] = path
    return dict(sorted(found.items()))


def bytecode(path: Path, module: str) -> bytes:
    source = path.read_bytes()
    code = compile(source, module, "exec", dont_inherit=True, optimize=2)
    header = importlib.util.MAGIC_NUMBER + UNCHECKED_HASH.to_bytes(4, "little")
    return header + importlib.util.source_hash(source) + marshal.dumps(code)
