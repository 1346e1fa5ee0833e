"""The house rules that a program can check, over the files of the repository."""

import ast
import pathlib
import re
import subprocess
import sys
import tokenize

import pytest

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent
PACKAGE = REPOSITORY / "volhuman"
FILES = sorted(PACKAGE.rglob("*.py"))

# Rooms from the lowest to the highest; those of one row do not import each other
# unless listed below.
ROWS = (
    (
        "errors",
        "checks",
        "option_checks",
        "safe_pickle",
        "safe_pickle_values",
        "configuration",
    ),
    ("geometry",),
    ("body",),
    ("nn",),
    ("render",),
    ("people",),
    ("data", "training", "evaluation"),
    ("repose", "pamir", "deephuman", "deform_and_learn"),
    ("pipeline",),
    ("main",),
)
LEVEL = {room: level for level, row in enumerate(ROWS) for room in row}
SYSTEMS = set(ROWS[7])

MAXIMUM_LINES = 400
MAXIMUM_FUNCTION = 60
# Longer for a reason: one entry "room/file.py:function" each.
LONG_FUNCTIONS = {
    # Half of it is documentation; the other half is one derivation.
    "geometry/similarity.py:fit_similarity",
}

# Positional parameters with a default. Everything else that has one is an option and
# goes by name.
POSITIONAL_DEFAULTS = {
    # Data, not options: a third array beside source and target.
    "geometry/similarity.py:fit_similarity:weights",
    # Data: the frame that a limb without a bend falls back to.
    "body/part_transforms.py:fit_limb:parent_rotation",
    # Says what the joint arrays before it are.
    "body/part_transforms.py:fit_part_transforms:joint_set",
    # What is drawn; the other two arguments are only where from.
    "body/pose_sampler.py:sample_pose:kind",
}


