"""FFmpeg's packets, as PyAV has them."""

from typing import TYPE_CHECKING, Any, TypeAlias

from av.packet import Packet

if TYPE_CHECKING:
    AnyPacket: TypeAlias = Packet[Any]
else:
    AnyPacket = Packet  # takes no parameters at run time

MOST_FAILURES = 8  # unreadable places in a row, after which a file is given up
