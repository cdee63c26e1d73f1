#!/usr/bin/env python3
"""Goal: the calls that programs make behave as POSIX and Linux say, through kernel and daemon.
Method: each case makes them on a fresh mount and looks at results, errnos and attributes.
"""
import datetime
import errno
import mmap
import os
import stat
import sys
from pathlib import Path

import support
from support import fallocate, raises, renameat2

SEEK_DATA, SEEK_HOLE = 3, 4
KEEP_SIZE, PUNCH_HOLE, ZERO_RANGE = 1, 2, 16
NOREPLACE, EXCHANGE, WHITEOUT = 1, 2, 4


def errors_of_names(place):
    place.mount()
    mnt = place.mnt
    (mnt / 'file').write_text('x')
    (mnt / 'dir').mkdir()
    (mnt / 'dir' / 'child').write_text('x')
    raises(errno.ENOENT, os.stat, mnt / 'none')
    raises(errno.ENOENT, os.unlink, mnt / 'none')
    raises(errno.EEXIST, os.mkdir, mnt / 'file')
    raises(errno.EEXIST, os.mkdir, mnt / 'dir')
    raises(errno.EEXIST, os.open, mnt / 'file', os.O_CREAT | os.O_EXCL)
    raises(errno.EEXIST, os.link, mnt / 'file', mnt / 'dir')
    raises(errno.EEXIST, os.symlink, 'x', mnt / 'file')
    raises(errno.ENOTEMPTY, os.rmdir, mnt / 'dir')
    raises(errno.ENOTDIR, os.rmdir, mnt / 'file')
    raises(errno.EISDIR, os.unlink, mnt / 'dir')
    raises(errno.EISDIR, os.rename, mnt / 'file', mnt / 'dir')
    raises(errno.ENOTDIR, os.rename, mnt / 'dir', mnt / 'file')
    raises(errno.EINVAL, os.rename, mnt / 'dir', mnt / 'dir' / 'below')
    raises(errno.ENOTDIR, os.stat, mnt / 'file' / 'below')
    raises(errno.ENAMETOOLONG, os.mkdir, mnt / ('x' * 256))
    raises(errno.ENAMETOOLONG, os.stat, mnt / ('x' * 256))
    (mnt / ('x' * 255)).mkdir()
    raises(errno.EPERM, os.link, mnt / 'dir', mnt / 'dirlink')


def rename_replaces_exchanges_and_refuses(place):
    place.mount()
    mnt = place.mnt
    (mnt / 'a').write_text('a')
    (mnt / 'b').write_text('b')
    raises(errno.EEXIST, renameat2, mnt / 'a', mnt / 'b', NOREPLACE)
    renameat2(mnt / 'a', mnt / 'b', EXCHANGE)
    assert (mnt / 'a').read_text() == 'b' and (mnt / 'b').read_text() == 'a'
    raises(errno.EINVAL, renameat2, mnt / 'a', mnt / 'b', WHITEOUT)
    os.rename(mnt / 'a', mnt / 'b')
    assert (mnt / 'b').read_text() == 'b' and not (mnt / 'a').exists()
    for name in 'full', 'void':
        (mnt / name).mkdir()
    (mnt / 'full' / 'x').write_text('x')
    raises(errno.ENOTEMPTY, os.rename, mnt / 'void', mnt / 'full')
    os.rename(mnt / 'full', mnt / 'void')
    assert os.listdir(mnt / 'void') == ['x']
    (mnt / 'other').mkdir()
    os.rename(mnt / 'void', mnt / 'other' / 'moved')
    assert os.stat(mnt / 'other' / 'moved' / '..').st_ino == os.stat(mnt / 'other').st_ino
    assert os.stat(mnt / 'other').st_nlink == 3 and os.stat(mnt).st_nlink == 3


