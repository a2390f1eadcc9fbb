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

from slave import Key, Receiver, Sender, Slave, defer, endpoint, failed, protocol, reactor, serve, settle

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


def cwd(slave, arguments, operation):
    return {b"cwd": operation.directory}


def capitals(slave, arguments, operation):
    """Streams what it reads back, in capitals."""
    out = Sender(operation, b"out") if operation.wants_output else None
    waiting, count, at_end = [], 0, False
    done = defer.Deferred()

    def take(data):
        waiting.append(data)
        pump()

    def end():
        nonlocal at_end
        at_end = True
        pump()

    def pump():
        nonlocal count
        while waiting and (not out or out.room()):
            piece = waiting[0][: out.room()] if out else waiting[0]
            if out:
                out.send(piece.upper())
            count += len(piece)
            incoming.used(piece)
            waiting[0] = waiting[0][len(piece) :]
            if not waiting[0]:
                del waiting[0]
        if at_end and not waiting:
            settle(done, {b"bytes": b"%d" % count})

    if not operation.has_input:
        return {b"bytes": b"0"}
    if out:
        out.ready = pump
    incoming = Receiver(operation, b"in", take, end)
    operation.on_cancel = lambda: settle(done, failed("CANCELLED", "nobody wants it any more"))
    return done


def endless(slave, arguments, operation):
    """Goes on for as long as anybody wants it, in one of three ways, and then writes a file."""
    done = defer.Deferred()

    def cancel():
        os.close(os.open(os.path.join(operation.directory, b"ended"), os.O_WRONLY | os.O_CREAT, 0o600))
        done.errback(failed("CANCELLED", "nobody wants it any more"))

    def write():
        while not done.called and out.room():
            out.send(b"x" * min(1000, out.room()))

    operation.on_cancel = cancel
    if arguments[b"way"] == b"reads":
        incoming = Receiver(operation, b"in", lambda data: incoming.used(data), lambda: settle(done, {}))
    elif operation.wants_output:
        out = Sender(operation, b"out")
        out.send(b"begun")
        if arguments[b"way"] == b"writes":
            out.ready = write
            write()
    return done


OPERATIONS = {
    function.__name__.encode(): function
    for function in (echo, where, cwd, throw, throw_errno, until_cancelled, capitals, endless)
}


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
