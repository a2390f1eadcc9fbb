"""A master of the original remsh (its protocol of July 2009), written anew: to try slaves on.

It speaks as that one did, with its weak points, which a slave must live with: it blocks, it takes a box that it does
not expect for the end of the world, it answers nothing that a slave calls, it reports what is missing by a traceback,
and where it would go on for ever after the end of a connection it raises WouldSpin.
"""

import os
import socket


class Error(Exception):
    """The other side does not keep to the protocol, as the original understands it."""


class RemoteError(Exception):
    """The slave answered with an error."""


class WouldSpin(Exception):
    """The slave has gone where the original does not look: it would ask for the next box again and again."""


class Wire:
    """Boxes over a socket: dictionaries of bytes."""

    RECEIVE = 4096

    def __init__(self, connection):
        self.connection = connection
        self.buffer = b''

    def send_box(self, box):
        encoded = b''
        for key, value in box.items():
            if not 0 < len(key) < 256:
                raise Error(f'a key of {len(key)} bytes')
            if len(value) > 65535:
                raise Error(f'a value of {len(value)} bytes')
            encoded += len(key).to_bytes(2, 'big') + key + len(value).to_bytes(2, 'big') + value
        self.connection.sendall(encoded + b'\0\0')

    def read_box(self):
        """The next box; None at the end of the stream, EOFError where that is inside a box."""
        box = self.parse() if self.buffer else None
        while not box:  # an empty box is skipped, and what is buffered behind it waits for more to come
            received = self.connection.recv(self.RECEIVE)
            if not received:
                if self.buffer:
                    raise EOFError('inside a box')
                return None
            self.buffer += received
            box = self.parse()
        return box

    def parse(self):
        """Takes a box from the front of the buffer; None where it is not complete."""
        at = 0
        box = {}
        while True:
            if at + 2 > len(self.buffer):
                return None
            key_length = int.from_bytes(self.buffer[at:at + 2], 'big')
            at += 2
            if key_length == 0:
                self.buffer = self.buffer[at:]
                return box
            if key_length > 255:
                raise Error('a key length over 255')
            key = self.buffer[at:at + key_length]
            at += key_length
            if at + 2 > len(self.buffer):
                return None
            value_length = int.from_bytes(self.buffer[at:at + 2], 'big')
            at += 2
            if at + value_length > len(self.buffer):
                return None
            if key in box:
                raise Error(f'the key {key!r} twice')
            box[key] = self.buffer[at:at + value_length]
            at += value_length


class Rpc:
    """Calls over a wire: one at a time, and strictly in turns."""

    def __init__(self, wire):
        self.wire = wire
        self.counter = 1

    def send_call(self, command, **arguments):
        """A call without an answer, which has a tag as all have."""
        tag = str(self.counter).encode()
        self.counter += 1
        box = {key.encode(): value for key, value in arguments.items()}
        box[b'_command'] = command.encode()
        box[b'_ask'] = tag
        self.wire.send_box(box)
        return tag

    def call(self, command, **arguments):
        tag = self.send_call(command, **arguments)
        box = self.wire.read_box()
        if not box:
            raise Error('unexpected end')
        if b'_answer' in box:
            if box[b'_answer'] != tag:
                raise Error('the answer is not to this call')
            del box[b'_answer']
            return box
        if b'_error' in box:
            if box[b'_error'] != tag:
                raise Error('the error is not about this call')
            raise RemoteError(os.fsdecode(box[b'_error_description']))
        raise Error(f'neither an answer nor an error: {box}')

    def handle_call(self, **handlers):
        """Waits for one call of the slave, and gives its arguments to the handler of its name."""
        box = self.wire.read_box()
        if not box:
            raise WouldSpin
        if b'_ask' not in box:
            raise Error('a call without _ask')
        command = box[b'_command'].decode()
        if command not in handlers:
            raise Error(f'the unknown command {command!r}')
        handlers[command](box)


class Slave:
    """What the master can do with a slave. Paths are text, contents are bytes."""

    def __init__(self, connection, taken_names=()):
        self.connection = connection
        self.rpc = Rpc(Wire(connection))
        box = self.rpc.wire.read_box()
        if not box or box[b'type'] != b'register':
            raise Error(f'no registration: {box}')
        self.hostname = box[b'hostname'].decode()
        self.version = int(box[b'version'])
        assert self.hostname not in taken_names, self.hostname
        self.rpc.wire.send_box({b'type': b'registered'})

    def set_cwd(self, cwd=None):
        arguments = {} if cwd is None else {'cwd': os.fsencode(cwd)}
        return os.fsdecode(self.rpc.call('set_cwd', **arguments)[b'cwd'])

    def getenv(self):
        answer = self.rpc.call('getenv')
        return {os.fsdecode(key[4:]): os.fsdecode(value) for key, value in answer.items() if key.startswith(b'env_')}

    def mkdir(self, path):
        self.rpc.call('mkdir', dir=os.fsencode(path))

    def execute(self, args, stdout_cb=None, stderr_cb=None):
        self.rpc.call('execute', args=b'\0'.join(os.fsencode(arg) for arg in args),
                      want_stdout=b'y' if stdout_cb else b'n', want_stderr=b'y' if stderr_cb else b'n')
        result = []

        def data(box):
            {b'stdout': stdout_cb, b'stderr': stderr_cb}[box[b'stream']](box[b'data'])  # a missing one is a TypeError

        def finished(box):
            result.append(int(box[b'result']))

        while not result:
            self.rpc.handle_call(data=data, finished=finished)
        return result[0]

    def send(self, content, dest, chunk=65535):
        self.rpc.call('send', dest=os.fsencode(dest))
        for at in range(0, len(content), chunk):
            self.rpc.send_call('data', data=content[at:at + chunk])
        self.rpc.call('finished')

    def fetch(self, src):
        self.rpc.call('fetch', src=os.fsencode(src))
        pieces = []
        over = []

        def finished(box):
            if b'errmsg' in box:
                raise NameError('the original has a mistake here')  # and does not look at errstr
            over.append(True)  # and forgets to answer

        while not over:
            self.rpc.handle_call(data=lambda box: pieces.append(box[b'data']), finished=finished)
        return b''.join(pieces)

    def remove(self, path):
        self.rpc.call('remove', path=os.fsencode(path))

    def rename(self, src, dest):
        self.rpc.call('rename', src=os.fsencode(src), dest=os.fsencode(dest))

    def copy(self, src, dest):
        self.rpc.call('copy', src=os.fsencode(src), dest=os.fsencode(dest))

    def stat(self, path):
        """'d', 'f' or None."""
        return self.rpc.call('stat', pathname=os.fsencode(path))[b'result'].decode() or None

    def close(self):
        self.connection.close()


class Listener:
    """Takes slaves on a port of the loopback, and no two of one name."""

    def __init__(self):
        self.socket = socket.create_server(('127.0.0.1', 0))
        self.socket.settimeout(60)
        self.address = '127.0.0.1:%d' % self.socket.getsockname()[1]

    def accept(self, taken_names=()):
        connection, _ = self.socket.accept()
        connection.settimeout(60)
        return Slave(connection, taken_names)

    def close(self):
        self.socket.close()
