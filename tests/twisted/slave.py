#!/usr/bin/env python3
# slave: a remsh 2 slave made of stock Twisted AMP and docs/protocol.md. The model for slaves in other languages.
#
#     slave.py --master ADDRESS --key FILE [--ca FILE [--server-name NAME]] [--basedir DIRECTORY]
#     slave.py --master ADDRESS --keyless [--name NAME] [--basedir DIRECTORY]
#     slave.py enrol --master ADDRESS --key FILE --ca FILE [--server-name NAME] <TOKEN
#
# ADDRESS is HOST:PORT, unix:PATH or tls:HOST:PORT. Twisted has no TLS by the key alone, so tls asks for a certificate,
# and needs pyOpenSSL and service_identity. A key's FILE is one line, NAME KEY, as remsh-slave keygen writes it;
# enrol makes it, and TOKEN is such a line too.
#
# Beside what the document leaves to each slave it does without a few things: it finds the descendants of a command by
# their session, and so not those that have made one of their own; it renames without `overwrite` in two steps, between
# which somebody else may put a file in the way; it forces nothing to the disk; and a tree that is over 900 directories
# deep is not removed. What it does otherwise with trees is in trees.py.

import argparse
import collections
import errno
import hmac
import os
import random
import re
import resource
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time

try:
    from twisted.internet import abstract, defer, endpoints, error, protocol, reactor, task, threads
    from twisted.protocols import amp
    from twisted.python import failure
except ImportError:
    sys.exit(77)  # to Meson: skipped

from remsh_amp import *  # noqa: F403: the vocabulary of the protocol
from trees import TreeReader, TreeWriter


SOFTWARE = b"remsh-twisted"


logged = collections.deque(maxlen=200)  # the last lines of the log


def log(text):
    line = f"slave: {text[:1000]}"
    logged.append(line)
    print(line, file=sys.stderr)


