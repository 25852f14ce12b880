"""Keys: made once, kept as hashes, good until they are revoked or expire."""

from __future__ import annotations

from pathlib import Path

import pytest

from api.principals import KeyStore, Limits, Scope, certificate_row, new_key
from foundation.errors import BadInput
from foundation.quantities import UnixMs
from tests.support.api_gateway import NOW, open_api, problem


async def test_a_revoked_key_opens_nothing_two_seconds_later(tmp_path: Path) -> None:
    """A key that another process revoked is refused as soon as it is read again."""
    async with open_api(tmp_path) as api:
        assert (await api.client.get("/v1/accounts")).status_code == 200
        async with api.database.unit() as unit:
            assert await KeyStore(unit.connection).revoke("shop", NOW)
            assert not await KeyStore(unit.connection).revoke("shop", NOW)
            await unit.commit()
        api.gateway.clock = UnixMs(NOW + 2_000)
        problem(await api.client.get("/v1/accounts"), 401, "unauthorized")


async def test_a_key_ends_when_it_expires(tmp_path: Path) -> None:
    """A key is good before its end, and no longer at it."""
    async with open_api(tmp_path) as api:
        key, row = new_key("short", "short", frozenset(Scope), Limits(), NOW, UnixMs(NOW + 1_000))
        async with api.database.unit() as unit:
            await KeyStore(unit.connection).add(row)
            await unit.commit()
        headers = {"Authorization": f"Bearer {key}"}
        assert (await api.client.get("/v1/accounts", headers=headers)).status_code == 200
        api.gateway.clock = UnixMs(NOW + 1_000)
        problem(await api.client.get("/v1/accounts", headers=headers), 401, "unauthorized")


async def test_an_id_is_given_once(tmp_path: Path) -> None:
    """A second key cannot take the id of one that is there, and the secret of none is kept."""
    async with open_api(tmp_path) as api:
        text, row = new_key("shop", "thief", frozenset(Scope), Limits(), NOW)
        async with api.database.unit() as unit:
            with pytest.raises(BadInput, match="there already"):
                await KeyStore(unit.connection).add(row)
        assert text.partition(".")[2].encode() not in row.digest


@pytest.mark.parametrize("key_id", ["", "A", "cert-00", "a.b", "x" * 33])
def test_what_is_no_id_is_refused(key_id: str) -> None:
    """An id that could be taken for a certificate's, or cannot be told from the secret, is refused."""
    with pytest.raises(BadInput):
        new_key(key_id, "shop", frozenset(), Limits(), NOW)


def test_a_certificate_is_known_by_its_whole_fingerprint() -> None:
    """Anything but 32 bytes is no fingerprint."""
    with pytest.raises(BadInput):
        certificate_row(bytes(20), "shop", frozenset(), Limits(), NOW)
