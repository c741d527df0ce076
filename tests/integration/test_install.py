# SPDX-License-Identifier: MIT
"""make install and uninstall, and what a stranger does with the installed library."""
import os
import re
import shutil
import subprocess
import tempfile

import harness
from harness import Skip

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

PROGRAM = """
#include <tollgate.h>
#include <stdio.h>
int main(void)
{
    struct tg_options opt = TG_OPTIONS_INIT;
    struct tg_dispatch d = TG_DISPATCH_INIT;
    struct tg_stats s;
    tg_emitter *tg;
    opt.endpoint = "ipc:///nonexistent/tollgate.sock";
    if (tg_open(&opt, &tg) != TG_OK || tg_dispatch_complete(tg, &d) != TG_OK || tg_stats(tg, &s) != TG_OK)
        return 1;
    printf("%s %d\\n", tg_version(), (int)s.emitted);
    return tg_close(tg, 0) == TG_ERR_TIMEOUT ? 0 : 1;
}
"""


def run(*args, **kwargs):
    p = subprocess.run(args, capture_output=True, text=True, **kwargs)
    assert p.returncode == 0, "%s: %s%s" % (" ".join(args), p.stdout, p.stderr)
    return p.stdout


def make(root, target):
    if os.path.basename(harness.BUILD) in ("asan", "tsan"):
        raise Skip("the plain build is what is installed")
    run("make", "-C", TOP, "BUILD=" + harness.BUILD, "DESTDIR=" + root, "PREFIX=/usr", target)


def files(root):
    return sorted(os.path.relpath(os.path.join(d, f), root) for d, _, names in os.walk(root) for f in names)


def test_install_use_uninstall():
    with tempfile.TemporaryDirectory() as root:
        make(root, "install")
        lib, program = root + "/usr/lib", root + "/program"
        for wanted in ("bin/tollgated", "bin/tollgate", "bin/tollgate-ship", "include/tollgate.h", "lib/libtollgate.a",
                       "lib/libtollgate-core.a", "lib/libtollgate.so", "lib/pkgconfig/tollgate.pc",
                       "share/man/man8/tollgated.8", "share/man/man5/tollgate.yaml.5", "share/man/man1/tollgate.1"):
            assert os.path.exists(os.path.join(root, "usr", wanted)), wanted
        with open(root + "/program.c", "w", encoding="ascii") as f:
            f.write(PROGRAM)
        env = dict(os.environ, PKG_CONFIG_PATH=lib + "/pkgconfig", PKG_CONFIG_SYSROOT_DIR=root, LD_LIBRARY_PATH=lib,
                   XDG_RUNTIME_DIR=root)
        flags = run("pkg-config", "--cflags", "--libs", "tollgate", env=env).split()
        run("cc", "-std=c11", "-Wall", "-Werror", root + "/program.c", "-o", program, *flags)
        assert "libtollgate.so.0" in run("ldd", program, env=env)
        assert run(program, env=env).split()[1] == "1"
        os.unlink(program)
        os.unlink(root + "/program.c")
        shutil.rmtree(root + "/tollgate")
        make(root, "uninstall")
        assert files(root) == [], files(root)


def test_the_whole_api_and_nothing_else_is_exported():
    shared = os.path.join(harness.BUILD, "libtollgate.so.0")
    symbols = [line.split()[-1].split("@")[0] for line in run("nm", "-D", "--defined-only", shared).splitlines()]
    symbols = [s for s in symbols if not s.startswith(("LIBTOLLGATE", "TOLLGATE", "TG_"))]
    with open(os.path.join(TOP, "include", "tollgate.h"), encoding="utf-8") as f:
        declared = re.findall(r"^(?:int|void|const char \*) ?\*?(tg_\w+)\(", f.read(), re.M)
    assert len(declared) > 10 and sorted(symbols) == sorted(declared), (symbols, declared)
    assert "NODELETE" in run("readelf", "-d", shared)


def test_the_core_needs_no_libzmq():
    core = os.path.join(harness.BUILD, "libtollgate-core.a")
    assert "zmq_" not in run("nm", "-A", "--undefined-only", core)
