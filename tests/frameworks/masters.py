"""A pymesos scheduler driver for a list of masters.

pymesos finds the leading master in ZooKeeper, or is given one address; with one address it follows redirects but
returns to a dead master for ever. What a user without ZooKeeper does is what this module does: ask every master
of the list who leads (`/redirect`), and tell the driver by the same call that pymesos's own detector uses.

Besides that it bounds two waits that pymesos leaves open: its calls wait a day for an answer (a paused master
would hold the driver's lock that long), and its reconnection sleeps up to 15 s in the thread that would notice
the new leader.
"""

import collections
import http.client
import json
import logging
import queue
import threading
from urllib.parse import urlparse

from pymesos import MesosSchedulerDriver
from pymesos.process import Process

CALL_TIMEOUT = 3.0  # seconds a call waits for its answer
POLL_TIMEOUT = 0.5  # seconds a master may take to say who leads
POLL_INTERVAL = 0.1  # seconds between two rounds of asking
RECONNECT_DELAY = 0.1  # seconds between two connection attempts

log = logging.getLogger(__name__)


class MasterListDetector(threading.Thread):
    """Tells the driver who leads, as soon as a majority of the listed masters names the same one."""

    def __init__(self, masters, driver):
        super().__init__(name="master detector", daemon=True)
        self.masters = masters
        self.driver = driver
        self.stopped = threading.Event()

    def run(self):
        while not self.stopped.wait(POLL_INTERVAL):
            leader = self.ask_all()
            # Compared with what the driver was told last: a redirect may have told it something else meanwhile.
            if leader and leader != self.driver._new_master:
                log.info("leading master is now %s", leader)
                self.driver.change_master(leader)

    def stop(self):
        self.stopped.set()

    def ask_all(self):
        """The master that a majority names; the slow ones are not waited for once there is a majority."""
        answers = queue.Queue()
        for master in self.masters:
            threading.Thread(target=lambda asked: answers.put(leader_according_to(asked)), args=(master,), daemon=True).start()
        votes = collections.Counter()
        for _ in self.masters:
            leader = answers.get()
            votes[leader] += 1
            if leader and votes[leader] * 2 > len(self.masters):
                return leader
        return None


def leader_according_to(master):
    host, port = master.rsplit(":", 1)
    connection = http.client.HTTPConnection(host, int(port), timeout=POLL_TIMEOUT)
    try:
        connection.request("GET", "/redirect")
        response = connection.getresponse()
        response.read()
        if response.status == 307:
            return urlparse(response.getheader("Location")).netloc
    except (OSError, http.client.HTTPException):
        pass
    finally:
        connection.close()
    return None


class MasterListDriver(MesosSchedulerDriver):
    def __init__(self, sched, framework, masters, **options):
        super().__init__(sched, framework, masters[0], **options)
        self.masters = masters

    def start(self):
        Process.start(self)
        self.detector = MasterListDetector(self.masters, self)
        self.detector.start()

    def _backoff(self, num_conn_retry):
        return RECONNECT_DELAY

    def _get_conn(self):
        conn = super()._get_conn()
        if conn is not None:
            conn.timeout = CALL_TIMEOUT
        return conn

    def _get_version(self, master):
        if master is None:
            return None
        host, port = master.rsplit(":", 1)
        connection = http.client.HTTPConnection(host, int(port), timeout=CALL_TIMEOUT)
        try:
            connection.request("GET", "/version")
            response = connection.getresponse()
            body = response.read().decode("utf-8")
            return json.loads(body)["version"]
        except (OSError, http.client.HTTPException, ValueError, KeyError):
            return None
        finally:
            connection.close()
