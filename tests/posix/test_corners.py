#!/usr/bin/env python3
"""Goal: the corners of POSIX and Linux that few programs visit, and that those which do rely on.
Method: as in test_files.py; what a listing gives is read by readdir(3) itself.
"""
import ctypes
import errno
import fcntl
import os
import random
import stat
import struct
import sys
import termios
from functools import partial

import support
from support import as_user, at_once, libc, libc_call, raises

SECOND = 1_000_000_000
F_OFD_SETLK = 37
UMASK = os.umask(0o022)
os.umask(UMASK)


class Dirent(ctypes.Structure):
    _fields_ = [('ino', ctypes.c_uint64), ('offset', ctypes.c_int64), ('size', ctypes.c_uint16),
                ('type', ctypes.c_uint8), ('name', ctypes.c_char * 256)]


libc.opendir.restype = ctypes.c_void_p
libc.readdir.argtypes = [ctypes.c_void_p]
libc.readdir.restype = ctypes.POINTER(Dirent)
libc.telldir.argtypes = [ctypes.c_void_p]
libc.telldir.restype = ctypes.c_long
libc.seekdir.argtypes = [ctypes.c_void_p, ctypes.c_long]
libc.seekdir.restype = None
libc.rewinddir.argtypes = [ctypes.c_void_p]
libc.rewinddir.restype = None
libc.closedir.argtypes = [ctypes.c_void_p]


class Listing:
    """A directory stream."""

    def __init__(self, path):
        self.stream = libc.opendir(os.fsencode(path))
        assert self.stream

    def next(self):
        """The next name; None at the end."""
        entry = libc.readdir(self.stream)
        return entry.contents.name.decode() if entry else None

    def rest(self):
        return list(iter(self.next, None))

    def tell(self):
        return libc.telldir(self.stream)

    def seek(self, place):
        libc.seekdir(self.stream, place)

    def rewind(self):
        libc.rewinddir(self.stream)

    def close(self):
        libc.closedir(self.stream)


def made(folder, count):
    folder.mkdir()
    for i in range(count):
        (folder / f'{i:05}').write_bytes(b'')
    return folder


def a_listing_goes_back_to_where_it_was(place):
    place.mount()
    folder = made(place.mnt / 'd', 3000)
    listing = Listing(folder)
    places, names = [], []
    while True:
        places.append(listing.tell())
        name = listing.next()
        if name is None:
            break
        names.append(name)
    assert sorted(names) == ['.', '..'] + [f'{i:05}' for i in range(3000)]
    for at in random.Random(1).sample(range(len(names)), 200) + [0, 1, 2, len(names)]:
        listing.seek(places[at])
        assert listing.next() == (names[at] if at < len(names) else None), at
    listing.seek(places[1000])
    assert listing.rest() == names[1000:]
    listing.rewind()
    assert listing.rest() == names
    listing.close()


def a_listing_begun_again_has_the_new_names(place):
    place.mount()
    folder = made(place.mnt / 'd', 10)
    listing = Listing(folder)
    assert len(listing.rest()) == 12
    (folder / 'new').write_bytes(b'')
    os.unlink(folder / '00003')
    listing.rewind()
    names = listing.rest()
    assert 'new' in names and '00003' not in names and len(names) == 12
    listing.close()


def a_listing_ends_while_names_are_renamed(place):
    """Each name that stays is there once; renaming what was listed does not make it endless."""
    place.mount()
    folder = made(place.mnt / 'd', 2000)
    listing = Listing(folder)
    seen, renamed = [], 0
    while (name := listing.next()) is not None:
        seen.append(name)
        if name.isdigit() and int(name) % 2:
            os.rename(folder / name, folder / f'x{name}')
            renamed += 1
        assert len(seen) <= 2 + 2000 + 1000
    listing.close()
    assert renamed == 1000
    lasting = [name for name in seen if name.isdigit() and int(name) % 2 == 0]
    assert sorted(lasting) == [f'{i:05}' for i in range(0, 2000, 2)]


