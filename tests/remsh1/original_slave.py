#!/usr/bin/env python3
"""A slave of the original remsh (its protocol of July 2009), written anew: to try masters on.

Usage: original_slave.py HOST PORT NAME

It serves as that one did, with its weak points, which a master must live with: it is one process that blocks; it dies
of a call that it does not know or that lacks a key; it reads output in pieces of 65535 bytes, so that nothing comes
live; it waits for an answer to the end of a fetch, and dies of anything else; and at a clean end of the connection it
would spin for ever, for which this one ends with the code 9. A breach ends it with a traceback and the code 1.
"""

import errno
import os
import select
import shutil
import socket
import subprocess
import sys

from original_master import Error, Rpc, Wire, WouldSpin

CHUNK = 65535
START = os.getcwd()


class Refusal(Exception):
    """What the master is told in an error box."""


def text_of(error):
    return os.strerror(error.errno)


def boolean(value):
    if value not in b'ny':
        raise Error(f'{value!r} is no boolean')
    return value == b'y'


class Server:
    def __init__(self, wire):
        self.wire = wire
        self.rpc = Rpc(wire)
        self.file = None  # that is being sent to us

    def serve_one(self):
        """One call: its command is looked up as it is, and so are its keys."""
        box = self.wire.read_box()
        if not box:
            raise WouldSpin
        tag = box[b'_ask']
        command = box[b'_command'].decode()
        handler = getattr(self, 'remote_' + command)
        try:
            answer, more = handler(box)
        except Refusal as refusal:
            self.wire.send_box({b'_error': tag, b'_error_code': b'0',
                                b'_error_description': os.fsencode(str(refusal))})
            return
        if answer is not None:
            answer[b'_answer'] = tag
            self.wire.send_box(answer)
        if more:
            more()

    def remote_set_cwd(self, box):
        try:
            os.chdir(box.get(b'cwd', START) or '.')
        except OSError as error:
            raise Refusal(text_of(error)) from None
        return {b'cwd': os.fsencode(os.getcwd())}, None

    def remote_getenv(self, _):
        return {b'env_' + name: value[:CHUNK] for name, value in os.environb.items()}, None

    def remote_mkdir(self, box):
        path = box[b'dir']
        if not os.path.exists(path):
            try:
                os.makedirs(path)
            except OSError as error:
                raise Refusal(text_of(error)) from None
        return {}, None

    def remote_execute(self, box):
        args = box[b'args'].split(b'\0')
        wanted = {'stdout': boolean(box[b'want_stdout']), 'stderr': boolean(box[b'want_stderr'])}
        pipes = {name: subprocess.PIPE if is_wanted else subprocess.DEVNULL for name, is_wanted in wanted.items()}
        try:
            child = subprocess.Popen(args, stdin=subprocess.DEVNULL, **pipes)
        except OSError as error:
            raise Refusal(f'OSError({error.errno}, {os.strerror(error.errno)!r})') from None

        def relay():
            streams = {getattr(child, name): name for name, is_wanted in wanted.items() if is_wanted}
            while streams:
                for stream in select.select(list(streams), [], [])[0]:
                    data = stream.read(CHUNK)  # waits for all of them, or the end
                    if data:
                        self.rpc.send_call('data', stream=streams[stream].encode(), data=data)
                    else:
                        del streams[stream]
            child.wait()
            self.rpc.send_call('finished', result=str(child.returncode).encode())

        return {}, relay

    def remote_send(self, box):
        dest = box[b'dest']
        if os.path.exists(dest):
            raise Refusal(f'File {os.fsdecode(dest)!r} already exists')
        try:
            self.file = open(dest, 'wb')
        except OSError as error:
            raise Refusal(text_of(error)) from None

        def receive():
            while self.file:
                self.serve_one()

        return {}, receive

    def remote_data(self, box):
        self.file.write(box[b'data'])
        return None, None

    def remote_finished(self, _):
        self.file.close()
        self.file = None
        return {}, None

    def remote_fetch(self, box):
        src = box[b'src']
        if not os.path.exists(src):
            raise Refusal(f'File {os.fsdecode(src)!r} does not exist')
        try:
            file = open(src, 'rb')
        except OSError as error:
            raise Refusal(text_of(error)) from None

        def give():
            end = {}
            with file:
                try:
                    while data := file.read(CHUNK):
                        self.rpc.send_call('data', data=data)
                except OSError as error:
                    end['errstr'] = os.fsencode(text_of(error))
            self.rpc.call('finished', **end)

        return {}, give

    def remote_remove(self, box):
        path = box[b'path']
        if os.path.isdir(path) and not os.path.islink(path):
            def again(function, where, _):
                os.chmod(os.path.dirname(where), 0o700)
                os.chmod(where, 0o700)
                function(where)

            try:
                shutil.rmtree(path, onerror=again)
            except OSError:
                raise Refusal('tree not removed') from None
        elif os.path.lexists(path):
            try:
                os.unlink(path)
            except OSError as error:
                raise Refusal(text_of(error)) from None
        return {}, None

    @staticmethod
    def check(src, dest):
        if not os.path.exists(src):
            raise Refusal(f'{os.fsdecode(src)!r} does not exist')
        if os.path.exists(dest):
            raise Refusal(f'{os.fsdecode(dest)!r} already exists')

    def remote_rename(self, box):
        src, dest = box[b'src'], box[b'dest']
        self.check(src, dest)
        try:
            os.rename(src, dest)
        except OSError as error:
            raise Refusal(text_of(error)) from None
        return {}, None

    def remote_copy(self, box):
        src, dest = box[b'src'], box[b'dest']
        self.check(src, dest)
        try:
            shutil.copyfile(src, dest)
        except OSError as error:
            raise Refusal(f'[Errno {error.errno}] {os.strerror(error.errno)}: {os.fsdecode(error.filename)!r}') from None
        return {}, None

    def remote_stat(self, box):
        try:
            os.stat(box[b'pathname'])
        except OSError as error:
            if error.errno == errno.ENOENT:
                return {b'result': b''}, None
            raise Refusal(text_of(error)) from None
        return {b'result': b'd' if os.path.isdir(box[b'pathname']) else b'f'}, None


def main():
    host, port, name = sys.argv[1:]
    wire = Wire(socket.create_connection((host, int(port))))
    wire.send_box({b'type': b'register', b'hostname': name.encode(), b'version': b'1'})
    answer = wire.read_box()
    if not answer or answer[b'type'] != b'registered':
        raise Error(f'not registered: {answer}')
    server = Server(wire)
    try:
        while True:
            server.serve_one()
    except WouldSpin:
        return 9


if __name__ == '__main__':
    sys.exit(main())
