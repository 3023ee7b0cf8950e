"""A network of its own for some processes: a Linux network namespace with one TUN device, through libc alone.

A namespace here has no name. It lives as long as its descriptor, or a process in it, and processes that start in it
die with this one, so a run that is killed leaves nothing.

    browser = Namespace("10.99.0.1")
    process = await asyncio.create_subprocess_exec(*browser.command("chromium"))
    packet = os.read(browser.tun, MTU)    # what somebody in it sent beyond it
    browser.close()

It takes Linux with util-linux, root (CAP_SYS_ADMIN, CAP_NET_ADMIN) and /dev/net/tun; `obstacle()` says what is missing.
"""

import ctypes
import fcntl
import functools
import os
import shutil
import socket
import struct
import sys
import threading
from collections.abc import Callable
from typing import Any, Final, TypeVar

T = TypeVar("T")

MTU: Final = 1500  # bytes of an IP packet
NETMASK: Final = "255.255.255.0"
_PROGRAMS: Final = ("nsenter", "setpriv")  # of util-linux, which every Debian has
_CLONE_NEWNET: Final = 0x40000000  # linux/sched.h
_TUNSETIFF: Final = 0x400454CA  # linux/if_tun.h
_IFF_TUN, _IFF_NO_PI = 0x0001, 0x1000
_SIOCSIFFLAGS, _SIOCSIFADDR, _SIOCSIFNETMASK, _SIOCSIFMTU = 0x8914, 0x8916, 0x891C, 0x8922  # linux/sockios.h
_IFF_UP: Final = 0x0001
# As if it were a cable: a browser takes a name that begins with tun for a VPN and ranks it last.
_DEVICE: Final = b"eth0"


class Namespace:
    """One namespace with `address`/24 on its only cable; the cable's other end is `tun`. Owes one `close`."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.fd = _in_thread(_unshared)
        try:
            self.tun = self.within(lambda: _lay_cable(address))
        except OSError:
            os.close(self.fd)
            raise

    def within(self, work: Callable[[], T]) -> T:
        """Do something short in it, such as making a socket, and come back with the result."""

        def moved() -> T:
            _call("setns", self.fd, _CLONE_NEWNET)
            return work()

        return _in_thread(moved)

    def move(self, address: str) -> None:
        """Its cable has another address/24 from now on, and the old one no more: as from Wi-Fi to 4G."""
        self.within(lambda: _address(address))
        self.address = address

    def command(self, *words: str) -> tuple[str, ...]:
        """The command line that runs `words` in it, in the same process id, until this process ends at the latest."""
        me = f"/proc/{os.getpid()}/fd/{self.fd}"
        return ("nsenter", f"--net={me}", "--", "setpriv", "--pdeathsig", "KILL", "--", *words)

    def close(self) -> None:
        """Give it up; it ends when the last process in it has."""
        os.close(self.tun)
        os.close(self.fd)


@functools.cache
def obstacle() -> str:
    """Why this machine makes no namespaces, in a few words; empty if it does."""
    if not (sys.platform.startswith("linux") and all(map(shutil.which, _PROGRAMS))):
        return f"it takes Linux with {' and '.join(_PROGRAMS)}"
    try:
        Namespace("10.99.0.1").close()
    except OSError as error:
        return f"it takes root and /dev/net/tun ({error})"
    return ""


def _in_thread(work: Callable[[], T]) -> T:
    """Run in a thread of its own: a namespace belongs to a thread, and nobody else shall be moved."""
    done: list[T] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            done.append(work())
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run, name="namespace")
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return done[0]


def _call(name: str, *arguments: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")


def _unshared() -> int:
    _call("unshare", _CLONE_NEWNET)
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def _lay_cable(address: str) -> int:
    tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        fcntl.ioctl(tun, _TUNSETIFF, struct.pack("16sH22x", _DEVICE, _IFF_TUN | _IFF_NO_PI))
        _address(address)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
            _configure(control, _SIOCSIFMTU, _DEVICE, struct.pack("i", MTU))
            for device in (_DEVICE, b"lo"):
                _configure(control, _SIOCSIFFLAGS, device, struct.pack("H", _IFF_UP))
    except OSError:
        os.close(tun)
        raise
    return tun


def _address(address: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        for request, text in ((_SIOCSIFADDR, address), (_SIOCSIFNETMASK, NETMASK)):
            _configure(control, request, _DEVICE, struct.pack("HH4s8x", socket.AF_INET, 0, socket.inet_aton(text)))


def _configure(control: socket.socket, request: int, device: bytes, value: bytes) -> Any:
    """One ioctl on a device: `struct ifreq` (netdevice(7)) is its name and 24 bytes of value."""
    return fcntl.ioctl(control, request, struct.pack("16s24s", device, value))
