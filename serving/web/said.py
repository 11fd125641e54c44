"""What the page says while it works and when it is done: sentences, how far it is, how much of something there is."""

from collections.abc import Iterable

import gradio as gr

from serving.web.markup import text


class Told(gr.Error):
    """What a person is told in place of a result. The program has no fault in it, so the log gets no traceback."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence, print_exception=False)


def sentences(texts: Iterable[str], is_warning: bool = False) -> str:
    """Return a paragraph, which a screen reader reads out when it changes; "" where there is nothing to say."""
    said = " ".join(texts)
    return f'<p class="saying{" warning" if is_warning else ""}" role="status">{text(said)}</p>' if said else ""


def progress(done: float, total: float, says: str) -> str:
    """Return how far something is. total: 0 where that is not known."""
    value = f'value="{done:g}" max="{total:g}"' if total else ""
    return f'<p class="saying" role="status"><progress {value} aria-label="Progress"></progress> {text(says)}</p>'


def bar(share: float, mark: float | None, says: str) -> str:
    """Return a bar of a share in [0, 1], with a mark at another one. says: the same in words."""
    line = "" if mark is None else f'<b style="left:{percent(mark)}"></b>'
    return f'<div class="meter" role="img" aria-label="{text(says)}"><i style="width:{percent(share)}"></i>{line}</div>'


def percent(share: float) -> str:
    return f"{100 * min(1.0, max(0.0, share)):.1f}%"
