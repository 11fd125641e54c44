"""A picture's verdicts as a card: what it looks like, how sure that is, why, and what its file says."""

from typing import Any

from gencv.evaluate.verdicts import REASONS
from serving.web.markup import fold, picture, problem, raw, text
from serving.web.origin import origin
from serving.web.words import LABELS, TASKS, Words, apart, of_hundred, out_of

CAUTION = "This is what a detector says, and no proof."
NEAREST = "Pictures that the detector learned from, nearest first. Near means alike to the detector, in any respect."


def card(result: dict[str, Any], preview: str) -> str:
    """Return HTML of one result of /spoof/v1/check. preview: where the picture lies, for the browser."""
    name = result["name"]
    head = f"<header>{picture(preview, '')}<h3>{text(name)}</h3></header>"
    if error := result["error"]:
        return f'<article class="card">{head}{problem(error["message"])}</article>'
    answers = result["answers"]
    titles = titles_of(answers)
    told = "".join(verdict(answer, title) for answer, title in zip(answers, titles, strict=True))
    said = origin(result["provenance"]) if result["provenance"] else ""
    return f'<article class="card">{head}{told}{said}<p class="caution">{CAUTION}</p>{raw(result)}</article>'


def titles_of(answers: list[dict[str, Any]]) -> list[str]:
    """Say of several answers which is which: by detector, and by face; one alone needs no title."""
    num_bundles = len({answer["bundle"] for answer in answers})
    faces: dict[str, int] = {}
    titles = []
    for answer in answers:
        number = faces[answer["bundle"]] = faces.get(answer["bundle"], 0) + 1
        parts = [answer["bundle"]] if num_bundles > 1 else []
        titles.append(" · ".join(parts + ([f"Face {number}"] if len(answers) > num_bundles else [])))
    return titles


def verdict(answer: dict[str, Any], title: str) -> str:
    """Return HTML of one answer: of a detector, of one face where it looks at faces."""
    label = answer["label"]
    words = LABELS.get(label, Words(f"Looks {label}", "•"))
    icon = f'<span class="icon" aria-hidden="true">{words.icon}</span>'
    return (
        f'<section class="verdict" data-label="{text(label)}">'
        + (f"<h4>{text(title)}</h4>" if title else "")
        + f'<p class="headline">{icon}{text(words.headline)}</p>'
        + why_open(answer)
        + meter(answer)
        + f"<p>{text(how_sure(answer))}</p>"
        + kind(answer)
        + why(answer.get("explanations", {}))
        + f'<p class="small">Detector {text(answer["bundle"])}, version {text(answer["digest"][:12])}. '
        + f"Picture {text(answer['id'][:12])}.</p></section>"
    )


def why_open(answer: dict[str, Any]) -> str:
    """Say why a verdict is uncertain."""
    told = "".join(f"<li>{text(sentence(REASONS.get(code, code)))}</li>" for code in answer["reasons"])
    return f'<ul class="reasons">{told}</ul>' if told else ""


def meter(answer: dict[str, Any]) -> str:
    """Draw the score, and where the threshold lies."""
    genuine, positive = TASKS[answer["task"]]
    score, threshold = apart(answer["score"], answer["threshold"])
    said = f"{score} of 100; from {threshold} on it is called {positive}"
    at, line = (f"{100 * answer[name]:.1f}" for name in ("score", "threshold"))
    return (
        f'<div class="meter" role="meter" aria-label="Score" aria-valuemin="0" aria-valuemax="100" aria-valuenow="{at}"'
        f' aria-valuetext="{said}"><i style="width:{at}%"></i><b style="left:{line}%"></b></div>'
        f'<p class="ends" aria-hidden="true"><span>{genuine}</span><span>{positive}</span></p>'
        f"<p>Score <strong>{score}</strong> of 100. From {threshold} on, the line in the bar, a picture is called "
        f"{positive}.</p>"
    )


def how_sure(answer: dict[str, Any]) -> str:
    """Say which errors to expect."""
    genuine, positive = TASKS[answer["task"]]
    rates = ((answer["expected_fpr"], genuine, positive), (answer["expected_fnr"], positive, genuine))
    told = [f"{out_of(rate, LABELS[true].plural)} are called {said}" for rate, true, said in rates if rate is not None]
    said = sentence(f"at this threshold, {', and '.join(told)}") if told else "How often it errs was not measured."
    if rate := answer["error_rate"]:
        said += f" Where it is certain, at most {100 * rate:g} of 100 get the wrong verdict, as promised."
    return said


def kind(answer: dict[str, Any]) -> str:
    """Say which kind of spoof, or which generator, where the detector tells kinds apart and calls it one."""
    if answer.get("kind", "none") == "none":
        return ""
    return f"<p>Most like: <strong>{text(answer['kind'])}</strong>, {of_hundred(answer['kind_score'])} of 100.</p>"


def why(explanations: dict[str, Any]) -> str:
    """Show where the detector looks, and the pictures nearest to this one."""
    inside = ""
    if seen := explanations.get("attention"):
        inside += picture(seen["image"], "Map of where the detector looks", seen["meaning"])
    for label, found in explanations.get("neighbours", {}).items():
        plural = LABELS[label].plural if label in LABELS else label
        shown = "".join(
            picture(one["image"], f"Nearest {plural}, number {number}", f"likeness {100 * one['cosine']:.0f} of 100")
            for number, one in enumerate(found, 1)
        )
        inside += f'<h5>Nearest {text(plural)}</h5><div class="nearest">{shown}</div>'
    inside += f'<p class="small">{NEAREST}</p>' if "neighbours" in explanations else ""
    return fold("Why", inside, is_open=True) if inside else ""


def sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}."
