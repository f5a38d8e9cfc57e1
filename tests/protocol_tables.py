"""Bring the tables of docs/protocol.md up to date: `make protocol`."""

from __future__ import annotations

from pathlib import Path

from sttlab.server import contract

DOCUMENT = Path(__file__).parents[1] / "docs" / "protocol.md"
BEGIN, END = "<!-- made by sttlab.server.contract.markdown -->\n", "<!-- end -->"


def with_tables(text: str) -> str:
    """Return a document with the tables as the code has them."""
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}{contract.markdown()}{END}{after}"


if __name__ == "__main__":
    written = with_tables(DOCUMENT.read_text(encoding="utf-8"))
    DOCUMENT.write_text(written, encoding="utf-8", newline="\n")
