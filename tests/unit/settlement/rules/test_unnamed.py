"""Payments of people whom the lists cannot be held against: nobody passes for everybody."""

from __future__ import annotations

import pytest

from settlement.rules.facts import Role, Subject
from settlement.rules.model import Verdict
from tests.support.rules import ask, beneficiary, facts

LISTED = """
[[sanction]]
id = "x-1"
names = ["Ivan Petrovich Sidorov"]
"""


@pytest.mark.parametrize(
    ("setting", "unnamed", "nobody"),
    [
        ("", Verdict.REFER, Verdict.PASS),
        ('unnamed = "block"\nnobody = "refer"\n', Verdict.BLOCK, Verdict.REFER),
        ('unnamed = "pass"\nnobody = "block"\n', Verdict.PASS, Verdict.BLOCK),
    ],
)
def test_who_has_no_name_passes_no_list_in_silence(setting: str, unnamed: Verdict, nobody: Verdict) -> None:
    """A person without a name, and a payment of nobody, come out as the rules say, and the decision tells why."""
    body = f"[sanctions]\n{setting}{LISTED}"
    bank = Subject(Role.BENEFICIARY_BANK, bics=("GOODDEFF",))
    for subjects, verdict, told in (
        ((beneficiary(accounts=("DE1",)), Subject(Role.ORIGINATOR, ("Ann Example",))), unnamed, "beneficiary"),
        ((beneficiary("Ann Example"), Subject(Role.ORIGINATOR)), unnamed, "originator"),
        ((), nobody, "nobody"),
    ):
        decision = ask(body, facts(subjects=subjects))
        assert decision.verdict is verdict
        assert any(told in reason.text and reason.verdict is verdict for reason in decision.reasons)
    assert ask(body, facts(subjects=(beneficiary("Ann Example"), bank))).reasons == ()
    assert ask("", facts(subjects=())).reasons == ()
