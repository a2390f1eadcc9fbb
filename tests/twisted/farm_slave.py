#!/usr/bin/env python3
# farm_slave: slaves on Twisted for the tests of the master; each line of standard input, MASTER NAME BASEDIR, is one.

import errno
import os

from slave import Slave, defer, failed, protocol, reactor, serve

from twisted.internet import stdio
from twisted.protocols import basic


def echo(slave, arguments, operation):
    return arguments


def where(slave, arguments, operation):
    return {b"basedir": slave.basedir}


def throw(slave, arguments, operation):
    raise RuntimeError("it went wrong: " + arguments.get(b"why", b"").decode())


def throw_errno(slave, arguments, operation):
    raise OSError(errno.ENOSPC, "the tape")


def until_cancelled(slave, arguments, operation):
    def touch(name):
        os.close(os.open(os.path.join(slave.basedir, name), os.O_WRONLY | os.O_CREAT, 0o600))

    def cancel():
        touch(b"cancelled")
        done.errback(failed("CANCELLED", "nobody wants it any more"))

    done = defer.Deferred()
    operation.on_cancel = cancel
    touch(b"begun")
    return done


OPERATIONS = {function.__name__.encode(): function for function in (echo, where, throw, throw_errno, until_cancelled)}


class Orders(basic.LineReceiver):
    delimiter = b"\n"

    def lineReceived(self, line):
        master, name, basedir = os.fsdecode(line).split(" ")
        defer.ensureDeferred(serve(master, lambda: Slave(name.encode(), basedir, OPERATIONS)))

    def connectionLost(self, reason=protocol.connectionDone):
        reactor.callLater(0, reactor.stop)


if __name__ == "__main__":
    stdio.StandardIO(Orders())
    reactor.suggestThreadPoolSize(64)
    reactor.run()
