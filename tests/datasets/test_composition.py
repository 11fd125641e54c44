from gencv.core.findings import Level
from gencv.datasets.composition import compose, findings_of


def test_cells_count_every_picture_once_and_in_order() -> None:
    cells = compose(
        ["test", "train", "train", "train"],
        [1, 0, 0, None],
        ["sd", "camera", "camera", "camera"],
        ["a", "b", "b", "b"],
        [256, 100, 300, None],
    )
    assert [(cell.split, cell.label, cell.num_pictures) for cell in cells] == [
        ("train", 0, 2),
        ("train", None, 1),
        ("test", 1, 1),
    ]
    assert (cells[0].smallest_px, cells[0].median_px, cells[0].largest_px) == (100, 200, 300)
    assert cells[1].median_px is None


def test_a_split_of_one_class_is_a_warning_and_a_lopsided_one_a_remark() -> None:
    count = 25
    cells = compose(
        ["train"] * count + ["test"] * 2,
        [0] * (count - 2) + [1, 1, 0, 0],
        ["x"] * (count + 2),
        ["a"] * count + ["b"] * 2,
        [64] * (count + 2),
    )
    found = {finding.level: finding.sentence for finding in findings_of(cells)}
    assert "test split has 2 genuine and 0 positive" in found[Level.WARN]
    assert "train split has 23 genuine and 2 positive" in found[Level.REMARK]


def test_one_source_of_genuine_pictures_is_a_remark() -> None:
    cells = compose(["train"] * 2, [0, 1], ["x"] * 2, ["coco", "sd"], [64, 64])
    (remark,) = findings_of(cells)
    assert remark.level == Level.REMARK and "coco" in remark.sentence
