#!/bin/sh
# What must be on this machine before `npm start` and `npm test` can run? This script sees to it, and leaves what the
# programs then do to them. It may be run at any time, by anyone, any number of times: it does only what is missing.
#
#   as root               packages come with apt
#   as a user with sudo   the same, through sudo
#   otherwise             packages are unpacked into .cache/deb; nothing outside the checkout changes
#   not Debian            prints the line to run, exits 69
#
# ASSAY_SETUP=private     use .cache/deb even where the packages are installed or could be
#
# Afterwards `. ./.cache/env.sh` puts the pinned Node, and .cache/deb where it is used, before everything else.
set -eu
cd "$(dirname "$0")/.."
here=$PWD
deb=$here/.cache/deb

say() { echo "assay: setup: $*" >&2; }
fail() {
  code=$1
  echo "assay: error: $2" >&2
  echo "assay: hint: $3" >&2
  exit "$code"
}

# --- 1. What is needed: looked for as programs and libraries, so that it does not matter who installed them ----------

programs="swtpm swtpm_setup swtpm_localca swtpm_ioctl tpm2_quote fsverity jq openssl systemd-analyze tinyproxy
  dbus-daemon dbus-send"
libraries="libtss2-esys.so.0 libtss2-mu.so.0 libtss2-tctildr.so.0 libtss2-rc.so.0
  libtss2-tcti-swtpm.so.0 libtss2-tcti-device.so.0"

# The packages that hold them, by distribution. Tested: Debian 12 and 13. The other rows are declared, not tested.
packages_of() {
  case $1 in
    debian:12 | ubuntu:22.04)
      echo swtpm swtpm-tools tpm2-tools libtss2-esys-3.0.2-0 libtss2-mu0 libtss2-tctildr0 libtss2-rc0 \
        libtss2-tcti-swtpm0 libtss2-tcti-device0 fsverity jq openssl systemd tinyproxy \
        dbus-daemon dbus-bin ;;
    debian:13 | debian: | ubuntu:2[4-9].*)
      echo swtpm swtpm-tools tpm2-tools libtss2-esys-3.0.2-0t64 libtss2-mu-4.0.1-0t64 libtss2-tctildr0t64 \
        libtss2-rc0t64 libtss2-tcti-swtpm0t64 libtss2-tcti-device0t64 fsverity jq openssl systemd tinyproxy \
        dbus-daemon dbus-bin ;;
    fedora:* | rhel:* | centos:* | rocky:* | almalinux:*)
      echo swtpm swtpm-tools tpm2-tools tpm2-tss fsverity-utils jq openssl systemd tinyproxy \
        dbus-daemon dbus-tools ;;
    arch:*) echo swtpm tpm2-tools tpm2-tss fsverity-utils jq openssl systemd tinyproxy dbus ;;
    opensuse*)
      echo swtpm tpm2.0-tools libtss2-esys0 libtss2-mu0 libtss2-tctildr0 libtss2-rc0 libtss2-tcti-swtpm0 \
        libtss2-tcti-device0 fsverity-utils jq openssl systemd tinyproxy \
        dbus-daemon dbus-tools ;;
  esac
}

install_line() {
  case $1 in
    debian:* | ubuntu:*) echo "apt-get update && apt-get install --no-install-recommends" ;;
    fedora:* | rhel:* | centos:* | rocky:* | almalinux:*) echo "dnf install" ;;
    arch:*) echo "pacman -S --needed" ;;
    opensuse*) echo "zypper install" ;;
  esac
}

# env.sh may be in force already: what it puts before everything else is not the system's.
system_path=$(printf %s "$PATH" | tr : '\n' | grep -v "^$here/" | tr '\n' : | sed 's/:$//')

system_lacks() {
  known=$({ ldconfig -p || /sbin/ldconfig -p; } 2>/dev/null || true)
  for program in $programs; do
    (PATH=$system_path && command -v "$program" >/dev/null) || echo "$program"
  done
  for library in $libraries; do case $known in *"$library "*) ;; *) echo "$library" ;; esac; done
}

# What neither the system nor .cache/deb has. A forced private folder must hold everything itself.
private_lacks() {
  for part in $(if [ "${ASSAY_SETUP-}" = private ]; then echo "$programs $libraries"; else system_lacks; fi); do
    case $part in
      *.so.*) [ -n "$(find "$deb/" -name "$part" 2>/dev/null)" ] || echo "$part" ;;
      *) [ -x "$deb/usr/bin/$part" ] || echo "$part" ;;
    esac
  done
}

# --- 2. Packages into the system, or into .cache/deb ------------------------------------------------------------------

may_sudo() {
  command -v sudo >/dev/null 2>&1 || return 1
  sudo -n true 2>/dev/null || { [ -t 0 ] && sudo -v; }
}

