"""What a search found, as the page shows it: a card for each picture."""

import base64
from typing import Any

from serving.web.markup import empty, facts, fold, text
from serving.web.said import bar, sentences

LABELS = {0: "genuine", 1: "spoofed or generated", None: "not known"}
NOTHING_YET = empty("Say what you are looking for, or give a picture, and press Search.")
ON_CLICK = """element.addEventListener('click', event => {
  const button = event.target.closest('button[data-id]');
  if (button) trigger('select', {id: button.dataset.id});
});"""
"""Tells the page which picture more are wanted like."""


def cards(page: dict[str, Any], thumbnails: list[bytes]) -> str:
    """Return a card for each hit of a page."""
    # Scores of a query that counts words, or was ordered anew, are no cosines, and compare with no level.
    is_cosine = not (page["asked"]["hybrid"] or page["reranker"])
    level = page["best"]["level"] if is_cosine else None
    found = zip(page["hits"], thumbnails, strict=True)
    return "".join(card(hit, thumbnail, level, is_cosine) for hit, thumbnail in found)


def card(hit: dict[str, Any], thumbnail: bytes, level: float | None, is_cosine: bool) -> str:
    """Return a hit. level: the cosine from which it is a good match, None where that is not known."""
    name, known = name_of(hit), LABELS.get(hit.get("label"), "not known")
    copies = len(hit["copies"])
    score = f"{hit['score']:.2f}"
    says = f"similarity {score}{strength_of(hit['score'], level)}"
    details = {
        "Kind": known,
        "Made by": hit.get("generator"),
        "Size": f"{hit['width']} × {hit['height']} px" if hit.get("width") else None,
        "Source": hit.get("source"),
        "Split": hit.get("split"),
        "Looks the same": f"{copies} more" if copies else None,
        "Id": hit["id"],
        "Place": hit.get("uri"),
    }
    picture = base64.b64encode(thumbnail).decode()
    return (
        f'<li class="hit"><img src="data:image/jpeg;base64,{picture}" alt="{text(name)}">'
        f'<p class="name">{text(name)}</p>'
        + (f"{bar(hit['score'], level, says)}<p>{says}</p>" if is_cosine else "")
        + fold("Details", facts(details))
        + f'<button type="button" data-id="{text(hit["id"])}" aria-label="More like {text(name)}">'
        "More like this</button></li>"
    )


def name_of(hit: dict[str, Any]) -> str:
    """Return what a picture is called: its first caption, or else what is known of it."""
    captions = hit.get("caption") or []
    return str(captions[0]) if captions else f"{LABELS.get(hit.get('label'), 'not known')}, {hit.get('generator')}"


def strength_of(score: float, level: float | None) -> str:
    """Return in words how a hit compares with what unrelated words reach."""
    if level is None:
        return ""
    return ", a good match" if score >= level else ", a weak match"


def listing(items: str) -> str:
    """Return the cards as one list, or what to do where there is none."""
    return f'<ul class="hits">{items}</ul>' if items else ""


def remarks(page: dict[str, Any], count: int) -> str:
    """Say what there is to know of what was found. count: of the hits that are shown, of all pages."""
    if not page["hits"] and not count:
        return sentences(["Nothing was found; leave out a filter, or say it in other words."], is_warning=True)
    said = f"{count} of {page['index']['pictures']:,} pictures, best first."
    if page["no_good_match"]:
        return sentences(["No good match: unrelated words come as near as these.", said], is_warning=True)
    return sentences([said])
