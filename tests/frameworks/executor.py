"""A custom executor on pymesos: runs the shell command in each task's `data` as a child process.

Answers a framework message with `echo <message>`. Knows nothing of the test that uses it.
"""

import base64
import logging
import os
import signal
import subprocess
import sys
import threading
import time

from pymesos import Executor, MesosExecutorDriver


class ShellExecutor(Executor):
    def __init__(self):
        self.children = {}
        self.killed = set()
        self.lock = threading.Lock()

    def launchTask(self, driver, task):
        task_id = task["task_id"]["value"]
        command = base64.b64decode(task["data"]).decode()
        child = subprocess.Popen(["/bin/sh", "-c", command])
        with self.lock:
            self.children[task_id] = child
        threading.Thread(target=self.follow, args=(driver, task_id, child), daemon=True).start()

    def follow(self, driver, task_id, child):
        self.update(driver, task_id, "TASK_RUNNING")
        status = child.wait()
        with self.lock:
            self.children.pop(task_id, None)
            killed = task_id in self.killed
        state = "TASK_KILLED" if killed else "TASK_FINISHED" if status == 0 else "TASK_FAILED"
        self.update(driver, task_id, state)

    def killTask(self, driver, task_id):
        with self.lock:
            child = self.children.get(task_id["value"])
            self.killed.add(task_id["value"])
        if child is not None:
            child.terminate()

    def frameworkMessage(self, driver, message):
        answer = "echo " + base64.b64decode(message).decode()
        driver.sendFrameworkMessage(base64.b64encode(answer.encode()).decode())

    def shutdown(self, driver):
        with self.lock:
            for child in self.children.values():
                child.terminate()

    def update(self, driver, task_id, state):
        """Sends an update until the agent, which may be away for a while, has taken it."""
        status = {"task_id": {"value": task_id}, "state": state}
        while True:
            try:
                driver.sendStatusUpdate(status)
                return
            except Exception:  # pylint: disable=broad-except
                logging.exception("update of %s to %s was not taken", task_id, state)
                time.sleep(0.2)


def main():
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    driver = MesosExecutorDriver(ShellExecutor())
    driver.run()


if __name__ == "__main__":
    main()
