"""A history as a file: read page by page, made in memory, and given to the browser."""

import json
from collections.abc import Callable
from typing import Any

import gradio as gr
import pyarrow as pa

from gencv.runs.export import to_csv
from serving.web.endpoints import Endpoints

MOST = 5_000
"""Rows of an export; the job `history` writes any number (docs/history.md)."""
A_PAGE = 200
SAVE = """(name, content) => {
  if (!content) return;
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([content]));
  link.download = name;
  link.click();
  URL.revokeObjectURL(link.href);
}"""
"""Script that saves a text under a name; it lies on no disk but the browser's."""


async def all_rows(endpoints: Endpoints, asker: gr.Request, path: str, asked: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the newest MOST rows of a listing. Raises Told."""
    rows: list[dict[str, Any]] = []
    cursor: str | None = ""
    while cursor is not None and len(rows) < MOST:
        page = await endpoints.ask(asker, "GET", path, params={**asked, "limit": A_PAGE, "cursor": cursor})
        rows, cursor = rows + page["items"], page["cursor"]
    return rows[:MOST]


def csv(rows: list[dict[str, Any]]) -> str:
    return to_csv(pa.Table.from_pylist(rows)).decode()


def jsonl(rows: list[dict[str, Any]]) -> str:
    return "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)


EXPORTS: dict[str, Callable[[list[dict[str, Any]]], str]] = {"csv": csv, "jsonl": jsonl}
"""By the ending of a file."""
