#!/usr/bin/env python3
# master: a remsh 2 master made of stock Twisted AMP and docs/protocol.md, which puts a slave through all that is there.
#
#     master.py PROGRAM [ARGUMENT...]     starts it with the options of remsh-slave, and prints what fails
#
# REMSH_TEST_TWISTED_OVER in the environment says what the slave has: keyless, key, or tls, which is a key and a
# certificate of the master's. That is then in REMSH_TEST_CERTIFICATE, with its key.

import base64
import hmac
import os
import signal
import sys
import tempfile
import time
import traceback

try:
    from twisted.internet import defer, endpoints, protocol, reactor, task
    from twisted.protocols import amp
except ImportError:
    sys.exit(77)  # to Meson: skipped

from remsh_amp import *  # noqa: F403: the vocabulary of the protocol

MUCH = bytes(range(256)) * 4 * 1024 * 3  # 3 MiB


class Lost(CallFailed):
    """The connection is over."""


class Master(Peer):
    """One connection of a slave. `welcome` is what it is welcomed with; `keys` has those of slaves by name and key id,
    or is None where slaves have none."""

    decoy = Key(os.urandom(32))  # in place of keys that are not there, so that these take as long

    def __init__(self, keys, welcome, registered):
        super().__init__()
        self.keys, self.welcome, self.registered = keys, welcome, registered
        self.legal = {b"hello"}  # what it may call
        self.outcome = None  # of the handshake
        self.last_op = 0
        self.pings = None  # who waits for one
        self.drains = None  # why, and within which time, once it has said so

    # The handshake.

    def connectionMade(self):
        super().connectionMade()
        self.too_late = reactor.callLater(10, self.transport.abortConnection)

    @Hello.responder
    def on_hello(self, features, kid, name, nonce, versions):
        self.legal = {b"prove"}
        if b"2" not in versions.split(b" ") or (kid is None) != (self.keys is None):
            return self.refuse_stranger()
        self.name, self.kid = name, kid
        return {"features": b"", "nonce": os.urandom(32), "version": b"2"}

    @Prove.responder
    def on_prove(self, mac, enrol, **registration):
        self.legal = {}
        if (mac is None) != (self.kid is None):
            self.break_off("a proof without a key, or a key without a proof")
        if mac is None:
            return self.let_in(registration, None)
        key = self.keys.get((self.name, self.kid), self.decoy)
        is_right = hmac.compare_digest(mac, key.mac(b"slave", self.transcript()))
        if key is self.decoy or not is_right or key.is_invitation != (enrol is not None):
            return self.refuse_stranger()
        if key.is_invitation and not self.exported():
            return self.refuse_stranger()
        return self.enrol(key) if key.is_invitation else self.let_in(registration, key)

    def let_in(self, registration, key):
        self.registration = registration
        self.too_late.cancel()
        reactor.callLater(0, self.after_welcome)  # when it has been sent
        if not key:
            return self.welcome
        transcript = self.transcript(Prove.makeResponse(self.welcome, self))
        return {**self.welcome, "mac": key.mac(b"master", transcript)}

    def enrol(self, invitation):
        """The slave has a new key in the place of its invitation, and nothing else."""
        self.welcome = {}
        new_key = Key(invitation.mac(b"enrol", self.transcript({})))
        del self.keys[self.name, self.kid]
        self.keys[self.name, new_key.kid] = new_key
        return self.let_in({}, invitation)

    def refuse_stranger(self):
        self.legal = {}
        self.outcome = "failure"
        return task.deferLater(reactor, 0.1, self.fail)

    def fail(self):
        raise amp.RemoteAmpError(b"AUTH", "authentication failed", fatal=True)

    def after_welcome(self):
        if "keepalive" not in self.welcome:
            self.outcome = "refused" if "refused" in self.welcome else "enrolled"
            self.transport.loseConnection()
        else:
            self.legal = {b"ping", b"data", b"credit", b"draining", b"goodbye"}
            self.outcome = "open"
            self.open(self.welcome["keepalive"])
            self.registered.callback(self)

    def connectionLost(self, reason):
        super().connectionLost(reason)
        if self.too_late.active():
            self.too_late.cancel()
        self.ended.callback(self.farewell)

    # A slave that is going to end: it is let go when no operation is under way.

    @Draining.responder
    def on_draining(self, reason, within):
        self.drains = (reason or b"").decode(errors="replace"), within
        self.let_go()
        return {}

    def let_go(self):
        if self.drains and not self.operations and self.is_open:
            self.say_goodbye("released")

    # What a slave may send beside answers and stream boxes: nothing.

    def locateResponder(self, name):
        if name not in self.legal:
            self.break_off(f"a slave has no call {name!r} on its master, or not now")
        if name == b"ping" and self.pings:
            self.pings, waiting = None, self.pings
            waiting.callback(None)
        responder = super().locateResponder(name)
        if name in (b"hello", b"prove"):
            return lambda box: responder(box).addErrback(self.not_answered)
        return responder

    def not_answered(self, failure):
        """The handshake has one error. Of a box that is malformed Twisted makes others."""
        if failure.check(amp.RemoteAmpError) and failure.value.errorCode == b"AUTH":
            return failure
        self.break_off("a box of the handshake is malformed")

    # Calls.

    def begin(self, command, streams=(), op=None, **arguments):
        """A call with an operation. Give streams to the caller as (name, take), take(operation, data)."""
        if op is None:
            self.last_op += 1
            op = b"op%d" % self.last_op
        operation = Operation(self, op)
        for stream, take in streams:
            Receiver(operation, stream, lambda data, take=take: take(operation, data))
        Sender(operation, b"in")

        def over(result):
            self.operations.pop(op, None)
            self.let_go()
            return result

        operation.answer = self.callRemote(command, op=op, **arguments).addBoth(over)
        operation.answer.addErrback(lost_or_failed)
        return operation

    async def call(self, command, **arguments):
        return await self.callRemote(command, **arguments).addErrback(lost_or_failed)

    def raw(self, command, **values):
        """A call as it is, for what Command would not let us do."""
        return self.callRemoteString(command, **values)


