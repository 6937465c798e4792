"""Decompress files of a release, up to a size that no table or EHR has."""

import errno
import gzip

LARGEST = 2**30  # bytes


class BoundedGzip(gzip.GzipFile):
    """A compressed file of which at most `LARGEST` bytes can be read; more raise an OSError.

    A few bytes may become so many that they fill the memory.
    """

    def read(self, size: int | None = -1) -> bytes:
        """Return the next bytes, decompressed."""
        left = LARGEST + 1 - self.tell()
        content = super().read(left if size is None or size < 0 else min(size, left))
        if self.tell() > LARGEST:
            raise OSError(errno.EFBIG, f"decompressed, it has more than {LARGEST:,} bytes")
        return content
