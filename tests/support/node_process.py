"""One node of a cluster as a process: `python -m tests.support.node_process CONFIG`. Speaks JSON lines with its parent.

CONFIG (JSON): `folder`, `index`, `n`, `threshold`, `liar` (whether it sends wrong partial signatures). It prints
`{"endpoint": …}`, reads `{"endpoints": […]}`, then answers one line for each command: `create`, `sign`, `culprits`.
It ends when its standard input does.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

import structlog

from foundation.errors import CausewayError
from mpc import frost, signer_service
from mpc.ports import GroupProposal
from tests.support.cluster import GROUP, Directory, Member, MemoryIncidents, identities, start_member


def lie() -> None:
    """From now on every partial signature that this process makes is wrong."""
    honest = frost.sign

    class LyingFrost:
        @staticmethod
        def sign(*arguments: Any) -> bytes:
            psig = honest(*arguments)
            return psig[:-1] + bytes([psig[-1] ^ 1])

    signer_service.frost = LyingFrost  # type: ignore[assignment]  # a test's way to make a liar of an honest node


async def obey(member: Member, command: dict[str, Any], config: dict[str, Any]) -> dict[str, Any]:
    """Carry out one command of the parent."""
    start = time.perf_counter()
    match command["do"]:
        case "create":
            hosts = [identity.host_key for identity in identities(config["n"])]
            key = await member.cluster.create_group(GROUP, hosts, config["threshold"], command.get("attempt", 0))
            answer: dict[str, Any] = {"key": key.thresh_pk.hex(), "proof": key.proof.hex()}
        case "sign":
            body = bytes.fromhex(command["body"])
            signatures = await member.cluster.sign(GROUP, "test", body, command.get("timeout_s", 20))
            answer = {"signatures": [signature.hex() for signature in signatures]}
        case _:
            answer = {"culprits": [[c.peer.hex(), c.faults] for c in member.cluster.culprits()]}
    return {**answer, "seconds": time.perf_counter() - start}


async def main(config: dict[str, Any]) -> None:
    everyone = identities(config["n"])
    directory = Directory()
    proposal = GroupProposal(GROUP, 0, tuple(i.host_key for i in everyone), config["threshold"])
    directory.proposals[GROUP] = proposal
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))  # stdout is for answers
    if config.get("liar"):
        lie()
    folder = Path(config["folder"])
    member = await start_member(everyone[config["index"]], directory, folder, MemoryIncidents())
    try:
        say({"endpoint": member.network.endpoint})
        lines = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
        endpoints = json.loads(await lines.readline())["endpoints"]
        for identity, endpoint in zip(everyone, endpoints, strict=True):
            directory.add(identity, endpoint)
        say({"ready": True})
        while line := await lines.readline():
            try:
                say(await obey(member, json.loads(line), config))
            except CausewayError as error:
                say({"error": type(error).__name__, "text": str(error)})
    finally:
        await member.stop()


def say(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(json.loads(Path(sys.argv[1]).read_text())))