def link_counts_follow_names(place):
    place.mount()
    mnt = place.mnt
    (mnt / 'a').write_text('x')
    os.link(mnt / 'a', mnt / 'b')
    (mnt / 'd').mkdir()
    os.link(mnt / 'b', mnt / 'd' / 'c')
    assert os.stat(mnt / 'a').st_nlink == 3
    assert os.stat(mnt / 'a').st_ino == os.stat(mnt / 'd' / 'c').st_ino
    (mnt / 'a').write_text('through any name')
    assert (mnt / 'd' / 'c').read_text() == 'through any name'
    os.unlink(mnt / 'a')
    assert os.stat(mnt / 'b').st_nlink == 2
    place.remount()
    assert os.stat(mnt / 'b').st_nlink == 2
    assert (mnt / 'b').read_text() == 'through any name'
    os.unlink(mnt / 'b')
    os.unlink(mnt / 'd' / 'c')
    assert os.listdir(mnt / 'd') == []


def an_unlinked_file_lives_until_it_is_closed(place):
    place.mount()
    fd = os.open(place.mnt / 'file', os.O_RDWR | os.O_CREAT)
    os.write(fd, b'x' * 300000)
    os.unlink(place.mnt / 'file')
    assert os.fstat(fd).st_nlink == 0
    os.pwrite(fd, b'more', 300000)
    assert os.pread(fd, 400000, 0) == b'x' * 300000 + b'more'
    os.ftruncate(fd, 10)
    assert os.pread(fd, 100, 0) == b'x' * 10
    assert os.listdir(place.mnt) == []
    os.close(fd)


def a_replaced_file_lives_until_it_is_closed(place):
    place.mount()
    (place.mnt / 'old').write_text('old')
    (place.mnt / 'new').write_text('new')
    with open(place.mnt / 'old', encoding='ascii') as file:
        os.rename(place.mnt / 'new', place.mnt / 'old')
        assert os.fstat(file.fileno()).st_nlink == 0
        assert file.read() == 'old'
    assert (place.mnt / 'old').read_text() == 'new'


def writes_append_overwrite_and_leave_holes(place):
    place.mount()
    path = place.mnt / 'file'
    with open(path, 'ab', buffering=0) as file:
        for i in range(100):
            file.write(b'%03d\n' % i)
    assert path.read_bytes() == b''.join(b'%03d\n' % i for i in range(100))
    expected = bytearray(path.read_bytes())
    fd = os.open(path, os.O_RDWR)
    for offset, data in [(50, b'middle'), (5000, b'gap'), (131070, b'across blocks'),
                         (500_000, b'x' * 200_000), (4096, b'page' * 1024), (8190, b'edge')]:
        os.pwrite(fd, data, offset)
        expected.extend(bytes(max(0, offset + len(data) - len(expected))))
        expected[offset:offset + len(data)] = data
    assert path.read_bytes() == bytes(expected)
    assert os.stat(path).st_size == len(expected)
    os.fsync(fd)
    os.fdatasync(fd)
    os.close(fd)
    place.remount()
    assert path.read_bytes() == bytes(expected)


def truncation_cuts_and_grows_with_zeros(place):
    place.mount()
    path = place.mnt / 'file'
    path.write_bytes(b'x' * 200_000)
    before = os.stat(path)
    os.truncate(path, 150_001)
    os.truncate(path, 180_000)
    assert path.read_bytes() == b'x' * 150_001 + bytes(29_999)
    os.truncate(path, 5)
    os.truncate(path, 20_000)
    assert path.read_bytes() == b'x' * 5 + bytes(19_995)
    after = os.stat(path)
    assert after.st_mtime_ns > before.st_mtime_ns and after.st_ctime_ns > before.st_ctime_ns
    with open(path, 'w', encoding='ascii'):
        pass
    assert os.stat(path).st_size == 0
    os.truncate(path, 1 << 40)
    assert os.stat(path).st_size == 1 << 40
    raises(errno.EFBIG, os.truncate, path, 1 << 50)
    place.remount()
    assert os.stat(path).st_size == 1 << 40


