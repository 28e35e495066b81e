#!/bin/sh
# What must be on this machine before the measured-boot test can run, besides what scripts/setup.sh sees to? An emulator, its
# firmware, and what makes a file system and a disk without mounting one. It does only what is missing; it needs root, as
# debootstrap does.
set -eu

lacking() {
  for program in qemu-system-x86_64 qemu-img debootstrap mke2fs debugfs mcopy mkfs.vfat sfdisk depmod cpio zstd; do
    PATH=$PATH:/usr/sbin:/sbin command -v "$program" >/dev/null || echo "$program"
  done
  for file in OVMF_CODE_4M.ms.fd OVMF_VARS_4M.ms.fd OVMF_VARS_4M.fd; do
    [ -e "/usr/share/OVMF/$file" ] || echo "$file"
  done
}

packages="qemu-system-x86 qemu-utils ovmf debootstrap e2fsprogs mtools dosfstools fdisk kmod cpio zstd"
hint="assay: hint: run as root: apt-get update && apt-get install --no-install-recommends $packages"

if [ "$(id -u)" != 0 ]; then
  echo "assay: error: the measured-boot test makes its image with debootstrap, which needs root" >&2
  echo "assay: hint: run npm run test:vm as root, in a container or on a machine of its own" >&2
  exit 69
fi
[ -n "$(lacking)" ] || exit 0
if ! command -v apt-get >/dev/null; then
  echo "assay: error: this machine lacks: $(lacking | tr '\n' ' ')" >&2
  echo "$hint" >&2
  exit 69
fi
echo "assay: installing $packages" >&2
# shellcheck disable=SC2086
{
  apt-get -o DPkg::Lock::Timeout=300 update -qq &&
    DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 -o DPkg::Use-Pty=0 install -y -qq \
      --no-install-recommends $packages </dev/null
} >&2 || {
  echo "assay: error: apt could not install the packages" >&2
  echo "$hint" >&2
  exit 69
}
