"""What a page is made of: texts made safe, tables, and files inside the page as data URLs."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence

from wavegen.errors import shown


def text(words: str) -> str:
    """Returns words as they may stand in HTML, in quotes or out of them."""
    return html.escape(shown(words))


def table(rows: Sequence[Sequence[str]]) -> str:
    """Returns an HTML table of texts; the first of a row says what the others are."""
    found = []
    for name, *cells in rows:
        values = "".join(f"<td>{text(cell)}</td>" for cell in cells)
        found.append(f'<tr><th scope="row">{text(name)}</th>{values}</tr>')
    return f"<table>{''.join(found)}</table>"


def data_of(kind: str, content: bytes) -> str:
    """Returns a data URL."""
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