def lost_or_failed(failure):
    if failure.check(CallFailed, amp.AmpError, defer.CancelledError):
        return failure
    raise Lost(failure.getErrorMessage())


class Collector:
    """Takes a stream and grants all of it again."""

    def __init__(self):
        self.parts = []

    def __call__(self, operation, data):
        self.parts.append(data)
        stream = next(s for s in operation.receivers.values() if s.take.__defaults__[0] is self)
        stream.used(data)

    @property
    def data(self):
        return b"".join(self.parts)


def give(operation, data):
    """Sends it as input, as far as credit reaches, until the operation is over."""
    sender = operation.senders[b"in"]
    rest = memoryview(data)

    def go_on():
        nonlocal rest
        while len(rest) and sender.room():
            count = min(sender.room(), len(rest))
            sender.send(bytes(rest[:count]))
            rest = rest[count:]
        if not len(rest):
            sender.ready = lambda: None
            sender.end()

    sender.ready = go_on
    go_on()


async def execute(slave, *args, data=None, **options):
    """Runs a command and gives its results with `out` and `err`."""
    out, err = Collector(), Collector()
    options = {"out": b"stream", "err": b"stream", **options}
    args = [arg.encode() if isinstance(arg, str) else arg for arg in args]
    operation = slave.begin(Execute, [(b"out", out), (b"err", err)], args=args, In=data is not None, **options)
    if data is not None:
        give(operation, data)
    result = await operation.answer
    return {**result, "out": out.data, "err": err.data}


async def send(slave, path, data, **options):
    operation = slave.begin(Send, path=path, **{"mode": 0o644, **options})
    give(operation, data)
    return await operation.answer


async def fetch(slave, path):
    out = Collector()
    operation = slave.begin(Fetch, [(b"out", out)], path=path)
    result = await operation.answer
    return {**result, "out": out.data, "total": operation.receivers[b"out"].total}


def equal(left, right):
    if left != right:
        shown = [repr(value) if len(repr(value)) < 200 else repr(value)[:200] + "..." for value in (left, right)]
        raise AssertionError(f"{shown[0]} should be {shown[1]}")


