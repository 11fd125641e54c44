from gencv.core.findings import Finding, Level, failed, verdict, worst_first


def finding(level: Level, weight: float = 0.0) -> Finding:
    return Finding(level=level, part="leaks", sentence=f"{level.value} {weight}.", weight=weight)


def test_the_worst_comes_first_and_the_verdict_names_it() -> None:
    some = [finding(Level.REMARK, 9), finding(Level.WARN), finding(Level.FAIL, 0.2), finding(Level.FAIL, 0.9)]
    assert [f.sentence for f in worst_first(some)] == ["fail 0.9.", "fail 0.2.", "warn 0.0.", "remark 9."]
    assert failed(some) and verdict(some) == "Not fit to train on, for 2 reasons, the first of which is: fail 0.9."
    assert verdict(some[:3]) == "Not fit to train on, for one reason: fail 0.2."


def test_warnings_and_remarks_forbid_nothing() -> None:
    assert not failed([finding(Level.WARN), finding(Level.REMARK)])
    assert "with one warning to weigh" in verdict([finding(Level.WARN), finding(Level.REMARK)])
    assert verdict([finding(Level.REMARK)]) == verdict([]) and "Nothing was found" in verdict([])
