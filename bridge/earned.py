"""Which service fees wait on the Hub to be distributed, as the final events say: asset, earners, and how much."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from bridge.codec import decode, encode
from bridge.storage import UnitOfWork, View

_FACT: Final = "earned fees"
VOUCHERS: Final = bytes(32)
"""In the place of a group: the bitmap counts vouchers."""


class Earned(Struct, frozen=True, forbid_unknown_fields=True, array_like=True):
    """Who earned fees of an asset that wait. Fields: asset; group (or `VOUCHERS`); bitmap of its members, 32 bytes."""

    asset: bytes
    group: bytes
    bitmap: bytes

    @property
    def signers(self) -> int:
        """The bitmap as a number."""
        return int.from_bytes(self.bitmap, "big")


async def earned(view: View) -> list[Earned]:
    """What waits; how much, the Hub says."""
    stored = await view.node_meta.get(_FACT)
    return [] if stored is None else decode(stored, list[Earned], _FACT)


async def note_earned(uow: UnitOfWork, asset: bytes, group: bytes, signers: int) -> None:
    """Fees of this kind wait from now on."""
    item = Earned(asset, group, signers.to_bytes(32, "big"))
    known = await earned(uow)
    if item not in known:
        await uow.node_meta.put(_FACT, encode([*known, item]))


async def note_distributed(uow: UnitOfWork, asset: bytes, group: bytes, signers: int) -> None:
    """Fees of this kind were distributed, all that waited."""
    item = Earned(asset, group, signers.to_bytes(32, "big"))
    known = await earned(uow)
    if item in known:
        await uow.node_meta.put(_FACT, encode([other for other in known if other != item]))
