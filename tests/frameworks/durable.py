"""A framework on pymesos that keeps long tasks running and a stream of short ones going, and writes down everything
it sees.

Usage: durable.py --masters H:P,H:P --events FILE --pids DIR [options]

Every event is one JSON line in FILE, in the order in which it happened: `subscribed`, `disconnected`, `offers`,
`rescind`, `launch`, `update`, `ack`, `reconcile`, `kill`, `message`, `failure`, `error`, `call_failed`, `stopped`.
If FILE exists already, the framework takes up where the earlier process stopped: same framework id, same tasks.

Each task, when it starts, creates the file DIR/<task id>.<pid>: a task that started twice leaves two of them.

Commands on standard input, one per line: `launch N` (long tasks), `shorts on|off`, `reconcile`, `kill TASK`,
`message TEXT` (to the executor of every running task), `stop` (tears the framework down), `leave` (ends without).
Updates are acknowledged explicitly.
"""

import argparse
import base64
import functools
import json
import logging
import os
import sys
import threading
import time

from pymesos import Scheduler

from masters import MasterListDriver

TERMINAL = {
    "TASK_FINISHED",
    "TASK_FAILED",
    "TASK_KILLED",
    "TASK_ERROR",
    "TASK_LOST",
    "TASK_DROPPED",
    "TASK_GONE",
    "TASK_GONE_BY_OPERATOR",
}
SHORTS_AT_ONCE = 6  # short tasks under way at the same time
SILENCE = 4.0  # seconds without news of a task that should have ended, before it is asked for again


class Journal:
    """The file of events."""

    def __init__(self, path):
        self.lock = threading.Lock()
        self.file = open(path, "a", buffering=1)

    def write(self, event, **fields):
        record = {"event": event, "time": time.time()}
        record.update(fields)
        with self.lock:
            self.file.write(json.dumps(record) + "\n")


class Task:
    def __init__(self, task_id, kind):
        self.task_id = task_id
        self.kind = kind  # "long" or "short"
        self.state = None  # latest state, None until the first update
        self.over = False  # nothing more is expected of it
        self.heard = time.time()


def journalled(callback):
    """An exception in a callback would end pymesos's thread: it is written down instead."""

    @functools.wraps(callback)
    def guarded(self, driver, *arguments):
        try:
            with self.lock:
                return callback(self, driver, *arguments)
        except Exception as error:  # pylint: disable=broad-except
            logging.exception("callback failed")
            self.journal.write("call_failed", call=callback.__name__, error=repr(error))

    return guarded


