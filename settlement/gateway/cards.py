"""Parties' cards as files: JSON that one operator hands to another, by a way that both trust."""

from __future__ import annotations

from pathlib import Path

import msgspec

from foundation.errors import BadInput
from foundation.files import write_durably
from foundation.unreadable import UNREADABLE
from settlement.gateway.keys import Card
from settlement.quantities import PartyId

_BYTES_MAX = 65_536


def write_card(path: Path, card: Card) -> None:
    """Write a card; bytes are base64 in it. Raises OSError."""
    write_durably(path, msgspec.json.format(msgspec.json.encode(card), indent=2) + b"\n", mode=0o644)


def read_card(path: Path) -> Card:
    """A card from its file; nothing is verified yet.

    Raises:
        BadInput: it cannot be read, or is none.
    """
    try:
        with path.open("rb") as file:
            return msgspec.json.decode(file.read(_BYTES_MAX), type=Card)
    except OSError as error:
        raise BadInput(str(path), error.strerror or "cannot be read", "ask the party for its card") from error
    except UNREADABLE as error:
        raise BadInput(str(path), f"no card: {error}", "ask the party for its card") from error


def read_cards(folder: Path) -> dict[PartyId, Card]:
    """All cards of a folder, by the parties that they name.

    Raises:
        BadInput: as `read_card` says, or two are of one party.
    """
    cards: dict[PartyId, Card] = {}
    for path in sorted(folder.glob("*.json")):
        card = read_card(path)
        if card.party in cards:
            raise BadInput(str(path), f"another card of {card.party} is there", "keep one")
        cards[card.party] = card
    return cards
