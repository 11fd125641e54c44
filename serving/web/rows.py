"""Rows of a history as HTML: a list to choose from, and one row in full."""

from datetime import UTC, datetime, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from gencv.evaluate.verdicts import REASONS
from serving.web.markup import empty, facts, raw, text
from serving.web.verdicts import sentence
from serving.web.words import LABELS, of_hundred

NOTHING = "No verdicts yet that fit. Check a picture, or choose another filter."
CHOOSE = """
element.addEventListener('click', (event) => {
  const row = event.target.closest('button[data-row]');
  if (row) trigger('click', {row: Number(row.dataset.row)});
});
"""
"""Script of the list: a click, or Enter, on a row is an event that has its number."""


def zone_of(name: str) -> tzinfo:
    """Return a browser's time zone; UTC where this machine does not know it."""
    try:
        return ZoneInfo(name)
    except (ValueError, KeyError, OSError):  # no name of one, or none that is there
        return UTC


def local(time: str, zone: tzinfo) -> str:
    """Say when something was, as clocks beside the browser showed it."""
    return datetime.fromisoformat(time).astimezone(zone).strftime("%Y-%m-%d %H:%M:%S %Z")


def listed(rows: list[dict[str, Any]], zone: tzinfo) -> str:
    """Return a button for each verdict."""
    if not rows:
        return empty(NOTHING)
    return f'<ol class="rows">{"".join(line(number, row, zone) for number, row in enumerate(rows))}</ol>'


def line(number: int, row: dict[str, Any], zone: tzinfo) -> str:
    icon = LABELS[row["label"]].icon if row["label"] in LABELS else "•"
    said = f'<span class="said">a person says {text(row["corrected"])}</span>' if row["corrected"] else ""
    return (
        f'<li><button type="button" data-row="{number}" data-label="{text(row["label"])}">'
        f'<span class="icon" aria-hidden="true">{icon}</span><strong>{text(row["label"])}</strong>'
        f"<span>{of_hundred(row['score'])} of 100</span>{said}"
        f"<time>{text(local(row['time'], zone))}</time><code>{text((row['picture_id'] or '')[:8])}</code></button></li>"
    )


def row_in_full(row: dict[str, Any], corrections: list[dict[str, Any]], zone: tzinfo) -> str:
    """Return HTML of a verdict's row, and of all that people said of its picture."""
    told = facts(
        {
            "Verdict": row["label"],
            "Because": "; ".join(REASONS.get(code, code) for code in row["reasons"]),
            "Score": f"{of_hundred(row['score'])} of 100",
            "Most like": row["attribution"],
            "When": local(row["time"], zone),
            "Picture": row["picture_id"],
            "Detector": f"{row['bundle']}, version {row['digest'][:12]}",
            "Threshold": row["threshold_id"],
            "Asked with key": row["caller"],
            "Request": row["request_id"],
        }
    )
    said = "".join(f"<li>{text(words)}</li>" for words in (opinion(one, zone) for one in corrections))
    heard = f"<h4>What people said</h4><ul>{said}</ul>" if said else f"<p>{sentence('nobody has corrected it')}</p>"
    return f'<article class="card">{told}{heard}{raw(row)}</article>'


def opinion(correction: dict[str, Any], zone: tzinfo) -> str:
    who = f" by {correction['caller']}" if correction["caller"] else ""
    note = f": {correction['note']}" if correction["note"] else ""
    return f"{correction['label']}, {local(correction['time'], zone)}{who}{note}"
