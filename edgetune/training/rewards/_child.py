"""Runs a user's reward function with limits; started by python_file.py as a process of its own, which imports nothing of EdgeTune.

Arguments: file, bytes of memory, seconds. stdin: a JSON list of [prompt, answer, expected]; the last line of stdout: their rewards.
"""

import contextlib
import io
import json
import sys

CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
"""Linux's flags of unshare(2)."""
FORBIDDEN = ("socket.", "subprocess.", "os.system", "os.exec", "os.fork", "os.posix_spawn", "os.spawn", "ctypes.dlopen", "pty.spawn")
"""Events of Python's audit that end in an error: sockets, other programs, native libraries."""


def limit(memory: int, seconds: int) -> None:
    """Take away the network, and most memory and time."""
    # Each limit that a system lacks is passed over; the others still hold.
    try:
        import ctypes

        ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWUSER | CLONE_NEWNET)  # where it may not, the audit below remains
    except (OSError, AttributeError, TypeError):
        pass
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    except ImportError:  # Windows has no such limits; the time is kept by the parent
        pass

    # Last, because it forbids ctypes, which the first limit needs.
    def refuse(event: str, _arguments: object) -> None:
        if event.startswith(FORBIDDEN):
            raise PermissionError(f"a reward may not use {event}")

    sys.addaudithook(refuse)


def main() -> None:
    """Load the file, call its function for every answer, print the rewards."""
    path, memory, seconds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    asked = json.load(sys.stdin)
    with open(path, "rb") as file:
        source = file.read()

    # Its own file and its input are read before, so that the limits are spent on the user's code alone.
    limit(memory, seconds)
    space: dict[str, object] = {"__name__": "reward", "__file__": path}

    # What the file prints must not be read as the rewards.
    with contextlib.redirect_stdout(io.StringIO()):
        exec(compile(source, path, "exec"), space)
        function = space.get("reward")
        if not callable(function):
            raise TypeError("the file has no function reward(prompt, answer, expected)")
        rewards = [float(function(*one)) for one in asked]

    print(json.dumps(rewards))


if __name__ == "__main__":
    main()
