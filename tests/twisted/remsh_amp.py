# remsh_amp: what a slave and a master on Twisted's AMP share: boxes, values, streams, liveness. docs/protocol.md.
#
# Stock Twisted does sections 1 and 2 of the document: boxes, calls, answers, errors. What is here is said in its own
# words: values as subclasses of amp.Argument, boxes as subclasses of amp.Command, the rest as responders.

import base64
import errno
import hashlib
import hmac
import os
import re

from twisted.internet import defer, reactor
from twisted.protocols import amp

LONGEST = 65535  # bytes of one value
FIRST_WINDOW = 65536  # credit that every stream has from the start
MOST_CREDIT = 2097152  # granted and unused
LEAST_COST = 64  # of a data box


class ProtocolError(Exception):
    """The other side does what it must not. Raised where a box is received, it ends the connection."""


def failed(code, words):
    """What a responder raises so that the caller gets this error."""
    return amp.RemoteAmpError(code.encode(), words)


# Values: section 7 says how they are written, section 3 how long ones are cut.


class Value(amp.Argument):
    """Bytes. A missing or malformed value of a call is BAD_ARGUMENT, not the end of the connection."""

    def retrieve(self, d, name, proto):
        if name not in d and not self.optional:
            raise failed("BAD_ARGUMENT", f"'{name.decode(errors='replace')}' is missing")
        return super().retrieve(d, name, proto)

    def fromString(self, inString):
        return inString

    def toString(self, inObject):
        return inObject


class Number(Value):
    def fromString(self, inString):
        if not re.fullmatch(rb"0|-?[1-9][0-9]{0,18}", inString):
            raise failed("BAD_ARGUMENT", "a number is malformed")
        return int(inString)

    def toString(self, inObject):
        return b"%d" % inObject


class Shaped(Value):
    """Bytes of which a regular expression says how they look."""

    def __init__(self, pattern, optional=False):
        super().__init__(optional)
        self.pattern = re.compile(pattern, re.DOTALL)

    def fromString(self, inString):
        if not self.pattern.fullmatch(inString):
            raise failed("BAD_ARGUMENT", "a value is malformed")
        return inString


class Octal(Value):
    def fromString(self, inString):
        if not re.fullmatch(rb"[0-7]{1,4}", inString):
            raise failed("BAD_ARGUMENT", "a mode is malformed")
        return int(inString, 8)

    def toString(self, inObject):
        return b"%o" % inObject


class Flag(Value):
    """True: present with the value 1. False: absent."""

    def __init__(self):
        super().__init__(optional=True)

    def fromBox(self, name, strings, objects, proto):
        super().fromBox(name, strings, objects, proto)
        python_name = name.decode().title() if name == b"in" else name.decode()  # as Twisted renames keywords
        if objects[python_name] not in (None, b"1"):
            raise failed("BAD_ARGUMENT", f"'{name.decode()}' is a flag")
        objects[python_name] = objects[python_name] is not None

    def toBox(self, name, strings, objects, proto):
        python_name = name.decode().title() if name == b"in" else name.decode()
        objects[python_name] = b"1" if objects.get(python_name) else None
        super().toBox(name, strings, objects, proto)


def cut(box):
    """Cuts the values of a box that are too long for one key."""
    for name, value in list(box.items()):
        for number, begin in enumerate(range(0, len(value), LONGEST)):
            key = b"%s~%04x" % (name, number) if number else name
            box[key] = value[begin : begin + LONGEST]
    return box


def join(box):
    """Joins them again."""
    for name in [key[: -len(b"~0001")] for key in box if key.endswith(b"~0001")]:
        parts, key = [], name
        while key in box:
            parts.append(box.pop(key))
            key = b"%s~%04x" % (name, len(parts))
        if any(len(part) != LONGEST for part in parts[:-1]) or not parts:
            raise ProtocolError(f"the parts of a long value do not fit: {name!r}")
        box[name] = b"".join(parts)
    if any(b"~" in key for key in box):
        raise ProtocolError("a long value has a gap")
    return box


class LongList(Value):
    """A list of bytes, each without a zero byte. Whoever sends it calls cut(), whoever receives it join()."""

    def fromString(self, inString):
        if inString and not inString.endswith(b"\0"):
            raise failed("BAD_ARGUMENT", "the last element of a list has no end")
        return inString.split(b"\0")[:-1]

    def toString(self, inObject):
        return b"".join(element + b"\0" for element in inObject)