def an_entry_tells_type_and_inode(place):
    place.mount()
    (place.mnt / 'd').mkdir()
    (place.mnt / 'f').write_bytes(b'')
    (place.mnt / 'l').symlink_to('f')
    os.mkfifo(place.mnt / 'p')
    os.mknod(place.mnt / 's', stat.S_IFSOCK | 0o600)
    kinds = {}
    with os.scandir(place.mnt) as entries:
        for entry in entries:
            status = os.lstat(entry.path)
            assert entry.inode() == status.st_ino
            kinds[entry.name] = stat.S_IFMT(status.st_mode)
    assert kinds == {'d': stat.S_IFDIR, 'f': stat.S_IFREG, 'l': stat.S_IFLNK, 'p': stat.S_IFIFO,
                     's': stat.S_IFSOCK}
    listing = Listing(place.mnt)
    while entry := libc.readdir(listing.stream):
        name = entry.contents.name.decode()
        if name in kinds:
            assert entry.contents.type == kinds[name] >> 12
    listing.close()


def paths_reach_to_path_max(place):
    place.mount()
    name = 'n' * 255
    home = os.getcwd()
    try:
        os.chdir(place.mnt)
        for _ in range(40):  # deeper than PATH_MAX
            os.mkdir(name)
            os.chdir(name)
        with open('bottom', 'w', encoding='ascii') as bottom:
            bottom.write('deep')
        assert os.stat('..').st_nlink == 3
    finally:
        os.chdir(home)
    fifteen = f'{place.mnt}/' + '/'.join([name] * 15)
    slashes = '/' * (4095 - len(fifteen) - len('/x'))
    raises(errno.ENOENT, os.stat, f'{fifteen}/{slashes}x')
    raises(errno.ENAMETOOLONG, os.stat, f'{fifteen}/{slashes}xx')
    support.run('rm', '-r', place.mnt / name)
    assert os.listdir(place.mnt) == []


def names_are_bytes(place):
    place.mount()
    names = [bytes([byte]) for byte in range(1, 256) if byte not in b'/.']
    names += [b'\xff' * 255, 'ä'.encode(), 'a\u0308'.encode(), b'...', b'.hidden', b'a\nb']
    for name in names:
        with open(os.path.join(os.fsencode(place.mnt), name), 'wb') as file:
            file.write(name)
    assert sorted(os.listdir(os.fsencode(place.mnt))) == sorted(names)
    place.remount()
    for name in names:
        with open(os.path.join(os.fsencode(place.mnt), name), 'rb') as file:
            assert file.read() == name


def symbolic_links_may_be_long_and_loop(place):
    place.mount()
    target = 't' * 4095
    os.symlink(target, place.mnt / 'long')
    assert os.readlink(place.mnt / 'long') == target
    assert os.lstat(place.mnt / 'long').st_size == 4095
    os.symlink('b', place.mnt / 'a')
    os.symlink('a', place.mnt / 'b')
    raises(errno.ELOOP, os.stat, place.mnt / 'a')
    os.symlink('file', place.mnt / 'dangling')
    raises(errno.EEXIST, os.open, place.mnt / 'dangling', os.O_CREAT | os.O_EXCL)
    raises(errno.ELOOP, os.open, place.mnt / 'dangling', os.O_RDONLY | os.O_NOFOLLOW)
    os.close(os.open(place.mnt / 'dangling', os.O_CREAT | os.O_WRONLY))
    assert (place.mnt / 'file').exists()


def times_reach_before_1970_and_after_2038(place):
    place.mount()
    path = place.mnt / 'f'
    path.write_bytes(b'')
    for ns in (-SECOND * 86400 * 365 * 60 - 1, -1, 0, 1, 2 ** 31 * SECOND + 123456789,
               4_000_000_000 * SECOND + 999_999_999):
        os.utime(path, ns=(ns, ns + 1))
        status = os.stat(path)
        assert (status.st_atime_ns, status.st_mtime_ns) == (ns, ns + 1), ns
        place.remount()
        status = os.stat(path)
        assert (status.st_atime_ns, status.st_mtime_ns) == (ns, ns + 1), ns


