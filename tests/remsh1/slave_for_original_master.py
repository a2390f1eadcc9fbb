#!/usr/bin/env python3
"""What the original's own tests ask of a slave, and more, asked of remsh-slave --protocol 1 by its master.

Usage: slave_for_original_master.py REMSH_SLAVE [TEST...]
"""

import os
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import unittest

import original_master
from original_master import Error, Listener, RemoteError

PROGRAM = ''
NOBODY = 65534


def nobody_can_run_it():
    """Whether an ordinary user can do what a test must see refused, where this one is root."""
    if os.geteuid() != 0:
        return True
    try:
        done = subprocess.run([PROGRAM, '--version'], user=NOBODY, group=NOBODY, extra_groups=[], capture_output=True,
                              check=False)
    except (OSError, TypeError):
        return False
    return done.returncode == 0


class SlaveProcess:
    """remsh-slave in a directory of its own; an ordinary user's on request, where we are root."""

    def __init__(self, listener, basedir, *options, env=None, ordinary=False):
        user = {'user': NOBODY, 'group': NOBODY, 'extra_groups': []} if ordinary and os.geteuid() == 0 else {}
        if user:
            os.chown(basedir, NOBODY, NOBODY)
        self.process = subprocess.Popen(
            [PROGRAM, '--protocol', '1', '--master', listener.address, '--basedir', basedir, *options],
            env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, **user)
        self.log = ''
        self.reader = threading.Thread(target=self.read_log)
        self.reader.start()

    def read_log(self):
        self.log = self.process.stderr.read().decode(errors='replace')

    def wait(self):
        """The exit code; minus the signal."""
        try:
            return self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        finally:
            self.reader.join(60)
            self.process.stderr.close()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.wait()


class WithSlave(unittest.TestCase):
    """Each test has a slave, and what it leaves is removed."""

    options = ('--once',)
    env = None
    ordinary = False

    def setUp(self):
        if self.ordinary and not nobody_can_run_it():
            self.skipTest('no ordinary user can run the slave here')
        folder = tempfile.TemporaryDirectory(prefix='remsh-original-')
        self.addCleanup(folder.cleanup)
        os.chmod(folder.name, 0o755)
        self.basedir = os.path.join(os.path.realpath(folder.name), 'base')
        os.mkdir(self.basedir)
        self.listener = Listener()
        self.addCleanup(self.listener.close)
        self.process = SlaveProcess(self.listener, self.basedir, *self.options, env=self.env, ordinary=self.ordinary)
        try:
            self.slave = self.listener.accept()
        except Exception:
            self.process.stop()
            raise

    def tearDown(self):
        if not hasattr(self, 'slave'):
            return
        self.slave.close()
        if self.process.process.returncode is None:
            code = self.process.stop()
            self.assertIn(code, (0, 75), self.process.log)  # 75: we had not read everything

    def path(self, *names):
        return os.path.join(self.basedir, *names)

    def write(self, name, content=b''):
        with open(self.path(name), 'wb') as file:
            file.write(content)

    def read(self, name):
        with open(self.path(name), 'rb') as file:
            return file.read()

    def run_sh(self, script):
        """Exit code, output, errors."""
        out, err = [], []
        code = self.slave.execute(['sh', '-c', script], stdout_cb=out.append, stderr_cb=err.append)
        return code, b''.join(out), b''.join(err)


