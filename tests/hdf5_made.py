"""HDF5 files made by hand: for tests that need one without the library that writes them."""


def empty_hdf5() -> bytes:
    """An HDF5 file whose root group has no members: a superblock of version 2, and a header without messages."""
    addresses = (0, 2**64 - 1, 64, 48)  # base, extension (none), end, root
    superblock = b"\x89HDF\r\n\x1a\n\x02\x08\x08\x00" + b"".join(a.to_bytes(8, "little") for a in addresses) + bytes(4)
    return superblock + b"\x01" + bytes(15)
