#!/bin/sh
# Gets what the checks from outside need: Chromium, nginx, PostgreSQL, slowhttptest, and the npm packages of
# package.json, node itself among them; the system's own node and npm only fetch it.
# The packages go into .work/outside under the project's root. Run again at will: when all is there, it
# only looks.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
work=$here/../../.work/outside

fail() {
    echo "$1" >&2
    exit 1
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"
    elif command -v sudo >/dev/null; then sudo -n "$@"
    else return 1
    fi
}

# debian COMMAND PACKAGE...: installs the packages unless the command is there.
debian() {
    command=$1
    shift
    command -v "$command" >/dev/null && return
    command -v apt-get >/dev/null || fail "$command is missing: install it, then run this again."
    echo "Installing $* ..."
    { as_root apt-get update -qq && as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends "$@"; } >/dev/null \
        || fail "$command is missing and apt-get could not install it: install it, then run this again."
}

debian node nodejs npm
debian npm npm
[ -x /usr/sbin/nginx ] || debian nginx nginx-light
debian slowhttptest slowhttptest
[ -n "$(ls -d /usr/lib/postgresql/*/bin/initdb 2>/dev/null)" ] || debian initdb postgresql
command -v google-chrome >/dev/null || command -v chromium-browser >/dev/null || debian chromium chromium

mkdir -p "$work"
cd "$work"
if ! cmp -s "$here/package.json" package.json || ! cmp -s package.json node_modules/.installed; then
    echo "Installing the npm packages ..."
    cp "$here/package.json" package.json
    npm install --no-package-lock --no-audit --no-fund --loglevel=error >/dev/null \
        || fail "npm could not install the packages of $here/package.json."
    cp package.json node_modules/.installed
fi