def access_times_follow_relatime(place):
    place.mount('relatime')
    path = place.mnt / 'f'
    path.write_bytes(b'x')
    os.utime(path, ns=(5 * SECOND, 10 * SECOND))  # read before it was written
    path.read_bytes()
    first = os.stat(path).st_atime_ns
    assert first > 10 * SECOND
    path.read_bytes()
    assert os.stat(path).st_atime_ns == first  # newer than the change, and not a day old
    place.remount('relatime')
    assert os.stat(path).st_atime_ns == first
    os.utime(path, ns=(5 * SECOND, 10 * SECOND))
    place.remount()
    path.read_bytes()
    assert os.stat(path).st_atime_ns == 5 * SECOND


def sticky_directories_guard_the_names_of_others(place):
    place.mount()
    folder = place.mnt / 'shared'
    folder.mkdir()
    os.chmod(folder, 0o1777)
    for above in place.top, place.mnt:
        os.chmod(above, 0o755)
    as_user(1001, lambda: (folder / 'mine').write_bytes(b'x'))
    as_user(1002, lambda: (folder / 'yours').write_bytes(b'y'))
    as_user(1002, lambda: raises(errno.EPERM, os.unlink, folder / 'mine'))
    as_user(1002, lambda: raises(errno.EPERM, os.rename, folder / 'mine', folder / 'other'))
    as_user(1002, lambda: raises(errno.EPERM, os.rename, folder / 'yours', folder / 'mine'))
    as_user(1001, lambda: os.rename(folder / 'mine', folder / 'still mine'))
    as_user(1001, lambda: os.unlink(folder / 'still mine'))
    assert os.listdir(folder) == ['yours']


def appends_of_many_handles_lose_nothing(place):
    place.mount()
    path = place.mnt / 'log'

    def append(writer):
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        for i in range(200):
            os.write(fd, b'%03d %05d\n' % (writer, i))
        os.close(fd)
    at_once(*[partial(append, writer) for writer in range(6)])
    lines = path.read_bytes().splitlines()
    assert sorted(lines) == [b'%03d %05d' % (w, i) for w in range(6) for i in range(200)]
    for writer in range(6):  # each in its own order
        own = [line for line in lines if line.startswith(b'%03d' % writer)]
        assert own == sorted(own)


def what_cannot_be_had_is_refused_cleanly(place):
    place.mount()
    (place.mnt / 'f').write_bytes(b'x')
    with open(place.mnt / 'f', 'rb') as file:
        raises(errno.ENOTTY, fcntl.ioctl, file, termios.TIOCGWINSZ, bytes(8))
    # A whiteout is a character device 0/0; without `dev` there are no devices, and none of these.
    raises(errno.EINVAL, support.renameat2, place.mnt / 'f', place.mnt / 'g', 4)
    assert sorted(os.listdir(place.mnt)) == ['f']
    raises(errno.EINVAL, os.pwrite, os.open(place.mnt / 'f', os.O_RDWR), b'x', -1)
    raises(errno.EFBIG, os.truncate, place.mnt / 'f', 2 ** 62)
    raises(errno.EINVAL, os.truncate, place.mnt / 'f', -1)
    raises(errno.EISDIR, os.open, place.mnt, os.O_RDWR)


