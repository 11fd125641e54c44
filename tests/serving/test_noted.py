"""What is counted of a request that nobody answered."""

import asyncio
from typing import Any

import pytest

from serving import api


@pytest.mark.parametrize(("error", "status"), [(asyncio.CancelledError, 499), (RuntimeError, 500)])
def test_a_client_that_went_away_is_no_fault_of_ours(
    monkeypatch: pytest.MonkeyPatch, error: type[BaseException], status: int
) -> None:
    counted: list[Any] = []
    monkeypatch.setattr(api, "measure_request", lambda *facts: counted.append(facts))

    async def ends(*_: Any) -> None:
        raise error

    scope: dict[str, Any] = {"type": "http", "method": "GET", "headers": []}
    with pytest.raises(error):
        asyncio.run(api.Noted(ends, "spoof")(scope, ends, ends))
    assert [facts[2] for facts in counted] == [status]