install_in_system() { # $@: sudo, or nothing
  say "installing $wanted"
  # shellcheck disable=SC2086
  "$@" apt-get -o DPkg::Lock::Timeout=300 update -qq >.cache/apt.log &&
    "$@" env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 -o DPkg::Use-Pty=0 install -y -qq \
      --no-install-recommends $wanted >>.cache/apt.log </dev/null
}

# apt with a state of its own: its signatures are checked as ever, but it neither needs root nor sees the real state.
private_apt() {
  apt-get -o Dir::State="$apt" -o Dir::State::status="$apt/status" -o Dir::Cache="$apt" -o APT::Sandbox::User= \
    -o Debug::NoLocking=1 "$@"
}

install_in_private() {
  case $here in *[[:space:]]*) fail 69 "swtpm_setup cannot start swtpm from a path with a space in it: $here" \
    "move the checkout, or $by_hand" ;; esac
  say "unpacking into .cache/deb, without root: $wanted"
  apt=$here/.cache/apt
  rm -rf "$deb" "$apt"
  mkdir -p "$apt/lists/partial" "$apt/archives/partial" "$apt/root"
  # What the system has need not be fetched, save what we came for; and nothing that is installed may object to that.
  awk -v RS= -v ORS='\n\n' '!/^Package: (swtpm|libtpms|libtss2|tpm2-tools|fsverity|libfsverity|jq|libjq|openssl|systemd\n)/' \
    /var/lib/dpkg/status | grep -Ev '^(Pre-)?Depends:' >"$apt/status"
  # shellcheck disable=SC2086
  private_apt update -qq >.cache/apt.log &&
    private_apt install -y -qq --no-install-recommends --download-only $wanted >>.cache/apt.log </dev/null || return 1
  for archive in "$apt"/archives/*.deb; do dpkg-deb -x "$archive" "$apt/root" || return 1; done
  mv "$apt/root" "$deb" # whole or not at all
  rm -rf "$apt"
}

set_up_packages() {
  private=no
  [ "${ASSAY_SETUP-}" = private ] || [ -n "$(system_lacks)" ] || return 0
  if [ -d "$deb" ] && [ -z "$(private_lacks)" ]; then
    private=yes
    return 0
  fi

  ID='' VERSION_ID=''
  # shellcheck disable=SC1091
  [ ! -r /etc/os-release ] || . /etc/os-release
  wanted=$(packages_of "$ID:$VERSION_ID")
  lacking=$(system_lacks | tr '\n' ' ')
  [ -n "$wanted" ] || fail 69 "this machine lacks: $lacking" \
    "install what holds them; no package names are known for '$ID $VERSION_ID'"
  by_hand="run as root: $(install_line "$ID:$VERSION_ID") $wanted"
  command -v apt-get >/dev/null 2>&1 || fail 69 "this machine lacks: $lacking" "$by_hand"

  if [ "${ASSAY_SETUP-}" != private ]; then
    if [ "$(id -u)" = 0 ]; then
      install_in_system || fail 69 "apt could not install the packages" "$by_hand"
    elif may_sudo; then
      install_in_system sudo || say "sudo did not install them; going on without root"
    fi
    [ -n "$(system_lacks)" ] || return 0
  fi
  install_in_private || fail 69 "apt could not fetch the packages" "$by_hand"
  still=$(private_lacks | tr '\n' ' ')
  [ -z "$still" ] || fail 69 "the packages did not bring: $still" "$by_hand"
  private=yes
}

# --- 3. The environment in which the programs find all that ----------------------------------------------------------

quoted() { printf "'%s'" "$(printf %s "$1" | sed "s/'/'\\\\''/g")"; }

write_if_changed() { # stdin -> $1, in one step, so that a reader sees the old file or the new one
  cat >"$1.new"
  if cmp -s "$1.new" "$1"; then rm "$1.new"; else mv "$1.new" "$1"; fi
}

# swtpm_setup has the path of its configuration compiled in, and there a certificate authority that only root may use.
# This one is given an authority under .cache, unless it is told another.
write_swtpm_setup() { # $1: where the swtpm programs are
  mkdir -p .cache/bin .cache/swtpm/authority
  write_if_changed .cache/swtpm/setup.conf <<EOF
create_certs_tool = $1/swtpm_localca
create_certs_tool_config = $here/.cache/swtpm/localca.conf
create_certs_tool_options = $here/.cache/swtpm/localca.options
active_pcr_banks = sha256
EOF
  write_if_changed .cache/swtpm/localca.conf <<EOF
statedir = $here/.cache/swtpm/authority
signingkey = $here/.cache/swtpm/authority/signkey.pem
issuercert = $here/.cache/swtpm/authority/issuercert.pem
certserial = $here/.cache/swtpm/authority/certserial
EOF
  write_if_changed .cache/swtpm/localca.options <<EOF
--platform-manufacturer Assay
--platform-version 1.0
--platform-model swtpm
EOF
  run_as=
  [ "$(id -u)" != 0 ] || run_as="--runas root" # else it becomes tss, who may not look under .cache
  write_if_changed .cache/bin/swtpm_setup <<EOF
#!/bin/sh
exec $(quoted "$1/swtpm_setup") --config $(quoted "$here/.cache/swtpm/setup.conf") $run_as "\$@"
EOF
  chmod +x .cache/bin/swtpm_setup
}

library_path() {
  for directory in "$deb"/lib/*-linux-gnu "$deb"/lib/*-linux-gnu/systemd "$deb"/usr/lib/*-linux-gnu \
    "$deb"/usr/lib/*-linux-gnu/systemd "$deb"/usr/lib/*-linux-gnu/swtpm; do
    [ ! -d "$directory" ] || echo "$directory"
  done | paste -sd: -
}

# swtpm_localca of swtpm 0.10 starts certtool without the environment it was given.
write_certtool() {
  [ -x "$deb/usr/bin/certtool" ] || return 0
  write_if_changed .cache/bin/certtool <<EOF
#!/bin/sh
LD_LIBRARY_PATH=$(quoted "$(library_path)") exec $(quoted "$deb/usr/bin/certtool") "\$@"
EOF
  chmod +x .cache/bin/certtool
}

write_environment() {
  path=$here/node_modules/.bin:$here/.cache/bin
  if [ "$private" = yes ]; then
    path=$path:$deb/usr/bin:$deb/usr/sbin
    write_swtpm_setup "$deb/usr/bin"
    write_certtool
  else
    rm -f .cache/bin/certtool
    write_swtpm_setup "$(dirname "$(command -v swtpm_localca)")"
  fi
  {
    echo "# Written by scripts/setup.sh."
    echo "export PATH=$(quoted "$path")\":\$PATH\""
    if [ "$private" = yes ]; then
      echo "export LD_LIBRARY_PATH=$(quoted "$(library_path)")\"\${LD_LIBRARY_PATH:+:\$LD_LIBRARY_PATH}\""
      if [ -e "$deb/etc/ssl/openssl.cnf" ] && [ ! -e /etc/ssl/openssl.cnf ]; then
        echo "export OPENSSL_CONF=$(quoted "$deb/etc/ssl/openssl.cnf")"
      fi
    fi
  } | write_if_changed .cache/env.sh
}

# --- 4. What npm brings, the pinned Node among it --------------------------------------------------------------------

set_up_modules() {
  stamp=node_modules/.assay-stamp
  want=$({ cat package-lock.json; uname -m; } | sha256sum | cut -d' ' -f1)
  if [ "$(cat "$stamp" 2>/dev/null || true)" != "$want" ]; then
    command -v npm >/dev/null 2>&1 || fail 69 "npm is not on the PATH" "install Node.js 20 or newer, which brings npm"
    say "installing the locked npm packages"
    npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >&2 ||
      fail 69 "npm could not install the locked packages" "see the lines above; the registry must be reachable once"
    echo "$want" >"$stamp"
  fi
  link_node
  [ ! -e cli/assay.mjs ] || [ -e node_modules/.bin/assay ] || ln -sf ../../cli/assay.mjs node_modules/.bin/assay
}

# npm 10 loses this link when the lock names the binary of another architecture too.
link_node() {
  [ ! -x node_modules/.bin/node ] || return 0
  for node in node_modules/node-linux-*/bin/node; do
    [ ! -x "$node" ] || ln -sf "../${node#node_modules/}" node_modules/.bin/node
  done
  [ -x node_modules/.bin/node ] || fail 69 "no pinned Node for $(uname -s) $(uname -m)" \
    "Assay runs on Linux on x86-64; package.json names the binary under optionalDependencies"
}

# --- 5. The hashing core: its build compares its sources' digest, and does nothing where that is the same -------------

set_up_wasm() {
  [ -e wasm/build.ts ] || return 0
  PATH=$here/node_modules/.bin:$PATH node wasm/build.ts >&2 ||
    fail 70 "the hashing core did not build" "see the lines above; node wasm/build.ts builds it alone"
}

# --- In this order, one run at a time --------------------------------------------------------------------------------

[ -w . ] || fail 77 "$here is not writable by $(id -un)" "clone the repository as the user who runs it"
mkdir -p .cache
exec 9>.cache/setup.lock || fail 77 "$here/.cache belongs to another user" "run as that user, or remove .cache"
flock -n 9 || { say "waiting for another run to end"; flock 9; }
set_up_packages
set_up_modules
write_environment
set_up_wasm
