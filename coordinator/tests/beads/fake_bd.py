#!/usr/bin/env python3
"""A Beads program that answers from a script and keeps a journal.

Beside the path it was called by lie `script.json` (a list of rules) and `journal.jsonl`. The first
rule whose words all stand in the arguments, and whose `times` are not used up, gives the answer.
"""

import fcntl
import json
import os
import sys
import time


def note(here, entry):
    """One line per event, written whole."""
    line = json.dumps({**entry, "pid": os.getpid(), "time": time.monotonic()}) + "\n"
    with open(os.path.join(here, "journal.jsonl"), "a", encoding="utf-8") as journal:
        fcntl.flock(journal, fcntl.LOCK_EX)
        journal.write(line)


def use(here, number, times):
    """Counts one use of a rule; false when it has none left."""
    if times is None:
        return True
    path = os.path.join(here, f"used-{number}")
    used = os.path.getsize(path) if os.path.exists(path) else 0
    if used >= times:
        return False
    with open(path, "a", encoding="utf-8") as counter:
        counter.write(".")
    return True


def find(here, argv):
    with open(os.path.join(here, "script.json"), encoding="utf-8") as script:
        rules = json.load(script)
    for rule in rules:
        words = rule["words"]
        if all(any(arg.startswith(word) for arg in argv) for word in words):
            if use(here, rule["number"], rule.get("times")):
                return rule
    return None


def main():
    here = os.path.dirname(os.path.abspath(sys.argv[0]))
    argv = sys.argv[1:]
    stdin = sys.stdin.buffer.read().decode("utf-8", "replace")
    files = {}
    for arg in argv:
        if arg.startswith("--metadata=@"):
            with open(arg.removeprefix("--metadata=@"), encoding="utf-8") as body:
                files[arg] = body.read()
    note(here, {"event": "start", "argv": argv, "stdin": stdin, "files": files,
                "env": dict(os.environ), "cwd": os.getcwd()})
    rule = find(here, argv)
    if rule is None:
        sys.stderr.write("Error: the fake has no rule for: " + " ".join(argv) + "\n")
        return 99
    if rule.get("hang"):
        # A child in the same group, which must not survive either.
        child = os.fork()
        if child == 0:
            time.sleep(600)
            os._exit(0)
        note(here, {"event": "hang", "child": child})
        time.sleep(600)
    wait_for = rule.get("until")
    while wait_for and not os.path.exists(wait_for):
        time.sleep(0.01)
    time.sleep(rule.get("sleep", 0))
    if "poison" in rule:
        ids = [i for arg in argv if arg.startswith("--id=") for i in arg[5:].split(",")]
        if rule["poison"] not in ids:
            beads = [{"id": i, "title": "a bead", "status": "open"} for i in ids]
            rule = {"stdout": json.dumps(beads)}
    sys.stdout.write(rule.get("stdout", ""))
    sys.stderr.write(rule.get("stderr", ""))
    sys.stdout.flush()
    note(here, {"event": "end", "argv": argv})
    return rule.get("exit", 0)


if __name__ == "__main__":
    sys.exit(main())