class Durable(Scheduler):
    def __init__(self, options):
        self.options = options
        self.lock = threading.RLock()
        self.tasks = {}
        self.long_wanted = options.long
        self.shorts = options.shorts
        self.counter = 0
        self.framework_id = None
        self.restore()
        self.journal = Journal(options.events)

    def restore(self):
        """Replays the events of an earlier process."""
        if not os.path.exists(self.options.events):
            return
        with open(self.options.events) as lines:
            for line in lines:
                record = json.loads(line)
                if record["event"] == "subscribed":
                    self.framework_id = record["framework_id"]
                elif record["event"] == "launch":
                    for task_id in record["task_ids"]:
                        self.counter = max(self.counter, int(task_id.rsplit("-", 1)[1]) + 1)
                        self.tasks[task_id] = Task(task_id, task_id.split("-")[0])
                elif record["event"] == "update" and record["task_id"] in self.tasks:
                    task = self.tasks[record["task_id"]]
                    task.state = record["state"]
                    task.over = task.over or (record["over"] and record["uuid"] is None)
                elif record["event"] == "ack" and record["task_id"] in self.tasks:
                    # What was not acknowledged for certain is asked for again.
                    if record["accepted"] and record["state"] in TERMINAL:
                        self.tasks[record["task_id"]].over = True

    # Callbacks of the driver.

    @journalled
    def registered(self, driver, framework_id, master):
        self.subscribed(driver, framework_id["value"], True)

    @journalled
    def reregistered(self, driver, master):
        self.subscribed(driver, driver.framework_id, False)

    def subscribed(self, driver, framework_id, first):
        self.framework_id = framework_id
        self.journal.write("subscribed", framework_id=framework_id, master=driver.master, first=first)
        self.reconcile(driver, [task for task in self.tasks.values() if not task.over])

    def disconnected(self, driver):
        self.journal.write("disconnected")

    @journalled
    def resourceOffers(self, driver, offers):
        self.journal.write(
            "offers", offers=[{"id": o["id"]["value"], "agent_id": o["agent_id"]["value"]} for o in offers]
        )
        for offer in offers:
            self.use(driver, offer)

    @journalled
    def offerRescinded(self, driver, offer_id):
        self.journal.write("rescind", offer_id=offer_id["value"])

    @journalled
    def statusUpdate(self, driver, status):
        task_id = status["task_id"]["value"]
        state = status["state"]
        # These updates only repeat a state; the one that has to be acknowledged is yet to come.
        repeats = status.get("reason") in ("REASON_RECONCILIATION", "REASON_AGENT_REREGISTERED")
        uuid = status.get("uuid")
        # A task that nobody knows never started: the launch was lost before anybody promised anything.
        over = (state in TERMINAL and not (repeats and uuid is None)) or (repeats and state == "TASK_UNKNOWN")
        self.journal.write(
            "update",
            task_id=task_id,
            state=state,
            reason=status.get("reason"),
            source=status.get("source"),
            message=status.get("message"),
            agent_id=status.get("agent_id", {}).get("value"),
            uuid=uuid,
            over=over,
        )
        task = self.tasks.get(task_id)
        if task is not None:
            task.state = state
            task.heard = time.time()
            if over and uuid is None:
                task.over = True
        if uuid is not None:
            accepted = self.call(driver, "ack", driver.acknowledgeStatusUpdate, status)
            self.journal.write("ack", task_id=task_id, state=state, uuid=uuid, accepted=accepted)
            if accepted and over and task is not None:
                task.over = True

    @journalled
    def frameworkMessage(self, driver, executor_id, agent_id, message):
        self.journal.write("message", executor_id=executor_id["value"], data=base64.b64decode(message).decode())

    @journalled
    def slaveLost(self, driver, agent_id):
        self.journal.write("failure", agent_id=agent_id["value"])

    @journalled
    def executorLost(self, driver, executor_id, agent_id, status):
        self.journal.write(
            "failure", agent_id=agent_id["value"], executor_id=executor_id["value"], status=status
        )

    def error(self, driver, message):
        self.journal.write("error", message=message)

    # What it does.

    def call(self, driver, name, function, *arguments):
        """Makes a call of the driver. Returns whether the master accepted it; False may also mean unknown."""
        try:
            if not driver.connected:
                raise RuntimeError("not connected")
            function(*arguments)
            return True
        except Exception as error:  # pylint: disable=broad-except
            self.journal.write("call_failed", call=name, error=str(error))
            return False

    def reconcile(self, driver, tasks):
        if not tasks:
            return
        asked = [{"task_id": {"value": task.task_id}} for task in tasks]
        now = time.time()
        for task in tasks:
            task.heard = now
        accepted = self.call(driver, "reconcile", driver.reconcileTasks, asked)
        self.journal.write("reconcile", task_ids=[task.task_id for task in tasks], accepted=accepted)

    def use(self, driver, offer):
        """Launches what is wanted and fits into the offer, one ACCEPT per offer."""
        free = {"cpus": 0.0, "mem": 0.0}
        for resource in offer["resources"]:
            if resource["name"] in free:
                free[resource["name"]] += resource["scalar"]["value"]
        chosen = []
        under_way = {kind: sum(1 for t in self.tasks.values() if t.kind == kind and not t.over) for kind in ("long", "short")}
        # The last long tasks are left to the next agents, so that every agent gets some.
        share = max(1, self.options.long // max(1, self.options.agents))
        while under_way["long"] < self.long_wanted and len(chosen) < share and self.fits(free):
            chosen.append(self.task(offer, "long"))
            under_way["long"] += 1
        while self.shorts and under_way["short"] < SHORTS_AT_ONCE and self.fits(free):
            chosen.append(self.task(offer, "short"))
            under_way["short"] += 1
        if not chosen:
            self.call(driver, "decline", driver.declineOffer, offer["id"], {"refuse_seconds": 0.5})
            return
        # Written down before it is sent: whatever becomes of the call, these ids are used.
        task_ids = [task["task_id"]["value"] for task in chosen]
        self.journal.write(
            "launch", task_ids=task_ids, agent_id=offer["agent_id"]["value"], offer_id=offer["id"]["value"]
        )
        accepted = self.call(driver, "launch", driver.launchTasks, offer["id"], chosen, {"refuse_seconds": 0.2})
        self.journal.write("launched", task_ids=task_ids, accepted=accepted)

    def fits(self, free):
        if free["cpus"] < 0.1 or free["mem"] < 32:
            return False
        free["cpus"] -= 0.1
        free["mem"] -= 32
        return True

    def task(self, offer, kind):
        task_id = "%s-%d" % (kind, self.counter)
        self.counter += 1
        self.tasks[task_id] = Task(task_id, kind)
        started = 'touch "%s/%s.$$"' % (self.options.pids, task_id)
        command = "%s; exec sleep 100000" % started if kind == "long" else "%s; sleep 0.2" % started
        task = {
            "name": task_id,
            "task_id": {"value": task_id},
            "agent_id": offer["agent_id"],
            "resources": [scalar("cpus", 0.1), scalar("mem", 32)],
        }
        if self.options.executor:
            task["executor"] = self.executor()
            task["data"] = base64.b64encode(command.encode()).decode()
        else:
            task["command"] = {"value": command}
        return task

    def executor(self):
        return {
            "executor_id": {"value": "pymesos-executor"},
            "framework_id": {"value": self.framework_id},
            "type": "CUSTOM",
            "name": "pymesos executor",
            "command": {"value": "exec %s %s" % (sys.executable, self.options.executor)},
            "resources": [scalar("cpus", 0.1), scalar("mem", 32)],
        }

    def ask_after_the_silent(self, driver):
        """Asks again for every task that should have been heard of by now."""
        with self.lock:
            now = time.time()
            silent = [
                task
                for task in self.tasks.values()
                if not task.over and now - task.heard > SILENCE and (task.kind == "short" or task.state is None)
            ]
            if silent and driver.connected:
                self.reconcile(driver, silent)

    def command(self, driver, words):
        """Carries out one line of standard input. Returns False when the framework shall end."""
        verb, rest = words[0], words[1:]
        with self.lock:
            if verb == "launch":
                self.long_wanted += int(rest[0])
                self.call(driver, "revive", driver.reviveOffers)
            elif verb == "shorts":
                self.shorts = rest[0] == "on"
            elif verb == "reconcile":
                self.reconcile(driver, [task for task in self.tasks.values() if not task.over])
            elif verb == "kill":
                self.long_wanted -= 1
                accepted = self.call(driver, "kill", driver.killTask, {"value": rest[0]})
                self.journal.write("kill", task_id=rest[0], accepted=accepted)
            elif verb == "message":
                data = base64.b64encode(" ".join(rest).encode()).decode()
                for agent_id in rest_of_agents(self.options.events):
                    self.call(
                        driver, "message", driver.sendFrameworkMessage,
                        {"value": "pymesos-executor"}, {"value": agent_id}, data,
                    )
            elif verb in ("stop", "leave"):
                driver.stop(failover=verb == "leave")
                return False
            else:
                self.journal.write("call_failed", call=verb, error="no such command")
        return True


def rest_of_agents(events):
    """The agents that a task has reported from."""
    with open(events) as lines:
        records = [json.loads(line) for line in lines]
    return sorted({r["agent_id"] for r in records if r["event"] == "update" and r.get("agent_id")})


def scalar(name, value):
    return {"name": name, "type": "SCALAR", "scalar": {"value": value}}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--masters", required=True)
    parser.add_argument("--events", required=True)
    parser.add_argument("--pids", required=True)
    parser.add_argument("--name", default="durable")
    parser.add_argument("--long", type=int, default=0, help="long tasks to keep running")
    parser.add_argument("--agents", type=int, default=3, help="agents to spread the long tasks over")
    parser.add_argument("--shorts", action="store_true", help="keep a stream of short tasks going")
    parser.add_argument("--failover_timeout", type=float, default=600.0)
    parser.add_argument("--executor", help="run the tasks in this Python executor")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")

    durable = Durable(options)
    framework = {
        "user": os.environ.get("USER") or "root",
        "name": options.name,
        "checkpoint": True,
        "failover_timeout": options.failover_timeout,
        "capabilities": [{"type": "PARTITION_AWARE"}],
    }
    if durable.framework_id:
        framework["id"] = {"value": durable.framework_id}
    driver = MasterListDriver(
        durable, framework, options.masters.split(","), implicit_acknowledgements=False, failover=True
    )
    driver.start()

    def watch():
        while not driver.aborted:
            time.sleep(0.5)
            try:
                durable.ask_after_the_silent(driver)
            except Exception:  # pylint: disable=broad-except
                logging.exception("asking failed")
        durable.journal.write("stopped")

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        for line in sys.stdin:
            if line.split() and not durable.command(driver, line.split()):
                break
    except KeyboardInterrupt:
        # This is how pymesos says that its thread has died.
        durable.journal.write("error", message="the driver's thread died")
        sys.exit(1)
    driver.join()
    watcher.join()


if __name__ == "__main__":
    main()