class Operations(WithSlave):
    """One test for each operation: what the original's suite looks at."""

    env = {'PATH': os.environ.get('PATH', '/usr/bin:/bin'), 'HOME': '/', 'GREETING': 'h\u00e4llo', 'EMPTY': '',
           'TWO_LINES': 'a\nb=c', 'LONG': 'x' * 70000}

    def test_set_cwd(self):
        for names in (('a', '1'), ('a', '2', 'b')):
            os.makedirs(self.path(*names))
        self.assertEqual(self.slave.set_cwd(), self.basedir)
        self.assertEqual(self.slave.set_cwd('a'), self.path('a'))
        self.assertEqual(self.slave.set_cwd('1'), self.path('a', '1'))
        self.assertEqual(self.slave.set_cwd(''), self.path('a', '1'))
        self.assertEqual(self.slave.set_cwd('../2/b'), self.path('a', '2', 'b'))
        self.assertEqual(self.slave.set_cwd(None), self.basedir)
        with self.assertRaisesRegex(RemoteError, '^No such file or directory$'):
            self.slave.set_cwd('missing')
        self.assertEqual(self.slave.set_cwd(''), self.basedir)

    def test_set_cwd_counts_for_all_that_follows(self):
        os.mkdir(self.path('a'))
        self.slave.set_cwd('a')
        self.slave.mkdir('b')
        self.slave.send(b'x', 'f')
        self.assertEqual(sorted(os.listdir(self.path('a'))), ['b', 'f'])
        self.assertEqual(self.run_sh('pwd'), (0, os.fsencode(self.path('a')) + b'\n', b''))

    def test_getenv(self):
        wanted = dict(self.env, LONG='x' * 65535)  # no value can be longer
        self.assertEqual(self.slave.getenv(), wanted)

    def test_mkdir(self):
        self.slave.mkdir('new')
        self.slave.mkdir('new')
        self.slave.mkdir('nested/deeper/deepest')
        self.assertTrue(os.path.isdir(self.path('new')))
        self.assertTrue(os.path.isdir(self.path('nested', 'deeper', 'deepest')))
        self.write('file')
        self.slave.mkdir('file')  # it exists, and that is enough for the original
        with self.assertRaisesRegex(RemoteError, '^Not a directory$'):
            self.slave.mkdir('file/below')

    def test_execute(self):
        self.assertEqual(self.slave.execute(['sh', '-c', 'exit 0']), 0)
        self.assertEqual(self.slave.execute(['sh', '-c', 'exit 10']), 10)
        self.assertEqual(self.slave.execute(['sh', '-c', 'kill -9 $$']), -9)
        self.assertEqual(self.run_sh('echo hello'), (0, b'hello\n', b''))
        self.assertEqual(self.run_sh('echo oh no >&2'), (0, b'', b'oh no\n'))
        self.assertEqual(self.run_sh('echo yes; echo no >&2; exit 3'), (3, b'yes\n', b'no\n'))
        with self.assertRaisesRegex(RemoteError, r"^OSError\(2, 'No such file or directory'\)$"):
            self.slave.execute(['no-such-program-anywhere'])
        self.assertEqual(self.slave.execute(['true']), 0)

    def test_execute_passes_arguments_as_they_are(self):
        out = []
        self.slave.execute(['printf', '[%s]', '', 'a b', '$x', b'\xff\n'], stdout_cb=out.append)
        self.assertEqual(b''.join(out), b'[][a b][$x][\xff\n]')

    def test_execute_gives_only_what_is_wanted(self):
        out = []
        self.assertEqual(self.slave.execute(['sh', '-c', 'echo a; echo b >&2'], stdout_cb=out.append), 0)
        self.assertEqual(b''.join(out), b'a\n')
        self.assertEqual(self.slave.execute(['sh', '-c', 'echo a; echo b >&2']), 0)

    def test_execute_reads_nothing(self):
        self.assertEqual(self.run_sh('cat; echo over'), (0, b'over\n', b''))

    def test_send(self):
        content = b'abc' * 300000
        self.slave.send(content, 'sent')
        self.assertEqual(self.read('sent'), content)
        with self.assertRaisesRegex(RemoteError, "^File 'sent' already exists$"):
            self.slave.send(b'other', 'sent')
        self.assertEqual(self.read('sent'), content)
        os.mkdir(self.path('directory'))
        with self.assertRaisesRegex(RemoteError, "^File 'directory' already exists$"):
            self.slave.send(b'other', 'directory')
        with self.assertRaisesRegex(RemoteError, '^No such file or directory$'):
            self.slave.send(b'other', 'missing/sent')  # parents are not made
        self.slave.send(b'', 'empty')
        self.assertEqual(self.read('empty'), b'')
        self.assertEqual(sorted(os.listdir(self.basedir)), ['directory', 'empty', 'sent'])

    def test_fetch(self):
        content = bytes(range(256)) * 2000
        self.write('file', content)
        self.write('empty')
        with self.assertRaisesRegex(RemoteError, "^File 'missing' does not exist$"):
            self.slave.fetch('missing')
        with self.assertRaisesRegex(RemoteError, '^Is a directory$'):
            self.slave.fetch('.')
        self.assertEqual(self.slave.fetch('file'), content)
        self.assertEqual(self.slave.fetch('empty'), b'')

    def test_remove(self):
        os.makedirs(self.path('tree', 'branch'))
        self.write('tree/branch/leaf')
        self.write('file')
        for path in ('tree', 'file', 'missing'):
            self.slave.remove(path)
        self.assertEqual(os.listdir(self.basedir), [])
        self.write('file')
        with self.assertRaisesRegex(RemoteError, '^tree not removed$'):
            self.slave.remove('.')

    def test_rename(self):
        self.write('a', b'1')
        self.write('b', b'2')
        self.slave.rename('a', 'c')
        self.assertEqual(sorted(os.listdir(self.basedir)), ['b', 'c'])
        with self.assertRaisesRegex(RemoteError, "^'a' does not exist$"):
            self.slave.rename('a', 'd')
        with self.assertRaisesRegex(RemoteError, "^'b' already exists$"):
            self.slave.rename('c', 'b')
        with self.assertRaisesRegex(RemoteError, '^No such file or directory$'):
            self.slave.rename('c', 'missing/c')
        self.assertEqual(self.read('b'), b'2')

    def test_copy(self):
        self.write('a', b'1' * 100000)
        self.write('b', b'2')
        self.slave.copy('a', 'c')
        self.assertEqual(self.read('c'), self.read('a'))
        with self.assertRaisesRegex(RemoteError, "^'missing' does not exist$"):
            self.slave.copy('missing', 'd')
        with self.assertRaisesRegex(RemoteError, "^'b' already exists$"):
            self.slave.copy('a', 'b')
        os.mkdir(self.path('directory'))
        with self.assertRaisesRegex(RemoteError, r"^\[Errno 21\] Is a directory: 'directory'$"):
            self.slave.copy('directory', 'd')

    def test_stat(self):
        self.write('file')
        os.mkdir(self.path('directory'))
        os.symlink('directory', self.path('link'))
        os.symlink('missing', self.path('dangling'))
        os.mkfifo(self.path('fifo'))
        kinds = {name: self.slave.stat(name)
                 for name in ('file', 'directory', 'link', 'dangling', 'fifo', 'missing', '/', '')
                 if name}
        self.assertEqual(kinds, {'file': 'f', 'directory': 'd', 'link': 'd', 'dangling': None, 'fifo': 'f',
                                 'missing': None, '/': 'd'})
        with self.assertRaisesRegex(RemoteError, '^Not a directory$'):
            self.slave.stat('file/below')