def holes_are_found_and_made(place):
    place.mount()
    fd = os.open(place.mnt / 'file', os.O_RDWR | os.O_CREAT)
    os.pwrite(fd, b'd' * 262144, 1 << 20)
    os.ftruncate(fd, 4 << 20)
    assert os.lseek(fd, 0, SEEK_DATA) == 1 << 20
    assert os.lseek(fd, 0, SEEK_HOLE) == 0
    assert os.lseek(fd, 1 << 20, SEEK_HOLE) == (1 << 20) + 262144
    raises(errno.ENXIO, os.lseek, fd, 2 << 20, SEEK_DATA)
    raises(errno.ENXIO, os.lseek, fd, 5 << 20, SEEK_HOLE)
    assert os.fstat(fd).st_blocks * 512 < 1 << 20
    fallocate(fd, PUNCH_HOLE | KEEP_SIZE, (1 << 20) + 1000, 200_000)
    data = os.pread(fd, 262144, 1 << 20)
    assert data == b'd' * 1000 + bytes(200_000) + b'd' * (262144 - 201_000)
    fallocate(fd, ZERO_RANGE, (4 << 20) - 10, 20)
    assert os.fstat(fd).st_size == (4 << 20) + 10
    fallocate(fd, 0, 0, 5 << 20)
    assert os.fstat(fd).st_size == 5 << 20
    fallocate(fd, KEEP_SIZE, 0, 6 << 20)
    assert os.fstat(fd).st_size == 5 << 20
    os.close(fd)


def a_hole_that_a_mapping_has_filled_is_none(place):
    """Without msync: who copies the file by its holes would lose what is there."""
    place.mount()
    path = place.mnt / 'file'
    path.touch()
    os.truncate(path, 1 << 20)
    with open(path, 'r+b') as file:
        mapped = mmap.mmap(file.fileno(), 0)
        mapped[500_000:500_004] = b'data'
        assert os.lseek(file.fileno(), 0, SEEK_DATA) == 499_712
        assert os.lseek(file.fileno(), 0, SEEK_HOLE) == 0
        assert os.lseek(file.fileno(), 500_000, SEEK_HOLE) == 503_808
        mapped[510_000:510_004] = b'more'
        assert os.lseek(file.fileno(), 503_808, SEEK_DATA) == 507_904
        # All of a hole: what is behind it counts.
        mapped[:499_712] = b'x' * 499_712
        assert os.lseek(file.fileno(), 0, SEEK_HOLE) == 503_808
        mapped[1_000_000:1_000_004] = b'last'
        assert os.lseek(file.fileno(), 512_000, SEEK_DATA) == 999_424
        assert os.lseek(file.fileno(), 1_000_000, SEEK_HOLE) == 1_003_520
        assert mapped[500_000:500_004] == b'data' and mapped[510_000:510_004] == b'more'
        mapped.close()
    with open(path, 'rb') as file:
        assert os.lseek(file.fileno(), 499_712, SEEK_DATA) == 499_712
        content = path.read_bytes()
        assert len(content) == 1 << 20 and len(content.replace(b'\0', b'')) == 499_712 + 12


def mappings_share_pages_with_reads_and_writes(place):
    place.mount()
    fd = os.open(place.mnt / 'file', os.O_RDWR | os.O_CREAT)
    os.write(fd, b'a' * 10000)
    with mmap.mmap(fd, 10000) as area:
        area[5000:5004] = b'mmap'
        assert os.pread(fd, 4, 5000) == b'mmap'
        os.pwrite(fd, b'write', 100)
        assert area[100:105] == b'write'
        area.flush()
    os.close(fd)
    place.remount()
    data = (place.mnt / 'file').read_bytes()
    assert data[5000:5004] == b'mmap' and data[100:105] == b'write' and len(data) == 10000


def a_page_written_by_a_mapping_after_close_is_kept(place):
    place.mount()
    fd = os.open(place.mnt / 'file', os.O_RDWR | os.O_CREAT)
    os.ftruncate(fd, 8192)
    area = mmap.mmap(fd, 8192)
    os.close(fd)
    area[4096:4100] = b'late'
    area.close()
    place.remount()
    assert (place.mnt / 'file').read_bytes()[4096:4100] == b'late'


