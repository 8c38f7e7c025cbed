"""Split a tree of pictures among several runs: each file belongs to exactly one of them, by its name alone.

A file's shard depends neither on the other files nor on the machine, so runs need not know of each other, and a file
that is added later changes no other one's place.
"""

import hashlib
import re
import unicodedata
from dataclasses import dataclass

from stylegan_tool.errors import UsageError


@dataclass(frozen=True)
class Shard:
    """Part `number` of `count`; 1 <= number <= count."""

    number: int = 1
    count: int = 1

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """Read '3/16'.

        Raises:
            UsageError: it is no such pair, or not 1 <= number <= count.
        """
        match = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text.strip())
        number, count = (int(match[1]), int(match[2])) if match else (0, 0)
        if not 1 <= number <= count:
            raise UsageError(f"--shard {text} is no part of a whole", hint="Type --shard 1/4, up to --shard 4/4.")
        return cls(number, count)

    def __contains__(self, name: str) -> bool:
        """Whether the file `name`, relative to the tree and with '/' between folders, belongs to this part."""
        # macOS may hand over an accented letter as two characters where Linux has one.
        text = unicodedata.normalize("NFC", name).encode("utf-8", "surrogatepass")
        drawn = int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big")
        return drawn % self.count == self.number - 1

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    @property
    def file_name(self) -> str:
        """What to call it in the name of a file; empty for the whole."""
        return f"{self.number}of{self.count}" if self.count > 1 else ""


WHOLE = Shard()
