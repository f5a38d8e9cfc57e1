"""The documentation site: `make docs` builds it of these pages, docstrings and the notebooks."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import sttlab

HERE = Path(__file__).parent
ROOT = HERE.parent

project = "sttlab"
version = release = sttlab.__version__
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
exclude_patterns = ["_build"]
default_role = "code"
nb_execution_mode = "off"  # tests execute the notebooks
myst_heading_anchors = 3
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
napoleon_google_docstring = False
napoleon_use_ivar = True  # documents an attribute once, in its class
html_theme = "pydata_sphinx_theme"
html_title = "sttlab"
html_show_sourcelink = False
html_sidebars = {page: [] for page in ("index", "server", "protocol", "measurements")}
html_theme_options = {
    "show_prev_next": False,
    "secondary_sidebar_items": ["page-toc"],
    "navbar_align": "left",
    "footer_start": [],
    "footer_end": [],
}


def write_pages(app: Any) -> None:
    """Write the pages that docs/ does not hold: notebooks, and a page for each public name."""
    made = HERE / "_made"
    shutil.rmtree(made, ignore_errors=True)
    shutil.copytree(
        ROOT / "notebooks", made / "notebooks", ignore=shutil.ignore_patterns(".ipynb_checkpoints")
    )
    for notebook in (made / "notebooks").glob("*.ipynb"):
        text = notebook.read_text(encoding="utf-8")
        notebook.write_text(text.replace("](../docs/", "](../../"), encoding="utf-8")
    for name in ("CONTRIBUTING.md", "CHANGELOG.md"):
        shutil.copy(ROOT / name, made / name)
    for name in sttlab.__all__:
        kind = "autodata"
        if name != "__version__":
            kind = "autoclass" if isinstance(getattr(sttlab, name), type) else "autofunction"
        lines = [name, "=" * len(name), "", f".. {kind}:: sttlab.{name}"]
        lines += [
            "   :members:",
            "   :inherited-members: Exception, DOMWidget, AnyWidget, VBox",
        ] * (kind == "autoclass")
        path = made / "api" / f"{name}.rst"
        path.parent.mkdir(exist_ok=True)
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def point_into_site(app: Any, docname: str, source: list[str]) -> None:
    """Point a link to a file of the repository to its page; without one, make it plain text."""

    def target(match: re.Match[str]) -> str:
        text, path = match.groups()
        name = path.partition("#")[0]
        inside = (ROOT / docname).parent if docname.startswith("_made") else HERE
        base = ROOT if docname.startswith("_made/C") else inside
        full = (base / name).resolve()
        if full.parent == HERE:
            page = f"/{full.name}"
        elif (HERE / "_made" / full.relative_to(ROOT)).is_file():
            page = f"/_made/{full.relative_to(ROOT)}"
        else:
            return text
        return f"[{text}]({page}{path[len(name) :]})"

    if docname in {"architecture", "measurements", "protocol", "server"} or "_made/C" in docname:
        source[0] = re.sub(r"(?<!!)\[([^\]]+)\]\((?!https?:|#)([^)\s]+)\)", target, source[0])


def setup(app: Any) -> None:
    """Register both functions with Sphinx."""
    app.connect("config-inited", lambda app, config: write_pages(app))
    app.connect("source-read", point_into_site)
