# trees: the stream of a directory tree, read and made, as docs/protocol.md section 7 says.
#
# It goes by paths where ours holds directories open, so it is a model for masters that are trusted; and it replaces a
# tree in two steps, between which a kill leaves the old one under another name.

import errno
import os
import re
import stat
import tempfile

from remsh_amp import LONGEST, failed

MOST_LEVELS = 256
LONGEST_BOX = LONGEST + 8192
PIECE = 60000
PARTS = re.compile(rb"\.remsh-([0-9a-f]{16}\.part|parts)")
TYPES = {
    stat.S_IFREG: b"file",
    stat.S_IFDIR: b"directory",
    stat.S_IFLNK: b"symlink",
    stat.S_IFIFO: b"fifo",
    stat.S_IFSOCK: b"socket",
    stat.S_IFCHR: b"character-device",
    stat.S_IFBLK: b"block-device",
}


def encode(**fields):
    """A box, as bytes."""
    box = b""
    for key, value in sorted(fields.items()):
        box += b"%b%b%b%b" % (len(key).to_bytes(2, "big"), key.encode(), len(value).to_bytes(2, "big"), value)
    return box + b"\0\0"


def properties(found):
    return {
        "type": TYPES.get(stat.S_IFMT(found.st_mode), b"unknown"),
        "size": b"%d" % found.st_size,
        "mode": b"%o" % stat.S_IMODE(found.st_mode),
        "mtime": b"%d" % found.st_mtime_ns,
    }


def failure(problem):
    return {"error": errno.errorcode.get(problem.errno, "FAILED").encode(), "text": os.strerror(problem.errno).encode()}


def component(pattern):
    """One name of a pattern as a regular expression."""
    return re.compile(re.escape(pattern).replace(rb"\*", b".*").replace(rb"\?", b"."), re.DOTALL)


class Pattern:
    def __init__(self, text):
        names = (text[1:] if text.startswith(b"/") else text).split(b"/")
        if any(name in (b"", b".", b"..") for name in names):
            raise failed("BAD_ARGUMENT", "'exclude' has an element that is not a pattern")
        self.is_path = b"/" in text
        self.names = [component(name) for name in names]

    def matches(self, path):
        if not self.is_path:
            path = path[-1:]
        return len(path) == len(self.names) and all(one.fullmatch(name) for one, name in zip(self.names, path))


class TreeReader:
    """Reads a tree: take() gives its stream."""

    def __init__(self, top, exclude):
        self.exclude = [Pattern(text) for text in exclude or []]
        self.entries = self.bytes = 0
        self.rest = b""
        self.boxes = self.read(top, os.stat(top), os.listdir(top))

    def take(self, room):
        """Some bytes, no more than there is room for; none at the end."""
        while len(self.rest) < room and (box := next(self.boxes, None)) is not None:
            self.rest += box
        data, self.rest = self.rest[:room], self.rest[room:]
        return data

    def read(self, top, found, names):
        yield encode(**properties(found))
        yield from self.read_names(top, [], names)

    def read_names(self, directory, above, names):
        for name in names:
            path = above + [name]
            if PARTS.fullmatch(name) or any(pattern.matches(path) for pattern in self.exclude):
                continue
            try:
                yield from self.read_entry(os.path.join(directory, name), path)
            except FileNotFoundError:
                pass  # it has gone
            except OSError as problem:
                self.entries += 1
                yield encode(name=name, type=b"unknown", size=b"0", mode=b"0", mtime=b"0", **failure(problem))
        yield encode(up=b"1")

    def read_entry(self, place, path):
        found = os.lstat(place)
        fields = {"name": path[-1], **properties(found)}
        if fields["type"] == b"directory":
            if len(path) >= MOST_LEVELS:
                raise OSError(errno.ENAMETOOLONG, "too many directories are above it", place)
            names = os.listdir(place)
            self.entries += 1
            yield encode(**fields)
            yield from self.read_names(place, path, names)
        elif fields["type"] == b"symlink":
            target = os.readlink(place)
            self.entries += 1
            yield encode(target=target, **fields)
        elif fields["type"] == b"file":
            yield from self.read_file(place, fields)
        else:
            self.entries += 1
            yield encode(**fields)

    def read_file(self, place, fields):
        file = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            size = os.fstat(file).st_size
            data = os.read(file, min(size or PIECE, PIECE))
            self.entries += 1
            done = 0
            while True:
                done += len(data)
                more = {"more": b"1"} if data and (done < size or not size) else {}
                yield encode(data=data, **more, **fields)
                if not more:
                    break
                fields = {}
                try:
                    data = os.read(file, min(size - done if size else PIECE, PIECE))
                except OSError as problem:
                    yield encode(**failure(problem))
                    return
            self.bytes += done
        finally:
            os.close(file)


def bad(why):
    return failed("BAD_ARGUMENT", f"the stream of the tree: {why}")


