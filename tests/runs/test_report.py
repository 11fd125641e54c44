import io
import re
from datetime import UTC, datetime
from html.parser import HTMLParser

import pytest
from PIL import Image

from gencv.runs.report import Report, cell, is_numeric, png_size


def png(width: int = 30, height: int = 20) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), "red").save(buffer, "PNG")
    return buffer.getvalue()


class Page(HTMLParser):
    """Tags with their attributes, and the text that a reader sees."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.tags if tag == name]


@pytest.fixture
def report() -> Report:
    report = Report("Generated or real", "on the test split")
    report.headline("AUROC", 0.9567, "95 % interval")
    report.section("Scores", "First paragraph.\n\nSecond paragraph.")
    report.figures({"ROC": png(1_350, 700), "Histogram": png()}, "Two figures.")
    report.note("Few groups.")
    report.section("Where it fails")
    rows: list[list[object]] = [["glide", 0.59, 1234], ["sd15", None, 9]]
    report.table(["generator", "recall", "pictures"], rows, "Worst first", "A note.")
    report.section("Errors")
    report.footer({"seed": 0, "splits": [0.8, 0.2]}, {"manifest": "abc123"}, {"numpy": "2.4.6"})
    return report


def test_the_page_says_everything_in_order(report: Report) -> None:
    page = Page(report.html(made=datetime(2026, 3, 5, 14, 7, tzinfo=UTC)))
    expected = ["Generated or real", "on the test split", "5 March 2026, 14:07 UTC", "AUROC", "0.957", "95 % interval"]
    expected += ["First paragraph.", "Second paragraph.", "Two figures.", "Few groups.", "Worst first"]
    expected += ["glide", "0.590", "1,234", "–", "A note.", "seed", "[0.8, 0.2]", "abc123", "2.4.6"]
    place = page.text.rindex("Generated or real")  # after the title of the window
    for words in expected:
        place = page.text.find(words, place)
        assert place >= 0, f"{words!r} is missing, or stands too early"
    assert [image["alt"] for image in page.all("img")] == ["ROC", "Histogram"]
    targets = {link["href"] for link in page.all("a")}
    assert targets == {f"#{section['id']}" for section in page.all("section") if "id" in section} and len(targets) == 3


def test_the_page_needs_nothing_from_elsewhere(report: Report) -> None:
    html = report.html()
    page = Page(html)
    assert not re.search(r"https?://|@import|url\(|//[a-z]", re.sub(r"base64,[^\"]+", "", html))
    assert not page.all("script") and not page.all("link")
    assert all((image["src"] or "").startswith("data:image/png;base64,") for image in page.all("img"))


def test_what_comes_from_outside_is_escaped() -> None:
    evil = '<script>alert("x")</script>'
    report = Report(evil, evil)
    report.headline(evil, evil, evil)
    report.section(evil, evil)
    report.note(evil)
    report.figures({f'" onerror={evil}': png()}, evil)
    report.table([evil], [[evil]], evil, evil)
    report.footer({evil: evil}, {evil: evil}, {evil: evil})
    page = Page(report.html())
    assert not page.all("script")
    assert all(set(image) <= {"alt", "src", "width", "style", "class"} for image in page.all("img"))
    assert page.text.count(evil) == 20


def test_columns_of_numbers_stand_to_the_right(report: Report) -> None:
    page = Page(report.html())
    assert [heading.get("class") for heading in page.all("th")] == [None, "number", "number"]


def test_an_interval_is_not_broken_in_a_narrow_column() -> None:
    report = Report("Figures")
    report.table(["a", "b"], [["0.912 [0.880, 0.941]", "sd, glide [old, new]"]])
    html = report.html()
    assert "0.912 [0.880,\N{NO-BREAK SPACE}0.941]" in html and "sd, glide [old, new]" in html


def test_an_empty_report_and_an_empty_table_are_pages() -> None:
    assert "Nothing" in Page(Report("Nothing").html()).text
    report = Report("Nothing")
    report.table(["a", "b"], [])
    assert "There are no rows." in Page(report.html()).text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (float("nan"), "–"),
        (0.12345, "0.123"),
        (-1.5, "-1.500"),
        (12345, "12,345"),
        (True, "yes"),
        ("a", "a"),
    ],
)
def test_cells_are_written_for_people(value: object, text: str) -> None:
    assert cell(value) == text


@pytest.mark.parametrize(
    ("cells", "numeric"),
    [
        (["0.5", "–", "12 %"], True),
        (["0.912 [0.880, 0.941]", ""], True),
        (["0.95 to 0.96"], True),
        (["0.5", "sd15"], False),
        (["–", ""], False),
        ([], False),
    ],
)
def test_numeric_columns_are_told_by_their_cells(cells: list[str], numeric: bool) -> None:
    assert is_numeric(cells) is numeric


def test_the_size_of_a_picture_is_read_from_its_head() -> None:
    assert png_size(png(31, 17)) == (31, 17)
    with pytest.raises(AssertionError, match="PNG"):
        png_size(b"GIF89a")
