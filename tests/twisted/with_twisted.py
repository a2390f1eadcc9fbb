#!/usr/bin/env python3
# with_twisted: runs a program with an interpreter that has Twisted; ends with 77, to Meson: skipped, where none has it.
#
#     with_twisted.py OVER master.py ARGUMENT...    a script beside this one, by that interpreter
#     with_twisted.py OVER PROGRAM ARGUMENT...      a test program, whose slaves are then on Twisted (farm_slave.py)
#
# OVER is keyless, key or tls: what the slaves have; tls is a key as well, and needs what Twisted needs for that.

import os
import shlex
import shutil
import subprocess
import sys

here = os.path.dirname(os.path.abspath(__file__))
over, program, *arguments = sys.argv[1:]
modules = "twisted.protocols.amp" + (", OpenSSL, service_identity" if over == "tls" else "")


def has_them(python):
    check = [python, "-c", "import " + modules]
    return shutil.which(python) and subprocess.run(check, capture_output=True).returncode == 0


# A system's package is for the system's Python, which need not be the first on the PATH.
python = next(filter(has_them, [sys.executable, "python3", "/usr/bin/python3"]), None)
if not python:
    print("skipped: no Python here has", modules)
    sys.exit(77)

os.environ["REMSH_TEST_TWISTED_OVER"] = over
if over == "tls":
    make_one = [python, os.path.join(here, "certificate.py")]
    for name in ("REMSH_TEST_CERTIFICATE", "REMSH_TEST_OTHER_CERTIFICATE"):
        os.environ[name] = subprocess.run(make_one, check=True, stdout=subprocess.PIPE, text=True).stdout
if program.endswith(".py"):
    if arguments and arguments[0].endswith(".py"):
        arguments.insert(0, python)
    os.execvp(python, [python, os.path.join(here, program), *arguments])
os.environ["REMSH_TEST_TWISTED"] = shlex.join([python, os.path.join(here, "farm_slave.py")])
os.execvp(program, [program, *arguments])
