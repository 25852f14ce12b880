"""Where webhooks may go: https, and no address of a private network (server-side request forgery).

A name is looked up when the connection is made, and the connection goes to the addresses that were checked: a name that
changes in between (DNS rebinding) leads nowhere else. Redirects are not followed.
"""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Final
from urllib.parse import urlsplit

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

from foundation.errors import BadInput

_URL_MAX: Final = 2_000
_NAT64: Final = IPv6Network("64:ff9b::/96")


def check_url(url: str, *, allow_private: bool = False) -> str:
    """The URL, if webhooks may go there; names are looked at again when they are resolved.

    Args:
        url: as it was sent.
        allow_private: also http, and addresses of private networks; for tests and closed networks.

    Raises:
        BadInput: they may not.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise BadInput("url", "it is no URL", "https://…") from None
    if len(url) > _URL_MAX or not url.isascii() or any(ord(letter) <= 32 for letter in url):
        raise BadInput("url", "it is too long, or has characters that no URL has", f"at most {_URL_MAX}")
    if parts.scheme != "https" and not (allow_private and parts.scheme == "http"):
        raise BadInput("url", "it is not https", "https://…")
    if not host or parts.username is not None or parts.password is not None or parts.fragment or port == 0:
        raise BadInput("url", "it has no host, or has a user or a fragment", "https://host/path")
    try:
        literal = ip_address(host)
    except ValueError:
        return url
    if not allow_private and not is_public(literal):
        raise BadInput("url", "this address is of no public network", "a public address")
    return url


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Whether an address is of the public Internet, also the one that is wrapped in it."""
    if isinstance(address, IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)
        if inner is None and address in _NAT64:
            inner = IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None and not is_public(inner):
            return False
    return address.is_global and not address.is_multicast and not address.is_reserved and not address.is_unspecified


class PublicResolver(AbstractResolver):
    """Resolves names to public addresses alone: one private address among them refuses the name."""

    def __init__(self, inner: AbstractResolver | None = None) -> None:
        self._inner = inner or ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """See aiohttp. Raises OSError for a name that leads into a private network."""
        found = await self._inner.resolve(host, port, family)
        for one in found:
            if not is_public(ip_address(one["host"].partition("%")[0])):
                raise OSError("the name leads into a private network")
        return found

    async def close(self) -> None:
        """See aiohttp."""
        await self._inner.close()