# Errors: section 8. Twisted wants an exception for each code that a caller may meet.


class CallFailed(Exception):
    """An answer that is an error, as the caller meets it; each code is a subclass."""

    code = "FAILED"


CODES = [*errno.errorcode.values(), "AUTH", "BAD_ARGUMENT", "BUSY", "CANCELLED", "FAILED", "TOO_LARGE"]
ERRORS = {type(code, (CallFailed,), {"code": code}): code.encode() for code in CODES}


class Command(amp.Command):
    errors = ERRORS


# The handshake: section 4.


SHORT_LIST = rb"([a-z0-9-]{1,32}( [a-z0-9-]{1,32})*)?"
NONCE = MAC = rb".{32}"


class Hello(Command):
    commandName = b"hello"
    arguments = [
        (b"features", Shaped(SHORT_LIST)),
        (b"kid", Shaped(rb"[0-9a-f]{8}", optional=True)),
        (b"name", Shaped(rb"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")),
        (b"nonce", Shaped(NONCE)),
        (b"versions", Shaped(SHORT_LIST)),
    ]
    response = [(b"features", Shaped(SHORT_LIST)), (b"nonce", Shaped(NONCE)), (b"version", Shaped(rb"2"))]


class Prove(Command):
    commandName = b"prove"
    arguments = [
        (b"basedir", Value(optional=True)),
        (b"enrol", Shaped(rb"1", optional=True)),
        (b"hostname", Value(optional=True)),
        (b"mac", Shaped(MAC, optional=True)),
        (b"software", Value(optional=True)),
        (b"system", Value(optional=True)),
    ]
    response = [
        (b"keepalive", Number(optional=True)),
        (b"mac", Shaped(MAC, optional=True)),
        (b"reason", Value(optional=True)),
        (b"refused", Value(optional=True)),
        (b"retry", Number(optional=True)),
    ]


class Key:
    """What a slave and its master share, or an invitation to get that. All is done by keys that are derived of it."""

    def __init__(self, secret, is_invitation=False):
        self.secret, self.is_invitation = secret, is_invitation
        self.kid = self.derive(b"kid")[:4].hex().encode()

    def derive(self, use):
        return hmac.digest(self.secret, b"remsh/2 " + use, "sha256")

    def mac(self, use, transcript):
        """The proof of the b"slave", of T1, or of the b"master", of T2; or the new key of who wants to b"enrol"."""
        return hmac.digest(self.derive(use), transcript, "sha256")


def read_key(file):
    """The name and the key in a file of a slave, or a name and the token of its invitation."""
    name, key = file.read().split()
    return name, Key(base64.b64decode(key))


