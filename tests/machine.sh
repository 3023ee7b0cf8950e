#!/bin/sh
# What only the machine itself can give, checked or fetched; one sentence and exit 2 when it is missing.
#
#   machine.sh python     prints a Python of at least 3.11 that can make virtual environments
#   machine.sh browser    sees to Chromium, Firefox, Node.js, npm, coturn, and to the voices that the tests listen to: by
#                         apt when root, else prints the line to run
#   machine.sh bench      sees to the voices that `make bench` listens to, and to a C compiler: likewise
#   machine.sh deploy DIR sees to what checks deploy/: systemd-analyze and docker-compose by apt when root, else prints
#                         the line to run; Caddy and nginx unpacked into DIR, for installed they would begin to serve

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
    # Debian packs it without its windows, too: the same engine, a page in a third of the processor's time.
    if [ "$(id -u)" -eq 0 ] && grep -qs '^ID=debian' /etc/os-release; then
        command -v chromium-headless-shell >/dev/null || missing="$missing chromium-headless-shell"
    fi
    command -v firefox-esr >/dev/null || command -v firefox >/dev/null || missing="$missing firefox-esr"
    command -v node >/dev/null || missing="$missing nodejs"
    command -v npm >/dev/null || missing="$missing npm"
    missing_voices
    command -v turnserver >/dev/null || missing="$missing coturn"
    # Playwright brings a Node.js of its own, which wants this library.
    ldconfig -p 2>/dev/null | grep -q 'libatomic\.so\.1 ' || /sbin/ldconfig -p 2>/dev/null | grep -q 'libatomic\.so\.1 ' \
        || missing="$missing libatomic1"
    [ -z "$missing" ] || install_by_apt "$missing"
}

# Three voices that ask questions, and five sentences that people read.
missing_voices() {
    command -v flite >/dev/null || missing="$missing flite"
    [ -d /usr/share/pocketsphinx/test/data/librivox ] || missing="$missing pocketsphinx-testdata"
}

prepare_bench() {
    missing=
    missing_voices
    command -v espeak-ng >/dev/null || missing="$missing espeak-ng"
    command -v gcc >/dev/null || missing="$missing gcc libc6-dev"
    [ -z "$missing" ] || install_by_apt "$missing"
}

install_by_apt() {
    missing=$1
    line="apt-get update && apt-get install -y --no-install-recommends$missing"
    if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
        echo "This needs$missing: $line" >&2
        DEBIAN_FRONTEND=noninteractive sh -c "$line" >&2 || fail "apt could not install$missing."
        # Debian starts it as a service, which nobody asked for: the tests start their own.
        case "$missing" in *coturn*) systemctl disable --now coturn >/dev/null 2>&1 || true ;; esac
    else
        fail "This needs$missing: sudo sh -c '$line'"
    fi
}

prepare_deploy() {
    missing=
    command -v systemd-analyze >/dev/null || missing=" systemd"
    command -v docker-compose >/dev/null || missing="$missing docker-compose"
    [ -z "$missing" ] || install_by_apt "$missing"
    mkdir -p "$1"
    for name in caddy nginx; do
        PATH="$PATH:/usr/sbin:$1/usr/bin:$1/usr/sbin" command -v "$name" >/dev/null || unpack "$1" "$name"
    done
}

# Without root and without a service that starts: the package's files alone. What is downloaded is checked by apt.
unpack() {
    (cd "$1" && apt-get download --quiet "$2" >&2 && dpkg -x "$2"_*.deb . && rm -f "$2"_*.deb) \
        || fail "The tests need $2: sudo apt-get update && sudo apt-get install -y $2"
}

case "${1:-}" in
    python) find_python ;;
    browser) prepare_browser ;;
    bench) prepare_bench ;;
    deploy) prepare_deploy "${2:?}" ;;
    *) fail "usage: machine.sh python|browser|bench|deploy DIR" ;;
esac
