"""A run's report: one HTML file that needs nothing else, for the screen, for paper, and for a reader in five years.

    report = Report("Generated or real", "probe `linear` on the test split")
    report.headline("AUROC", "0.957", "95 % interval 0.952 to 0.963")
    report.section("Where it fails", "Recall of each generator at the fixed threshold, worst first.")
    report.table(["generator", "recall"], [["glide", 0.596]])
    html = report.html()

Pictures go in as data, styles are inline, there is no script and no address to fetch anything from.
"""

import base64
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jinja2

NONE = "–"
_NUMBER = re.compile(r"[-+−<]?[\d.,]+( ?%)?( to [\d.,]+)?( ?\[.*\])?( ?± ?[\d.,]+)?")


@dataclass(frozen=True)
class _Block:
    """One part of a section: `kind` chooses how the template shows it."""

    kind: str
    facts: dict[str, Any]


@dataclass
class _Section:
    title: str
    text: list[str]
    blocks: list[_Block] = field(default_factory=list)


class Report:
    """A report under construction; what is added goes to the section that was opened last."""

    def __init__(self, title: str, subtitle: str = "") -> None:
        self.title, self.subtitle = title, subtitle
        self._cards: list[dict[str, str]] = []
        self._sections: list[_Section] = []
        self._config: dict[str, str] = {}
        self._inputs: dict[str, str] = {}
        self._versions: dict[str, str] = {}

    def headline(self, name: str, value: Any, detail: str = "") -> None:
        """Add a card at the top: a figure, what it is called, and the small print that belongs to it."""
        self._cards.append({"name": name, "value": cell(value), "detail": detail})

    def section(self, title: str, text: str = "") -> None:
        """Open a section. An empty line in the text begins a new paragraph."""
        self._sections.append(_Section(title, [part for part in re.split(r"\n\s*\n", text.strip()) if part]))

    def note(self, text: str) -> None:
        """Add a set-off remark: what a reader must know before trusting the figures around it."""
        self._add("note", text=text)

    def figures(self, pictures: Mapping[str, bytes], caption: str = "") -> None:
        """Add PNG pictures by name, narrow ones side by side, wide ones over the whole page.

        The names are what a screen reader says. The caption stands under all of them.
        """
        shown = []
        for name, png in pictures.items():
            width, height = png_size(png)
            data = base64.b64encode(png).decode()
            shown.append({"name": name, "width": width, "height": height, "data": data})
        self._add("figures", pictures=shown, caption=caption)

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[Any]], caption: str = "", note: str = "") -> None:
        """Add a table; columns of numbers stand to the right, and None is a dash.

        A float is written with three decimals and an int with thousands separated: give a str for anything else.
        """
        cells = [[unbroken(cell(value)) for value in row] for row in rows]
        assert all(len(row) == len(columns) for row in cells), "a row has as many cells as there are columns"
        is_number = [is_numeric([row[k] for row in cells]) for k in range(len(columns))]
        self._add("table", columns=list(columns), rows=cells, is_number=is_number, caption=caption, note=note)

    def footer(
        self,
        config: Mapping[str, Any] | None = None,
        inputs: Mapping[str, str] | None = None,
        versions: Mapping[str, str] | None = None,
    ) -> None:
        """Say how the run was made: its configuration, its inputs by digest, and the versions at work."""
        self._config = {name: _plain(value) for name, value in (config or {}).items()}
        self._inputs, self._versions = dict(inputs or {}), dict(versions or {})

    def html(self, *, made: datetime | None = None) -> str:
        """Return the whole page. made: the time to write into it; now, in UTC, if None."""
        environment = jinja2.Environment(
            autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
        )
        page = environment.from_string(Path(__file__).with_name("report.html.j2").read_text("utf-8"))
        return page.render(
            title=self.title,
            subtitle=self.subtitle,
            made=(made or datetime.now(UTC)).strftime("%d %B %Y, %H:%M %Z").strip(", ").lstrip("0"),
            cards=self._cards,
            sections=self._sections,
            provenance={"Configuration": self._config, "Inputs": self._inputs, "Versions": self._versions},
        )

    def _add(self, kind: str, **facts: Any) -> None:
        if not self._sections:
            self._sections.append(_Section("", []))
        self._sections[-1].blocks.append(_Block(kind, facts))


def cell(value: Any) -> str:
    """Return a value as a table shows it: a dash for None and NaN, 0.957, 12,345, or the text itself."""
    if value is None or value != value:
        return NONE
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return {True: "yes", False: "no"}.get(value, str(value)) if isinstance(value, bool) else str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:,.3f}"


def unbroken(text: str) -> str:
    """Keep an interval on one line where a narrow column breaks "0.912 [0.880, 0.941]"."""
    return text.replace(", ", ",\N{NO-BREAK SPACE}") if _NUMBER.fullmatch(text) else text


def is_numeric(cells: Sequence[str]) -> bool:
    """Say whether a column holds numbers, with an interval or per cent behind them, and at least one of them."""
    filled = [text for text in cells if text not in ("", NONE)]
    return bool(filled) and all(_NUMBER.fullmatch(text) for text in filled)


def png_size(png: bytes) -> tuple[int, int]:
    """Return width and height in px from the head of a PNG."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n", "a report takes PNG bytes"
    return int.from_bytes(png[16:20], "big"), int.from_bytes(png[20:24], "big")


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
