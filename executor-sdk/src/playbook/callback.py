"""Writes what a playbook run came to, one JSON object per line, into $YGGDRASIL_RECAP."""

import json
import os

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: yggdrasil_recap
type: notification
short_description: recap for Yggdrasil
description: Writes failed tasks and the recap per host, one JSON object per line.
"""


def first_text(*candidates):
    for candidate in candidates:
        if candidate and isinstance(candidate, str) and candidate.strip():
            return candidate.strip()
    return ""


def message_of(result):
    for item in result.get("results") or []:
        if isinstance(item, dict) and (item.get("failed") or item.get("unreachable")):
            return message_of(item)
    said = first_text(
        result.get("msg"), result.get("censored"), result.get("stderr"), result.get("module_stderr"),
        result.get("stdout"),
    )
    detail = first_text(result.get("stderr"), result.get("module_stderr"))
    if detail and detail != said:
        said = said + ": " + detail.splitlines()[-1]
    return said[:2000]


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "yggdrasil_recap"
    CALLBACK_NEEDS_ENABLED = False

    def _tell(self, event):
        path = os.environ.get("YGGDRASIL_RECAP")
        if path:
            with open(path, "a") as recap:
                recap.write(json.dumps(event) + "\n")

    def _tell_result(self, kind, result):
        # The underscored names are those of ansible-core before 2.19.
        host = getattr(result, "host", None) or result._host
        task = getattr(result, "task", None) or result._task
        found = getattr(result, "result", None) or result._result
        self._tell({
            "event": kind,
            "host": host.get_name(),
            "task": task.get_name().strip(),
            "message": message_of(found),
        })

    def v2_playbook_on_start(self, playbook):
        self._tell({"event": "start"})

    def v2_runner_on_failed(self, result, ignore_errors=False):
        if not ignore_errors:
            self._tell_result("failed", result)

    def v2_runner_on_unreachable(self, result):
        self._tell_result("unreachable", result)

    def v2_playbook_on_stats(self, stats):
        hosts = {}
        for host in sorted(stats.processed):
            counts = stats.summarize(host)
            counts["failed"] = counts.pop("failures", 0)
            hosts[host] = counts
        self._tell({"event": "stats", "hosts": hosts})