def direct_io_agrees_with_the_page_cache(place):
    place.mount()
    path = place.mnt / 'file'
    path.write_bytes(b'a' * 65536)
    assert path.read_bytes()[:1] == b'a'
    area = mmap.mmap(-1, 8192)
    area.write(b'b' * 8192)
    fd = os.open(path, os.O_RDWR | os.O_DIRECT)
    assert os.pwritev(fd, [area], 4096) == 8192
    os.close(fd)
    assert path.read_bytes() == b'a' * 4096 + b'b' * 8192 + b'a' * (65536 - 12288)


def ranges_are_copied_between_and_within_files(place):
    place.mount()
    content = os.urandom(3_000_000)
    (place.mnt / 'from').write_bytes(content)
    source = os.open(place.mnt / 'from', os.O_RDWR)
    target = os.open(place.mnt / 'to', os.O_RDWR | os.O_CREAT)

    def copy(a, b, count, here, there):
        done = 0
        while done < count:
            n = os.copy_file_range(a, b, count - done, here + done, there + done)
            if n == 0:
                break
            done += n
        return done

    assert copy(source, target, 2_500_000, 12_345, 777) == 2_500_000
    assert os.pread(target, 3_000_000, 0) == bytes(777) + content[12_345:2_512_345]
    assert copy(source, source, 100, 10, 2_999_950) == 100
    assert os.fstat(source).st_size == 3_000_050
    content = content[:2_999_950] + content[10:110]
    assert copy(source, target, 1 << 30, 2_900_000, 0) == 100_050
    assert os.pread(target, 100_050, 0) == content[2_900_000:]
    assert copy(source, target, 10, 4_000_000, 0) == 0
    raises(errno.EINVAL, os.copy_file_range, source, source, 100, 0, 50)
    os.close(source)
    os.close(target)
    before = (place.mnt / 'to').read_bytes()
    place.remount()
    assert (place.mnt / 'from').read_bytes() == content
    assert (place.mnt / 'to').read_bytes() == before


def attributes_are_set_and_kept(place):
    place.mount()
    path = place.mnt / 'file'
    path.write_text('x')
    path.chmod(0o4751)
    os.utime(path, ns=(1, 4_000_000_000_123_456_789))
    status = os.stat(path)
    assert stat.S_IMODE(status.st_mode) == 0o4751
    assert (status.st_atime_ns, status.st_mtime_ns) == (1, 4_000_000_000_123_456_789)
    os.utime(path, ns=(-5_000_000_001, -1))
    if os.geteuid() == 0:
        os.chown(path, 4_000_000_000, 77)
        os.chown(path, -1, 78)
    place.remount()
    status = os.stat(path)
    assert (status.st_atime_ns, status.st_mtime_ns) == (-5_000_000_001, -1)
    if os.geteuid() == 0:
        assert (status.st_uid, status.st_gid) == (4_000_000_000, 78)
        assert not status.st_mode & stat.S_ISUID
    assert status.st_blocks > 0
    root = os.stat(place.mnt)
    assert root.st_ino == 1 and stat.S_ISDIR(root.st_mode)


def set_user_id_bits_go_when_others_write(place):
    if os.geteuid() != 0:
        return
    place.mount()
    place.top.chmod(0o755)
    path = place.mnt / 'file'

    def append():
        with open(path, 'ab', buffering=0) as file:
            file.write(b'more')

    def cut():
        with open(path, 'wb'):
            pass

    changes = {'write': append, 'open': cut, 'truncate': lambda: os.truncate(path, 1)}
    for name, change in changes.items():
        path.write_text('set')
        os.chown(path, 1000, 1000)
        for mode, left in [(0o6777, 0o777), (0o2766, 0o2766), (0o4766, 0o766)]:
            path.chmod(mode)
            change()
            assert stat.S_IMODE(os.stat(path).st_mode) == mode, f'root, {name}, {mode:o}'
            support.as_user(1001, change)
            now = stat.S_IMODE(os.stat(path).st_mode)
            assert now == left, f'{name}: {mode:o} became {now:o}, want {left:o}'
    path.chmod(0o6755)
    os.setxattr(path, 'security.capability',
                bytes.fromhex('0100000200040000000000000000000000000000'))
    append()
    raises(errno.ENODATA, os.getxattr, path, 'security.capability')
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o6755
    os.chown(path, 1002, 1002)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o755