class Slave(Peer):
    """One session on a master. `extra`: the owner's own operations, by name: function(slave, arguments, operation)."""

    def __init__(self, name, basedir, extra=None, key=None):
        super().__init__()
        self.new_key = None  # where `key` is an invitation
        os.makedirs(basedir, exist_ok=True)
        self.name, self.key = name, key
        self.basedir = self.directory = os.path.realpath(os.fsencode(basedir))
        self.extra = extra or {}
        self.open_calls = 0
        self.leaves = None  # the alarm of a slave that was shut down

    # The handshake, section 4: hello, challenge, prove, welcome.

    def connectionMade(self):
        super().connectionMade()
        self.too_late = reactor.callLater(20, self.transport.abortConnection)
        self.register().addErrback(self.not_registered)

    @defer.inlineCallbacks
    def register(self):
        nonce = os.urandom(32)
        kid = self.key and self.key.kid
        challenge = yield self.callRemote(Hello, features=b"", kid=kid, name=self.name, nonce=nonce, versions=b"2")
        if challenge["features"]:
            raise ProtocolError("the master chose what was not offered")
        if challenge["nonce"] == nonce:
            raise ProtocolError("the master has no nonce of its own")
        prove = {
            "basedir": self.basedir[:1024],
            "hostname": socket.gethostname().encode()[:255],
            "software": SOFTWARE,
            "system": sys.platform.encode(),
        }
        if self.key and self.key.is_invitation:
            prove["enrol"] = b"1"
        if self.key:
            prove["mac"] = self.key.mac(b"slave", self.transcript(Prove.makeArguments(prove, self)))
        welcome = yield self.callRemote(Prove, **prove)
        # Until this is verified, nothing that the master says counts, and it is not waited for: Twisted hands on the
        # box behind this one when we are done here.
        proof = self.key.mac(b"master", self.transcript()) if self.key else b""
        if not hmac.compare_digest(welcome["mac"] or b"", proof):
            raise ProtocolError("not our master: it does not prove that it has the key")
        if welcome["refused"] is not None:
            self.retry = welcome["retry"] and welcome["retry"] / 1000
            raise ProtocolError(f"refused: {(welcome['reason'] or b'').decode(errors='replace')}")
        if self.key and self.key.is_invitation:
            self.new_key = Key(self.key.mac(b"enrol", self.transcript()))
            self.farewell = "enrolled"
            self.transport.loseConnection()
            return
        if not 1 <= (welcome["keepalive"] or 0) <= 3_600_000:
            raise ProtocolError("the welcome is not one")
        self.too_late.cancel()
        self.open(welcome["keepalive"])

    def not_registered(self, failure):
        self.farewell = self.farewell or failure.getErrorMessage()
        if self.transport:
            self.transport.loseConnection()

    def connectionLost(self, reason):
        for alarm in (self.too_late, self.leaves):
            if alarm and alarm.active():
                alarm.cancel()
        super().connectionLost(reason)
        for operation in list(self.operations.values()):
            operation.cancel()
        self.end_if_idle()

    def end_if_idle(self):
        """Commands are ended with the connection, and then it is over."""
        if self.transport is None and not self.open_calls and not self.ended.called:
            self.ended.callback(self.farewell or "the connection was lost")

    def stop(self):
        self.say_goodbye("the slave ends")
        return self.ended

    # Calls: sections 2, 7 and 10.

    def locateResponder(self, name):
        responder = super().locateResponder(name)
        return lambda box: self.respond(name, responder, box)

    def respond(self, name, responder, box):
        if not self.is_open:
            self.break_off("a call before the welcome")
        if b"_ask" not in box:
            return responder(box) if responder and name in STREAM_BOXES else {}  # nobody waits for it: not for us
        return self.serve(name, responder, box)

    @defer.inlineCallbacks
    def serve(self, name, responder, box):
        """Makes whatever goes wrong an answer: what Twisted does not know as an error would end the connection."""
        op = box.get(b"op")
        if op in self.operations:
            self.break_off("this op is in use")
        self.open_calls += 1
        operation = Operation(self, op) if op is not None else None
        try:
            if self.open_calls > 1024:
                raise failed("BUSY", "too many operations wait already")
            if responder and name not in STREAM_BOXES:
                unknown = set(box) - {b"_ask", b"_command"} - {key for key, _ in COMMANDS[name].arguments}
                if unknown:
                    raise failed("BAD_ARGUMENT", f"there is no argument '{min(unknown).decode(errors='replace')}'")
                answer = yield responder(box)
            elif name in self.extra:
                arguments = {key: value for key, value in box.items() if key != b"op" and not key.startswith(b"_")}
                operation.has_input, operation.wants_output = b"_in" in box, b"_out" in box
                operation.directory = os.path.realpath(self.path(box.get(b"_cwd", self.directory)))
                with os.scandir(operation.directory):  # it is one
                    pass
                answer = yield self.extra[name](self, arguments, operation)
            else:
                raise failed("UNHANDLED", f"there is no operation '{name.decode(errors='replace')}'")
            return amp.Box(answer)
        except amp.RemoteAmpError:
            raise
        except OSError as problem:
            raise failed(errno.errorcode.get(problem.errno, "FAILED"), self.describe(problem))
        except Exception as problem:
            raise failed("FAILED", str(problem) or repr(problem))
        finally:
            self.open_calls -= 1
            if operation:
                del self.operations[op]
            reactor.callLater(0, self.end_if_idle)

    @staticmethod
    def describe(problem):
        """The system's words, the name that it is about, and what we know beyond that."""
        words = os.strerror(problem.errno) if problem.errno else str(problem)
        if problem.filename is not None:
            words = f"{os.fsdecode(problem.filename)!a}: {words}"
        return words if problem.strerror in (None, os.strerror(problem.errno)) else f"{words} ({problem.strerror})"

    def path(self, path):
        if not path or b"\0" in path:
            raise failed("BAD_ARGUMENT", "a path is empty or contains a zero byte")
        return os.path.join(self.directory, path)

    # Operations on names.

    @SetCwd.responder
    def set_cwd(self, path):
        directory = self.basedir
        if path is not None:
            directory = os.path.realpath(self.path(path) if path else self.directory)
        with os.scandir(directory):  # it is one, and can be entered
            self.directory = directory
        return {"path": directory}

    @Getenv.responder
    def getenv(self):
        return {"env": [name + b"=" + value for name, value in os.environb.items()]}

    @Info.responder
    def info(self):
        files = []
        try:
            entries = sorted(os.scandir(os.path.join(self.basedir, b"info")), key=lambda entry: entry.name)
        except FileNotFoundError:
            entries = []
        for entry in entries:
            if entry.is_file() and entry.stat().st_size <= 65536:
                with open(entry.path, "rb") as file:
                    content = file.read(65537)
                if b"\0" not in content and len(content) <= 65536:
                    files += [entry.name, content]
        if sum(len(part) + 1 for part in files) > 1024 * 1024:
            raise failed("TOO_LARGE", "the files in info are too large")
        return {"files": files}

    @Shutdown.responder
    def shutdown(self, within, reason, restart):
        """Leaves when the master says goodbye, or when the time is over."""
        if restart:
            raise failed("UNSUPPORTED", "this slave cannot start itself again")
        if not self.leaves:
            self.callRemote(Draining, reason=(reason or b"")[:256], within=within or 0)
            self.leaves = reactor.callLater((within or 0) / 1000, self.leave)
        return {}

    def leave(self):
        for operation in list(self.operations.values()):
            operation.cancel()
        if self.open_calls:  # they are answered first
            reactor.callLater(0.01, self.leave)
        else:
            self.stop()

    @Print.responder
    def print(self, message):
        text = message[:4096].decode(errors="backslashreplace")
        text = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
        log(f"the master says: {text}")
        return {}

    @LogTail.responder
    def log_tail(self, lines):
        if not 1 <= lines <= 1000:
            raise failed("BAD_ARGUMENT", "'lines' is not from 1 to 1000")
        return {"lines": [line.encode() for line in logged][-lines:] or None}

    @Operations.responder
    def operations_served(self):
        others = STREAM_BOXES | {b"hello", b"prove"}
        return {"names": sorted({*COMMANDS, *self.extra} - others)}

    @HostFacts.responder
    def host_facts(self):
        disk, system = os.statvfs(self.basedir), os.uname()
        return {
            "clock": time.time_ns(),
            "cpus": len(os.sched_getaffinity(0)),
            "disk_free": disk.f_bavail * disk.f_frsize,
            "disk_total": disk.f_blocks * disk.f_frsize,
            "hostname": system.nodename.encode(),
            "machine": system.machine.encode(),
            "release": system.release.encode(),
            "software": SOFTWARE,
            "uptime": time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000,
        }

    @Mkdir.responder
    def mkdir(self, path, mode):
        path = self.path(path)
        is_new = not os.path.isdir(path)
        os.makedirs(path, exist_ok=True)
        if is_new and mode is not None:
            os.chmod(path, mode)
        return {}

    @SetBuilders.responder
    def set_builders(self, directories):
        directories = directories or []
        for directory in directories:
            path = os.path.realpath(os.path.join(self.basedir, directory))
            if os.path.commonpath([path, self.basedir]) != self.basedir or directory.startswith(b"/"):
                raise OSError(errno.EPERM, "it leads out of the base directory", directory)
            os.makedirs(path, exist_ok=True)
        used = {b"info"} | {os.path.normpath(directory).split(b"/")[0] for directory in directories}
        names = {entry.name for entry in os.scandir(self.basedir) if entry.is_dir(follow_symlinks=False)}
        return {"others": sorted(names - used) or None}

    @Remove.responder
    def remove(self, path, op):
        path = self.path(path)
        if os.path.basename(path) in (b".", b".."):
            raise OSError(errno.EINVAL, "this cannot be removed", path)
        return threads.deferToThread(remove_tree, path, self.operations[op]).addCallback(lambda _: {})

    @Rename.responder
    def rename(self, From, to, overwrite, no_sync):
        From, to = self.path(From), self.path(to)
        os.lstat(From)
        if not overwrite and os.path.lexists(to):
            raise FileExistsError(errno.EEXIST, "it is there already", to)
        os.rename(From, to)
        return {}

    @Copy.responder
    def copy(self, From, to, overwrite, no_sync, op):
        return threads.deferToThread(
            copy_file, self.path(From), self.path(to), overwrite, self.operations[op]
        ).addCallback(lambda _: {})

    @Stat.responder
    def stat(self, path, nofollow):
        try:
            found = os.stat(self.path(path), follow_symlinks=not nofollow)
        except FileNotFoundError:
            return {"type": b"missing"}
        types = {
            stat.S_IFREG: b"file",
            stat.S_IFDIR: b"directory",
            stat.S_IFLNK: b"symlink",
            stat.S_IFIFO: b"fifo",
            stat.S_IFSOCK: b"socket",
            stat.S_IFCHR: b"character-device",
            stat.S_IFBLK: b"block-device",
        }
        return {
            "type": types.get(stat.S_IFMT(found.st_mode), b"unknown"),
            "size": found.st_size,
            "mode": stat.S_IMODE(found.st_mode),
            "mtime": found.st_mtime_ns,
        }

    # Transfers.

    @Send.responder
    def send(self, path, overwrite, no_sync, mode, op):
        file = NewFile(self.path(path), overwrite)

        def finish():
            file.finish(mode)
            return {"bytes": file.size}

        return self.receive(op, file.write, finish).addBoth(file.discard)

    @Fetch.responder
    def fetch(self, path, op):
        file, found = open_regular(self.path(path))
        sent = 0

        def read(count):
            nonlocal sent
            data = os.read(file, count)
            sent += len(data)
            return data

        def close(result):
            os.close(file)
            return result

        def results():
            return {"bytes": sent, "mode": stat.S_IMODE(found.st_mode)}

        return self.deliver(op, read, results, total=found.st_size or None).addBoth(close)

    @SendTree.responder
    def send_tree(self, path, overwrite, no_sync, op):
        tree = TreeWriter(self.path(path), overwrite)

        def finish():
            tree.finish()
            return {"entries": tree.entries, "bytes": tree.bytes}

        return self.receive(op, tree.take, finish).addBoth(tree.discard)

    @FetchTree.responder
    def fetch_tree(self, path, exclude, op):
        tree = TreeReader(self.path(path), exclude)
        return self.deliver(op, tree.take, lambda: {"entries": tree.entries, "bytes": tree.bytes})

    def receive(self, op, write, finish):
        """Writes what comes on `in`, and answers with what finish() gives."""
        operation = self.operations[op]
        done = defer.Deferred(canceller=cancelled)

        def take(data):
            try:
                write(data)
                incoming.used(data)
            except (OSError, amp.RemoteAmpError):
                give_up()

        def end():
            try:
                settle(done, finish())
            except (OSError, amp.RemoteAmpError):
                give_up()

        def give_up():
            incoming.take = lambda data: None
            settle(done, failure.Failure())

        incoming = Receiver(operation, b"in", take, end)
        operation.on_cancel = done.cancel
        return done

    def deliver(self, op, read, results, total=None):
        """Sends on `out` what read(count) gives, until it gives nothing, and answers with what results() gives."""
        operation = self.operations[op]
        done = defer.Deferred(canceller=cancelled)
        out = Sender(operation, b"out")

        def give():
            nonlocal total
            try:
                while not done.called and out.room():
                    data = read(out.room())
                    if not data:
                        settle(done, results())
                        return
                    out.send(data, total=total)
                    total = None  # it is said once
            except OSError:
                settle(done, failure.Failure())

        out.ready = give
        operation.on_cancel = done.cancel
        give()
        return done

    @Execute.responder
    def execute(
        self, args, op, cwd, env, unset, prepend, clear_env, In, out, err, at, leave_background, logs, header, **options
    ):
        if not args or out not in (None, b"stream") or err not in (None, b"stream", b"merge"):
            raise failed("BAD_ARGUMENT", "'args', 'out' or 'err' is malformed")
        environment = {} if clear_env else dict(os.environb)
        environment.update(entry.split(b"=", 1) for entry in env or [])
        for name in unset or []:
            environment.pop(name, None)
        for name, value in (entry.split(b"=", 1) for entry in prepend or []):
            environment[name] = value + b":" + environment[name] if environment.get(name) else value
        command = RunningCommand(self.operations[op], at, **options)
        command.leaves = leave_background
        command.header_sender = Sender(self.operations[op], b"header") if header else None
        self.operations[op].command = command
        command.follow(self.path(cwd or b"."), logs or [])
        return command.start(args, self.path(cwd or b"."), environment, In, out, err)

    @Interrupt.responder
    def interrupt(self, target, why):
        operation = self.operations.get(target)
        return {"running": operation is not None and operation.command is not None and operation.command.interrupt(why)}

    @Signal.responder
    def signal(self, target, number):
        if not 1 <= number <= 64:
            raise failed("BAD_ARGUMENT", "'number' is none of a signal")
        operation = self.operations.get(target)
        return {"running": operation is not None and operation.command is not None and operation.command.send(number)}