async def fails(code, awaitable):
    try:
        result = await awaitable
    except amp.UnhandledCommand:
        got = "UNHANDLED"
    except amp.RemoteAmpError as error:
        got = error.errorCode.decode()
    except CallFailed as error:
        got = error.code
        if not str(error):
            raise AssertionError(f"{got} without a description")
    else:
        raise AssertionError(f"should fail with {code}, not answer {result}")
    equal(got, code)


async def is_ended(slave):
    """The connection was ended by the slave; it comes back by itself."""
    try:
        await slave.call(Ping)
    except CallFailed:
        return
    raise AssertionError("the connection should be over")


# What is tried. Each of these gets a slave and a directory of its own in the slave's base directory.


async def it_says_who_it_is(slave, base):
    equal(slave.name, b"worker")
    equal(slave.registration["basedir"], base)
    assert slave.registration["hostname"] and slave.registration["software"] and slave.registration["system"]
    equal(await slave.call(Ping), {})


async def the_directory_of_the_session(slave, base):
    here = (await slave.call(SetCwd, path=b""))["path"]
    equal((await slave.call(SetCwd))["path"], base)
    await slave.call(Mkdir, path=b"a/b")
    equal((await slave.call(SetCwd, path=b"a"))["path"], base + b"/a")
    equal((await slave.call(SetCwd, path=b"b"))["path"], base + b"/a/b")
    await fails("ENOENT", slave.call(SetCwd, path=b"missing"))
    equal((await slave.call(SetCwd, path=b""))["path"], base + b"/a/b")
    equal((await execute(slave, "pwd"))["out"], base + b"/a/b\n")
    await slave.call(SetCwd, path=here)


async def names(slave, base):
    await slave.call(Mkdir, path=b"d/e", mode=0o750)
    await slave.call(Mkdir, path=b"d/e")
    equal((await slave.call(Stat, path=b"d/e"))["type"], b"directory")
    equal((await slave.call(Stat, path=b"d/e"))["mode"], 0o750)
    equal(await send(slave, b"one", b"1", mode=0o640), {"bytes": 1})
    await fails("EEXIST", send(slave, b"one", b"2"))
    await send(slave, b"one", b"1", overwrite=True, mode=0o640)
    found = await slave.call(Stat, path=b"one")
    equal((found["type"], found["size"], found["mode"]), (b"file", 1, 0o640))
    equal(found["mtime"], os.stat((await slave.call(SetCwd, path=b""))["path"] + b"/one").st_mtime_ns)
    equal((await slave.call(Stat, path=b"missing"))["type"], b"missing")
    equal((await slave.call(Stat, path=b"/dev/null"))["type"], b"character-device")
    await fails("ENOTDIR", slave.call(Stat, path=b"one/below"))
    await execute(slave, "ln", "-s", "nowhere", "link")
    equal((await slave.call(Stat, path=b"link"))["type"], b"missing")
    equal((await slave.call(Stat, path=b"link", nofollow=True))["type"], b"symlink")
    copy = slave.begin(Copy, From=b"one", to=b"two")
    equal(await copy.answer, {})
    equal((await slave.call(Stat, path=b"two"))["mode"], 0o640)
    await fails("EEXIST", slave.begin(Copy, From=b"one", to=b"two").answer)
    await fails("EISDIR", slave.begin(Copy, From=b"d", to=b"f").answer)
    await fails("EISDIR", slave.begin(Copy, From=b"one", to=b"d/", overwrite=True).answer)
    await fails("EEXIST", slave.call(Rename, From=b"one", to=b"two"))
    await slave.call(Rename, From=b"one", to=b"two", overwrite=True)
    await fails("ENOENT", slave.call(Rename, From=b"one", to=b"three"))
    await fails("EEXIST", slave.call(Mkdir, path=b"two"))
    await slave.begin(Remove, path=b"d").answer
    await slave.begin(Remove, path=b"d").answer
    equal((await slave.call(Stat, path=b"d"))["type"], b"missing")
    await fails("EINVAL", slave.begin(Remove, path=b".").answer)


