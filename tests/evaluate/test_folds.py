import numpy as np

from gencv.evaluate.folds import enough, fit_logistic, fit_trees, out_of_fold


def test_too_few_of_a_class_or_of_its_groups_are_named() -> None:
    labels = np.repeat([0, 1], [40, 29])
    assert "29 positive pictures of 29 groups are too few" in enough(labels, np.arange(69)).lacking
    labels = np.repeat([0, 1], 40)
    assert enough(labels, np.arange(80)).lacking == ""
    assert "40 genuine pictures of 4 groups" in enough(labels, np.r_[np.arange(40) // 10, np.arange(40) + 100]).lacking


def test_no_row_is_scored_by_a_probe_that_saw_its_group() -> None:
    groups = np.arange(120) // 4
    labels = groups % 2
    seen: list[tuple[set[int], set[int]]] = []

    def remember(features: np.ndarray, own: np.ndarray, others: np.ndarray) -> np.ndarray:
        seen.append((set(features[:, 0]), set(others[:, 0])))
        return np.full(len(others), 0.5)

    scores = out_of_fold(groups[:, None].astype(float), labels, groups, remember)
    assert not np.isnan(scores).any() and len(seen) == 5
    assert all(not fitted & held_out for fitted, held_out in seen)
    assert set.union(*(held_out for _, held_out in seen)) == set(groups)


def test_trees_find_what_is_not_monotone_and_know_nothing_of_noise() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(400) % 2
    middle = np.where(labels == 1, 256.0, rng.integers(0, 512, 400))[:, None]
    told = out_of_fold(middle, labels, np.arange(400), fit_trees())
    assert told[labels == 1].min() > np.median(told[labels == 0])
    noise = out_of_fold(rng.normal(size=(400, 3)), labels, np.arange(400), fit_trees())
    assert abs(noise[labels == 1].mean() - noise[labels == 0].mean()) < 0.1
    np.testing.assert_array_equal(told, out_of_fold(middle, labels, np.arange(400), fit_trees()))


def test_the_base_rate_ranks_nothing() -> None:
    rng = np.random.default_rng(1)
    groups = rng.integers(0, 12, 200)
    labels = np.array([0, 0, 1, 0, 1, 0, 0, 0, 1, 1, 0, 1])[groups]
    for probe in (fit_trees(), fit_logistic):
        assert len(set(out_of_fold(np.zeros((200, 2)), labels, groups, probe))) == 1
