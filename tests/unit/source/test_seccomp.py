"""The filter: what it answers, on either machine, to every call that it names and to others."""

import ctypes
import errno
import mmap
import os
import re
import socket
import struct
import sys
from pathlib import Path

import pytest

from nodeagent.source import seccomp
from nodeagent.source.confine import Reach, confine
from tests.unit.source.test_confine import in_child

HEADERS = {
    "x86_64": Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    "aarch64": Path("/usr/include/asm-generic/unistd.h"),
}
ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
ALLOWED = 0
NEW_USER, SIGCHLD, THREAD = 0x10000000, 17, 0x3D0F00  # what glibc's pthread_create asks for
STREAM, DGRAM, RAW = socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW
FLAGS = socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK


def verdict(machine, number, *arguments, arch=None, network=True, local=False, programs=False):
    """Run the filter as the kernel does: the errno that the call ends with, or ALLOWED."""
    code = list(struct.iter_unpack("=HBBI", seccomp.program(machine, network, local, programs)))
    words = [*arguments, *[0] * (6 - len(arguments))]
    data = struct.pack("=iIQ6Q", number, arch or ARCH[machine], 0, *words)
    at = register = 0
    while True:
        what, true, false, value = code[at]
        at += 1
        match what:
            case 0x20:  # BPF_LD | BPF_W | BPF_ABS
                (register,) = struct.unpack_from("=I", data, value)
            case 0x54:  # BPF_ALU | BPF_AND | BPF_K
                register &= value
            case 0x15 | 0x25 | 0x45:  # BPF_JMP: JEQ, JGT, JSET
                holds = {0x15: register == value, 0x25: register > value, 0x45: register & value}[what]
                at += true if holds else false
            case 0x06:  # BPF_RET
                return {0x7FFF0000: ALLOWED, 0x00050000: value & 0xFFFF}[value & 0xFFFF0000]
            case _:
                raise AssertionError(f"instruction {what:#x}")


def number(machine, name):
    return ({**seccomp.REFUSED, **seccomp.JUDGED})[name][seccomp.MACHINES.index(machine)]


@pytest.fixture(params=seccomp.MACHINES)
def machine(request):
    return request.param


def test_the_numbers_are_those_of_the_kernel_s_own_headers(machine):
    if not HEADERS[machine].exists():
        pytest.skip(f"needs {HEADERS[machine]} (linux-libc-dev)")
    text = HEADERS[machine].read_text()
    known = {
        name: int(value) for name, value in re.findall(r"^#define __NR(?:3264)?_(\w+)\s+(\d+)\s*$", text, re.MULTILINE)
    }
    for name in {**seccomp.REFUSED, **seccomp.JUDGED}:
        if number(machine, name) is not None:
            assert known[name] == number(machine, name), name


def test_every_call_on_the_list_is_refused(machine):
    for name in seccomp.REFUSED:
        if (call := number(machine, name)) is not None:
            assert verdict(machine, call) == errno.EPERM, name


def test_every_other_call_is_let_through(machine):
    named = {number(machine, name) for name in {**seccomp.REFUSED, **seccomp.JUDGED}}
    for call in set(range(600)) - named:
        assert verdict(machine, call) == ALLOWED, call


