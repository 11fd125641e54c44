"""Pieces of HTML that tabs share. What comes from answers goes through `text`, as strangers wrote some of it."""

import html
import json
from typing import Any

LIVE = '<div aria-live="polite">${value}</div>'
"""A template around what changes, so that a screen reader tells it."""


def text(value: Any) -> str:
    """Return a value as HTML that shows it and does nothing."""
    return html.escape(str(value))


def empty(sentence: str) -> str:
    """Say what to do where there is nothing to see yet."""
    return f'<p class="empty">{text(sentence)}</p>'


def problem(sentence: str) -> str:
    """Say what went wrong with one of several things."""
    return f'<p class="problem" role="alert"><span aria-hidden="true">✕</span> {text(sentence)}</p>'


def facts(rows: dict[str, Any]) -> str:
    """List names and values; those without a value are left out."""
    shown = {name: value for name, value in rows.items() if value not in (None, "", [], {})}
    told = "".join(f"<dt>{text(name)}</dt><dd>{text(value)}</dd>" for name, value in shown.items())
    return f'<dl class="facts">{told}</dl>' if told else ""


def fold(title: str, inside: str, is_open: bool = False) -> str:
    """Put HTML into a fold that a click, or Enter, opens."""
    return f"<details{' open' if is_open else ''}><summary>{text(title)}</summary>{inside}</details>"


def raw(answer: Any) -> str:
    """Show an answer as it came, but for the pictures in it, in a fold."""
    return fold("Details", f'<pre tabindex="0">{text(json.dumps(without_pictures(answer), indent=1))}</pre>')


def without_pictures(answer: Any) -> Any:
    if isinstance(answer, dict):
        return {name: without_pictures(value) for name, value in answer.items()}
    if isinstance(answer, list):
        return [without_pictures(value) for value in answer]
    return "(a picture)" if isinstance(answer, str) and answer.startswith("data:") else answer


def picture(url: str, name: str, note: str = "") -> str:
    """Show a picture of an answer, a `data:` URL or a place here. name: for who does not see it. note: below it."""
    below = f"<figcaption>{text(note)}</figcaption>" if note else ""
    return f'<figure><img src="{text(url)}" alt="{text(name)}" loading="lazy">{below}</figure>'