def cancelled(deferred):
    deferred.errback(failed("CANCELLED", "the master does not want it any more"))


def settle(deferred, result):
    """Ends an operation that may have been ended before, by another event."""
    if not deferred.called:
        deferred.callback(result)


# Files.


def remove_tree(path, operation):
    """On a thread of its own. Symbolic links are removed, not followed."""
    if operation.cancelled:
        raise failed("CANCELLED", "the master does not want it any more")
    try:
        if not stat.S_ISDIR(os.lstat(path).st_mode):
            os.unlink(path)
            return
        if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
            os.chmod(path, 0o700)
        for name in os.listdir(path):
            remove_tree(os.path.join(path, name), operation)
        os.rmdir(path)
    except FileNotFoundError:
        pass  # somebody else was faster


def open_regular(path):
    file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    found = os.fstat(file)
    if stat.S_ISREG(found.st_mode):
        return file, found
    os.close(file)
    problem = errno.EISDIR if stat.S_ISDIR(found.st_mode) else errno.EINVAL
    raise OSError(problem, "not a regular file", path)


def copy_file(source, to, overwrite, operation):
    """On a thread of its own."""
    source, found = open_regular(source)
    try:
        file = NewFile(to, overwrite)
        try:
            while data := os.read(source, 1024 * 1024):
                if operation.cancelled:
                    raise failed("CANCELLED", "the master does not want it any more")
                file.write(data)
            file.finish(found.st_mode & 0o777)
        finally:
            file.discard(None)
    finally:
        os.close(source)


