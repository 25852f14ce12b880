"""What decoders raise for bytes that hold no message.

msgspec reports text that is not UTF-8 as `UnicodeDecodeError`, and too deep nesting as `RecursionError`; neither
is a `MsgspecError`. Whoever decodes what strangers wrote catches all of them, or a stranger ends what it does.
"""

from __future__ import annotations

from typing import Final

import msgspec

UNREADABLE: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