class Permissions(WithSlave):
    """What root would be allowed anyway."""

    ordinary = True

    def test_stat_tells_that_it_cannot_see(self):
        os.makedirs(self.path('closed', 'inside'))
        os.chmod(self.path('closed'), 0)
        if os.geteuid() == 0:
            os.chown(self.path('closed'), NOBODY, NOBODY)
        with self.assertRaisesRegex(RemoteError, '^Permission denied$'):
            self.slave.stat('closed/inside')

    def test_remove_opens_what_is_closed(self):
        self.slave.mkdir('tree/closed/inside')
        self.slave.send(b'x', 'tree/closed/file')
        os.chmod(self.path('tree', 'closed'), 0o500)
        os.chmod(self.path('tree'), 0)
        self.slave.remove('tree')
        self.assertEqual(os.listdir(self.basedir), [])

    def test_a_refused_write_is_reported_and_survived(self):
        self.slave.mkdir('closed')
        os.chmod(self.path('closed'), 0o500)
        with self.assertRaisesRegex(RemoteError, '^Permission denied$'):
            self.slave.send(b'x', 'closed/file')
        self.assertEqual(self.slave.stat('closed'), 'd')


class Session(WithSlave):
    """What goes beyond single operations: most of it the original's own slave cannot."""

    def test_registration(self):
        self.assertEqual(self.slave.hostname, os.uname().nodename)
        self.assertEqual(self.slave.version, 1)

    def test_a_command_after_a_fetch(self):
        self.write('file', b'x')
        for _ in range(3):
            self.assertEqual(self.slave.fetch('file'), b'x')
            self.assertEqual(self.slave.stat('file'), 'f')

    def test_the_end_of_a_fetch_may_be_answered(self):
        self.write('file', b'x')
        ends = []
        handle_call = self.slave.rpc.handle_call

        def answering(**handlers):
            def finished(box):
                ends.append(box[b'_ask'])
                handlers['finished'](box)
                self.slave.rpc.wire.send_box({b'_answer': box[b'_ask']})
            handle_call(data=handlers['data'], finished=finished)

        self.slave.rpc.handle_call = answering
        self.assertEqual(self.slave.fetch('file'), b'x')
        self.assertEqual(self.slave.fetch('file'), b'x')
        self.assertEqual(len(ends), 2)
        self.assertEqual(self.slave.stat('file'), 'f')

    def test_much_output_of_both_kinds(self):
        code, out, err = self.run_sh('i=0; while [ $i -lt 40 ]; do head -c 50000 /dev/zero; '
                                     'head -c 50000 /dev/zero >&2; i=$((i+1)); done')
        self.assertEqual((code, len(out), len(err)), (0, 2000000, 2000000))

    def test_output_comes_while_the_command_runs(self):
        os.mkfifo(self.path('fifo'))
        seen = []

        def first(data):
            if not seen:
                with open(self.path('fifo'), 'wb'):  # the command waits for this
                    pass
            seen.append(data)

        self.assertEqual(self.slave.execute(['sh', '-c', 'echo first; cat fifo; echo last'], stdout_cb=first), 0)
        self.assertEqual(b''.join(seen), b'first\nlast\n')

    def test_errors_keep_the_connection(self):
        for _ in range(3):
            with self.assertRaises(RemoteError):
                self.slave.fetch('missing')
            with self.assertRaises(RemoteError):
                self.slave.execute(['no-such-program-anywhere'])
        self.assertIsNone(self.slave.stat('missing'))

    def test_what_it_does_not_know_is_an_error_and_no_more(self):
        call = self.slave.rpc.call
        with self.assertRaisesRegex(RemoteError, "^no such command: 'unlink'$"):
            call('unlink', path=b'x')
        with self.assertRaisesRegex(RemoteError, "^the call has no argument 'dir'$"):
            call('mkdir', path=b'x')
        with self.assertRaisesRegex(RemoteError, "^'want_stderr' is neither y nor n$"):
            call('execute', args=b'true', want_stdout=b'y', want_stderr=b'yes')
        with self.assertRaisesRegex(RemoteError, "^no such command: 'finished'$"):
            call('finished')
        call('mkdir', dir=b'x', unknown=b'y')
        self.assertEqual(self.slave.stat('x'), 'd')

    def test_booleans_as_the_original_takes_them(self):
        for value in (b'', b'n', b'ny'):
            self.slave.rpc.call('execute', args=b'echo\0x', want_stdout=value, want_stderr=value)
            ends = []
            self.slave.rpc.handle_call(finished=lambda box, ends=ends: ends.append(box[b'result']))
            self.assertEqual(ends, [b'0'])

    def test_any_tag_is_echoed(self):
        for tag in (b'', b'\xff\0', b'x' * 1000):
            self.slave.rpc.wire.send_box({b'_ask': tag, b'_command': b'stat', b'pathname': b'/'})
            self.assertEqual(self.slave.rpc.wire.read_box(), {b'_answer': tag, b'result': b'd'})

    def test_calls_in_the_middle_of_a_send(self):
        rpc = self.slave.rpc
        self.write('other', b'other')
        rpc.call('send', dest=b'file')
        rpc.send_call('data', data=b'one ')
        self.slave.mkdir('directory')
        rpc.send_call('data', data=b'')
        self.assertEqual(self.slave.stat('file'), None)  # it appears when it is complete
        with self.assertRaises(RemoteError):
            self.slave.set_cwd('missing')
        self.assertEqual(self.run_sh('echo x'), (0, b'x\n', b''))
        self.assertEqual(self.slave.fetch('other'), b'other')
        with self.assertRaisesRegex(RemoteError, '^another file is being sent already$'):
            rpc.call('send', dest=b'second')
        rpc.send_call('data', data=b'two')
        rpc.call('finished')
        self.assertEqual(self.read('file'), b'one two')
        self.assertTrue(os.path.isdir(self.path('directory')))

    def test_a_send_that_fails_on_the_way_is_reported_at_its_end(self):
        rpc = self.slave.rpc
        rpc.call('send', dest=b'file')
        rpc.send_call('data', data=b'x')
        self.write('file', b'somebody else was faster')
        rpc.send_call('data', data=b'y')
        with self.assertRaisesRegex(RemoteError, "^File 'file' already exists$"):
            rpc.call('finished')
        self.assertEqual(self.slave.stat('file'), 'f')
        self.assertEqual(os.listdir(self.basedir), ['file'])

    def test_a_slow_reader_stops_the_command_and_nothing_breaks(self):
        self.slave.rpc.call('execute', args=b'sh\0-c\0yes | head -c 20000000; echo over >done', want_stdout=b'y',
                            want_stderr=b'n')
        self.slave.connection.recv(1, 2)  # MSG_PEEK: there is something, and it is not read
        self.assertFalse(os.path.exists(self.path('done')))
        total, ends = [0], []

        def data(box):
            total[0] += len(box[b'data'])

        while not ends:
            self.slave.rpc.handle_call(data=data, finished=ends.append)
        self.assertEqual(total, [20000000])
        self.assertEqual(self.read('done'), b'over\n')

    def test_the_end_of_the_connection_ends_the_slave(self):
        self.assertEqual(self.slave.stat('/'), 'd')
        self.slave.close()
        self.assertEqual(self.process.wait(), 0)

    def test_a_goodbye_inside_a_box_ends_the_slave(self):
        self.slave.connection.sendall(b'\0')
        self.slave.close()
        self.assertEqual(self.process.wait(), 0)

    def test_an_end_inside_a_box_is_a_loss(self):
        self.slave.connection.sendall(b'\0\4_a')
        self.slave.close()
        self.assertEqual(self.process.wait(), 75)

    def test_what_is_no_box_ends_the_connection(self):
        self.slave.connection.sendall(b'GET / HTTP/1.0\r\n\r\n')
        self.assertIsNone(self.slave.rpc.wire.read_box())
        self.assertEqual(self.process.wait(), 76)

    def test_data_for_nothing_ends_the_connection(self):
        self.slave.rpc.send_call('data', data=b'x')
        self.assertIsNone(self.slave.rpc.wire.read_box())
        self.assertEqual(self.process.wait(), 76)

    def test_the_end_of_the_connection_ends_the_command_and_all_it_started(self):
        self.end_ends_the_command(b'')

    def test_so_does_a_goodbye(self):
        self.end_ends_the_command(b'\0')

    def end_ends_the_command(self, last_words):
        os.mkfifo(self.path('alive'))
        self.slave.rpc.call('execute', args=b'sh\0-c\0exec 9>alive; sleep 100000 & sleep 100000', want_stdout=b'y',
                            want_stderr=b'y')
        with open(self.path('alive'), 'rb') as alive:
            self.slave.connection.sendall(last_words)
            self.slave.close()
            self.assertEqual(alive.read(), b'')  # nobody holds it any more
        self.assertEqual(self.process.wait(), 0)

    def test_a_slave_that_is_stopped_ends_its_command(self):
        os.mkfifo(self.path('alive'))
        self.slave.rpc.call('execute', args=b'sh\0-c\0exec 9>alive; sleep 100000', want_stdout=b'n', want_stderr=b'n')
        with open(self.path('alive'), 'rb') as alive:
            self.assertEqual(self.process.stop(), 0)
            self.assertEqual(alive.read(), b'')
        with self.assertRaises((original_master.WouldSpin, ConnectionError)):
            self.slave.rpc.handle_call()

    def test_half_a_send_leaves_nothing(self):
        self.slave.rpc.call('send', dest=b'file')
        self.slave.rpc.send_call('data', data=b'x' * 65535)
        self.slave.close()
        self.assertEqual(self.process.wait(), 0)
        self.assertEqual(os.listdir(self.basedir), [])