class TreeWriter:
    """Makes a tree of a stream: take() each piece of it, then finish(), and in any case discard()."""

    def __init__(self, path, overwrite):
        self.path, self.overwrite = path.rstrip(b"/"), overwrite
        if os.path.basename(self.path) in (b"", b".", b".."):
            raise OSError(errno.EINVAL, "this names no new directory", path)
        self.refuse()
        self.part = tempfile.mkdtemp(prefix=b".part-", dir=os.path.dirname(self.path))
        self.place = self.part
        self.levels = []  # the mode and the time of each open directory
        self.file = None  # and those of the open file, with its place
        self.has_begun = False
        self.entries = self.bytes = 0
        self.rest = b""

    def refuse(self):
        """True if there is a directory to be replaced."""
        if not os.path.lexists(self.path):
            return False
        if not self.overwrite:
            raise FileExistsError(errno.EEXIST, "it is there already", self.path)
        if os.path.islink(self.path) or not os.path.isdir(self.path):
            raise NotADirectoryError(errno.ENOTDIR, "what is there is no directory", self.path)
        return True

    def take(self, data):
        self.rest += data
        while (box := self.next_box()) is not None:
            self.make(box)

    def next_box(self):
        """None if it has not come whole."""
        box, at = {}, 0
        while len(self.rest) >= at + 2:
            length = int.from_bytes(self.rest[at : at + 2], "big")
            if not length:
                if not box:
                    raise bad("an empty box")
                self.rest = self.rest[at + 2 :]
                return box
            key = self.rest[at + 2 : at + 2 + length]
            at += 2 + length + 2
            if length > 255 or key in box or at > LONGEST_BOX:
                raise bad("a box that is none")
            size = int.from_bytes(self.rest[at - 2 : at], "big")
            if len(self.rest) < at or len(self.rest) < at + size:
                break
            box[key] = self.rest[at : at + size]
            at += size
        if len(self.rest) > LONGEST_BOX:
            raise bad("a box that is too large")
        return None

    def make(self, box):
        if self.has_begun and not self.levels:
            raise bad("it goes on after its end")
        if b"type" in box:
            if self.file:
                raise bad("the content of a file does not end")
            self.make_entry(box)
        elif b"up" in box:
            if self.file or not self.levels:
                raise bad("the end of nothing")
            self.set_properties(self.place, *self.levels.pop())
            self.place = os.path.dirname(self.place)
        elif b"error" in box:
            if not self.levels:
                raise bad("it does not begin with its top")
            if self.file:
                os.close(self.file[0])
                os.unlink(self.file[1])
                self.file = None
        elif b"data" in box:
            if not self.file:
                raise bad("content without a file")
            self.write(box)
        else:
            raise bad("a box that is nothing")

    def make_entry(self, box):
        kind, name = box[b"type"], box.get(b"name", b"")
        try:
            mode, mtime = int(box[b"mode"], 8) & 0o777, int(box[b"mtime"])
        except (KeyError, ValueError):
            raise bad("an entry without its properties")
        if not self.has_begun:
            if kind != b"directory" or name:
                raise bad("it does not begin with its top")
            self.has_begun = True
            self.levels.append((mode, mtime))
            return
        if name in (b"", b".", b"..") or b"/" in name or b"\0" in name or len(name) > 255:
            raise bad("a name that is none")
        self.entries += 1
        place = os.path.join(self.place, name)
        try:
            if kind == b"directory":
                if len(self.levels) >= MOST_LEVELS:
                    raise bad("too many directories below each other")
                os.mkdir(place, 0o700)
                self.place = place
                self.levels.append((mode, mtime))
            elif kind == b"symlink":
                os.symlink(box.get(b"target", b""), place)
                os.utime(place, ns=(mtime, mtime), follow_symlinks=False)
            elif kind == b"file":
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
                self.file = (os.open(place, flags, 0o600), place, mode, mtime)
                self.written = 0
                self.write(box)
        except FileExistsError:
            raise bad("a name came twice")

    def write(self, box):
        file, place, mode, mtime = self.file
        data = box.get(b"data", b"")
        self.written += len(data)
        while data:
            data = data[os.write(file, data) :]
        if b"more" not in box:
            self.file = None
            os.close(file)
            self.set_properties(place, mode, mtime)
            self.bytes += self.written

    @staticmethod
    def set_properties(place, mode, mtime):
        os.chmod(place, mode)
        os.utime(place, ns=(mtime, mtime))

    def finish(self):
        if not self.has_begun or self.levels or self.rest:
            raise bad("it ends before the tree does")
        if self.refuse():
            old = tempfile.mkdtemp(prefix=b".part-", dir=os.path.dirname(self.path))
            os.rename(self.path, old)
            os.rename(self.part, self.path)
            self.part = old  # to be removed
        else:
            os.rename(self.part, self.path)
            self.part = None

    def discard(self, result):
        """After finish(), and instead of it."""
        if self.file:
            os.close(self.file[0])
        if self.part:
            remove(self.part)
        return result


def remove(top):
    os.chmod(top, 0o700)
    for entry in os.scandir(top):
        if entry.is_dir(follow_symlinks=False):
            remove(entry.path)
        else:
            os.unlink(entry.path)
    os.rmdir(top)
