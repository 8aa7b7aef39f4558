"""The tables of a trajectory as Markdown for a web page.

The words are the model's and may hold anything: every sign that Markdown or HTML would act on is written as
an entity, so that no text can leave its cell. Pure functions; `transcript.py` is the same for a
terminal.
"""

from __future__ import annotations

import html
from collections.abc import Iterable

from eva_lightning.reports.trajectory_tables import Table

_ACTIVE = {ord(sign): f"&#{ord(sign)};" for sign in "|*_`[]\\~#"}


def markdown(tables: Iterable[Table]) -> str:
    """The tables, one below the other."""
    return "\n\n".join(map(_table, tables))


def _table(table: Table) -> str:
    rule = "|" + "---|" * len(table.columns)
    return "\n".join([_row(table.columns), rule, *map(_row, table.rows)])


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(map(escaped, cells)) + " |"


def escaped(text: str) -> str:
    r"""Plain text for one cell.

    >>> escaped("a|b\n<b>*x*</b>")
    'a&#124;b<br>&lt;b&gt;&#42;x&#42;&lt;/b&gt;'
    """
    return html.escape(text, quote=False).translate(_ACTIVE).replace("\n", "<br>")