async def the_environment_and_info(slave, base):
    environment = (await slave.call(Getenv))["env"]
    path = next(entry for entry in environment if entry.startswith(b"PATH="))
    equal((await execute(slave, "sh", "-c", 'printf %s "PATH=$PATH"'))["out"], path)
    await slave.call(SetCwd)
    equal((await slave.call(Info))["files"], [])
    await slave.call(Mkdir, path=b"info/directory")
    files = {b"a": b"x" * 65536, b"b": b"y" * 65536, b"c": b"blue\n"}  # the answer is cut into three
    for name, content in files.items():
        await send(slave, b"info/" + name, content)
    await send(slave, b"info/binary", b"\0")
    await send(slave, b"info/big", b"z" * 65537)
    got = (await slave.call(Info))["files"]
    equal(dict(zip(got[::2], got[1::2])), files)


async def files_go_there_and_back(slave, base):
    equal(await send(slave, b"file", MUCH, mode=0o600), {"bytes": len(MUCH)})
    got = await fetch(slave, b"file")
    equal((got["bytes"], got["mode"], got["total"], got["out"]), (len(MUCH), 0o600, len(MUCH), MUCH))
    await send(slave, b"empty", b"")
    got = await fetch(slave, b"empty")
    equal((got["bytes"], got["total"], got["out"]), (0, None, b""))
    await fails("ENOENT", fetch(slave, b"missing"))
    await fails("EISDIR", fetch(slave, b"."))
    await fails("ENOENT", send(slave, b"missing/file", MUCH))
    await execute(slave, "mkfifo", "fifo")
    await fails("EINVAL", fetch(slave, b"fifo"))


async def commands(slave, base):
    equal((await execute(slave, "true"))["exit"], 0)
    equal((await execute(slave, "sh", "-c", "exit 7"))["exit"], 7)
    killed = await execute(slave, "sh", "-c", "kill -KILL $$")
    equal((killed["exit"], killed["signal"]), (None, 9))
    both = await execute(slave, "sh", "-c", "printf out; printf err >&2")
    equal((both["out"], both["err"]), (b"out", b"err"))
    merged = await execute(slave, "sh", "-c", "printf a; printf b >&2; printf c", err=b"merge")
    equal((merged["out"], merged["err"]), (b"abc", b""))
    silent = await execute(slave, "sh", "-c", "echo out; echo err >&2", out=None, err=None)
    equal((silent["exit"], silent["out"], silent["err"]), (0, b"", b""))
    equal((await execute(slave, "cat"))["out"], b"")
    equal((await execute(slave, "cat", data=b""))["out"], b"")
    equal((await execute(slave, "true", data=MUCH))["exit"], 0)
    show = ["/bin/sh", "-c", 'printf "%s|%s|%s" "${A-unset}" "${HOME-unset}" "$(pwd)"']
    equal((await execute(slave, *show, cwd=b"/", env=[b"A=1=2"], unset=[b"HOME"]))["out"], b"1=2|unset|/")
    equal((await execute(slave, *show, cwd=b"/", env=[b"A=1"], clear_env=True))["out"], b"1|unset|/")
    await settings(slave)
    await fails("ENOENT", execute(slave, "no-such-program"))
    await fails("ENOENT", execute(slave, "true", cwd=b"missing"))


