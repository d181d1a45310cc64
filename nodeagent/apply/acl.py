"""The default ACL of a directory (acl(5)): in it the umask does not count for what is new."""

import errno
import os
import struct

_ATTRIBUTE = "system.posix_acl_default"
_HEADER = struct.calcsize("<I")  # the version
_ENTRY = struct.Struct("<HHI")  # tag, permissions, id: <linux/posix_acl_xattr.h>
_USER_OBJ, _GROUP_OBJ, _MASK, _OTHER = 0x01, 0x04, 0x10, 0x20
_NONE = frozenset({errno.ENODATA, errno.ENOTSUP})


def new_bits(directory: int, umask: int) -> int:
    """The permission bits that the kernel leaves to something new in an open directory (``O_PATH`` will do).

    Raises:
        OSError: its ACL cannot be read.
    """
    try:
        packed = os.getxattr(f"/proc/self/fd/{directory}", _ATTRIBUTE)
    except OSError as error:
        if error.errno not in _NONE:
            raise
        return 0o777 & ~umask
    bits: dict[int, int] = {tag: permissions for tag, permissions, _ in _ENTRY.iter_unpack(packed[_HEADER:])}
    return bits[_USER_OBJ] << 6 | bits.get(_MASK, bits[_GROUP_OBJ]) << 3 | bits[_OTHER]