def write_key(path, name, key):
    """A new file, which nobody else can read."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        print(name, base64.b64encode(key.secret).decode(), file=file)


def body(box):
    """What of a box is under the proofs: all but the envelope and the proofs themselves."""
    return amp.Box({k: v for k, v in box.items() if k[:1] != b"_" and k not in (b"mac", b"resume_mac")}).serialize()


def transcript(binding, bodies):
    """T1 of three bodies, T2 of four."""
    return hashlib.sha256(binding + b"".join(bodies)).digest()


# Stream boxes, which nobody answers: sections 5 and 6.


class Data(Command):
    commandName = b"data"
    arguments = [
        (b"data", Value()),
        (b"op", Value()),
        (b"stream", Value()),
        (b"total", Number(optional=True)),
        (b"at", Number(optional=True)),
        (b"log", Number(optional=True)),
    ]
    requiresAnswer = False


class End(Command):
    commandName = b"end"
    arguments = [(b"op", Value()), (b"stream", Value())]
    requiresAnswer = False


class Credit(Command):
    commandName = b"credit"
    arguments = [(b"bytes", Number()), (b"op", Value()), (b"stream", Value())]
    requiresAnswer = False


class Cancel(Command):
    commandName = b"cancel"
    arguments = [(b"op", Value())]
    requiresAnswer = False


class Goodbye(Command):
    commandName = b"goodbye"
    arguments = [(b"reason", Value(optional=True)), (b"retry", Number(optional=True))]
    requiresAnswer = False


class Draining(Command):
    """Of a slave: it is going to end, in `within` ms at the latest."""

    commandName = b"draining"
    arguments = [(b"reason", Value(optional=True)), (b"within", Number(optional=True))]
    requiresAnswer = False


STREAM_BOXES = {box.commandName for box in (Data, End, Credit, Cancel, Draining, Goodbye)}


# Operations: section 7.


class Ping(Command):
    commandName = b"ping"


class SetCwd(Command):
    commandName = b"set_cwd"
    arguments = [(b"path", Value(optional=True))]
    response = [(b"path", Value())]


class Getenv(Command):
    commandName = b"getenv"
    response = [(b"env", LongList())]


class Info(Command):
    commandName = b"info"
    response = [(b"files", LongList())]


class Mkdir(Command):
    commandName = b"mkdir"
    arguments = [(b"path", Value()), (b"mode", Octal(optional=True))]


class SetBuilders(Command):
    commandName = b"set_builders"
    arguments = [(b"directories", LongList(optional=True))]
    response = [(b"others", LongList(optional=True))]


class Remove(Command):
    commandName = b"remove"
    arguments = [(b"path", Value()), (b"op", Value())]


class Rename(Command):
    commandName = b"rename"
    arguments = [(b"from", Value()), (b"to", Value()), (b"overwrite", Flag()), (b"no_sync", Flag())]


class Copy(Command):
    commandName = b"copy"
    arguments = [(b"from", Value()), (b"to", Value()), (b"overwrite", Flag()), (b"no_sync", Flag()), (b"op", Value())]


class Stat(Command):
    commandName = b"stat"
    arguments = [(b"path", Value()), (b"nofollow", Flag())]
    response = [
        (b"type", Value()),
        (b"size", Number(optional=True)),
        (b"mode", Octal(optional=True)),
        (b"mtime", Number(optional=True)),
    ]


class Execute(Command):
    commandName = b"execute"
    arguments = [
        (b"args", LongList()),
        (b"op", Value()),
        (b"cwd", Value(optional=True)),
        (b"env", LongList(optional=True)),
        (b"unset", LongList(optional=True)),
        (b"prepend", LongList(optional=True)),
        (b"clear_env", Flag()),
        (b"timeout", Number(optional=True)),
        (b"silence", Number(optional=True)),
        (b"stop_signal", Value(optional=True)),
        (b"kill_after", Number(optional=True)),
        (b"leave_background", Flag()),
        (b"nice", Number(optional=True)),
        (b"umask", Octal(optional=True)),
        (b"limits", LongList(optional=True)),
        (b"in", Flag()),
        (b"out", Value(optional=True)),
        (b"err", Value(optional=True)),
        (b"at", Flag()),
        (b"logs", LongList(optional=True)),
        (b"header", Flag()),
    ]
    response = [
        (b"exit", Number(optional=True)),
        (b"signal", Number(optional=True)),
        (b"core", Flag()),
        (b"timed_out", Flag()),
        (b"silent", Flag()),
        (b"interrupted", Flag()),
        (b"background", Flag()),
        (b"ended_background", Flag()),
        (b"pid", Number(optional=True)),
        (b"dir", Value(optional=True)),
        (b"log_errors", LongList(optional=True)),
        (b"log_dropped", LongList(optional=True)),
    ]


class Interrupt(Command):
    commandName = b"interrupt"
    arguments = [(b"target", Value()), (b"why", Value(optional=True))]
    response = [(b"running", Flag())]


class Signal(Command):
    commandName = b"signal"
    arguments = [(b"target", Value()), (b"number", Number())]
    response = [(b"running", Flag())]


class Send(Command):
    commandName = b"send"
    arguments = [(b"path", Value()), (b"overwrite", Flag()), (b"no_sync", Flag()), (b"mode", Octal()), (b"op", Value())]
    response = [(b"bytes", Number())]


class Fetch(Command):
    commandName = b"fetch"
    arguments = [(b"path", Value()), (b"op", Value())]
    response = [(b"bytes", Number()), (b"mode", Octal())]


class SendTree(Command):
    commandName = b"send_tree"
    arguments = [(b"path", Value()), (b"overwrite", Flag()), (b"no_sync", Flag()), (b"op", Value())]
    response = [(b"entries", Number()), (b"bytes", Number())]


class FetchTree(Command):
    commandName = b"fetch_tree"
    arguments = [(b"path", Value()), (b"exclude", LongList(optional=True)), (b"op", Value())]
    response = [(b"entries", Number()), (b"bytes", Number())]


class Print(Command):
    commandName = b"print"
    arguments = [(b"message", Value())]


class LogTail(Command):
    commandName = b"log_tail"
    arguments = [(b"lines", Number())]
    response = [(b"lines", LongList(optional=True))]


class Operations(Command):
    commandName = b"operations"
    response = [(b"names", LongList())]


class Shutdown(Command):
    commandName = b"shutdown"
    arguments = [(b"within", Number(optional=True)), (b"reason", Value(optional=True)), (b"restart", Flag())]


class HostFacts(Command):
    commandName = b"host_facts"
    response = [
        (b"clock", Number()),
        (b"cpus", Number()),
        *((name, Number(optional=True)) for name in (b"disk_free", b"disk_total", b"load1", b"load5", b"load15")),
        *((name, Number(optional=True)) for name in (b"memory_available", b"memory_total", b"swap_free", b"swap_total")),
        (b"uptime", Number(optional=True)),
        *((name, Value(optional=True)) for name in (b"hostname", b"machine", b"os", b"release", b"software")),
    ]


COMMANDS = {command.commandName: command for command in Command.__subclasses__()}


# Streams and credit: section 6.


class Sender:
    """The end of a stream that gives. Set `ready` to what is to be called when there is room again."""

    def __init__(self, operation, stream):
        self.operation, self.stream = operation, stream
        self.credit = FIRST_WINDOW
        self.ready = lambda: None
        operation.senders[stream] = self

    def room(self):
        """How many bytes may be sent now in one box."""
        return min(self.credit, LONGEST) if self.credit >= LEAST_COST else 0

    def send(self, data, total=None, at=None, log=None):
        """At least one byte, and no more than there is room for."""
        self.credit -= max(len(data), LEAST_COST)
        self.operation.box(Data, data=data, stream=self.stream, total=total, at=at, log=log)

    def end(self):
        self.operation.box(End, stream=self.stream)

    def granted(self, count):
        self.credit += count
        if count == 0 or self.credit > MOST_CREDIT:
            raise ProtocolError("no such credit can be granted")
        self.ready()


class Receiver:
    """The end of a stream that takes: calls take(data) and, for the input, end(). What was done with is used(data)."""

    def __init__(self, operation, stream, take, end=None):
        self.operation, self.stream = operation, stream
        self.take, self.end = take, end
        self.credit = FIRST_WINDOW
        self.unreported = 0
        self.total = self.at = self.log = None
        operation.receivers[stream] = self

    def received(self, data, total, at, log):
        cost = max(len(data), LEAST_COST)
        if not data or cost > self.credit:
            raise ProtocolError("more data than was granted, or none")
        self.credit -= cost
        if total is not None:
            self.total = total
        self.at, self.log = at, log
        self.take(data)

    def used(self, data):
        """Grants it again, as soon as it is worth a box: the sender still has the other half of its window."""
        self.unreported += max(len(data), LEAST_COST)
        if self.unreported >= FIRST_WINDOW // 2:
            self.operation.box(Credit, bytes=self.unreported, stream=self.stream)
            self.credit += self.unreported
            self.unreported = 0


class Operation:
    """A call that has streams or can be cancelled; both sides know it by `op`."""

    def __init__(self, peer, op):
        self.peer, self.op = peer, op
        self.senders, self.receivers = {}, {}
        self.command = None  # of an execute
        self.cancelled = False
        self.on_cancel = lambda: None
        peer.operations[op] = self

    def box(self, command, **values):
        self.peer.callRemote(command, op=self.op, **values)

    def cancel(self):
        if not self.cancelled:
            self.cancelled = True
            self.on_cancel()


# A connection.


class Peer(amp.AMP):
    """One side of a connection after, and before, its welcome. `ended` fires with a sentence when it is over."""

    patience = 10.0  # D of section 5, in seconds

    def __init__(self):
        super().__init__()
        self.bodies = []  # of the boxes of the handshake, in the order in which they passed
        self.operations = {}
        self.is_open = self.was_open = False  # since the welcome
        self.ended = defer.Deferred()
        self.farewell = None  # of the other side
        self.retry = None  # as it wished, in seconds
        self.alarm = None

    # Hooks of Twisted. These four are public: IBoxReceiver, IBoxSender, IResponderLocator and Protocol.

    def ampBoxReceived(self, box):
        join(box)
        self.note(box)
        super().ampBoxReceived(box)

    def sendBox(self, box):
        self.said = reactor.seconds()
        self.note(box)
        super().sendBox(cut(box))

    def dataReceived(self, data):
        self.heard = reactor.seconds()
        try:
            super().dataReceived(data)
        except Exception as problem:  # it is also what becomes of an answer to nothing; with TLS, nobody else sees it
            self.farewell = self.farewell or repr(problem)
            self.transport.abortConnection()

    def connectionLost(self, reason):
        self.is_open = False
        if self.alarm:
            self.alarm.cancel()
            self.alarm = None
        super().connectionLost(reason)  # fails all calls

    def break_off(self, words):
        """Ends the connection without an answer, which Twisted else gives to every call."""
        self.farewell = self.farewell or words
        self.transport.abortConnection()
        raise ProtocolError(words)

    # The proofs of section 4. Both sides note the same: hello, challenge, prove, welcome.

    def note(self, box):
        if not self.was_open:
            self.bodies.append(body(box))

    def exported(self):
        """What TLS gives to be bound to, as soon as its own handshake is over; None without TLS."""
        export = getattr(self.transport.getHandle(), "export_keying_material", None)
        return export and export(b"EXPORTER-remsh-2", 32)

    def transcript(self, next_box=None):
        """Of what has been said, and of the box that will be next."""
        bodies = self.bodies if next_box is None else [*self.bodies, body(next_box)]
        return transcript(self.exported() or bytes(32), bodies)

    # Liveness and the end: section 5.

    def open(self, keepalive):
        """From now on calls are served and made. `keepalive` in milliseconds, as in the welcome."""
        self.is_open = self.was_open = True
        self.bodies.clear()
        self.keepalive = keepalive / 1000
        self.is_pinging = False
        self.heard = self.said = reactor.seconds()
        self.alarm = reactor.callLater(self.keepalive, self.look_around)

    def look_around(self):
        self.alarm = None
        now = reactor.seconds()
        dead = self.heard + self.keepalive + self.patience
        if now >= dead:
            self.farewell = "it has not been heard of for too long"
            self.transport.abortConnection()
            return
        if not self.is_pinging and now >= self.said + self.keepalive:
            self.is_pinging = True
            self.callRemote(Ping).addCallbacks(self.pong, lambda lost: None)
        quiet = now if self.is_pinging else self.said
        self.alarm = reactor.callLater(min(quiet + self.keepalive, dead) - now, self.look_around)

    def pong(self, answer):
        self.is_pinging = False

    @Ping.responder
    def on_ping(self):
        return {}

    def say_goodbye(self, reason, retry=None):
        if self.is_open:
            self.callRemote(Goodbye, reason=reason.encode()[:256], retry=retry)
        if self.transport:
            self.transport.loseConnection()

    @Goodbye.responder
    def on_goodbye(self, reason, retry):
        self.farewell = (reason or b"").decode(errors="replace")
        self.retry = None if retry is None else retry / 1000
        self.transport.loseConnection()
        return {}

    # Stream boxes. Those of an operation that is over may have crossed its answer.

    @Data.responder
    def on_data(self, op, stream, data, total, at, log):
        if op in self.operations and stream in self.operations[op].receivers:
            self.operations[op].receivers[stream].received(data, total, at, log)
        return {}

    @End.responder
    def on_end(self, op, stream):
        if op in self.operations and stream in self.operations[op].receivers:
            self.operations[op].receivers[stream].end()
        return {}

    @Credit.responder
    def on_credit(self, bytes, op, stream):
        if op in self.operations and stream in self.operations[op].senders:
            self.operations[op].senders[stream].granted(bytes)
        return {}

    @Cancel.responder
    def on_cancel(self, op):
        if op in self.operations:
            self.operations[op].cancel()
        return {}
