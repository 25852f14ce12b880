"""One WebSocket connection: whole messages in, corked frames out, bounded both ways.

picows shakes hands, parses frames, answers pings and sends its own. What it does not do is here: messages in pieces are
put together; a peer that sends much has a few messages handled each turn of the loop, and is not read meanwhile; all
that is written in one turn leaves with one system call; a peer that does not read is cut.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Callable
from typing import Final

import structlog
from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport

from settlement.ilp.btp.codec import ilp_head
from settlement.ilp.btp.frames import Masker, frame_header
from settlement.ilp.btp.limits import BtpLimits

REPLACED: Final = 4001
"""Close code (of the private range, RFC 6455 7.4.2): a newer connection of the same account took over."""

_CLOSING_SECONDS: Final = 1.0
"""So long a peer may take to answer a close frame."""
_HEADERS: dict[int, bytes] = {}
"""Frame headers by the length of the message, for the lengths that come often."""
_HEADERS_MAX: Final = 4096

log = structlog.get_logger(__name__)


class BtpSocket(WSListener):
    """A connection. Its owner sets `on_message`, and is told when it stands (`on_open`) and is gone (`on_closed`).

    Fields: is_closing (not open yet, or not any more: what is written is dropped); closed (set when it is gone).
    """

    def __init__(
        self,
        limits: BtpLimits,
        on_message: Callable[[bytes], None],
        on_open: Callable[[], None],
        on_closed: Callable[[], None],
        *,
        is_client: bool,
    ) -> None:
        self.on_message = on_message
        self.closed = asyncio.Event()
        self._on_open = on_open
        self._on_closed = on_closed
        self._limits = limits
        self._masker = Masker() if is_client else None
        self._loop = asyncio.get_running_loop()
        self._inbox: deque[bytes] = deque()
        self._fragments: list[bytes] = []
        self._fragments_bytes = 0
        self._out: list[bytes] = []
        self._taken = 0
        self.is_closing = True  # nothing can be written before it is open, either
        self._stall: asyncio.TimerHandle | None = None
        self._transport: WSTransport
        self._tcp: asyncio.Transport

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Called by picows after the handshake."""
        self._transport, self._tcp = transport, transport.underlying_transport
        self.is_closing = False
        connection: socket.socket = self._tcp.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._limits.receive_bytes)
        self._tcp.set_write_buffer_limits(high=max(1, self._limits.backlog_bytes_max // 4))
        self._on_open()

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Called by picows for each frame."""
        if frame.msg_type is WSMsgType.BINARY and frame.fin and not self._fragments:
            message: bytes | None = frame.get_payload_as_bytes()
        else:
            message = self._piece(frame)
        if message is not None and not self.is_closing:
            if self._inbox or self._taken >= self._limits.turn_messages:
                self._queue(message)
            else:
                self._taken += 1
                self.on_message(message)
        if frame.last_in_buffer:
            self._taken = 0

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """Called by picows once, when the connection is gone."""
        self.is_closing = True
        self._inbox.clear()
        self._out.clear()
        if self._stall is not None:
            self._stall.cancel()
        self.closed.set()
        self._on_closed()

    def pause_writing(self) -> None:
        """Called when the peer reads more slowly than we write: it is not read either, and cut if that lasts."""
        self._tcp.pause_reading()
        self._stall = self._loop.call_later(self._limits.stalled_ms_max / 1000, self.abort, "the peer does not read")

    def resume_writing(self) -> None:
        """Called when the peer has read."""
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None
        if self._inbox:
            self._loop.call_soon(self._drain)
        else:
            self._read_on()

    def write_ilp(self, kind: bytes, request_id: bytes, packet: bytes) -> None:
        """Send a Message or Response whose only entry is an ILP packet. Args: kind: 1 byte; request_id: 4 bytes."""
        if self.is_closing:
            return
        out = self._out
        if not out:
            self._loop.call_soon(self._flush)
        head = ilp_head(len(packet))
        if self._masker is not None:
            out.append(self._masker.frame(b"".join((kind, request_id, head, packet))))
        else:
            out += (_header(5 + len(head) + len(packet)), kind, request_id, head, packet)

    def write(self, message: bytes) -> None:
        """Send a whole BTP packet."""
        if self.is_closing:
            return
        if not self._out:
            self._loop.call_soon(self._flush)
        if self._masker is not None:
            self._out.append(self._masker.frame(message))
        else:
            self._out += (frame_header(len(message)), message)

    def close(self, code: int, reason: str) -> None:
        """Say goodbye after what was written; a peer that does not answer it soon is cut. Harmless when repeated."""
        if self.is_closing:
            return
        self._flush()
        self.is_closing = True
        # The library's type lists no code of the private range, but any number passes.
        self._transport.send_close(code, reason)  # type: ignore[arg-type]
        self._inbox.clear()
        self._read_on()
        self._loop.call_later(_CLOSING_SECONDS, self._tcp.abort)

    def abort(self, reason: str) -> None:
        """Cut the connection now."""
        if not self.is_closing:
            log.warning("btp connection cut", reason=reason, peer=self.peer)
        self.is_closing = True
        self._tcp.abort()

    @property
    def peer(self) -> str:
        """Where the connection comes from, for logs."""
        return str(self._tcp.get_extra_info("peername"))

    def _flush(self) -> None:
        out = self._out
        if not out or self.is_closing:
            return
        data = b"".join(out)
        out.clear()
        self._tcp.write(data)
        if self._tcp.get_write_buffer_size() > self._limits.backlog_bytes_max:
            self.abort("the peer does not read")

    def _queue(self, message: bytes) -> None:
        if not self._inbox:
            self._tcp.pause_reading()
            self._loop.call_soon(self._drain)
        self._inbox.append(message)

    def _drain(self) -> None:
        """Handle some of the queued messages; the others come in the loop's next turn, after everybody else."""
        inbox = self._inbox
        if self._stall is not None:
            return  # who does not read its answers is not asked for more of them
        try:
            for _ in range(min(len(inbox), self._limits.turn_messages)):
                # A message may close the connection, and that empties the inbox.
                if not inbox:
                    break
                self.on_message(inbox.popleft())
        finally:
            if inbox:
                self._loop.call_soon(self._drain)
            elif self._stall is None:
                self._read_on()

    def _read_on(self) -> None:
        if not self._tcp.is_closing():
            self._tcp.resume_reading()

    def _piece(self, frame: WSFrame) -> bytes | None:
        """Take a frame that is no whole binary message: a piece of one, or a control frame."""
        kind = frame.msg_type
        if kind is WSMsgType.CLOSE:
            self._flush()
            self.is_closing = True
            self._transport.send_close(frame.get_close_code())
            self._transport.disconnect()
            return None
        if kind is WSMsgType.PING or kind is WSMsgType.PONG:
            return None
        expected = WSMsgType.CONTINUATION if self._fragments else WSMsgType.BINARY
        if kind is not expected:
            code = WSCloseCode.UNSUPPORTED_DATA if kind is WSMsgType.TEXT else WSCloseCode.PROTOCOL_ERROR
            self.close(code.value, "binary messages only")
            return None
        return self._assembled(frame)

    def _assembled(self, frame: WSFrame) -> bytes | None:
        piece = frame.get_payload_as_bytes()
        self._fragments.append(piece)
        # An empty piece counts as a byte, or a peer could store endless ones.
        self._fragments_bytes += len(piece) + 1
        if self._fragments_bytes > self._limits.message_bytes_max:
            self.close(WSCloseCode.MESSAGE_TOO_BIG.value, "too long")
        elif not frame.fin:
            return None
        message = b"".join(self._fragments)
        self._fragments.clear()
        self._fragments_bytes = 0
        return message


def _header(length: int) -> bytes:
    header = _HEADERS.get(length)
    if header is None:
        header = frame_header(length)
        if len(_HEADERS) < _HEADERS_MAX:
            _HEADERS[length] = header
    return header