async def settings(slave):
    show = ["/bin/sh", "-c", "umask; ulimit -S -n; ulimit -H -n; echo $A"]
    got = await execute(slave, *show, umask=0o27, limits=[b"nofile=50:60"], env=[b"A=b"], prepend=[b"A=a"])
    equal(got["out"], b"0027\n50\n60\na:b\n")
    await fails("EINVAL", execute(slave, "true", limits=[b"nofile=60:50"]))
    await fails("BAD_ARGUMENT", execute(slave, "true", limits=[b"wishes=3"]))
    await fails("BAD_ARGUMENT", execute(slave, "true", stop_signal=b"SIGCHLD"))
    await fails("BAD_ARGUMENT", execute(slave, "true", nice=20))
    aborted = await execute(slave, "sh", "-c", "kill -ABRT $$", limits=[b"core=0"])
    equal((aborted["signal"], aborted["core"]), (6, False))
    ended = await execute(slave, "sh", "-c", "trap '' TERM; sleep 100000", timeout=100, stop_signal=b"SIGINT")
    equal((ended["timed_out"], ended["signal"]), (True, 2))
    operation = slave.begin(Execute, [(b"out", Collector())], args=[b"echo"], out=b"stream", at=True)
    before = time.time_ns() // 1000
    await operation.answer
    equal(before - 60_000_000 < operation.receivers[b"out"].at <= time.time_ns() // 1000, True)


async def log_files(slave, base):
    seen = {}

    def take(operation, data):
        stream = operation.receivers[b"log"]
        seen[stream.log] = seen.get(stream.log, b"") + data
        stream.used(data)

    script = b"echo one >x; read go; echo two >>x; mv x x.1; echo three >x; echo four >>y"
    logs = [b"x", b"changed", b"y", b"end", b"none", b"start"]
    operation = slave.begin(Execute, [(b"log", take)], args=[b"sh", b"-c", script], logs=logs, In=True)
    give(operation, b"go\n")
    result = await operation.answer
    equal(seen, {0: seen[0], 1: b"four\n"})
    equal(seen[0] in (b"one\ntwo\nthree\n", b"three\n"), True)  # what was replaced before it was seen is not found
    number, error = result["log_errors"]
    equal((number, error.split(b" ")[0]), (b"2", b"ENOENT"))
    await fails("BAD_ARGUMENT", execute(slave, "true", logs=[b"x", b"sometimes"]))


async def the_tail_of_the_log(slave, base):
    await slave.call(Print, message=b"hello\n")
    lines = (await slave.call(LogTail, lines=1))["lines"]
    equal([b"the master says: hello\\" in line for line in lines], [True])
    await fails("BAD_ARGUMENT", slave.call(LogTail, lines=0))


async def both_streams_full(slave, base):
    got = await execute(slave, "tee", "/dev/stderr", data=MUCH)
    equal((got["exit"], got["out"], got["err"]), (0, MUCH, MUCH))


async def long_values(slave, base):
    half = b"x" * 100_000
    got = await execute(slave, "sh", "-c", 'printf %s "$0$1$A"', half, half, env=[b"A=" + half])
    equal(got["out"], half * 3)
    exact = b"x" * (65535 - len(b"printf\0%s\0\0"))  # one value that is just not cut, and one that just is
    equal((await execute(slave, "printf", "%s", exact))["out"], exact)
    equal((await execute(slave, "printf", "%s", exact + b"y"))["out"], exact + b"y")


async def the_end_of_commands(slave, base):
    for timeout in (100, 1000, 10000):  # until it has begun before its time is over
        over = await execute(slave, "sh", "-c", "echo begun; sleep 1000 & sleep 1000", timeout=timeout)
        if over["out"]:
            break
    equal((over["timed_out"], over["signal"], over["out"]), (True, 15, b"begun\n"))
    begun = defer.Deferred()
    stubborn = slave.begin(
        Execute,
        [(b"out", lambda operation, data: begun.callback(data))],
        args=[b"sh", b"-c", b"trap '' TERM; echo begun; sleep 1000; sleep 1000"],
        out=b"stream",
        kill_after=50,
    )
    await begun
    stubborn.box(Cancel)
    await fails("CANCELLED", stubborn.answer)
    await execute(slave, "mkfifo", "go")
    left = await execute(slave, "sh", "-c", "cat go & printf early", leave_background=True)
    equal((left["exit"], left["background"], left["out"]), (0, True, b"early"))
    equal((await execute(slave, "sh", "-c", "echo late > go"))["exit"], 0)


async def who_does_not_read_gets_no_more_and_delays_nobody(slave, base):
    got, begun = [], defer.Deferred()

    def hoard(operation, data):  # Receiver sees to it that it is not more than was granted
        got.append(data)
        if not begun.called:
            begun.callback(None)

    endless = slave.begin(Execute, [(b"out", hoard)], args=[b"yes"], out=b"stream", kill_after=0)
    await begun
    for _ in range(10):
        equal((await execute(slave, "echo", "still here"))["out"], b"still here\n")
    assert sum(map(len, got)) <= FIRST_WINDOW
    endless.box(Cancel)
    await fails("CANCELLED", endless.answer)


async def transfers_that_are_cancelled_leave_nothing(slave, base):
    await slave.call(Mkdir, path=b"to")
    to = (await slave.call(SetCwd, path=b""))["path"] + b"/to"
    sending = slave.begin(Send, path=b"to/file", mode=0o644)
    sending.senders[b"in"].send(b"x" * 1000)
    sending.box(Cancel)
    await fails("CANCELLED", sending.answer)
    equal(os.listdir(to), [])
    sending.box(Data, stream=b"in", data=b"late")  # has crossed the answer: ignored
    sending.box(End, stream=b"in")
    await execute(slave, "truncate", "-s", "1T", "huge")
    begun = defer.Deferred()

    def take(operation, data):
        operation.receivers[b"out"].used(data)
        if not begun.called:
            begun.callback(None)

    fetching = slave.begin(Fetch, [(b"out", take)], path=b"huge")
    await begun
    fetching.box(Cancel)
    await fails("CANCELLED", fetching.answer)
    copying = slave.begin(Copy, From=b"huge", to=b"to/huge")
    copying.box(Cancel)
    await fails("CANCELLED", copying.answer)
    equal(os.listdir(to), [])


async def calls_that_are_wrong_fail_alone(slave, base):
    await fails("UNHANDLED", slave.raw(b"no-such-operation", key=b"value"))
    await fails("BAD_ARGUMENT", slave.raw(b"stat"))
    await fails("BAD_ARGUMENT", slave.raw(b"stat", path=b""))
    await fails("BAD_ARGUMENT", slave.raw(b"stat", path=b"a\0b"))
    await fails("BAD_ARGUMENT", slave.raw(b"stat", path=b"a", nofollow=b"yes"))
    await fails("BAD_ARGUMENT", slave.raw(b"mkdir", path=b"a", mode=b"9"))
    await fails("BAD_ARGUMENT", slave.raw(b"execute", args=b"", op=b"empty"))
    await fails("BAD_ARGUMENT", slave.raw(b"execute", args=b"true", op=b"no-end"))
    await fails("BAD_ARGUMENT", slave.raw(b"execute", args=b"true\0", op=b"zero", timeout=b"007"))
    await fails("BAD_ARGUMENT", slave.raw(b"stat", path=b"a", unknown=b"is not ignored"))


async def stream_boxes_of_nobody_are_ignored(slave, base):
    for command, values in (
        (Data, {"stream": b"in", "data": b"x"}),
        (End, {"stream": b"in"}),
        (Credit, {"stream": b"out", "bytes": 1}),
        (Cancel, {}),
    ):
        slave.callRemote(command, op=b"nobody", **values)
    slave.callRemoteString(b"mkdir", requiresAnswer=False, path=b"never")
    slave.callRemoteString(b"of-the-future", requiresAnswer=False)
    equal((await slave.call(Stat, path=b"never"))["type"], b"missing")


async def many_calls_at_once(slave, base):
    async def one(number):
        content = b"%d" % number * 10_000
        await send(slave, b"%d" % number, content)
        equal((await fetch(slave, b"%d" % number))["out"], content)
        equal((await execute(slave, "cat", data=content))["out"], content)

    await defer.gatherResults([defer.ensureDeferred(one(number)) for number in range(20)])


async def it_pings_when_nothing_is_said(slave, base):
    slave.is_pinging = True  # so that we keep still: the welcome had a short keepalive
    slave.pings = defer.Deferred()
    await slave.pings
    slave.is_pinging = False


# These end the connection, and the slave comes back.


async def more_data_than_was_granted(slave, base):
    reading = slave.begin(Execute, args=[b"sleep", b"1000"], In=True)
    for _ in range(64):  # the first go into the pipe and are granted again; all that can be granted is half of these
        reading.box(Data, stream=b"in", data=b"x" * 65535)
    await fails("FAILED", reading.answer)
    await is_ended(slave)


async def more_credit_than_can_be(slave, base):
    endless = slave.begin(Execute, args=[b"sleep", b"1000"], out=b"stream")
    endless.box(Credit, stream=b"out", bytes=MOST_CREDIT)
    await fails("FAILED", endless.answer)
    await is_ended(slave)


async def an_op_that_is_in_use(slave, base):
    first = slave.begin(Execute, args=[b"sleep", b"1000"], op=b"same")
    second = slave.raw(b"execute", args=b"true\0", op=b"same")
    await fails("FAILED", first.answer)
    try:
        await second
    except Exception:
        return
    raise AssertionError("an op twice should end the connection")


async def an_answer_to_nothing(slave, base):
    slave.sendBox(amp.Box({b"_answer": b"77"}))
    await is_ended(slave)


async def a_goodbye_with_a_wish(slave, base):
    slave.say_goodbye("come back at once", retry=1)
    await slave.ended


CHECKS = [
    it_says_who_it_is,
    the_directory_of_the_session,
    names,
    the_environment_and_info,
    files_go_there_and_back,
    commands,
    log_files,
    the_tail_of_the_log,
    both_streams_full,
    long_values,
    the_end_of_commands,
    who_does_not_read_gets_no_more_and_delays_nobody,
    transfers_that_are_cancelled_leave_nothing,
    calls_that_are_wrong_fail_alone,
    stream_boxes_of_nobody_are_ignored,
    many_calls_at_once,
    it_pings_when_nothing_is_said,
    a_goodbye_with_a_wish,
    more_data_than_was_granted,
    more_credit_than_can_be,
    an_op_that_is_in_use,
    an_answer_to_nothing,
]


class Impostor(Master):
    """Has no key. Lets everybody in, and wants something done in the same breath."""

    @Prove.responder
    def on_prove(self, **ignored):
        def make_use_of_it():
            self.callRemote(Mkdir, path=b"obeyed").addCallbacks(self.is_answered, self.is_left)

        reactor.callLater(0, make_use_of_it)
        return {"keepalive": 200, "mac": os.urandom(32)}

    def is_answered(self, result):
        self.outcome = "obeyed"

    def is_left(self, failure):
        self.outcome = "answered" if failure.check(amp.AmpError, CallFailed) else "left"


class Listener(protocol.Factory):
    """Has a slave first meet masters that it must not or may not work for, then welcomes it as often as it comes."""

    noisy = False

    def __init__(self, key):
        self.registered = defer.Deferred()
        self.keys = key and {(b"worker", key.kid): key}
        refusal = {"refused": b"draining", "reason": b"not yet", "retry": 1}
        self.first = [("refused", Master(self.keys, refusal, None))]
        if key:
            others = {(b"worker", b"01234567"): key, (b"other", key.kid): key}
            forged = {(b"worker", key.kid): Key(os.urandom(32))}
            self.first = [
                ("left", Impostor({}, None, None)),
                ("failure", Master(others, None, None)),
                ("failure", Master(forged, None, None)),
                *self.first,
            ]
        self.not_met = iter(self.first)

    def buildProtocol(self, address):
        outcome, master = next(self.not_met, (None, None))
        return master or Master(self.keys, {"keepalive": 200}, self.registered)

    async def next_slave(self):
        slave = await self.registered
        self.registered = defer.Deferred()
        return slave


class Program(protocol.ProcessProtocol):
    """The slave; says where it is connected what goes wrong."""

    def __init__(self):
        self.ended = defer.Deferred()
        self.said = b""

    def errReceived(self, data):
        self.said += data

    outReceived = errReceived

    def processEnded(self, reason):
        self.ended.callback(reason.value)


async def run(listener, base):
    failed_checks = 0
    slave = await listener.next_slave()
    for outcome, master in listener.first:
        if master.outcome != outcome:
            failed_checks += 1
            print(f"FAIL a handshake should end with {outcome!r}, not {master.outcome!r}")
    for check in CHECKS:
        name = check.__name__.replace("_", " ")
        if not slave.is_open:
            slave = await listener.next_slave()
        try:
            await slave.call(SetCwd)
            await slave.call(Mkdir, path=check.__name__.encode())
            await slave.call(SetCwd, path=check.__name__.encode())
            await check(slave, base)
            print("ok  ", name)
        except defer.CancelledError:
            print("FAIL", name, "does not end")
            raise
        except Exception:
            failed_checks += 1
            print("FAIL", name)
            traceback.print_exc(file=sys.stdout)
        sys.stdout.flush()
    return slave if slave.is_open else await listener.next_slave(), failed_checks


class At:
    """Where masters listen, and what the program is told of it and of its key: options, of addresses and files."""

    def __init__(self, over, directory):
        self.over = over
        self.key_file = os.path.join(directory, "key")
        self.options = ["--name", "worker", "--keyless"] if over == "keyless" else ["--key", self.key_file]
        self.where = endpoints.TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")
        if over == "tls":
            from twisted.internet import ssl  # here, as it is not there without pyOpenSSL

            own = ssl.PrivateCertificate.loadPEM(os.environ["REMSH_TEST_CERTIFICATE"])
            context = ssl.CertificateOptions(
                privateKey=own.privateKey.original, certificate=own.original, raiseMinimumTo=ssl.TLSVersion.TLSv1_3
            )
            self.where = endpoints.SSL4ServerEndpoint(reactor, 0, context, interface="127.0.0.1")
            ca_file = os.path.join(directory, "ca")
            with open(ca_file, "wb") as file:
                file.write(own.dumpPEM())
            self.options += ["--ca", ca_file, "--server-name", "127.0.0.1"]

    async def listen(self, factory):
        port = await self.where.listen(factory)
        self.options += ["--master", f"{'tls:' if self.over == 'tls' else ''}127.0.0.1:{port.getHost().port}"]

    async def make_key(self, *program):
        """The key that the program has from now on: with TLS it gets it for an invitation."""
        if self.over != "tls":
            key = Key(os.urandom(32))
            write_key(self.key_file, "worker", key)
            return key
        token = Key(os.urandom(32), is_invitation=True)
        keys = {(b"worker", token.kid): token}
        await self.listen(protocol.Factory.forProtocol(lambda: Master(keys, None, None)))
        process = Program()
        reactor.spawnProcess(process, program[0], [*program, "enrol", *self.options], env=None)
        process.transport.write(f"worker {base64.b64encode(token.secret).decode()}\n".encode())
        process.transport.closeStdin()
        await process.ended.addTimeout(20, reactor)
        self.options = self.options[:-2]
        (key,) = keys.values()
        if key is token or not os.path.exists(self.key_file):
            sys.exit("FAIL it should get a key for its invitation\n" + process.said.decode(errors="replace"))
        return key


async def main(_, *program):
    over = os.environ.get("REMSH_TEST_TWISTED_OVER", "keyless")
    with tempfile.TemporaryDirectory() as directory:
        base = os.path.realpath(os.path.join(directory, "worker"))
        at = At(over, directory)
        key = None if over == "keyless" else await at.make_key(*program)
        listener = Listener(key)
        await at.listen(listener)
        process = Program()
        reactor.spawnProcess(process, program[0], [*program, *at.options, "--basedir", base], env=None)
        try:
            slave, failed_checks = await defer.ensureDeferred(run(listener, base.encode())).addTimeout(60, reactor)
            await slave.call(Ping)  # it knows by now that it is welcome
            process.transport.signalProcess("TERM")
            await slave.ended.addTimeout(20, reactor)
            if not slave.farewell and not slave.drains:
                print("FAIL it should say that it leaves when it is told to end")
                failed_checks += 1
            await process.ended.addTimeout(20, reactor)
            if key and b"not our master" not in process.said:
                print("FAIL it should say that a master did not prove its key")
                failed_checks += 1
        finally:
            if not process.ended.called:
                process.transport.signalProcess(signal.SIGKILL)
                await process.ended
        if failed_checks:
            print(process.said.decode(errors="replace"))
        print(f"{len(CHECKS) - failed_checks} passed, {failed_checks} failed")
        sys.exit(1 if failed_checks else 0)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: master.py PROGRAM [ARGUMENT...]")
    task.react(lambda *arguments: defer.ensureDeferred(main(*arguments)), sys.argv[1:])
