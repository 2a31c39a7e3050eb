# shellcheck shell=bash
# What the scripts share: tools that install themselves, a look at the Rust toolchain, a throw-away PostgreSQL.
# Sourced, never run: `source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"`. The caller says `set -euo pipefail`.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
# nginx and others live in sbin, which is not on everybody's path; cargo may be installed but not on it yet.
PATH=$PATH:/usr/sbin:/sbin:${CARGO_HOME:-${HOME:-/root}/.cargo}/bin

if [[ -t 2 ]]; then
  say() { printf '\033[1m==> %s\033[0m\n' "$*" >&2; }
else
  say() { printf '==> %s\n' "$*" >&2; }
fi

die() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

# --- What happens at the end, whatever the end is: last registered, first run.

cleanups=()

on_exit() { cleanups+=("$1"); }

run_cleanups() {
  local i
  for ((i = ${#cleanups[@]} - 1; i >= 0; i--)); do
    "${cleanups[i]}" || true
  done
}

trap run_cleanups EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# --- Debian packages

# need TOOL PACKAGE…: makes sure that the command TOOL is there, which the Debian packages PACKAGE… bring.
need() {
  local tool=$1
  shift
  command -v "$tool" >/dev/null && return
  install_packages "$tool" "$@"
  hash -r
  command -v "$tool" >/dev/null || die "installed $*, but there is still no $tool on the path"
}

install_packages() {
  local tool=$1
  shift
  if ! command -v apt-get >/dev/null; then
    die "$tool is missing. Install it and try again: $(install_line "$@")"
  fi
  if [[ $EUID -ne 0 ]] && ! command -v sudo >/dev/null; then
    die "$tool is missing, and only root may install it: apt-get install -y --no-install-recommends $*"
  fi
  say "installing $* ($tool is missing)"
  if [[ -z ${apt_is_up_to_date:-} ]]; then
    as_root apt-get -o DPkg::Lock::Timeout=300 update </dev/null >&2 || say "apt-get update failed; trying with the old lists"
    apt_is_up_to_date=1
  fi
  apt_install "$@" </dev/null >&2 \
    || die "could not install $*. By hand: apt-get install -y --no-install-recommends $*"
}

can_install() { command -v apt-get >/dev/null && { [[ $EUID -eq 0 ]] || command -v sudo >/dev/null; }; }

# The line for a machine without apt.
install_line() {
  local name words=()
  for name in "$@"; do
    if command -v brew >/dev/null; then
      case $name in build-essential) echo 'xcode-select --install' && return ;; esac
    elif command -v dnf >/dev/null; then
      case $name in build-essential) name='gcc make' ;; postgresql) name='postgresql-server' ;; esac
    elif command -v pacman >/dev/null; then
      case $name in build-essential) name=base-devel ;; python3) name=python ;; esac
    elif command -v apk >/dev/null; then
      case $name in build-essential) name=build-base ;; esac
    fi
    words+=("$name")
  done
  if command -v brew >/dev/null; then
    echo "brew install ${words[*]}"
  elif command -v dnf >/dev/null; then
    echo "sudo dnf install ${words[*]}"
  elif command -v pacman >/dev/null; then
    echo "sudo pacman -S ${words[*]}"
  elif command -v apk >/dev/null; then
    echo "apk add ${words[*]}"
  else
    echo "your package manager's names for ${words[*]}"
  fi
}

as_root() {
  if [[ $EUID -eq 0 ]]; then "$@"; else sudo "$@"; fi
}

