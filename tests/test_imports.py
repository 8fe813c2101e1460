"""Imports go one way (tui, edgetune, converters), nothing heavy is imported on the way to a help text, one module writes files."""

import ast
import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT

HEAVY = ("torch", "transformers", "trl", "peft", "textual", "llama_cpp", "llvmlite", "numpy", "datasets", "accelerate", "bitsandbytes")

LOADED = "import json, sys; print('LOADED' + json.dumps(sorted({name.split('.')[0] for name in sys.modules})))"


def loaded_after(code: str) -> set[str]:
    """The top-level modules that a fresh Python holds after running `code`."""
    done = subprocess.run([sys.executable, "-c", f"{code}\n{LOADED}"], capture_output=True, text=True, cwd=ROOT, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.rpartition("LOADED")[2]))


def sources(package: str) -> list[Path]:
    """Every Python file of a top-level package."""
    return sorted((ROOT / package).rglob("*.py"))


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """The top-level package of each absolute import in a file, and whether it is made lazily, inside a function."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    lazy = {inner for outer in ast.walk(tree) if isinstance(outer, ast.FunctionDef | ast.AsyncFunctionDef) for inner in ast.walk(outer)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name.split(".")[0], node in lazy) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module.split(".")[0], node in lazy


def opens_to_write(call: ast.Call) -> bool:
    """Whether a call opens a file to write, or writes one. `files.write_text` and a bare `write_text` are edgetune.storage.files' own."""
    function = call.func
    name = function.attr if isinstance(function, ast.Attribute) else function.id if isinstance(function, ast.Name) else ""
    owner = function.value.id if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name) else ""
    if name in ("write_text", "write_bytes"):
        return isinstance(function, ast.Attribute) and owner != "files"
    if name != "open":
        return False
    if name == "open" and owner == "os":
        flags = {part.attr for top in call.args[1:] for part in ast.walk(top) if isinstance(part, ast.Attribute)}
        return bool(flags & {"O_WRONLY", "O_RDWR", "O_CREAT", "O_APPEND"})
    second = isinstance(function, ast.Name) or owner in ("io", "gzip", "bz2", "lzma", "codecs")
    position = call.args[1:2] if second else call.args[:1]
    given = [*position, *(word.value for word in call.keywords if word.arg == "mode")]
    return any(isinstance(part, ast.Constant) and isinstance(part.value, str) and set(part.value) & set("wax+") for part in given)


def test_import_of_the_command_line_loads_nothing_heavy() -> None:
    assert not loaded_after("import edgetune.cli.app").intersection(HEAVY)


@pytest.mark.parametrize("words", [["--help"], ["train", "--help"], ["--version"]])
def test_help_loads_nothing_heavy(words: list[str]) -> None:
    code = (
        f"import sys; sys.argv = ['edgetune', *{words!r}]\n"
        "from edgetune.__main__ import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code, end.code"
    )
    assert not loaded_after(code).intersection(HEAVY)


def test_what_plans_a_run_loads_nothing_of_its_worker() -> None:
    """The methods, the recipe, estimates, plans and the app's screens are loaded before a worker starts: torch must not come with them."""
    planning = ["edgetune.estimate.fit", "edgetune.jobs.create", "edgetune.runs.overview", "tui.app", "tui.steps.recipe"]
    code = (
        "\n".join(f"import {name}" for name in planning) + "\nfrom edgetune import methods\nfor name in methods.names(): methods.get(name)"
    )
    assert not loaded_after(code).intersection({"torch", "transformers", "trl", "peft", "datasets", "accelerate", "bitsandbytes"})


def test_converters_load_without_torch_and_without_the_engine() -> None:
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in sources("converters")]
    assert len(names) > 5
    loaded = loaded_after("\n".join(f"import {name}" for name in names))
    assert not loaded.intersection({"torch", "transformers", "peft", "trl", "edgetune", "tui", "textual"})


@pytest.mark.parametrize("path", sources("converters"), ids=lambda path: path.name)
def test_converters_never_import_the_engine_or_the_app(path: Path) -> None:
    assert not {name for name, _ in imports(path)} & {"edgetune", "tui"}


def test_the_engine_imports_the_app_only_lazily_in_main() -> None:
    for path in sources("edgetune"):
        for name, lazy in imports(path):
            assert name != "tui" or (lazy and path == ROOT / "edgetune" / "__main__.py"), path


def test_the_engine_imports_the_command_line_only_where_it_is_opened() -> None:
    for path in sources("edgetune"):
        if path.parent != ROOT / "edgetune" / "cli" and path != ROOT / "edgetune" / "__main__.py":
            tree = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            modules = [node.module or "" for node in tree if isinstance(node, ast.ImportFrom)]
            assert not [module for module in modules if module.startswith("edgetune.cli")], path


def test_packaging_is_no_package() -> None:
    """An __init__.py there would shadow the PyPI package of that name."""
    assert not (ROOT / "packaging" / "__init__.py").exists()
    done = subprocess.run(
        [sys.executable, "-c", "import packaging.version; print(packaging.__file__)"], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert "site-packages" in done.stdout


def test_the_kernels_package_is_not_installed() -> None:
    """With it, transformers and bitsandbytes fetch and run code from a hub."""
    assert importlib.util.find_spec("kernels") is None


def test_only_one_module_opens_files_to_write() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in sources("edgetune")
        if path != ROOT / "edgetune" / "storage" / "files.py"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and opens_to_write(node)
    ]
    assert not found


@pytest.mark.parametrize(
    ("code", "writes"),
    [
        ("open(p, 'w')", True),
        ("open(p, mode='a')", True),
        ("p.open('rb+')", True),
        ("p.open('x')", True),
        ("p.write_text('x')", True),
        ("os.open(p, os.O_WRONLY | os.O_APPEND)", True),
        ("open(p)", False),
        ("open(p, 'rb')", False),
        ("open('wax')", False),
        ("os.open(p, os.O_RDONLY)", False),
        ("files.write_text(p, 'x')", False),
        ("write_text(p, 'x')", False),
        ("gzip.open(p, 'wt')", True),
    ],
)
def test_the_write_check_sees_writes(code: str, writes: bool) -> None:
    call = ast.parse(code, mode="eval").body
    assert isinstance(call, ast.Call)
    assert opens_to_write(call) is writes


@pytest.mark.parametrize("package", ["edgetune", "converters", "tui"])
def test_code_that_comes_with_a_model_is_never_trusted(package: str) -> None:
    for path in sources(package):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.keyword) and node.arg == "trust_remote_code":
                assert isinstance(node.value, ast.Constant) and node.value.value is False, path
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                assert node.value != "trust_remote_code", path


def test_sessions_leave_the_terminal_to_the_front_ends() -> None:
    front_end = {"signal", "readline", "curses", "getpass", "typer", "textual", "select"}
    for path in sources("edgetune/sessions"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = {name for name, _ in imports(path)}
        assert not names & front_end, f"{path.name} imports {names & front_end}"
        streams = {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute) and n.attr in ("stdin", "stdout", "stderr")}
        calls = {n.func.id for n in ast.walk(tree) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)}
        assert not streams and not calls & {"print", "input", "breakpoint"}, f"{path.name} reads or writes the terminal"
