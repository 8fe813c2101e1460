"""Names say what a thing is: no catch-all names, and no public name with several meanings."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from tests.conftest import ROOT

PACKAGES = ("edgetune", "tui", "converters", "packaging")
CATCH_ALL = {"told", "said", "made", "found", "ways", "life", "later", "keeping", "beside", "anew"}
"""Words that tell what was done with a thing, or where it stands, and not what it is."""
INTERFACES: dict[str, str] = {
    **dict.fromkeys(("main",), "what a file does when it is started as a program"),
    **dict.fromkeys(("register", "EXAMPLES", "HELP"), "a command group: adding it to the command line, its examples, the keys it explains"),
    **dict.fromkeys(("show", "export", "delete"), "a command's function, called as the command is"),
    **dict.fromkeys(("COMMANDS",), "the commands that a front end knows"),
    **dict.fromkeys(("SHAPE", "TITLE", "PRECEDENCE", "SAMPLE", "detect", "convert"), "a shape of examples (edgetune/data/formats)"),
    **dict.fromkeys(("SUFFIXES", "FILE_KIND", "read"), "a reader of a kind of file (edgetune/data/readers)"),
    **dict.fromkeys(("HOW_TO_EXPORT", "ASSISTANT", "OWNER", "recognise"), "a program that chats come from (edgetune/data/chats)"),
    **dict.fromkeys(("names",), "the names of a package whose files are its registry"),
    **dict.fromkeys(("METHOD", "make_trainer", "measure_batch", "find_problem"), "a training method (edgetune/methods)"),
    **dict.fromkeys(("check", "make"), "a reward (edgetune/training/rewards)"),
    **dict.fromkeys(("layout",), "a program that runs a GGUF (edgetune/gguf/runtimes)"),
    **dict.fromkeys(("CLASS", "GGUF_NAME", "TINY", "DEFAULTS"), "an architecture: its class in transformers, its name in llama.cpp …"),
    **dict.fromkeys(("configuration", "metadata", "tensors", "is_70b"), "… and what it says of a model (converters/archs)"),
    **dict.fromkeys(("Message",), "a chat message: a dict with role and content"),
}
"""Public names that many modules define on purpose, because they play the same part there, with that one meaning."""


def sources() -> Iterator[tuple[str, ast.Module]]:
    """Every Python file of ours, by its path, parsed."""
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            yield path.relative_to(ROOT).as_posix(), ast.parse(path.read_text(encoding="utf-8"))


def bound_names(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Names that a file gives to things, with the line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id, node.lineno
        elif isinstance(node, ast.arg):
            yield node.arg, node.lineno
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name, node.lineno


def public_names(tree: ast.Module) -> Iterator[str]:
    """What a module offers: its functions, classes and constants without an underscore."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names = [node.name]
        elif isinstance(node, ast.Assign):
            names = [target.id for target in node.targets if isinstance(target, ast.Name)]
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names = [node.target.id]
        else:
            continue
        yield from (name for name in names if not name.startswith("_"))


def test_no_name_is_a_catch_all() -> None:
    places = [f"{path}:{line}: {name}" for path, tree in sources() for name, line in bound_names(tree) if name.strip("_") in CATCH_ALL]
    places += [path for path, _ in sources() if Path(path).stem.strip("_") in CATCH_ALL]
    assert not places


def test_no_public_name_has_more_than_two_meanings() -> None:
    defined: dict[str, list[str]] = defaultdict(list)
    for path, tree in sources():
        for name in dict.fromkeys(public_names(tree)):
            defined[name].append(path)
    crowded = {name: paths for name, paths in defined.items() if len(paths) > 2 and name not in INTERFACES}
    assert not crowded


def test_every_interface_named_here_is_one() -> None:
    defined: dict[str, int] = defaultdict(int)
    for _, tree in sources():
        for name in dict.fromkeys(public_names(tree)):
            defined[name] += 1
    assert not {name for name in INTERFACES if defined[name] < 3}