class NewFile:
    """A file that appears under its name when it is complete: until then it has another one beside it."""

    def __init__(self, path, overwrite):
        self.path, self.overwrite, self.size = path, overwrite, 0
        self.refuse()
        self.file, self.part = tempfile.mkstemp(prefix=b".part-", dir=os.path.dirname(path))

    def refuse(self):
        if os.path.basename(self.path) in (b"", b".", b".."):
            raise IsADirectoryError(errno.EISDIR, "this names no file", self.path)
        if self.overwrite and os.path.isdir(self.path) and not os.path.islink(self.path):
            raise IsADirectoryError(errno.EISDIR, "a directory is in the way", self.path)
        if not self.overwrite and os.path.lexists(self.path):
            raise FileExistsError(errno.EEXIST, "it is there already", self.path)

    def write(self, data):
        self.size += len(data)
        while data:
            data = data[os.write(self.file, data) :]

    def finish(self, mode):
        os.fchmod(self.file, mode)
        if self.overwrite:
            os.rename(self.part, self.path)
            self.part = None
        else:
            os.link(self.part, self.path)  # fails where somebody else was faster

    def discard(self, result):
        """After finish(), and instead of it."""
        os.close(self.file)
        if self.part:
            os.unlink(self.part)
        return result


# Commands.