def who_changes_a_program_does_not_run_it_as_its_owner(place):
    """The kernel keeps modes: nothing asks for the new one between the change and the exec."""
    if os.geteuid() != 0:
        return
    place.mount('suid')
    place.top.chmod(0o755)
    path = place.mnt / 'program'
    program = Path('/usr/bin/id').read_bytes()
    size = len(program)

    def on_file(flags, change):
        fd = os.open(path, flags)
        change(fd)
        os.close(fd)

    changes = {
        'write': lambda: on_file(os.O_WRONLY, lambda fd: os.write(fd, program)),
        'append': lambda: on_file(os.O_RDWR | os.O_APPEND, lambda fd: os.write(fd, b'more')),
        'open': lambda: on_file(os.O_WRONLY | os.O_TRUNC, lambda fd: os.write(fd, program)),
        'truncate': lambda: os.truncate(path, size + 1),
        'fallocate': lambda: on_file(os.O_WRONLY, lambda fd: fallocate(fd, 0, 0, size + 1)),
        'copy': lambda: on_file(os.O_RDWR, lambda fd: os.copy_file_range(fd, fd, 1, 0, size)),
    }
    for name, change in changes.items():
        path.write_bytes(program)
        path.chmod(0o4777)
        who = support.run(path, '-u', user=1000).stdout
        assert who == '0\n', f'{name}: before, it runs as {who}'
        support.as_user(1000, change)
        who = support.run(path, '-u', user=1000).stdout
        assert who == '1000\n', f'{name}: it runs as {who}'
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o777, name


def lookups_in_one_directory_do_not_wait_for_each_other(place):
    place.mount()
    assert 'parallel lookups' in place.log.read_text()


def times_follow_changes(place):
    place.mount()
    folder, path = place.mnt / 'd', place.mnt / 'd' / 'file'
    folder.mkdir()
    before = os.stat(folder)
    path.write_text('x')
    after = os.stat(folder)
    assert after.st_mtime_ns > before.st_mtime_ns and after.st_ctime_ns > before.st_ctime_ns
    first = os.stat(path)
    path.write_text('y')
    second = os.stat(path)
    assert second.st_mtime_ns > first.st_mtime_ns
    path.chmod(0o600)
    third = os.stat(path)
    assert third.st_mtime_ns == second.st_mtime_ns and third.st_ctime_ns > second.st_ctime_ns
    os.rename(path, folder / 'moved')
    assert os.stat(folder / 'moved').st_ctime_ns > third.st_ctime_ns


def birth_times_stay(place):
    place.mount()
    paths = [place.mnt / 'file', place.mnt / 'dir']
    paths[0].touch()
    paths[1].mkdir()

    def births():
        return [support.run('stat', '-c', '%w', path).stdout for path in paths]
    born = births()
    assert all(str(datetime.date.today().year) in birth for birth in born), born
    for path in paths:
        os.utime(path, ns=(0, 0))
        path.rename(path.with_name(path.name + '2'))
    paths = [path.with_name(path.name + '2') for path in paths]
    os.link(paths[0], place.mnt / 'linked')
    assert births() == born
    place.remount()
    assert births() == born
    assert support.run('stat', '-c', '%w', place.mnt / '.snapshots').stdout == '-\n'


def setgid_directories_hand_on_their_group(place):
    place.mount()
    folder = place.mnt / 'd'
    folder.mkdir()
    if os.geteuid() == 0:
        os.chown(folder, -1, 55)
    folder.chmod(0o2775)
    (folder / 'file').write_text('x')
    (folder / 'sub').mkdir()
    assert os.stat(folder / 'file').st_gid == os.stat(folder).st_gid
    assert os.stat(folder / 'sub').st_mode & stat.S_ISGID