class Again(WithSlave):
    """A slave without --once comes back to a master that comes back."""

    options = ('--name', 'again')

    def test_it_connects_again(self):
        for _ in range(3):
            self.assertEqual(self.slave.hostname, 'again')
            self.assertEqual(self.slave.set_cwd(), self.basedir)
            self.slave.close()
            self.slave = self.listener.accept()


class Registration(unittest.TestCase):
    """What a master may say to a slave that registers."""

    def register(self, answer):
        """The exit code of a slave whose registration is answered by these bytes and the end."""
        with tempfile.TemporaryDirectory(prefix='remsh-original-') as basedir:
            listener = Listener()
            slave = SlaveProcess(listener, basedir, '--once', '--name', 'w1')
            connection, _ = listener.socket.accept()
            connection.settimeout(60)
            box = original_master.Wire(connection).read_box()
            self.assertEqual(box, {b'type': b'register', b'hostname': b'w1', b'version': b'1'})
            connection.sendall(answer)
            connection.close()
            listener.close()
            return slave.wait()

    def test_registered_with_more_keys(self):
        self.assertEqual(self.register(b'\0\4more\0\1x\0\4type\0\nregistered\0\0'), 0)

    def test_anything_else(self):
        for answer in (b'\0\4type\0\7refused\0\0', b'\0\4more\0\1x\0\0', b'\0\0', b'#CHALLENGE#'):
            self.assertEqual(self.register(answer), 76, answer)

    def test_nothing(self):
        self.assertEqual(self.register(b''), 75)

    def test_a_call_in_the_same_segment(self):
        with tempfile.TemporaryDirectory(prefix='remsh-original-') as basedir:
            listener = Listener()
            slave = SlaveProcess(listener, basedir, '--once')
            connection, _ = listener.socket.accept()
            connection.settimeout(60)
            wire = original_master.Wire(connection)
            wire.read_box()
            connection.sendall(b'\0\4type\0\nregistered\0\0'
                               b'\0\4_ask\0\0011\0\10_command\0\4stat\0\10pathname\0\1/\0\0')
            self.assertEqual(wire.read_box(), {b'_answer': b'1', b'result': b'd'})
            connection.close()
            listener.close()
            self.assertEqual(slave.wait(), 0)


