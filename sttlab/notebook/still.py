"""What a widget leaves in a saved notebook, which shows it where no kernel runs."""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Iterable, Iterator
from typing import Any

import anywidget
import traitlets

STILL_ROWS = 40  # most rows of a table
# In JupyterLab, the output of a widget that is there has an element of the class jupyter-widgets
# within it; one whose model isn't found has it itself, or not yet.
_OUTPUT = ".jp-OutputArea-child"
_ALIVE = ":has(.jp-OutputArea-output .jupyter-widgets)"
_STILL = f"{_OUTPUT} > .jp-OutputArea-output .sttlab-still"  # a :has in a :has is not valid CSS
HIDING = f"""<style>
{_OUTPUT}{_ALIVE} + {_STILL} {{ display: none }}
{_OUTPUT}:not({_ALIVE}):has(+ {_STILL}) {{ display: none }}
</style>"""
_PNG = re.compile(r'src="data:image/png;base64,([^"]+)"')
_ENDS = re.compile(r"</(?:tr|div|p|li|b|table)>|<br>")


class Presence(anywidget.AnyWidget):
    """Hides what is saved of a widget while it is beside it on a page, by the attribute `of`.

    VS Code and Colab have no such elements as `HIDING` looks for. They put the outputs of a cell
    into one document, in which this adds a style.
    """

    of = traitlets.Unicode().tag(sync=True)

    _esm = """
export default {
  render({ model, el }) {
    const style = document.createElement("style");
    style.textContent = `[data-of="${model.get("of")}"] { display: none }`;
    el.style.display = "none";
    document.head.append(style);
    return () => style.remove();
  },
};
"""


def still(parts: Iterable[str], of: str = "") -> dict[str, str]:
    """Make the part of a mime bundle that needs no kernel: HTML, its first picture, and text.

    Parameters
    ----------
    parts : iterable of str
        HTML, from above.
    of : str
        Of the `Presence` that hides it.
    """
    page = "".join(parts)
    shown = f'{HIDING}<div class="sttlab-still" data-of="{of}">{page}</div>'
    bundle = {"text/html": shown, "text/plain": _plain(page)}
    if found := _PNG.search(page):
        bundle["image/png"] = found[1]
    return bundle


def image_html(figure: Any, alt: str) -> str:
    """Draw a figure as an image in HTML."""
    from sttlab.notebook.plots import png_bytes  # imports matplotlib, see look.py

    return png_html(png_bytes(figure, pixels=1), alt)


def png_html(png: bytes, alt: str) -> str:
    """Write an image as HTML."""
    data = base64.b64encode(png).decode("ascii")
    return (
        f'<img alt="{html.escape(alt)}" style="max-width:100%" src="data:image/png;base64,{data}">'
    )


def table_html(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Write text as a table in HTML."""
    lines = [f"<tr>{''.join(f'<th>{html.escape(head)}</th>' for head in heads)}</tr>"]
    for row in rows:
        lines.append(f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>")
    return f'<table class="sttlab-table">{"".join(lines)}</table>'


def shown_html(widget: Any) -> Iterator[str]:
    """Return the HTML that a widget and its children show, from above."""
    if widget.layout is not None and widget.layout.display == "none":
        return
    for child in getattr(widget, "children", ()):
        yield from shown_html(child)
    if type(widget).__name__ == "HTML" and widget.value:
        yield f"<div>{widget.value}</div>"


def _plain(page: str) -> str:
    """Write HTML as text, a line for each row."""
    page = re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL)
    page = re.sub(r"</t[hd]>", "  ", _ENDS.sub("\n", page))
    lines = html.unescape(re.sub(r"<[^>]*>", "", page)).splitlines()
    return "\n".join(line.strip() for line in lines if line.strip())
