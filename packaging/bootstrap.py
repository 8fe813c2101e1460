"""Set up EdgeTune with one command: create a virtual environment in .venv, then start the chosen program.

    python3 packaging/bootstrap.py demo     the whole pipeline on the bundled model
    python3 packaging/bootstrap.py test     the tests; further arguments go to pytest
    python3 packaging/bootstrap.py app      the terminal app; further arguments go to edgetune
    python3 packaging/bootstrap.py setup    the environment only

Windows: `py packaging/bootstrap.py demo`. Needs Python 3.11 or newer and nothing else. If something is missing, it prints the
command that installs it.
Older Pythons must be able to read this file, so that they can explain the error: the work is in newcomer/.
"""

import shutil
import subprocess
import sys

if sys.version_info < (3, 11):
    which = getattr(shutil, "which", lambda _name: None)  # Python 2.7 has none
    newer = []
    for name in filter(which, ("python3.11", "python3.12", "python3.13", "python3.14")):
        trial = subprocess.Popen([name, "-c", "import ensurepip"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        trial.communicate()
        newer += [name] if trial.returncode == 0 else []

    # The first of these that the system has is named in the remedy.
    commands = (
        ("apt-get", "sudo apt install python3.11 python3.11-venv"),
        ("dnf", "sudo dnf install python3.12"),
        ("zypper", "sudo zypper install python312"),
        ("pacman", "sudo pacman -S python"),
        ("brew", "brew install python@3.12"),
        ("winget", "winget install Python.Python.3.12"),
    )

    arguments = sys.argv[1:] or ["demo"]
    if newer:
        remedy = "{0} is installed too. Run: {0} packaging/bootstrap.py {1}   (or: make {2} PYTHON={0})".format(
            newer[0], " ".join(arguments), arguments[0]
        )
    else:
        hints = ["for example with '{}', or ".format(command) for tool, command in commands if which(tool)]
        remedy = "Install a newer one, {}from https://www.python.org/downloads/".format("".join(hints[:1]))

    version = "{}.{}".format(*sys.version_info[:2])
    sys.stderr.write("EdgeTune cannot be set up: this is Python {}, but it needs 3.11 or newer.\n{}\n".format(version, remedy))
    sys.exit(1)

from newcomer.commands import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
