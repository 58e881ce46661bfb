"""Runs unittest's discovery and writes its counts as JSON into the file named first."""

import json
import os
import sys
import unittest

report = sys.argv[1]
sys.path.insert(0, os.getcwd())
loader = unittest.TestLoader()
suites = [loader.discover(".")]
for folder in ("tests", "test"):
    # Discovery enters packages only.
    if os.path.isdir(folder) and not os.path.exists(os.path.join(folder, "__init__.py")):
        suites.append(loader.discover(folder, top_level_dir=folder))

result = unittest.TextTestRunner(verbosity=2).run(unittest.TestSuite(suites))
failed = [str(test.id()) for test, _ in result.failures + result.errors]
failed += [str(test.id()) for test in result.unexpectedSuccesses]
counts = {
    # A module that cannot be imported is an error without a run of its own.
    "run": max(result.testsRun, len(failed) + len(result.skipped)),
    "skipped": len(result.skipped),
    "failed": list(dict.fromkeys(failed)),
}
with open(report, "w", encoding="utf-8") as file:
    json.dump(counts, file)
sys.exit(0 if result.wasSuccessful() else 1)
