#!/bin/sh
# What is the machine made of? Debian 12's packages, as debootstrap unpacks and configures them, and nothing else yet: what makes
# a workstation of them is image.sh's.
#
#   root.sh FOLDER ARCHIVES   FOLDER is made whole or not at all; ARCHIVES keeps what was fetched
set -eu
PATH=$PATH:/usr/sbin:/sbin
folder=$1
archives=$2

# What boots, what Assay's package depends on, and what the cases use to look and to do harm.
packages="systemd systemd-sysv udev dbus kmod iproute2 procps netbase ca-certificates initramfs-tools linux-image-amd64
  shim-signed grub-efi-amd64-signed busybox-static zstd
  libtss2-esys-3.0.2-0 libtss2-mu0 libtss2-tctildr0 libtss2-rc0 libtss2-tcti-device0
  tpm2-tools fsverity e2fsprogs jq openssl man-db"

# From where this machine has its own packages.
mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' 2>/dev/null | grep -m 1 '/debian/\?$' || true)

rm -rf "$folder" "$folder.new"
mkdir -p "$archives"
# shellcheck disable=SC2086
debootstrap --variant=minbase --cache-dir="$archives" --include="$(echo $packages | tr ' ' ',')" \
  bookworm "$folder.new" ${mirror:+"$mirror"}
mv "$folder.new" "$folder"