class Options(unittest.TestCase):
    """The option --protocol."""

    def test_what_it_takes(self):
        for options, words in ((['--protocol', '3'], 'takes 1 or 2, not'), (['--protocol='], 'needs a value'),
                               (['--protocol'], 'needs a value')):
            done = subprocess.run([PROGRAM, '--master', '127.0.0.1:1', *options], stdout=subprocess.DEVNULL,
                                  stderr=subprocess.PIPE, check=False)
            self.assertEqual(done.returncode, 64)
            self.assertIn(words, done.stderr.decode())


class TheMasterItself(unittest.TestCase):
    """The scripted master has the weak points that it is to have."""

    class Script:
        """A connection that gives what was written down."""

        def __init__(self, *segments):
            self.segments = list(segments)

        def recv(self, _size):
            return self.segments.pop(0) if self.segments else b''

        def sendall(self, data):
            pass

    def wire(self, *segments):
        return original_master.Wire(self.Script(*segments))

    BOX = b'\0\1a\0\1b\0\0'

    def test_an_empty_box_hides_what_follows(self):
        wire = self.wire(b'\0\0' + self.BOX)
        with self.assertRaises(EOFError):  # the box is there, but more is waited for
            wire.read_box()
        self.assertEqual(self.wire(b'\0\0', self.BOX).read_box(), {b'a': b'b'})

    def test_it_takes_no_key_twice_and_none_too_long(self):
        for wrong in (b'\0\1a\0\0\0\1a\0\0\0\0', b'\1\0' + b'k' * 256 + b'\0\0\0\0'):
            with self.assertRaises(Error):
                self.wire(wrong).read_box()

    def test_the_end(self):
        self.assertIsNone(self.wire().read_box())
        with self.assertRaises(EOFError):
            self.wire(self.BOX[:-1]).read_box()
        with self.assertRaises(original_master.WouldSpin):
            original_master.Rpc(self.wire()).handle_call()

    def test_what_it_waits_for_is_all_that_it_takes(self):
        for stray in (b'\0\7_answer\0\0012\0\0', b'\0\4_ask\0\0011\0\10_command\0\4data\0\0'):
            with self.assertRaises(Error):
                original_master.Rpc(self.wire(stray)).call('stat', pathname=b'/')


if __name__ == '__main__':
    PROGRAM = sys.argv.pop(1)
    unittest.main(verbosity=2)
