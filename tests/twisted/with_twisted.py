#!/usr/bin/env python3
# with_twisted: runs a program with an interpreter that has Twisted; ends with 77, to Meson: skipped, where none has it.
#
#     with_twisted.py master.py ARGUMENT...     a script beside this one, by that interpreter
#     with_twisted.py PROGRAM ARGUMENT...       a test program, whose slaves are then on Twisted (farm_slave.py)

import os
import shlex
import shutil
import subprocess
import sys

here = os.path.dirname(os.path.abspath(__file__))


def has_twisted(python):
    check = [python, "-c", "import twisted.protocols.amp"]
    return shutil.which(python) and subprocess.run(check, capture_output=True).returncode == 0


# A system's package is for the system's Python, which need not be the first on the PATH.
python = next(filter(has_twisted, [sys.executable, "python3", "/usr/bin/python3"]), None)
if not python:
    print("no Python here has Twisted")
    sys.exit(77)

program, *arguments = sys.argv[1:]
if program.endswith(".py"):
    if arguments and arguments[0].endswith(".py"):
        arguments.insert(0, python)
    os.execvp(python, [python, os.path.join(here, program), *arguments])
os.environ["REMSH_TEST_TWISTED"] = shlex.join([python, os.path.join(here, "farm_slave.py")])
os.execvp(program, [program, *arguments])
