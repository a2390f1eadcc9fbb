#!/usr/bin/env python3
# farm_slave: slaves on Twisted for the tests of the master. Each line of standard input is one that calls in once,
#
#     MASTER NAME BASEDIR [KEY [KID [SERVER-NAME]]]
#
# KEY in base64, and `-` for a KID and a SERVER-NAME that are as they should be. token:KEY is an invitation: the slave
# calls in with what it gets for it. Standard output tells when one is over: its NAME and why. With TLS the master's
# certificate has to be the one in the environment.

import base64
import errno
import os

from slave import Key, Slave, defer, endpoint, failed, protocol, reactor, serve

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
        defer.ensureDeferred(self.call_in(*os.fsdecode(line).split(" ")))

    async def call_in(self, master, name, basedir, key=None, kid="-", server_name="-"):
        if key:
            key = Key(base64.b64decode(key.removeprefix("token:")), key.startswith("token:"))
            key.kid = key.kid if kid == "-" else kid.encode()
        where = endpoint(
            master, os.environ.get("REMSH_TEST_CERTIFICATE"), None if server_name == "-" else server_name
        )
        slave = await serve(where, lambda: Slave(name.encode(), basedir, OPERATIONS, key))
        if slave and slave.new_key:
            key = slave.new_key
            slave = await serve(where, lambda: Slave(name.encode(), basedir, OPERATIONS, key))
        self.sendLine(f"{name} {slave.farewell if slave else 'does not reach its master'}".encode())

    def connectionLost(self, reason=protocol.connectionDone):
        reactor.callLater(0, reactor.stop)


if __name__ == "__main__":
    stdio.StandardIO(Orders())
    reactor.suggestThreadPoolSize(64)
    reactor.run()