def test_calls_of_another_abi_are_all_refused(machine):
    assert verdict(machine, 1, arch=0x40000003) == errno.EPERM  # i386
    if machine == "x86_64":
        assert verdict(machine, 0x40000001) == errno.EPERM  # x32


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("clone", (SIGCHLD,), errno.EPERM),
        ("clone", (THREAD,), ALLOWED),
        ("clone", (SIGCHLD | NEW_USER,), errno.EPERM),
        ("clone", (THREAD | NEW_USER,), errno.EPERM),
        ("clone3", (), errno.ENOSYS),
        ("prlimit64", (0,), ALLOWED),
        ("prlimit64", (1,), errno.EPERM),
        ("ioctl", (0, 0x5412), errno.EPERM),  # TIOCSTI
        ("ioctl", (0, 0x541C), errno.EPERM),  # TIOCLINUX
        ("ioctl", (0, 0x1_0000_5412), errno.EPERM),  # the kernel looks at the lower half
        ("ioctl", (0, 0x5413), ALLOWED),
        ("mmap", (0, 4096, 3, mmap.MAP_SHARED | mmap.MAP_ANONYMOUS), errno.EPERM),
        ("mmap", (0, 4096, 3, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS), ALLOWED),
        ("mmap", (0, 4096, 1, mmap.MAP_SHARED), ALLOWED),
        ("socket", (socket.AF_INET, STREAM | FLAGS, 0), ALLOWED),
        ("socket", (socket.AF_INET6, STREAM, socket.IPPROTO_TCP), ALLOWED),
        ("socket", (socket.AF_INET, DGRAM | FLAGS, 0), ALLOWED),
        ("socket", (socket.AF_INET6, DGRAM, socket.IPPROTO_UDP), ALLOWED),
        ("socket", (socket.AF_INET, DGRAM, socket.IPPROTO_ICMP), errno.EAFNOSUPPORT),
        ("socket", (socket.AF_INET, STREAM, socket.IPPROTO_SCTP), errno.EAFNOSUPPORT),
        ("socket", (socket.AF_INET, RAW, socket.IPPROTO_TCP), errno.EAFNOSUPPORT),
        ("socket", (socket.AF_NETLINK, RAW, socket.NETLINK_ROUTE), ALLOWED),
        ("socket", (socket.AF_NETLINK, RAW, 9), errno.EAFNOSUPPORT),  # NETLINK_AUDIT
        ("socket", (socket.AF_UNIX, STREAM, 0), errno.EAFNOSUPPORT),
        ("socket", (socket.AF_PACKET, RAW, 0), errno.EAFNOSUPPORT),
        ("socket", (socket.AF_VSOCK, STREAM, 0), errno.EAFNOSUPPORT),
        ("socket", (socket.AF_ALG, STREAM, 0), errno.EAFNOSUPPORT),
        ("sendto", (3, 0, 5, socket.MSG_NOSIGNAL), ALLOWED),
        ("sendto", (3, 0, 5, socket.MSG_NOSIGNAL | socket.MSG_FASTOPEN), errno.EOPNOTSUPP),
        ("sendmsg", (3, 0, socket.MSG_NOSIGNAL), ALLOWED),
        ("sendmsg", (3, 0, socket.MSG_FASTOPEN), errno.EOPNOTSUPP),
        ("sendmmsg", (3, 0, 2, socket.MSG_NOSIGNAL), ALLOWED),
        ("sendmmsg", (3, 0, 2, socket.MSG_FASTOPEN), errno.EOPNOTSUPP),
    ],
)
def test_some_calls_are_judged_by_their_arguments(machine, name, arguments, expected):
    assert verdict(machine, number(machine, name), *arguments) == expected


def test_programs_may_be_started_where_one_is_meant_to_be(machine):
    for name in ("execve", "execveat"):
        assert verdict(machine, number(machine, name), programs=True) == ALLOWED
    assert verdict(machine, number(machine, "ptrace"), programs=True) == errno.EPERM


def test_without_network_no_socket_is_made_and_with_local_ones_those_of_the_node(machine):
    call = number(machine, "socket")
    for family in (socket.AF_INET, socket.AF_NETLINK, socket.AF_UNIX):
        assert verdict(machine, call, family, STREAM, network=False) == errno.EAFNOSUPPORT
    for family in (socket.AF_INET, socket.AF_NETLINK, socket.AF_UNIX):
        assert verdict(machine, call, family, STREAM, local=True) == ALLOWED
    assert verdict(machine, call, socket.AF_PACKET, STREAM, local=True) == errno.EAFNOSUPPORT


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give it up")
@pytest.mark.skipif(not seccomp.is_known(), reason="there is no filter for this machine")
def test_the_kernel_refuses_what_is_on_the_list():
    """The real thing; as a user without rights some of these would fail with EPERM anyway, or for want of the call."""

    def job():
        syscall = ctypes.CDLL(None, use_errno=True).syscall
        confine("nobody", Reach(write=()))
        found = {}
        for name in seccomp.REFUSED:
            if (call := number(os.uname().machine, name)) is not None:
                result = syscall(ctypes.c_long(call), *[ctypes.c_long(-1)] * 6)
                found[name] = ctypes.get_errno() if result == -1 else 0
        return found

    assert set(in_child(job).values()) == {errno.EPERM}


def test_there_is_none_for_a_machine_whose_numbers_are_not_known():
    assert not seccomp.is_known("s390x")
    assert seccomp.is_known("x86_64") == (sys.byteorder == "little")