def files_reach_to_the_limit_and_not_beyond(place):
    place.mount()
    limit = 2 ** 48
    fd = os.open(place.mnt / 'f', os.O_RDWR | os.O_CREAT)
    os.pwrite(fd, b'end', limit - 3)
    assert os.fstat(fd).st_size == limit
    assert os.fstat(fd).st_blocks * 512 <= 1 << 20
    raises(errno.EFBIG, os.pwrite, fd, b'x', limit)
    assert os.pread(fd, 10, limit - 3) == b'end'
    assert os.pread(fd, 4096, limit // 2) == bytes(4096)
    assert os.lseek(fd, 0, os.SEEK_DATA) >= limit - (1 << 20)
    os.ftruncate(fd, 0)
    assert os.fstat(fd).st_blocks == 0
    os.close(fd)


def changes_are_told_to_inotify(place):
    place.mount()
    fd = libc_call('inotify_init1', os.O_NONBLOCK)
    create, delete, moved_to = 0x100, 0x200, 0x80
    libc_call('inotify_add_watch', fd, os.fsencode(place.mnt), create | delete | moved_to)
    (place.mnt / 'a').write_bytes(b'')
    os.rename(place.mnt / 'a', place.mnt / 'b')
    os.unlink(place.mnt / 'b')
    told, masks = os.read(fd, 4096), []
    while told:
        _, mask, _, size = struct.unpack_from('iIII', told)
        masks.append((mask, told[16:16 + size].rstrip(b'\0')))
        told = told[16 + size:]
    assert masks == [(create, b'a'), (moved_to, b'b'), (delete, b'b')], masks
    os.close(fd)


def locks_of_handles_and_of_processes_exclude(place):
    place.mount()
    path = place.mnt / 'f'
    path.write_bytes(b'x' * 100)

    def lock(fd, how, start, size):
        # l_type, l_whence, l_start, l_len, l_pid
        fcntl.fcntl(fd, F_OFD_SETLK, struct.pack('hhqqi4x', how, 0, start, size, 0))
    a, b = os.open(path, os.O_RDWR), os.open(path, os.O_RDWR)
    lock(a, fcntl.F_WRLCK, 0, 10)
    raises(errno.EAGAIN, lock, b, fcntl.F_WRLCK, 5, 10)
    lock(b, fcntl.F_WRLCK, 10, 10)
    lock(a, fcntl.F_UNLCK, 0, 10)
    lock(b, fcntl.F_RDLCK, 0, 10)
    lock(a, fcntl.F_RDLCK, 0, 10)
    fcntl.flock(a, fcntl.LOCK_SH)
    raises(errno.EAGAIN, fcntl.flock, b, fcntl.LOCK_EX | fcntl.LOCK_NB)
    fcntl.lockf(a, fcntl.LOCK_EX, 10, 50)
    as_user(0, lambda: raises(errno.EAGAIN, fcntl.lockf, os.open(path, os.O_RDWR),
                              fcntl.LOCK_EX | fcntl.LOCK_NB, 10, 55))
    os.close(a)
    os.close(b)


def orphans_go_at_the_next_mount(place):
    """A file without a name whose daemon died is gone with all its bytes."""
    place.mount()
    fd = os.open(place.mnt / 'f', os.O_RDWR | os.O_CREAT)
    os.write(fd, os.urandom(8 << 20))
    os.fsync(fd)
    os.unlink(place.mnt / 'f')
    os.fsync(fd)
    place.kill()
    raises(errno.ENOTCONN, os.close, fd)
    place.mount()
    place.remount()  # what is reclaimed in the background is reclaimed when it is closed
    support.no_damage(place.snapshot('t'))
    tables = support.run('find', place.store / 'data', '-name', '*-Data.db', '-size', '+1M').stdout
    sstables = tables.split()
    if sstables:
        support.sstfs('compact', place.mnt)
        (place.mnt / '.snapshots' / 't').rmdir()
        place.remount()
        tables = support.run('find', place.store / 'data', '-name', '*-Data.db', '-size', '+1M')
        assert tables.stdout == '', tables.stdout


def used(place):
    """How many bytes SSTables take, after a compaction; what it replaced goes by itself, a little later."""
    support.sstfs('flush', place.mnt)
    support.sstfs('compact', place.mnt)
    return sum(path.stat().st_size for path in place.store.glob('data/*/*/nb-*-Data.db'))


def files_without_a_name_can_be_had_and_named(place):
    place.mount()
    folder = place.mnt / 'd'
    folder.mkdir()
    before = os.stat(folder).st_mtime_ns
    content = os.urandom(300_000)
    fd = os.open(folder, os.O_TMPFILE | os.O_RDWR, 0o642)
    assert os.listdir(folder) == [] and os.stat(folder).st_mtime_ns == before
    about = os.fstat(fd)
    assert about.st_nlink == 0 and about.st_mode == stat.S_IFREG | 0o642 & ~UMASK, about
    assert os.write(fd, content) == len(content)
    os.setxattr(fd, 'user.kept', b'so it is')
    os.fsync(fd)
    assert os.pread(fd, len(content), 0) == content
    (place.mnt / 'taken').write_bytes(b'x')
    raises(errno.EEXIST, support.link_descriptor, fd, place.mnt / 'taken')
    support.link_descriptor(fd, place.mnt / 'named')
    assert os.fstat(fd).st_nlink == 1 and os.stat(place.mnt / 'named').st_ino == about.st_ino
    support.link_descriptor(fd, place.mnt / 'second')
    assert os.fstat(fd).st_nlink == 2
    os.unlink(place.mnt / 'second')
    os.unlink(place.mnt / 'named')
    # Its last name is gone, as that of any file.
    raises(errno.ENOENT, support.link_descriptor, fd, place.mnt / 'again')
    os.close(fd)

    alone = os.open(place.mnt, os.O_TMPFILE | os.O_RDWR | os.O_EXCL, 0o600)
    raises(errno.ENOENT, support.link_descriptor, alone, place.mnt / 'named')
    raises(errno.EINVAL, os.open, place.mnt, os.O_TMPFILE | os.O_RDONLY)
    raises(errno.EISDIR, os.open, place.mnt / 'd', os.O_RDWR)
    raises(errno.EROFS, os.open, place.mnt / '.snapshots', os.O_TMPFILE | os.O_RDWR)
    os.close(alone)

    fd = os.open(folder, os.O_TMPFILE | os.O_WRONLY)
    os.write(fd, b'small')
    support.link_descriptor(fd, folder / 'small')
    os.fsync(fd)
    place.kill()
    os.close(fd)
    place.mount()
    assert (folder / 'small').read_bytes() == b'small'
    assert sorted(os.listdir(place.mnt)) == ['d', 'taken']
    place.umount()
    support.no_damage(place.store)


def files_without_a_name_leave_nothing(place):
    """Neither when they are closed nor when the daemon dies before they have a name."""
    place.mount()
    (place.mnt / 'f').write_bytes(b'x')
    empty = used(place)
    fd = os.open(place.mnt, os.O_TMPFILE | os.O_RDWR)
    os.write(fd, os.urandom(8 << 20))
    os.fsync(fd)
    assert used(place) > empty + (8 << 20)
    assert place.stats()['orphans'] == 1
    os.close(fd)
    support.wait_until(lambda: place.stats()['orphans'] == 0, 'the reclaiming')
    support.wait_until(lambda: used(place) < empty + (1 << 20), 'its bytes to be gone')

    fd = os.open(place.mnt, os.O_TMPFILE | os.O_RDWR)
    os.write(fd, os.urandom(8 << 20))
    os.fsync(fd)
    place.kill()
    os.close(fd)
    place.mount()
    support.wait_until(lambda: place.stats()['orphans'] == 0, 'the reclaiming')
    support.wait_until(lambda: used(place) < empty + (1 << 20), 'its bytes to be gone')
    assert os.listdir(place.mnt) == ['f']
    place.umount()
    support.no_damage(place.store)


if __name__ == '__main__':
    sys.exit(support.main([
        a_listing_goes_back_to_where_it_was,
        a_listing_begun_again_has_the_new_names,
        a_listing_ends_while_names_are_renamed,
        an_entry_tells_type_and_inode,
        paths_reach_to_path_max,
        names_are_bytes,
        symbolic_links_may_be_long_and_loop,
        times_reach_before_1970_and_after_2038,
        access_times_follow_relatime,
        sticky_directories_guard_the_names_of_others,
        appends_of_many_handles_lose_nothing,
        what_cannot_be_had_is_refused_cleanly,
        files_reach_to_the_limit_and_not_beyond,
        changes_are_told_to_inotify,
        locks_of_handles_and_of_processes_exclude,
        orphans_go_at_the_next_mount,
        files_without_a_name_can_be_had_and_named,
        files_without_a_name_leave_nothing,
    ]))