# We want programs, not services: neither a PostgreSQL cluster nor an nginx starts because we installed a package.
# In a subshell, so that its trap takes both switches back even when the installation is interrupted.
apt_install() (
  policy=/usr/sbin/policy-rc.d
  cluster_switch=/etc/postgresql-common/createcluster.d/signpost.conf
  made=()
  # shellcheck disable=SC2317,SC2329 # the trap calls it
  take_back() { [[ ${#made[@]} -eq 0 ]] || as_root rm -f "${made[@]}"; }
  trap take_back EXIT
  if [[ ! -e $policy ]]; then
    made+=("$policy")
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
    as_root chmod 755 "$policy"
  fi
  if [[ ! -e $cluster_switch ]]; then
    made+=("$cluster_switch")
    as_root mkdir -p "${cluster_switch%/*}"
    echo 'create_main_cluster = false' | as_root tee "$cluster_switch" >/dev/null
  fi
  as_root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y --no-install-recommends "$@"
)

# --- Rust

# rustc and cargo, at least the version that Cargo.toml asks for, and the C compiler and linker that they call.
need_rust() {
  local wanted have
  wanted=$(sed -n 's/^rust-version *= *"\(.*\)"/\1/p' "$root/Cargo.toml")
  if ! command -v cargo >/dev/null || ! command -v rustc >/dev/null; then
    die "Rust is missing. Install $wanted or newer: curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh"
  fi
  have=$(cd "$root" && rustc --version | cut -d' ' -f2)
  at_least "$have" "$wanted" || die "Rust $have is too old, $wanted is the oldest that works: rustup update stable"
  # aws-lc-sys is C: it needs a compiler, and on the usual platforms no cmake.
  need cc build-essential
}

# at_least HAVE WANTED: is the version HAVE the same as WANTED or newer?
at_least() { [[ $(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1) == "$2" ]]; }

# need_cargo_tool NAME CRATE VERSION [OPTION…]: makes sure that `cargo NAME` is there, at least VERSION.
# It runs for seconds and is not shipped: made for a short build, not for a fast program. OPTION… go to `cargo install`.
need_cargo_tool() {
  local name=$1 crate=$2 version=$3 have
  shift 3
  have=$(cargo "$name" --version 2>/dev/null | grep -oE '[0-9]+\.[0-9]+\.[0-9]+' | head -n 1) || true
  [[ -n $have ]] && at_least "$have" "$version" && return
  say "installing $crate $version (cargo $name is ${have:-missing}); this takes some minutes"
  (
    cd /
    export CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_DEBUG=false \
      CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16
    unset CARGO_TARGET_DIR RUSTFLAGS
    with_heartbeat cargo install --locked "$@" "$crate@$version" </dev/null
  ) || die "could not install $crate. By hand: cargo install --locked $crate"
}

# Where cargo puts what it builds: CARGO_TARGET_DIR, a cargo configuration, or target/.
target_dir() {
  (cd "$root" && cargo metadata --no-deps --format-version 1) | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p'
}

# with_heartbeat COMMAND…: runs it; where nobody draws a progress bar, a line every 15 seconds shows that it lives.
with_heartbeat() {
  local pid status=0 began=$SECONDS
  if [[ -t 2 ]]; then
    "$@"
    return
  fi
  # The sleep outlives the kill below: short, and holding none of our pipes open.
  while sleep 1 >/dev/null 3>&-; do
    (((SECONDS - began) % 15)) || echo "    … at it for $((SECONDS - began)) s" >&3
  done 3>&2 2>/dev/null &
  pid=$!
  "$@" || status=$?
  kill "$pid" 2>/dev/null || true
  wait "$pid" 2>/dev/null || true
  return "$status"
}

# --- The browser tests

# axe-core, which judges pages by WCAG, in target/axe. It is MPL-2.0 and nothing of it is linked or shipped, so it is not
# kept here either.
need_axe() {
  need_from_npm axe-core tests/browser/axe axe
}

# A certified OpenID provider, in target/oidc-provider.
need_oidc_provider() {
  need_from_npm oidc-provider tests/oidc-provider oidc-provider
}

# need_from_npm PACKAGE SOURCE PLACE: a tool of the tests, at the version and with the digest of the lock file in SOURCE,
# in target/PLACE.
need_from_npm() {
  local package=$1 tools=$root/$2 installed=$root/target/$3
  [[ -d $installed/node_modules/$package ]] && cmp -s {"$tools","$installed"}/package-lock.json && return
  need npm npm
  say "fetching $package"
  mkdir -p "$root/target"
  # Beside its place and then moved: what is there is whole.
  (
    fetched=$(mktemp -d "$root/target/$3.XXXXXX")
    trap 'rm -rf "$fetched"' EXIT
    cp "$tools/package.json" "$tools/package-lock.json" "$fetched/" \
      && (cd "$fetched" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error </dev/null >&2) \
      && rm -rf "$installed" \
      && mv "$fetched" "$installed"
  ) || die "could not fetch $package from the npm registry. By hand: npm ci in target/$3 with the files of $2"
}

# --- PostgreSQL

# Sets pg_bin to the directory of the newest initdb and postgres on this machine.
need_postgres() {
  find_postgres && return
  install_packages PostgreSQL postgresql
  find_postgres || die "installed postgresql, but there is no initdb in $(pg_config --bindir 2>/dev/null || echo /usr/lib/postgresql/*/bin)"
}

find_postgres() {
  local candidate candidates
  mapfile -t candidates < <(
    printf '%s\n' /usr/lib/postgresql/*/bin /usr/pgsql-*/bin /opt/homebrew/opt/postgresql@*/bin | sort -Vr
    pg_config --bindir 2>/dev/null || true
    dirname "$(command -v initdb || echo /none/initdb)"
  )
  for candidate in "${candidates[@]}"; do
    if [[ -x $candidate/initdb && -x $candidate/postgres && -x $candidate/psql ]]; then
      pg_bin=$candidate
      return
    fi
  done
  return 1
}

# Starts a PostgreSQL for one run of the tests, stops and removes it at exit, and exports its DATABASE_URL.
# It trusts whoever reaches its socket, which lies in a directory that only its own user (and root) may enter;
# it listens on no port. It forgets everything in a crash, which makes it fast.
start_test_postgres() {
  need_postgres
  local tries
  pg_dir=$(mktemp -d /tmp/signpost-pg.XXXXXX)
  on_exit stop_test_postgres
  pg_as=()
  if [[ $EUID -eq 0 ]]; then
    # initdb and postgres refuse root.
    local user=nobody
    id postgres >/dev/null 2>&1 && user=postgres
    command -v setpriv >/dev/null || die "setpriv is missing, and PostgreSQL does not run as root: $(install_line util-linux)"
    chown "$user:$(id -gn "$user")" "$pg_dir"
    pg_as=(setpriv "--reuid=$user" "--regid=$(id -gn "$user")" --clear-groups)
    # If this shell is killed, the kernel stops the server.
    setpriv --help 2>&1 | grep -q -- --pdeathsig && pg_as+=(--pdeathsig INT)
  fi
  (
    cd /
    "${pg_as[@]}" env "HOME=$pg_dir" LC_ALL=C "$pg_bin/initdb" --pgdata="$pg_dir/data" --username=signpost --auth=trust \
      --encoding=UTF8 --locale=C --no-sync
  ) >"$pg_dir/log" 2>&1 || die_with_log "initdb failed"
  # exec keeps the pid: it is the postmaster's own.
  (
    cd /
    exec "${pg_as[@]}" env "HOME=$pg_dir" LC_ALL=C "$pg_bin/postgres" -D "$pg_dir/data" -k "$pg_dir" -c listen_addresses= \
      -c fsync=off -c synchronous_commit=off -c full_page_writes=off -c max_connections=200 -c timezone=UTC
  ) >>"$pg_dir/log" 2>&1 </dev/null &
  pg_pid=$!
  for ((tries = 0; tries < 300; tries++)); do
    "$pg_bin/pg_isready" -q -h "$pg_dir" -U signpost -d postgres && break
    kill -0 "$pg_pid" 2>/dev/null || die_with_log "PostgreSQL ended while it started"
    sleep 0.1
  done
  ((tries < 300)) || die_with_log "PostgreSQL did not answer within 30 seconds"
  "$pg_bin/psql" -qX -v ON_ERROR_STOP=1 -h "$pg_dir" -U signpost -d postgres -c 'create database signpost'
  export DATABASE_URL="postgres:///signpost?host=$pg_dir&user=signpost"
}

stop_test_postgres() {
  local tries
  if [[ -n ${pg_pid:-} ]]; then
    # SIGINT: PostgreSQL's fast shutdown. SIGQUIT: at once, and nothing in it is worth keeping.
    kill -INT "$pg_pid" 2>/dev/null || true
    for ((tries = 0; tries < 100; tries++)); do
      kill -0 "$pg_pid" 2>/dev/null || break
      sleep 0.1
    done
    kill -QUIT "$pg_pid" 2>/dev/null || true
    wait "$pg_pid" 2>/dev/null || true
    pg_pid=
  fi
  [[ -z ${pg_dir:-} ]] || rm -rf "$pg_dir"
}

die_with_log() {
  tail -n 20 "$pg_dir/log" >&2
  die "$1"
}