def extended_attributes_are_set_listed_and_removed(place):
    place.mount()
    for path in place.mnt / 'file', place.mnt / 'dir':
        if path.name == 'file':
            path.write_text('x')
        else:
            path.mkdir()
        os.setxattr(path, 'user.one', b'1')
        os.setxattr(path, 'user.big', b'b' * 60000)
        os.setxattr(path, 'user.empty', b'')
        raises(errno.EEXIST, os.setxattr, path, 'user.one', b'2', os.XATTR_CREATE)
        raises(errno.ENODATA, os.setxattr, path, 'user.two', b'2', os.XATTR_REPLACE)
        os.setxattr(path, 'user.one', b'11', os.XATTR_REPLACE)
        assert sorted(os.listxattr(path)) == ['user.big', 'user.empty', 'user.one']
        raises(errno.ENODATA, os.getxattr, path, 'user.none')
        os.removexattr(path, 'user.empty')
        raises(errno.ENODATA, os.removexattr, path, 'user.empty')
        raises(errno.EOPNOTSUPP, os.setxattr, path, 'system.other', b'x')
    place.remount()
    for name in 'file', 'dir':
        assert os.getxattr(place.mnt / name, 'user.one') == b'11'
        assert os.getxattr(place.mnt / name, 'user.big') == b'b' * 60000
        assert sorted(os.listxattr(place.mnt / name)) == ['user.big', 'user.one']


def attributes_are_of_a_namespace_that_somebody_guards(place):
    place.mount()
    place.top.chmod(0o755)
    path = place.mnt / 'file'
    path.touch(0o600)
    for name in 'system.posix_acl_other', 'system.posix_acl_access_', 'system.other', 'other.name', 'name', 'USER.name':
        raises(errno.EOPNOTSUPP, os.setxattr, path, name, b'x')
        raises(errno.ENODATA if not name.startswith('system.') else errno.EOPNOTSUPP, os.removexattr, path, name)
    for name in 'user.', 'trusted.', 'security.':
        raises(errno.EINVAL, os.setxattr, path, name, b'x')
    for name in 'trusted.name', 'security.name':
        if os.geteuid() == 0:
            os.setxattr(path, name, b'x')
            os.removexattr(path, name)
    if os.geteuid() == 0:
        # The kernel asks for no permission where it leaves a namespace to the file system.
        support.as_user(1000, lambda: raises(errno.EOPNOTSUPP, os.setxattr, path, 'system.posix_acl_other', b'x'))
    assert os.listxattr(path) == []


def a_big_directory_lists_every_name_once(place):
    place.mount()
    names = {f'{i:05}-{"n" * (i % 100)}' for i in range(5000)}
    for name in names:
        os.close(os.open(place.mnt / name, os.O_CREAT | os.O_WRONLY))
    assert sorted(os.listdir(place.mnt)) == sorted(names)
    support.sstfs('flush', place.mnt)
    assert sorted(os.listdir(place.mnt)) == sorted(names)
    with os.scandir(place.mnt) as entries:
        for entry in entries:
            assert entry.is_file(follow_symlinks=False)
            assert entry.inode() == entry.stat().st_ino
    place.remount()
    assert sorted(os.listdir(place.mnt)) == sorted(names)


def removing_while_listing_misses_no_name(place):
    place.mount()
    for i in range(3000):
        os.close(os.open(place.mnt / f'{i}', os.O_CREAT | os.O_WRONLY))
    seen = set()
    with os.scandir(place.mnt) as entries:
        for entry in entries:
            assert entry.name not in seen
            seen.add(entry.name)
            os.unlink(entry.path)
    assert len(seen) == 3000
    assert os.listdir(place.mnt) == []


def special_files_are_made(place):
    place.mount()
    os.mkfifo(place.mnt / 'fifo', 0o640)
    status = os.stat(place.mnt / 'fifo')
    assert stat.S_ISFIFO(status.st_mode)
    import socket
    with socket.socket(socket.AF_UNIX) as sock:
        here = os.getcwd()
        os.chdir(place.mnt)
        try:
            sock.bind('socket')
        finally:
            os.chdir(here)
    assert stat.S_ISSOCK(os.stat(place.mnt / 'socket').st_mode)
    if os.geteuid() == 0:
        os.mknod(place.mnt / 'device', stat.S_IFBLK | 0o600, os.makedev(259, 1000))
        assert os.stat(place.mnt / 'device').st_rdev == os.makedev(259, 1000)


