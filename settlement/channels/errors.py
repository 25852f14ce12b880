"""What is refused in a channel, and who is to blame."""

from __future__ import annotations

from enum import StrEnum

from foundation.errors import Fatal


class ForgedSheet(Fatal):
    """A signature is not by the account that should have made it. Fields: account (20 bytes); what; problem."""

    def __init__(self, account: bytes, what: str, problem: str) -> None:
        self.account = account
        self.what = what
        self.problem = problem
        super().__init__(f"{what}, signature of {account.hex()}: {problem}")


class BadStep(Fatal):
    """The counterparty's message, or our own wish, does not fit the channel as it stands; nothing has changed.

    Fields: channel (32 bytes); field (what is wrong); problem.
    """

    def __init__(self, channel: bytes, field: str, problem: str) -> None:
        self.channel = channel
        self.field = field
        self.problem = problem
        super().__init__(f"channel {channel.hex()[:16]}: {field}: {problem}")


class Ruling(StrEnum):
    """Why an adjudicator refused."""

    UNKNOWN_CHANNEL = "unknown_channel"
    NOT_A_PARTY = "not_a_party"
    WRONG_STATE = "wrong_state"  # the channel is not in the state that this needs
    TOO_EARLY = "too_early"
    TOO_LATE = "too_late"
    NOT_NEWER = "not_newer"
    BAD_SHEET = "bad_sheet"
    FORGED = "forged"
    ALREADY_ANSWERED = "already_answered"


class Overruled(Fatal):
    """An adjudicator refused; nothing has moved. Fields: channel (32 bytes); ruling; problem."""

    def __init__(self, channel: bytes, ruling: Ruling, problem: str) -> None:
        self.channel = channel
        self.ruling = ruling
        self.problem = problem
        super().__init__(f"channel {channel.hex()[:16]}: {ruling.value}: {problem}")
