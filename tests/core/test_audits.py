import json
from pathlib import Path

import pytest
from fakes import manifest

from gencv.core.audits import audit_of, describe
from gencv.core.errors import BadInput


def test_an_audit_is_that_of_the_manifest(tmp_path: Path) -> None:
    made = manifest(4)
    facts = {"audit_digest": "abc", "verdict": "Fit.", "fit_to_train_on": True, "manifest": made.digest()}
    (tmp_path / "audit.json").write_text(json.dumps(facts))
    audit = audit_of(str(tmp_path), made)
    assert audit == {"digest": "abc", "verdict": "Fit.", "fit": True}
    assert "abc" in describe(audit) and "Fit." in describe(audit)
    with pytest.raises(BadInput, match="audit the manifest"):
        audit_of(str(tmp_path), manifest(5))


def test_no_audit_is_said(tmp_path: Path) -> None:
    assert audit_of("", manifest(4)) is None and "not audited" in describe(None)
    with pytest.raises(BadInput, match=r"holds no audit\.json"):
        audit_of(str(tmp_path), manifest(4))
    for broken in ("[]", "{", "{}"):
        (tmp_path / "audit.json").write_text(broken)
        with pytest.raises(BadInput, match="cannot be read"):
            audit_of(str(tmp_path), manifest(4))
