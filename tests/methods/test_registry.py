"""A method is one file: found by its name, described by its object, and asked for nowhere by comparing its name."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from edgetune import methods
from edgetune.config.recipe import Recipe, build_recipe, used
from edgetune.data import formats
from edgetune.errors import InputError
from tests.conftest import ROOT

NEW_METHOD = '''
"""A method that learns nothing."""

from edgetune.methods import Method, Setup


def make_trainer(setup: Setup) -> None:
    """None."""


def measure_batch(trainer: object, batch: dict[str, object]) -> tuple[float, int, dict[str, tuple[float, int]]]:
    """Nothing."""
    return 0.0, 1, {}


METHOD = Method("toy", ("conversation",), "toy needs conversations.", make_trainer, measure_batch, options=("beta",), beta=7.0)
'''


def test_a_file_is_a_method_of_its_name() -> None:
    files = {path.stem for path in Path(methods.__file__).parent.glob("[!_]*.py")}
    assert set(methods.names()) == files and methods.names()[0] == methods.DEFAULT
    assert all(methods.get(name).name == name for name in files)
    with pytest.raises(InputError, match="no training method 'zpo'"):
        methods.get("zpo")


@pytest.mark.parametrize("name", methods.names())
def test_what_a_method_names_is_there(name: str) -> None:
    method = methods.get(name)
    kinds = {formats.example_kind(shape) for shape in formats.names()}
    assert method.row_kinds and set(method.row_kinds) <= kinds and method.needs
    assert formats.example_kind(method.vote_format) in method.row_kinds
    assert set(method.options) <= set(Recipe.model_fields) and all(used(option, name) for option in method.options)
    assert ("beta" in method.options) == (method.beta is not None)


def test_a_new_file_is_a_choice_everywhere(tmp_path: Path) -> None:
    (tmp_path / "toy.py").write_text(NEW_METHOD, encoding="utf-8")
    code = (
        "import sys, edgetune.methods\n"
        f"edgetune.methods.__path__.append({str(tmp_path)!r})\n"
        "from edgetune.cli import app\n"
        "from edgetune.config.recipe import build_recipe, used\n"
        "recipe, _ = build_recipe({'method': 'toy', 'beta': 2.0})\n"
        "assert recipe.method == 'toy' and used('beta', 'toy') and not used('packing', 'toy')\n"
        "app.run(['train', '--help'])"
    )
    command = [sys.executable, "-c", code, "train", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "|toy)" in done.stdout and "toy 7" in done.stdout


def test_options_of_other_methods_are_refused() -> None:
    with pytest.raises(InputError) as caught:
        build_recipe({"method": "dpo", "packing": True})
    assert "packing goes with method sft, not with dpo" in caught.value.cause
    with pytest.raises(InputError) as caught:
        build_recipe({"reward": "exact"})
    assert "reward goes with method rl, not with sft" in caught.value.cause


def compared(code: str) -> list[int]:
    """Lines of code that compare something with a method's name, look it up in a container of such names, or match on one."""
    names = set(methods.names())

    def is_name(node: ast.expr) -> bool:
        return isinstance(node, ast.Constant) and node.value in names

    def holds_names(node: ast.expr) -> bool:
        return isinstance(node, ast.Tuple | ast.List | ast.Set) and any(map(is_name, node.elts))

    lines = []
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Compare):
            operands = [node.left, *node.comparators]
            for operator, left, right in zip(node.ops, operands, node.comparators, strict=False):
                equal = isinstance(operator, ast.Eq | ast.NotEq) and (is_name(left) or is_name(right))
                if equal or (isinstance(operator, ast.In | ast.NotIn) and holds_names(right)):
                    lines.append(node.lineno)
        elif isinstance(node, ast.MatchValue) and is_name(node.value):
            lines.append(node.value.lineno)
        elif (isinstance(node, ast.Dict) and sum(key is not None and is_name(key) for key in node.keys) > 1) or (
            isinstance(node, ast.Tuple | ast.List | ast.Set) and sum(map(is_name, node.elts)) > 1
        ):
            lines.append(node.lineno)
    return lines


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("if recipe.method == 'rl': pass", True),
        ("x = 'reward' != request.get('method')", True),
        ("if method not in ('kto', 'x'): pass", True),
        ("PAIRED = ('dpo', 'orpo')", True),
        ("SHAPE = {'sft': 1, 'kto': 2}", True),
        ("match method:\n  case 'rl': pass", True),
        ("if 'reward' in event: pass", False),
        ("{'method': 'sft', 'reward': 1}", False),
        ("methods.get('sft')", False),
    ],
)
def test_the_check_sees_comparisons(code: str, found: bool) -> None:
    assert bool(compared(code)) is found


def test_no_method_is_compared_by_name_outside_its_file() -> None:
    files = [path for package in ("edgetune", "tui", "converters") for path in (ROOT / package).rglob("*.py")]
    outside = [path for path in files if path.parent != ROOT / "edgetune" / "methods"]
    assert len(outside) > 200
    assert not [f"{path.relative_to(ROOT)}:{line}" for path in outside for line in compared(path.read_text(encoding="utf-8"))]


@pytest.mark.parametrize("package", ["methods", "training"])
def test_no_method_is_probed_for_what_it_has(package: str) -> None:
    for path in (ROOT / "edgetune" / package).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            assert not (isinstance(node, ast.Name) and node.id == "hasattr"), f"{path}:{node.lineno}"
