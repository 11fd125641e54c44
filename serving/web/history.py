"""The tab History: what was said of which picture, what people say of that, and the way to take either away."""

from typing import Any

import gradio as gr
from gradio.context import Context

from serving.web.endpoints import Endpoints
from serving.web.export import EXPORTS, MOST, SAVE, all_rows
from serving.web.feedback import Judged, about, panel
from serving.web.markup import LIVE, problem
from serving.web.rows import CHOOSE, listed, row_in_full, zone_of
from serving.web.said import Told
from serving.web.words import LABELS

A_PAGE = 20
PATH = "/spoof/v1/history"
ZONE = "() => Intl.DateTimeFormat().resolvedOptions().timeZone"


def tab(endpoints: Endpoints) -> None:
    """Lay out the tab."""

    async def show(label: str, cursors: list[str], zone: str, asker: gr.Request) -> list[Any]:
        """List the page that the last of `cursors` names."""
        asked = {**wanted(label), "limit": A_PAGE, "cursor": cursors[-1]}
        try:
            page = await endpoints.ask(asker, "GET", PATH, params=asked)
        except Told as error:
            page, told = {"items": [], "cursor": None}, problem(error.message)
        else:
            told = listed(page["items"], zone_of(zone))
        turning = [gr.Button(interactive=len(cursors) > 1), gr.Button(interactive=page["cursor"] is not None)]
        return [page["items"], told, page["cursor"], *turning]

    async def choose(rows: list[dict[str, Any]], zone: str, asker: gr.Request, event: gr.EventData) -> list[Any]:
        if event.row not in range(len(rows)):
            raise Told("That row is not there any more; show the list again.")
        return await in_full(rows[event.row], zone, asker)

    async def in_full(row: dict[str, Any] | None, zone: str, asker: gr.Request) -> list[Any]:
        if row is None:
            return chosen(None, "")
        said = await endpoints.ask(asker, "GET", "/spoof/v1/feedback", params={"picture_id": row["picture_id"]})
        return chosen(row, row_in_full(row, said["items"], zone_of(zone)))

    async def forget(row: dict[str, Any] | None, asker: gr.Request) -> None:
        if row is None:
            raise Told("Choose a row first.")
        found = await endpoints.ask(asker, "DELETE", f"{PATH}/{row['picture_id']}")
        gr.Info(f"Deleted {sum(found['deleted'].values())} rows: nothing here names that picture any more.")

    async def export(label: str, ending: str, asker: gr.Request) -> tuple[str, str]:
        rows = await all_rows(endpoints, asker, PATH, wanted(label))
        if not rows:
            raise Told("There is nothing to export.")
        if len(rows) == MOST:
            gr.Warning(f"These are the newest {MOST}; `python jobs/history.py --export` writes all.")
        return f"verdicts.{ending}", EXPORTS[ending](rows)

    rows, row, cursors, following = gr.State([]), gr.State(None), gr.State([""]), gr.State(None)
    zone, name, content = (gr.Textbox(visible=False) for _ in range(3))
    with gr.Row(elem_id="history-bar"):
        label = gr.Dropdown(["any", *LABELS], value="any", label="Verdict", elem_id="history-label")
        again = gr.Button("Refresh", elem_id="history-refresh")
        buttons = {ending: gr.Button(f"Export {ending.upper()}", elem_id=f"history-{ending}") for ending in EXPORTS}
    with gr.Row():
        with gr.Column(scale=3):
            listing = gr.HTML(js_on_load=CHOOSE, elem_id="history-rows")
            with gr.Row():
                newer = gr.Button("Newer", interactive=False, elem_id="history-newer")
                older = gr.Button("Older", interactive=False, elem_id="history-older")
        with gr.Column(scale=2):
            shown = gr.HTML(html_template=LIVE, elem_id="history-row")
            feedback = panel(endpoints, "history")
            with gr.Column(visible=False) as removal:
                ask = gr.Button("Forget this picture", elem_id="history-forget")
                with gr.Column(visible=False, elem_classes="card") as confirm:
                    gr.HTML("<p>All verdicts and corrections of this picture are deleted, for everybody. Sure?</p>")
                    sure = gr.Button("Yes, delete them", variant="stop", elem_id="history-sure")
                    keep = gr.Button("No, keep them", elem_id="history-keep")

    of_row = [row, shown, *feedback.outputs, removal, confirm]
    of_page = [rows, listing, following, newer, older]
    here: Any = {"api_visibility": "private"}
    still: Any = {"show_progress": "hidden", **here}
    listed_anew: Any = {"fn": show, "inputs": [label, cursors, zone], "outputs": of_page, "show_progress_on": listing}
    none_chosen: Any = {"fn": lambda: chosen(None, ""), "outputs": of_row, **still}
    place = Context.block  # the tab itself: whoever comes back to it sees what was checked meanwhile
    assert isinstance(place, gr.Tab)

    gr.on(None, None, None, zone, js=ZONE, **here)
    turns = (
        gr.on([place.select, again.click, label.input], lambda: [""], None, cursors, **still),
        older.click(lambda seen, next: [*seen, next], [cursors, following], cursors, **still),
        newer.click(lambda seen: seen[:-1] or [""], cursors, cursors, **still),
        sure.click(forget, row, None, **here),
    )
    for turn in turns:
        turn.success(**listed_anew, **here).then(**none_chosen)
    listing.click(choose, [rows, zone], of_row, show_progress_on=shown, **here)
    feedback.saved.change(in_full, [row, zone], of_row, **still).then(**listed_anew, **here)
    ask.click(lambda: gr.Column(visible=True), None, confirm, **still)
    keep.click(lambda: gr.Column(visible=False), None, confirm, **still)
    for ending, button in buttons.items():
        made = button.click(export, [label, gr.State(ending)], [name, content], **here)
        made.success(None, [name, content], None, js=SAVE, **here)


def chosen(row: dict[str, Any] | None, told: str) -> list[Any]:
    """Return what the outputs of a row become. told: its HTML."""
    pictures = [] if row is None or row["picture_id"] is None else [judged_of(row)]
    return [row, told, *about(pictures), gr.Column(visible=bool(pictures)), gr.Column(visible=False)]


def judged_of(row: dict[str, Any]) -> Judged:
    return Judged(name="The picture", picture_id=row["picture_id"], verdict_id=row["id"], tasks=(row["task"],))


def wanted(label: str) -> dict[str, str]:
    return {} if label == "any" else {"label": label}
