#!/bin/sh
# How does the kernel find its root? By an archive of a static busybox, the four modules that it takes, and a script that
# loads them and goes on: the distribution's own would unpack for seconds in an emulator. Its bytes are the same each time.
#
#   initrd.sh ROOT OUT
set -eu
PATH=$PATH:/usr/sbin:/sbin
root=$1
out=$2
kernel=$(basename "$root"/usr/lib/modules/*)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

mkdir -p "$folder/bin" "$folder/modules" "$folder/proc" "$folder/sys" "$folder/dev" "$folder/root"
cp "$root/bin/busybox" "$folder/bin/busybox"
for module in crc32c_generic virtio_pci virtio_blk ext4; do
  modprobe -d "$root" -S "$kernel" --show-depends "$module"
done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' | while read -r file; do
  cp "$file" "$folder/modules/"
  echo "/modules/$(basename "$file")"
done >"$folder/order"

cat >"$folder/init" <<'END'
#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sysfs /sys
/bin/busybox mount -t devtmpfs dev /dev
while read -r module; do /bin/busybox insmod "$module"; done </order
tries=0
while [ ! -b /dev/vda2 ] && [ $tries -lt 200 ]; do /bin/busybox usleep 50000; tries=$((tries + 1)); done
/bin/busybox mount -t ext4 -o rw,noatime /dev/vda2 /root || /bin/busybox poweroff -f
/bin/busybox umount /proc
/bin/busybox umount /sys
/bin/busybox mount --move /dev /root/dev
exec /bin/busybox switch_root /root /sbin/init
END
chmod 755 "$folder/init"
find "$folder" -exec touch -h -d @0 {} +
(cd "$folder" && find . -print0 | LC_ALL=C sort -z | cpio --null -o -H newc --quiet -R 0:0 --reproducible) |
  zstd -q -19 -f -o "$out"