def symlinks_are_followed_and_read(place):
    place.mount()
    (place.mnt / 'target').write_text('x')
    (place.mnt / 'link').symlink_to('target')
    assert (place.mnt / 'link').read_text() == 'x'
    long = 'y' * 4095
    os.symlink(long, place.mnt / 'long')
    assert os.readlink(place.mnt / 'long') == long
    assert os.lstat(place.mnt / 'long').st_size == 4095


def statfs_tells_of_the_disk_below(place):
    place.mount()
    facts = os.statvfs(place.mnt)
    assert facts.f_namemax == 255 and facts.f_bsize == 4096
    assert 0 < facts.f_bavail <= facts.f_blocks


def locks_exclude_other_processes(place):
    import fcntl
    import subprocess
    place.mount()
    with open(place.mnt / 'file', 'w', encoding='ascii') as file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        code = ('import fcntl,sys\n'
                f'f=open({str(place.mnt / "file")!r},"w")\n'
                'try: fcntl.lockf(f, fcntl.LOCK_EX|fcntl.LOCK_NB)\n'
                'except OSError: sys.exit(7)\n')
        assert subprocess.run([sys.executable, '-c', code], check=False).returncode == 7


def sqlite_keeps_its_database(place):
    place.mount()
    database = place.mnt / 'test.db'
    statements = ['PRAGMA journal_mode=wal; CREATE TABLE t(i INTEGER PRIMARY KEY, b BLOB);']
    statements += [f'BEGIN; INSERT INTO t SELECT value, randomblob(500) FROM '
                   f'generate_series({i * 100}, {i * 100 + 99}); COMMIT;' for i in range(20)]
    support.run('sqlite3', database, input='\n'.join(statements))
    place.kill()
    place.mount()
    done = support.run('sqlite3', database, 'PRAGMA integrity_check; SELECT count(*) FROM t;')
    assert done.stdout.split() == ['ok', '2000'], done.stdout


def git_works(place):
    place.mount()
    repository = place.mnt / 'repository'
    identity = ['-c', 'user.name=n', '-c', 'user.email=e@example.org']
    support.run('git', 'init', '-q', repository)
    for i in range(50):
        (repository / f'file{i}').write_text(f'{i}\n' * i)
    support.run('git', '-C', repository, 'add', '.')
    support.run('git', '-C', repository, *identity, 'commit', '-qm', 'first')
    support.run('git', '-C', repository, 'gc', '-q')
    place.remount()
    support.run('git', '-C', repository, 'fsck', '--strict')
    assert support.run('git', '-C', repository, 'status', '--porcelain').stdout == ''


if __name__ == '__main__':
    sys.exit(support.main([
        errors_of_names,
        rename_replaces_exchanges_and_refuses,
        link_counts_follow_names,
        an_unlinked_file_lives_until_it_is_closed,
        a_replaced_file_lives_until_it_is_closed,
        writes_append_overwrite_and_leave_holes,
        truncation_cuts_and_grows_with_zeros,
        holes_are_found_and_made,
        a_hole_that_a_mapping_has_filled_is_none,
        mappings_share_pages_with_reads_and_writes,
        a_page_written_by_a_mapping_after_close_is_kept,
        direct_io_agrees_with_the_page_cache,
        ranges_are_copied_between_and_within_files,
        attributes_are_set_and_kept,
        set_user_id_bits_go_when_others_write,
        who_changes_a_program_does_not_run_it_as_its_owner,
        lookups_in_one_directory_do_not_wait_for_each_other,
        times_follow_changes,
        birth_times_stay,
        setgid_directories_hand_on_their_group,
        extended_attributes_are_set_listed_and_removed,
        attributes_are_of_a_namespace_that_somebody_guards,
        a_big_directory_lists_every_name_once,
        removing_while_listing_misses_no_name,
        special_files_are_made,
        symlinks_are_followed_and_read,
        statfs_tells_of_the_disk_below,
        locks_exclude_other_processes,
        sqlite_keeps_its_database,
        git_works,
    ]))
