"""What clients in processes of their own do; without this project, so standard library only."""

import json
import sys


def serve(work):
    """Do what each JSON line asks; what fails is told, and the next one is done."""
    sys.stdout.reconfigure(line_buffering=True)
    print("@@ready", flush=True)
    for line in sys.stdin:
        try:
            work(json.loads(line))
        except Exception as error:
            print("@@failed", repr(error)[:500], flush=True)
        print("@@done", flush=True)
