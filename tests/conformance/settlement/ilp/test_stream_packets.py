"""STREAM packets against the vectors that the Interledger implementations share."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from settlement.ilp.stream import frames as f
from settlement.ilp.stream.frames import Frame
from settlement.ilp.stream.packet import StreamPacket, decode_packet


@pytest.fixture(scope="module")
def fixtures(vectors: Path) -> list[dict[str, Any]]:
    """The published packets; skipped where the folder is absent."""
    path = vectors / "ilp" / "StreamPacketFixtures.json"
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    read: list[dict[str, Any]] = json.loads(path.read_text())
    return read


def frame_of(told: Mapping[str, Any]) -> Frame:
    """A frame as the vectors describe it."""

    def number(name: str) -> int:
        return int(told[name])

    match told["name"]:
        case "ConnectionClose":
            return f.ConnectionClose(told["errorCode"], told["errorMessage"])
        case "ConnectionNewAddress":
            return f.ConnectionNewAddress(told["sourceAccount"])
        case "ConnectionAssetDetails":
            return f.ConnectionAssetDetails(told["sourceAssetCode"], told["sourceAssetScale"])
        case "ConnectionMaxData":
            return f.ConnectionMaxData(number("maxOffset"))
        case "ConnectionDataBlocked":
            return f.ConnectionDataBlocked(number("maxOffset"))
        case "ConnectionMaxStreamId":
            return f.ConnectionMaxStreamId(number("maxStreamId"))
        case "ConnectionStreamIdBlocked":
            return f.ConnectionStreamIdBlocked(number("maxStreamId"))
        case "StreamClose":
            return f.StreamClose(number("streamId"), told["errorCode"], told["errorMessage"])
        case "StreamMoney":
            return f.StreamMoney(number("streamId"), number("shares"))
        case "StreamMaxMoney":
            return f.StreamMaxMoney(number("streamId"), number("receiveMax"), number("totalReceived"))
        case "StreamMoneyBlocked":
            return f.StreamMoneyBlocked(number("streamId"), number("sendMax"), number("totalSent"))
        case "StreamData":
            return f.StreamData(number("streamId"), number("offset"), base64.b64decode(told["data"]))
        case "StreamMaxData":
            return f.StreamMaxData(number("streamId"), number("maxOffset"))
        case "StreamDataBlocked":
            return f.StreamDataBlocked(number("streamId"), number("maxOffset"))
        case "StreamReceipt":
            return f.StreamReceipt(number("streamId"), base64.b64decode(told["receipt"]))
    raise AssertionError(told["name"])


def test_all_vectors_pass_in_both_directions(fixtures: list[dict[str, Any]]) -> None:
    """Each of the 53 packets reads as it is described, and is written as it stands, but for those to be read only."""
    assert len(fixtures) == 53
    for vector in fixtures:
        told, raw = vector["packet"], base64.b64decode(vector["buffer"])
        packet = StreamPacket(
            told["packetType"], int(told["sequence"]), int(told["amount"]), tuple(map(frame_of, told["frames"]))
        )
        assert decode_packet(raw) == packet, vector["name"]
        if not vector.get("decode_only"):
            assert packet.encode() == raw, vector["name"]
