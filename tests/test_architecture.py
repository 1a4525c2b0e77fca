"""The house rules that can be read from the source: floors, cycles, private imports, sizes."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
import torch

import sk_autoencoder

# A file imports from lower floors and from its own folder. A half is a landing: the upper part of its floor.
FLOORS = {
    **dict.fromkeys(["_rounding", "_threads", "_torch", "_validation", "_warnings"], 0),
    **dict.fromkeys(["_labels", "_parts", "blocks"], 0.5),
    **dict.fromkeys(["losses", "scaling", "corruptions", "solvers", "thresholds", "networks", "windows"], 1),
    **dict.fromkeys(["objectives"], 2),
    **dict.fromkeys(["_block_plan", "donors", "scores", "training", "export", "model_selection"], 3),
    **dict.fromkeys(["inference"], 3.5),
    **dict.fromkeys(["estimators"], 4),
    **dict.fromkeys(["displays"], 5),
    **dict.fromkeys(["__init__"], 6),
}
MAX_FILE, MAX_FUNCTION = 400, 50

PACKAGE = Path(sk_autoencoder.__file__).parent
FILES = {".".join(path.relative_to(PACKAGE).with_suffix("").parts): path for path in PACKAGE.rglob("*.py")}
SOURCES = {name: path.read_text(encoding="utf-8") for name, path in FILES.items()}
TREES = {name: ast.parse(source) for name, source in SOURCES.items()}
each_file = pytest.mark.parametrize("name", sorted(FILES))


def imports(name):
    """Yield (full name, whether it happens when the file is imported) for everything that a file imports."""
    functions = (node for node in ast.walk(TREES[name]) if isinstance(node, ast.FunctionDef))
    late = {id(inner) for function in functions for inner in ast.walk(function)}
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.Import):
            yield from ((alias.name, id(node) not in late) for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from ((f"{node.module}.{alias.name}", id(node) not in late) for alias in node.names)


def own_imports(name):
    """Files of the package that a file imports."""
    paths = [full.split(".")[1:] for full, _ in imports(name) if full.partition(".")[0] == "sk_autoencoder"]
    ways = ([path, [*path, "__init__"], path[:-1], [*path[:-1], "__init__"]] for path in paths)
    return {next(".".join(way) for way in options if ".".join(way) in FILES) for options in ways}


def code_lines(name, node):
    """Number of lines of a tree without docstrings, comments and blank lines."""
    texts = (n for n in ast.walk(node) if isinstance(n, ast.Expr) and isinstance(n.value, ast.Constant))
    prose = {line for text in texts for line in range(text.lineno, text.end_lineno + 1)}
    lines = dict(enumerate(map(str.strip, SOURCES[name].splitlines()), start=1))
    span = range(getattr(node, "lineno", 1), getattr(node, "end_lineno", len(lines)) + 1)
    return sum(n not in prose and lines[n] != "" and not lines[n].startswith("#") for n in span)


@each_file
def test_imports_come_from_lower_floors_or_the_own_folder(name):
    room = name.partition(".")[0]
    rooms = {other.partition(".")[0] for other in own_imports(name)} - {room}
    assert [other for other in rooms if FLOORS[other] >= FLOORS[room]] == []


def test_no_cycles():
    TopologicalSorter({name: own_imports(name) for name in FILES}).prepare()


@each_file
def test_foreign_imports(name):
    for full, at_import in imports(name):
        top, *below = full.split(".")
        assert top != "skorch" or name.startswith("training."), full
        assert top != "sklearn" or name == "_validation" or not any(part.startswith("_") for part in below), full
        assert top not in {"matplotlib", "pandas", "polars"} or not at_import, full


# Private attributes of what torch makes, beside those of its modules.
TORCH_OBJECTS = torch.empty(0), torch.nn.Module(), torch.optim.SGD([torch.nn.Parameter(torch.empty(0))], lr=1.0)
PRIVATE = {name for made in TORCH_OBJECTS for name in dir(made) if name.startswith("_") and not name.endswith("__")}


def private_torch(tree, names):
    """Yield what a tree uses of torch's private parts; names are those that were imported from torch."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            of_torch = ast.unparse(node).partition(".")[0] in names and node.attr.startswith("_")
            if (of_torch or node.attr in PRIVATE) and not node.attr.endswith("__"):
                yield ast.unparse(node)
        if isinstance(node, ast.Constant) and node.value in PRIVATE:
            yield node.value
        if isinstance(node, ast.ImportFrom) and node.module.partition(".")[0] == "torch":
            path = [*node.module.split("."), *(alias.name for alias in node.names)]
            yield from (part for part in path if part.startswith("_"))


def from_torch(tree):
    """Names under which a file imports torch or something of it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.asname or "torch") for alias in node.names if alias.name.partition(".")[0] == "torch")
        if isinstance(node, ast.ImportFrom) and node.module.partition(".")[0] == "torch":
            yield from ((alias.asname or alias.name) for alias in node.names)


@each_file
def test_private_parts_of_torch_stand_in_one_file(name):
    names = set(from_torch(TREES[name]))
    found = list(private_torch(TREES[name], names)) if names else []
    assert found == [] or name == "_torch"


@pytest.mark.parametrize(
    "line",
    [
        "torch._foreach_add_(a, b)",
        "torch.ops.mkldnn._linear_pointwise(a)",
        "nn._reduction.get_enum('mean')",
        "a.b._backward_hooks",
        "self._modules",
        "getattr(a, '_backward_hooks')",
        "from torch._C import Generator",
        "from torch.optim import _functional",
    ],
)
def test_private_parts_are_recognised(line):
    tree = ast.parse("import torch\nfrom torch import nn\n" + line)
    assert len(list(private_torch(tree, set(from_torch(tree))))) == 1


@each_file
def test_sizes(name):
    assert code_lines(name, TREES[name]) <= MAX_FILE
    functions = [node for node in ast.walk(TREES[name]) if isinstance(node, ast.FunctionDef)]
    sizes = {function.name: code_lines(name, function) for function in functions if function.name != "__init__"}
    assert {function: size for function, size in sizes.items() if size > MAX_FUNCTION} == {}
