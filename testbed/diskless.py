"""What a node without a disk is booted from: a kernel, and archives that become its root in memory.

The Debian is made as xCAT's genimage makes an image (package list, kernel, exclude list) and kept in the cache. The
kernel's package is unpacked, never installed, neither here nor there: nothing of it runs on this machine. nodeagent's
package is installed in that root, which has no pip and no compiler, and what this has changed is packed. A node's
initramfs is the Debian's archive with others after it, of which each replaces files of those before.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from testbed import cache, image
from testbed.programs import run

PACKAGES = [
    *image.NODE_PACKAGES.replace("python3-venv", "").split(),
    *("udev", "kmod", "iproute2", "cloud-init", "qemu-guest-agent"),
    *("libtss2-esys-3.0.2-0", "libtss2-mu0", "libtss2-rc0", "libtss2-tcti-device0"),  # systemd's, for a TPM2
]
MODULES = "virtio_net virtio_pci virtio_console virtio-rng autofs4 qemu_fw_cfg"  # all others are left out
EXCLUDED = ("boot", "var/cache", *(f"usr/share/{name}" for name in ("doc", "i18n", "locale", "man", "perl")))
# In the new root: the kernel to /boot, its modules, a network by DHCP, nothing that wakes up by itself.
FINISH = f"""
mkdir /run/kernel
cd /run/kernel
apt-get download -qq "$(apt-cache depends --important linux-image-cloud-amd64 | sed -n 's/.*Depends: //p')"
dpkg-deb -x linux-image-*.deb .
version=$(ls lib/modules)
mv boot/vmlinuz-* /boot/vmlinuz
mkdir -p /usr/lib/modules
mv lib/modules/* /usr/lib/modules
cd /usr/lib/modules/$version
depmod $version
for module in {MODULES}; do modprobe --set-version=$version --show-depends $module; done |
  grep '^insmod ' | cut -d ' ' -f 2 | sort -u >/run/kept
tar --create --dereference --file=/run/kept.tar --files-from=/run/kept
rm -rf kernel
tar --extract --file=/run/kept.tar --directory=/
depmod $version
rm -rf /run/kernel /run/kept /run/kept.tar /var/lib/apt/lists/*

printf '[Match]\\nName=en* eth*\\n[Network]\\nDHCP=ipv4\\n' >/etc/systemd/network/50-wired.network
systemctl --quiet enable systemd-networkd.service systemd-networkd-wait-online.service
systemctl --quiet disable apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer fstrim.timer
rm -f /etc/hostname  # each node is told its own
: >/etc/machine-id   # each boot is a first one
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """``initramfs``: archives, in the order in which the kernel unpacks them.

    ``layers``: the same as directories, topmost first, but for what is a node's own.
    """

    kernel: Path
    initramfs: Sequence[Path]
    layers: Sequence[Path]


def with_package(deb: Path, scratch: Path) -> Image:
    """The Debian with that package, which knows of no site yet."""
    debian = cache.kept("diskless", [image.SUITE, *PACKAGES, FINISH, *EXCLUDED, "root"], _make)
    layers = image.with_package(deb, [debian / "root"], scratch / "package")
    if removed := [path for path in layers[0].rglob("*") if path.is_char_device()]:
        raise RuntimeError(f"an archive cannot take away what the installation has removed: {removed}")
    package = packed(layers[0], scratch / "package.img", excluded=EXCLUDED)
    return Image(kernel=debian / "vmlinuz", initramfs=(debian / "debian.img", package), layers=layers)


def packed(tree: Path, archive: Path, *, excluded: Sequence[str] = ()) -> Path:
    """Pack a tree for the kernel: owners are root, as who packs it is."""
    without = " ".join(f"-path ./{path} -prune -o" for path in excluded)
    script = f'find . -xdev {without} -print0 | cpio --null --create --quiet --format=newc | zstd -q -6 -T0 -o "$1"'
    run(["bash", "-eo", "pipefail", "-c", script, "bash", archive], cwd=tree, timeout=300)
    return archive


def _make(target: Path) -> None:
    root = target / "root"
    hook = target / "hook"
    hook.write_text(f"#!/bin/sh\nexec chroot \"$1\" sh -eus <<'END'\n{FINISH}END\n")
    hook.chmod(0o755)
    without_documents = "--dpkgopt=path-exclude=/usr/share/man/*"
    run(
        [
            *("mmdebstrap", "--quiet", "--variant=minbase", without_documents, f"--include={','.join(PACKAGES)}"),
            *(f"--customize-hook={hook}", image.SUITE, root),
        ],
        timeout=900,
    )
    shutil.move(root / "boot/vmlinuz", target / "vmlinuz")
    packed(root, target / "debian.img", excluded=EXCLUDED)
    hook.unlink()