STOP_SIGNALS = {
    name.encode(): getattr(signal, name)
    for name in "SIGABRT SIGALRM SIGHUP SIGINT SIGKILL SIGQUIT SIGTERM SIGUSR1 SIGUSR2".split()
}


class Pipe(abstract.FileDescriptor):
    """Our end of a pipe, or another descriptor, that the reactor watches."""

    def __init__(self, file):
        super().__init__(reactor)
        with file:
            self.descriptor = os.dup(file.fileno())  # when to close it is ours to say
        self.is_closed = False
        os.set_blocking(self.descriptor, False)

    def fileno(self):
        return self.descriptor

    def close(self):
        if not self.is_closed:
            self.is_closed = True
            self.stopReading()
            self.stopWriting()
            # In this round of the reactor there may be more events for it, which must not reach who gets its number.
            reactor.callLater(0, os.close, self.descriptor)


class Output(Pipe):
    """From a pipe of a command to a stream, as far as its credit reaches."""

    def __init__(self, command, pipe, stream):
        super().__init__(pipe)
        self.command = command
        self.sender = Sender(command.operation, stream)
        self.sender.ready = self.pump
        self.left_open = self.waits = False

    def doRead(self):
        self.pump()

    def connectionLost(self, reason):
        self.pump()  # the other end is closed, but there may be bytes in between

    def pump(self):
        while not self.is_closed:
            room = self.sender.room()
            self.waits = not room
            if not room:
                self.stopReading()  # until there is credit
                return
            try:
                data = os.read(self.descriptor, room)
            except BlockingIOError:
                if self.command.exit is None:
                    self.startReading()
                    return
                self.left_open = True  # by processes that it left behind
                data = b""
            if data:
                self.command.wrote()
                self.sender.send(data, at=time.time_ns() // 1000 if self.command.wants_times else None)
            else:
                self.close()
                self.command.look()


class Input(Pipe):
    """From the stream `in` to the pipe of a command. What is written is granted again."""

    def __init__(self, command, pipe):
        super().__init__(pipe)
        self.waiting = collections.deque()
        self.written = 0  # of the first that waits
        self.at_end = False
        self.receiver = Receiver(command.operation, b"in", self.take, self.end)

    def take(self, data):
        if self.is_closed:
            self.receiver.used(data)  # a command need not read
        else:
            self.waiting.append(data)
            self.startWriting()

    def end(self):
        self.at_end = True
        self.doWrite()

    def doWrite(self):
        while self.waiting and not self.is_closed:
            try:
                self.written += os.write(self.descriptor, self.waiting[0][self.written :])
            except BlockingIOError:
                return
            except OSError:
                self.close()
                return
            if self.written == len(self.waiting[0]):
                self.receiver.used(self.waiting.popleft())
                self.written = 0
        self.stopWriting()
        if self.at_end:
            self.close()

    def connectionLost(self, reason):
        self.close()

    def close(self):
        super().close()
        while self.waiting:
            self.receiver.used(self.waiting.popleft())


class Exit(Pipe):
    """Tells when a process has ended."""

    def __init__(self, pid, then):
        super().__init__(os.fdopen(os.pidfd_open(pid), "rb", buffering=0))
        self.then = then
        self.startReading()

    def doRead(self):
        self.close()
        self.then()


class LogFile:
    """A file into which a command writes. It is found by its path again and again: it may be replaced."""

    def __init__(self, path, begin):
        self.path = path
        self.file = self.problem = self.untouched = None
        self.position = 0
        self.limit = None  # once it is read to its end
        self.next = None
        self.file = self.other()
        if self.file is not None and begin == b"end":
            self.position = os.fstat(self.file).st_size
        if self.file is not None and begin == b"changed":
            self.untouched = self.stamp()

    def stamp(self):
        found = os.fstat(self.file)
        return found.st_size, found.st_mtime_ns

    def other(self):
        """Another file that is at the path now, opened; None if there is none."""
        try:
            if self.file is not None and os.path.samestat(os.stat(self.path), os.fstat(self.file)):
                return None
            file, _ = open_regular(self.path)
            self.problem = None
            return file
        except OSError as problem:
            if self.file is None or problem.errno != errno.ENOENT:
                self.problem = problem
            return None

    def end_here(self):
        if self.limit is None:
            self.limit = os.fstat(self.file).st_size if self.file is not None else 0
            self.looks = 1

    def read(self, count):
        """What can be read now; nothing if that is all."""
        while True:
            if self.untouched is not None and self.stamp() != self.untouched:
                self.untouched = None
            if self.file is not None and self.untouched is None:
                data = self.read_on(count)
                if data:
                    return data
            if self.next is not None:
                self.close()
                self.file, self.next, self.position, self.untouched = self.next, None, 0, None
                if self.limit is not None:
                    self.limit = os.fstat(self.file).st_size
                continue
            if self.limit is not None:
                if not self.looks:
                    return b""
                self.looks -= 1
            self.next = self.other()
            if self.next is None:
                return b""

    def read_on(self, count):
        if self.limit is not None:
            count = min(count, max(self.limit - self.position, 0))
        data = os.pread(self.file, count, self.position)
        if not data and os.fstat(self.file).st_size < self.position:  # it was truncated
            self.position = 0
            data = os.pread(self.file, count, 0)
        self.position += len(data)
        return data

    def close(self):
        if self.file is not None:
            os.close(self.file)
            self.file = None


class Settings:
    """What a command begins with. They are made in the child, which reports what it cannot make."""

    def __init__(self, nice, umask, limits):
        if not -20 <= (nice or 0) <= 19 or (umask or 0) > 0o777:
            raise failed("BAD_ARGUMENT", "'nice' or 'umask' is malformed")
        self.nice, self.umask = nice, umask
        self.limits = [self.limit(*entry.decode(errors="replace").partition("=")[::2]) for entry in limits or []]

    @staticmethod
    def limit(name, values):
        values = values.split(":")
        if not all(re.fullmatch("[0-9]+|unlimited", value) for value in values) or len(values) > 2:
            raise failed("BAD_ARGUMENT", f"the limit '{name}' has a malformed value")
        if not hasattr(resource, "RLIMIT_" + name.upper()) or not name.islower():
            raise failed("BAD_ARGUMENT", f"there is no limit '{name}'")
        values = [resource.RLIM_INFINITY if value == "unlimited" else int(value) for value in values]
        return name, (values[0], values[-1])

    def open(self):
        self.ours, self.theirs = os.pipe()

    def make(self):
        """In the child."""
        what = "nice"
        try:
            if self.nice is not None:
                os.nice(self.nice)
            for what, values in self.limits:
                resource.setrlimit(getattr(resource, "RLIMIT_" + what.upper()), values)
        except OSError as problem:
            os.write(self.theirs, f"{problem.errno} {what}".encode())
            raise
        except ValueError as problem:  # of setrlimit, in place of two errors of the system
            number = errno.EPERM if "raise" in str(problem) else errno.EINVAL
            os.write(self.theirs, f"{number} {what}".encode())
            raise

    def problem(self):
        number, what = os.read(self.ours, 100).decode().split(" ", 1)
        return OSError(int(number), what)

    def close(self):
        os.close(self.ours)
        os.close(self.theirs)


class RunningCommand:
    """A command, in a session of its own, from its start until it is answered."""

    def __init__(self, operation, at, timeout, silence, stop_signal, kill_after, nice, umask, limits):
        self.operation, self.wants_times = operation, at
        self.timeout, self.silence = timeout, silence
        self.stop_signal = STOP_SIGNALS.get(stop_signal or b"SIGTERM")
        if self.stop_signal is None:
            raise failed("BAD_ARGUMENT", "'stop_signal' is no signal that ends a command")
        self.kill_after = 2.0 if kill_after is None else kill_after / 1000
        self.settings = Settings(nice, umask, limits)
        self.outputs, self.input = [], None
        self.logs = []
        self.exit = None
        self.timed_out = self.silent = self.interrupted = self.ended_background = self.is_killed = self.core = False
        self.looks = 0  # at what it left behind
        self.quiet = None  # the alarm of its silence
        self.alarms = []
        self.done = defer.Deferred()

    def start(self, args, cwd, environment, has_input, out, err):
        pipe, null = subprocess.PIPE, subprocess.DEVNULL
        settings = self.settings
        self.directory = os.path.realpath(cwd)
        settings.open()
        try:
            self.process = subprocess.Popen(
                args,
                bufsize=0,
                cwd=cwd,
                env=environment,
                stdin=pipe if has_input else null,
                stdout=pipe if out else null,
                stderr={None: null, b"stream": pipe, b"merge": subprocess.STDOUT}[err],
                start_new_session=True,
                umask=-1 if settings.umask is None else settings.umask,
                preexec_fn=settings.make if settings.nice is not None or settings.limits else None,
            )
        except subprocess.SubprocessError:
            raise settings.problem() from None
        except FileNotFoundError as problem:
            if os.path.exists(os.path.join(cwd, args[0])) and problem.filename != cwd:
                problem.strerror = "its interpreter is missing"
            raise
        finally:
            settings.close()
        for pipe, stream in ((self.process.stdout, b"out"), (self.process.stderr, b"err")):
            if pipe:
                self.outputs.append(Output(self, pipe, stream))
                self.outputs[-1].startReading()
        if has_input:
            self.input = Input(self, self.process.stdin)
        Exit(self.process.pid, self.has_ended)
        if self.timeout is not None:
            self.alarms.append(reactor.callLater(self.timeout / 1000, self.time_is_over))
        if self.silence is not None:
            self.silence /= 1000
            self.quiet = reactor.callLater(self.silence, self.is_silent)
            self.alarms.append(self.quiet)
        self.operation.on_cancel = self.kill
        self.say("directory", os.fsdecode(self.directory))
        self.say("process", str(self.process.pid))
        return self.done

    def say(self, name, value):
        """A line of the header, if the master wants it."""
        if self.header_sender and not self.operation.cancelled:
            line = "".join(c if c.isprintable() else "?" for c in f"{name}: {value}")
            self.header_sender.send(line.encode() + b"\n")

    def follow(self, directory, logs):
        """Begins to look at log files: at regular intervals, since nothing tells when they change."""
        if len(logs) % 2 or len(logs) > 128 or not all(logs) or {*logs[1::2]} - {b"changed", b"start", b"end"}:
            raise failed("BAD_ARGUMENT", "'logs' is malformed")
        self.logs = [LogFile(os.path.join(directory, path), begin) for path, begin in zip(logs[::2], logs[1::2])]
        if self.logs:
            self.log_sender = Sender(self.operation, b"log")
            self.log_sender.ready = self.look
            self.look_at_logs()

    def look_at_logs(self):
        if not self.done.called:
            self.read_logs()
            reactor.callLater(0.05, self.look_at_logs)
            self.look()

    def read_logs(self):
        """Sends what is in the log files, as far as there is room. True if that is all."""
        for number, log in enumerate(self.logs):
            while True:
                room = self.log_sender.room()
                if not room:
                    self.wrote()  # it is not silent
                    return False
                data = log.read(room)
                if not data:
                    break
                self.wrote()
                self.log_sender.send(data, at=time.time_ns() // 1000 if self.wants_times else None, log=number)
        return True

    def are_logs_read(self):
        for log in self.logs:
            log.end_here()
        return self.read_logs()

    def has_ended(self):
        ended = os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOWAIT)
        self.core = ended.si_code == os.CLD_DUMPED
        self.exit = self.process.wait()
        for output in self.outputs:
            output.pump()
        self.look()

    def wrote(self):
        if self.quiet and self.quiet.active():
            self.quiet.reset(self.silence)

    def is_silent(self):
        if any(output.waits for output in self.outputs):
            self.quiet = reactor.callLater(self.silence, self.is_silent)
            self.alarms.append(self.quiet)
        elif self.exit is None and not self.is_killed:
            self.silent = True
            self.kill(f"silent for {self.silence:g} s")

    def time_is_over(self):
        if self.exit is None and not self.is_killed:
            self.timed_out = True
            self.kill(f"timed out after {self.timeout / 1000:g} s")

    def interrupt(self, why):
        if self.done.called:
            return False
        if not self.is_killed:
            self.interrupted = True
            self.kill(f"interrupted ({why.decode(errors='replace')})" if why else "interrupted")
        return True

    def send(self, number):
        """A signal, to its process group."""
        if self.exit is not None:
            return False
        os.killpg(self.process.pid, number)
        return True

    def kill(self, why=""):
        """The stop signal, after a while SIGKILL, and when that does not help either it is given up."""
        if not self.is_killed:
            self.is_killed = True
            if why:
                self.say("ending", f"{why}, {signal.Signals(self.stop_signal).name}")
            self.alarms.append(reactor.callLater(self.kill_after, self.signal, signal.SIGKILL))
            give_up = failed("FAILED", "it does not end")
            self.alarms.append(reactor.callLater(self.kill_after + 10, self.finish, give_up))
            self.signal(self.stop_signal)
            self.look()

    def signal(self, number):
        for pid in self.members():
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass

    def members(self):
        """Every process of its session that runs."""
        for name in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    state, _, _, session = file.read().rpartition(b")")[2].split()[:4]
            except OSError:
                continue  # it has ended just now
            if int(session) == self.process.pid and state not in (b"Z", b"X"):
                yield int(name)

    def look(self):
        """Answers as soon as nothing is missing."""
        if self.done.called or self.exit is None:
            return
        if self.is_killed and any(self.members()):
            reactor.callLater(0.01, self.look)
        elif self.operation.cancelled:
            self.finish(failed("CANCELLED", "the master does not want it any more"))
        elif not all(output.is_closed for output in self.outputs):
            return
        elif not self.leaves and not self.is_killed and any(self.members()):
            self.looks += 1
            if self.looks < 10:  # it may be about to end
                reactor.callLater(0.01, self.look)
                return
            self.ended_background = True
            self.kill("it has left processes behind")
        elif self.are_logs_read():
            code = {"exit": self.exit} if self.exit >= 0 else {"signal": -self.exit, "core": self.core}
            left_open = any(output.left_open for output in self.outputs)
            ended = {"timed_out": self.timed_out, "silent": self.silent, "interrupted": self.interrupted}
            ended["ended_background"] = self.ended_background
            errors = []
            for number, log in enumerate(self.logs):
                if log.problem:
                    name = errno.errorcode.get(log.problem.errno, "FAILED")
                    errors += [b"%d" % number, f"{name} {os.strerror(log.problem.errno)}".encode()]
            ended["log_errors"] = errors or None
            ended.update(pid=self.process.pid, dir=self.directory)
            self.finish({**code, **ended, "background": left_open and self.leaves})

    def finish(self, result):
        for alarm in self.alarms:
            if alarm.active():
                alarm.cancel()
        for stream in [*self.outputs, self.input, *self.logs]:
            if stream:
                stream.close()
        if not self.done.called:
            self.done.errback(result) if isinstance(result, Exception) else self.done.callback(result)


# The program.


def endpoint(master, ca=None, server_name=None):
    """Where a master is. `ca`: with TLS, a certificate in PEM by which that of the master must be."""
    if master.startswith("unix:"):
        return endpoints.UNIXClientEndpoint(reactor, master[len("unix:") :])
    host, _, port = master.removeprefix("tls:").rpartition(":")
    tcp = endpoints.TCP4ClientEndpoint(reactor, host, int(port))
    if not master.startswith("tls:"):
        return tcp
    from twisted.internet import ssl  # here, as it is not there without pyOpenSSL

    options = ssl.optionsForClientTLS(
        server_name or host,
        trustRoot=ssl.Certificate.loadPEM(ca),
        extraCertificateOptions={"raiseMinimumTo": ssl.TLSVersion.TLSv1_3},
    )
    return endpoints.wrapClientTLS(options, tcp)


async def serve(where, make_slave):
    """One connection to an endpoint, until it is over. Returns the slave that it was, or None."""
    try:
        slave = await where.connect(protocol.Factory.forProtocol(make_slave))
    except error.ConnectError as problem:
        log(str(problem))
        return None
    at_end = reactor.addSystemEventTrigger("before", "shutdown", slave.stop)
    log(await slave.ended)
    if reactor.running:
        reactor.removeSystemEventTrigger(at_end)
    return slave


async def serve_for_ever(where, make_slave):
    pause = 0.5
    while True:
        slave = await serve(where, make_slave)
        if slave and slave.leaves:
            reactor.stop()
            return
        pause = 0.5 if slave and slave.was_open else min(pause * 2, 60)
        wish = slave.retry if slave else None
        await task.deferLater(reactor, random.uniform(0, pause) if wish is None else wish)


async def enrol(where, name, token, path):
    slave = await serve(where, lambda: Slave(name.encode(), ".", key=Key(token.secret, is_invitation=True)))
    if slave and slave.new_key:
        write_key(path, name, slave.new_key)
    reactor.stop()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("command", nargs="?", choices=["enrol"])
    parser.add_argument("--master", required=True)
    parser.add_argument("--key")
    parser.add_argument("--keyless", action="store_true")
    parser.add_argument("--ca", type=argparse.FileType("rb"))
    parser.add_argument("--server-name")
    parser.add_argument("--name")
    parser.add_argument("--basedir", default=".")
    options = parser.parse_args()
    if not options.key and not options.keyless and not options.master.startswith("unix:"):
        parser.error("--key, or --keyless: then it obeys whoever has got hold of that port")
    where = endpoint(options.master, options.ca and options.ca.read(), options.server_name)
    name, key = options.name or socket.gethostname(), None
    if options.command == "enrol":
        name, token = read_key(sys.stdin)
        work = enrol(where, name, token, options.key)
    else:
        if options.key:
            with open(options.key) as file:
                name, key = read_key(file)
        work = serve_for_ever(where, lambda: Slave(name.encode(), options.basedir, key=key))
    defer.ensureDeferred(work).addErrback(lambda problem: problem.printTraceback())
    reactor.run()


if __name__ == "__main__":
    main()
