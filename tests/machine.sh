#!/bin/sh
# What only the machine itself can give, checked or fetched; one sentence and exit 2 when it is missing.
#
#   machine.sh python     prints a Python of at least 3.11 that can make virtual environments
#   machine.sh browser    sees to Chromium, Firefox, Node.js, npm and coturn: by apt when root, else prints the line to run

set -eu

fail() {
    echo "$1" >&2
    exit 2
}

find_python() {
    found=
    for name in python3 python3.11 python3.12 python3.13 python3.14; do
        path=$(command -v "$name" 2>/dev/null) || continue
        "$path" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue
        found=$path
        if "$path" -c 'import venv, ensurepip' 2>/dev/null; then
            echo "$path"
            return
        fi
    done
    [ -z "$found" ] || fail "Python's venv module is missing: sudo apt-get install -y python3-venv"
    fail "Python 3.11 or newer is missing: sudo apt-get install -y python3 python3-venv"
}

prepare_browser() {
    missing=
    command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null \
        || missing=" chromium"
    # An ordinary user's Chromium keeps its sandbox, which Debian packs by itself; root has none.
    [ -z "$missing" ] || [ "$(id -u)" -eq 0 ] || missing="$missing chromium-sandbox"
    command -v firefox-esr >/dev/null || command -v firefox >/dev/null || missing="$missing firefox-esr"
    command -v node >/dev/null || missing="$missing nodejs"
    command -v npm >/dev/null || missing="$missing npm"
    command -v turnserver >/dev/null || missing="$missing coturn"
    # Playwright brings a Node.js of its own, which wants this library.
    ldconfig -p 2>/dev/null | grep -q 'libatomic\.so\.1 ' || /sbin/ldconfig -p 2>/dev/null | grep -q 'libatomic\.so\.1 ' \
        || missing="$missing libatomic1"
    [ -n "$missing" ] || return 0
    line="apt-get update && apt-get install -y --no-install-recommends$missing"
    if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
        echo "The tests need$missing: $line" >&2
        DEBIAN_FRONTEND=noninteractive sh -c "$line" >&2 || fail "apt could not install$missing."
        # Debian starts it as a service, which nobody asked for: the tests start their own.
        case "$missing" in *coturn*) systemctl disable --now coturn >/dev/null 2>&1 || true ;; esac
    else
        fail "The tests need$missing: sudo sh -c '$line'"
    fi
}

case "${1:-}" in
    python) find_python ;;
    browser) prepare_browser ;;
    *) fail "usage: machine.sh python|browser" ;;
esac
