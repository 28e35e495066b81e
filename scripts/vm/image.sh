#!/bin/sh
# How does a tree of packages become a disk that boots with Secure Boot? Trimmed to what an emulator can bear, with the test's own
# units beside it, written into a file system by mke2fs and into a disk by sfdisk and dd: no loop device, no mount.
#
#   image.sh ROOT OUT     ROOT as root.sh made it; OUT is a raw disk
set -eu
PATH=$PATH:/usr/sbin:/sbin
here=$(dirname "$(realpath "$0")")
root=$1
out=$2
work=$(mktemp -d "$(dirname "$out")/image-XXXXXX")
trap 'rm -rf "$work"' EXIT
tree=$work/tree
kernel=$(basename "$root"/usr/lib/modules/*)
efi_mib=64
root_mib=${ROOT_MIB:-1536}

# --- 1. The tree: without documents, and with the few modules that this machine can use ------------------------------

mkdir "$tree"
tar -C "$root" -cf - --exclude='./proc/*' --exclude='./sys/*' --exclude='./dev/*' --exclude='./var/cache/apt/*' \
  --exclude='./var/lib/apt/lists/*' --exclude='./usr/share/doc/*' --exclude='./usr/share/locale/*' \
  --exclude='./usr/share/man/*' --exclude='./usr/share/info/*' --exclude='./usr/lib/modules/*/kernel' \
  --exclude='./boot/initrd*' --exclude='./usr/lib/udev/hwdb.*' --exclude='./usr/lib/grub' --exclude='./usr/lib/shim' . |
  tar -C "$tree" -xf -

# dummy is there to be replaced
modules="virtio_net virtio_console virtio_rng virtio_pci virtio_blk ext4 crc32c_generic crc32c_intel vfat nls_cp437 nls_ascii
  efivarfs dummy overlay"
for module in $modules; do
  modprobe -d "$root" -S "$kernel" --show-depends "$module" || echo "no module $module" >&2
done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' | while read -r file; do
  to=$tree/usr/lib/modules/${file#*/lib/modules/}
  mkdir -p "$(dirname "$to")"
  cp "$file" "$to"
done
depmod -b "$tree" "$kernel"

# --- 2. What makes it this machine --------------------------------------------------------------------------------------

cp -R "$here"/guest/. "$tree"/
chmod 755 "$tree"/usr/local/sbin/*
echo workstation >"$tree/etc/hostname"
printf '127.0.0.1 localhost workstation\n10.0.2.2 collector\n' >"$tree/etc/hosts"
printf '/dev/vda2 / ext4 rw,noatime 0 0\n/dev/vda1 /boot/efi vfat noauto 0 0\nLABEL=models /srv/models ext4 noatime,nofail 0 0\n' >"$tree/etc/fstab"
mkdir -p "$tree/boot/efi" "$tree/srv/models"
echo 0123456789abcdef0123456789abcdef >"$tree/etc/machine-id"
: >"$tree/etc/resolv.conf"
for unit in vm-network.service vm-control.service; do
  ln -sf "../$unit" "$tree/etc/systemd/system/multi-user.target.wants/$unit"
done

# Nobody logs in, and what wakes by the clock would disturb figures of an idle machine.
for unit in getty@tty1.service serial-getty@ttyS0.service systemd-logind.service systemd-timesyncd.service \
  apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service fstrim.timer \
  man-db.timer systemd-tmpfiles-clean.timer systemd-hwdb-update.service systemd-update-utmp.service \
  systemd-update-utmp-runlevel.service systemd-binfmt.service proc-sys-fs-binfmt_misc.automount \
  systemd-networkd.service systemd-resolved.service; do
  ln -sf /dev/null "$tree/etc/systemd/system/$unit"
done
ln -sf multi-user.target "$tree/usr/lib/systemd/system/default.target"

# --- 3. Two file systems, and the disk ------------------------------------------------------------------------------------

find "$tree" -newermt @1700000000 -exec touch -h -d @1700000000 {} +
uuid=11111111-2222-3333-4444-555555555555
mke2fs -q -F -t ext4 -O verity,^metadata_csum_seed -b 4096 -m 0 -L root -U $uuid \
  -E "hash_seed=$uuid,lazy_itable_init=0,lazy_journal_init=0" -d "$tree" "$work/root.ext4" "${root_mib}M"

sh "$here/initrd.sh" "$tree" "$work/initrd"
arguments="root=/dev/vda2 ro console=ttyS0,115200 quiet loglevel=4 net.ifnames=0 panic=10 systemd.show_status=0"
cat >"$work/grub.cfg" <<END
set timeout=0
search --no-floppy --label EFI --set=root
linuxefi /vmlinuz $arguments
initrdefi /initrd.img
boot
END
efi=$work/efi.img
truncate -s ${efi_mib}M "$efi"
mkfs.vfat -F 32 -i 12345678 -n EFI --invariant "$efi" >/dev/null
export MTOOLS_SKIP_CHECK=1 SOURCE_DATE_EPOCH=1700000000
mmd -i "$efi" ::EFI ::EFI/BOOT ::EFI/debian
mcopy -i "$efi" "$root/usr/lib/shim/shimx64.efi.signed" ::EFI/BOOT/BOOTX64.EFI
mcopy -i "$efi" "$root/usr/lib/shim/mmx64.efi.signed" ::EFI/BOOT/mmx64.efi
mcopy -i "$efi" "$root/usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed" ::EFI/BOOT/grubx64.efi
mcopy -i "$efi" "$work/grub.cfg" ::EFI/debian/grub.cfg
mcopy -i "$efi" "$tree/boot/vmlinuz-$kernel" ::vmlinuz
mcopy -i "$efi" "$work/initrd" ::initrd.img

disk=$work/disk.raw
truncate -s $((1 + efi_mib + root_mib + 1))M "$disk"
sfdisk -q "$disk" <<END
label: gpt
label-id: 0FC63DAF-8483-4772-8E79-3D69D8477DE4
first-lba: 2048
start=2048,size=${efi_mib}M,type=U,uuid=0FC63DAF-8483-4772-8E79-3D69D8477D01,name=efi
size=${root_mib}M,type=4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709,uuid=0FC63DAF-8483-4772-8E79-3D69D8477D02,name=root
END
dd if="$efi" of="$disk" bs=1M seek=1 conv=notrunc,sparse status=none
dd if="$work/root.ext4" of="$disk" bs=1M seek=$((1 + efi_mib)) conv=notrunc,sparse status=none
mv "$disk" "$out" # whole or not at all