def _room(path):
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def _tree(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def _name(path):
    return str(path.relative_to(PACKAGE))


def _imported(path):
    """Rooms of the package that a file imports, also inside functions."""
    rooms = set()
    for node in ast.walk(_tree(path)):
        modules = []
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import hides its room"
            modules = [f"{node.module}.{alias.name}" for alias in node.names]
        for module in modules:
            parts = module.split(".")
            if parts[0] == "volhuman":
                rooms.add(parts[1])
    return rooms


def _functions(path):
    """All functions of a file with their qualified names."""

    def walk(node, prefix):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                name = f"{prefix}{child.name}"
                if not isinstance(child, ast.ClassDef):
                    yield name, child
                yield from walk(child, f"{name}.")
            else:
                yield from walk(child, prefix)

    yield from walk(_tree(path), "")


def _is_public(name):
    return not any(part.startswith("_") for part in name.split("."))


def _top_level(path):
    """Public functions and classes of a module."""
    for node in _tree(path).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and _is_public(node.name):
            yield node.name, node


def test_there_is_a_package_to_look_at():
    assert len(FILES) > 20 and {"main", "geometry", "body"} <= {
        _room(path) for path in FILES
    }


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_imports_point_only_downwards(path):
    room = _room(path)
    if room == "__init__":
        assert _imported(path) == set(), "the package itself imports nothing"
        return
    assert room in LEVEL, f"{room} has no place in the order of rooms"
    for other in _imported(path) - {room}:
        assert other in LEVEL, f"imports {other}, which has no place in the order"
        beside = LEVEL[other] == LEVEL[room] and not {room, other} & SYSTEMS
        assert LEVEL[other] < LEVEL[room] or beside, f"{room} imports {other}"


def test_the_order_has_no_circles_within_a_row():
    edges = {}
    for path in FILES:
        edges.setdefault(_room(path), set()).update(_imported(path) - {_room(path)})

    def reach(room, seen):
        for other in edges.get(room, ()):
            if other not in seen:
                seen.add(other)
                reach(other, seen)
        return seen

    for room in edges:
        assert room not in reach(room, set()), f"{room} imports itself in a circle"


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_files_and_functions_are_short(path):
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= MAXIMUM_LINES, f"{lines} lines"
    long = {
        f"{_name(path)}:{name}": node.end_lineno - node.lineno + 1
        for name, node in _functions(path)
        if node.end_lineno - node.lineno + 1 > MAXIMUM_FUNCTION
    }
    assert set(long) <= LONG_FUNCTIONS, long


def test_the_list_of_long_functions_is_not_longer_than_needed():
    names = {f"{_name(path)}:{name}" for path in FILES for name, _ in _functions(path)}
    assert names >= LONG_FUNCTIONS


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_public_functions_and_classes_are_documented(path):
    assert path.name == "__init__.py" or ast.get_docstring(_tree(path))
    bare = [name for name, node in _top_level(path) if not ast.get_docstring(node)]
    assert bare == []


def _positional_defaults(path):
    for name, node in _functions(path):
        if not _is_public(name):
            continue
        arguments = [*node.args.posonlyargs, *node.args.args]
        defaults = len(node.args.defaults)
        for argument in arguments[len(arguments) - defaults :]:
            yield f"{_name(path)}:{name}:{argument.arg}"


def test_options_are_keyword_only():
    found = {
        entry
        for path in FILES
        if _room(path) in ("geometry", "body")
        for entry in _positional_defaults(path)
    }
    assert found <= POSITIONAL_DEFAULTS, sorted(found - POSITIONAL_DEFAULTS)
    assert found >= POSITIONAL_DEFAULTS, "the list of exceptions is too long"


# -- what never stands in the package

DANGEROUS = [
    r"\bpickle\.\w*[a-z]",  # other than the names of opcodes
    r"allow_pickle\s*=\s*True",
    r"\beval\(",
    r"\bexec\(",
    r"shell\s*=\s*True",
    r"os\.system",
    r"yaml\.load\(",
]


@pytest.mark.parametrize("pattern", DANGEROUS)
def test_nothing_in_the_package_runs_what_a_file_says(pattern):
    for path in FILES:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            assert not re.search(pattern, line), f"{_name(path)}:{number}: {line}"


def test_pickle_is_named_in_the_code_of_the_safe_reader_alone():
    """Prose may say what a file is; code may not touch the module."""
    unsafe = {"pickle", "_pickle", "cPickle", "dill", "cloudpickle", "joblib"}
    users = set()
    for path in FILES:
        with path.open("rb") as file:
            tokens = list(tokenize.tokenize(file.readline))
        if any(t.type == tokenize.NAME and t.string in unsafe for t in tokens):
            users.add(_name(path))
    assert users <= {"safe_pickle.py", "safe_pickle_values.py"}


def test_numpy_archives_are_read_without_objects():
    for path in FILES:
        for node in ast.walk(_tree(path)):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "np.load":
                given = {k.arg: ast.unparse(k.value) for k in node.keywords}
                # NumPy's default is False, but the reader should see it.
                assert given.get("allow_pickle") == "False", _name(path)


TEXTS = [
    path
    for pattern in ("volhuman/**/*.py", "experiments/**/*.py", "third_party/**/*.py")
    for path in sorted(REPOSITORY.glob(pattern))
] + sorted(REPOSITORY.glob("*.*"))


def test_no_file_names_a_place_on_somebodys_machine():
    place = re.compile(r"""(?<![\w.\-/])/(work|tmp|home|root|Users)/\w""")
    for path in TEXTS:
        if path.is_file() and path.suffix in {".py", ".toml", ".md", ".cff"}:
            for line in path.read_text(encoding="utf-8").splitlines():
                assert not place.search(line), f"{path}: {line}"


# -- what is said and what is run


def test_an_import_computes_nothing():
    """Several processes can be connected before the first computation only."""
    program = """
import importlib, pkgutil
import volhuman
from jax._src import xla_bridge
for module in pkgutil.walk_packages(volhuman.__path__, "volhuman."):
    importlib.import_module(module.name)
    assert not xla_bridge.backends_are_initialized(), module.name
"""
    subprocess.run([sys.executable, "-c", program], check=True, cwd=REPOSITORY)


def test_readme_and_ci_give_the_same_test_command():
    command = "python -m pytest -n 2 --dist loadfile"
    ci = (REPOSITORY / ".ci" / "run").read_text().splitlines()
    assert command in [line.strip() for line in ci]
    assert command in (REPOSITORY / "README.md").read_text()


def test_dependencies_are_declared():
    """Every top-level module that the package imports comes with a declared name."""
    declared = (REPOSITORY / "setup.py").read_text().lower().replace("_", "-")
    renamed = {
        "pil": "pillow",
        "skimage": "scikit-image",
        "orbax": "orbax-checkpoint",
        "absl": "absl-py",
    }
    for path in FILES:
        for node in ast.walk(_tree(path)):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module]
            for name in {name.split(".")[0] for name in names}:
                if name not in sys.stdlib_module_names and name != "volhuman":
                    wanted = renamed.get(name.lower(), name.lower().replace("_", "-"))
                    assert f'"{wanted}' in declared, f"{_name(path)}: {name}"
