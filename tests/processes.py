"""Processes that tests start: forked from a server that has imported once what takes long."""

import multiprocessing

PROCESSES = multiprocessing.get_context("forkserver")
# there is one server, and it imports what is named last before the first start: so all of it is named here
PROCESSES.set_forkserver_preload(
    ["tests.aligners.processes", "tests.datamodules.cached", "tests.running.torchrun", "hypothesis", "pytest"]
)
