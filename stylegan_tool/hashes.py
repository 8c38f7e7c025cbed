"""The hash by which the tool tells contents apart, in manifests, reports, film stores and caches.

BLAKE2b of 16 bytes, in hexadecimal: a SHA-256 takes twice the time, and nobody else has to compare these.
"""

import hashlib
from pathlib import Path

HASH_BYTES = 16


def hash_bytes(content: bytes | memoryview) -> str:
    """Return the hash of `content`."""
    return hashlib.blake2b(content, digest_size=HASH_BYTES).hexdigest()


def hash_file(path: Path) -> str:
    """Return the hash of what the file at `path` holds; OSError where it cannot be read."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=HASH_BYTES)).hexdigest()
