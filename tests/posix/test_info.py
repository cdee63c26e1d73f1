#!/usr/bin/env python3
"""Goal: MNT/.sstfs tells of the running mount what the commands tell, and nobody falls into it.
Method: its files against the commands and known work; then what walks, writes, moves and removes.
"""
import errno
import os
import re
import stat
import sys

import support
from support import run, sstfs

FILES = ['config', 'metrics', 'sstables', 'stats', 'version']


def refused(code, call, *arguments):
    try:
        call(*arguments)
    except OSError as error:
        assert error.errno in code, f'{call.__name__}{arguments}: {error}'
        return
    raise support.Failed(f'{call.__name__}{arguments} was not refused')


def its_files_tell_what_the_commands_tell(place):
    place.mount('sync=group')
    info = place.mnt / '.sstfs'
    assert sorted(os.listdir(info)) == FILES
    for i in range(20):
        (place.mnt / f'{i}').write_bytes(b'x' * 100000)
    names = [line.split()[0] for line in sstfs('stats', place.mnt).stdout.split('\n') if line]
    text = (info / 'stats').read_text()
    assert set(names) - {'took,'} <= {line.split()[0] for line in text.split('\n') if line}, text
    assert re.search(r'^request_create +20 ', text, re.M), text
    metrics = (info / 'metrics').read_text()
    assert metrics.endswith('\n# EOF\n')
    assert 'sstfs_request_seconds_count{operation="create"} 20\n' in metrics, metrics
    types = [line for line in metrics.split('\n') if line.startswith('# TYPE ')]
    asked = sstfs('stats', '--metrics', place.mnt).stdout.split('\n')
    assert types == [line for line in asked if line.startswith('# TYPE ')]
    assert (info / 'version').read_text() == sstfs('--version').stdout
    config = (info / 'config').read_text().split('\n')
    assert f'store={place.store}' in config and f'mountpoint={place.mnt}' in config, config
    assert 'rw' in config and 'sync=group' in config and f'memory={64 << 20}' in config, config
    assert run('cat', info / 'config').stdout.split('\n') == config


def sstables_are_those_in_the_store(place):
    place.mount()
    (place.mnt / 'a').write_bytes(os.urandom(300000))
    sstfs('flush', place.mnt)
    head, *lines = (place.mnt / '.sstfs' / 'sstables').read_text().splitlines()
    columns = head.split()
    rows = [dict(zip(columns, line.split(), strict=True)) for line in lines]
    place.umount()
    found = {(path.parent.name.split('-')[0], path.name.split('-')[1])
             for path in place.store.rglob('nb-*-big-TOC.txt')}
    assert rows and {(row['table'], row['id']) for row in rows} <= found, (rows, found)
    assert {'blocks', 'dirents'} <= {row['table'] for row in rows}, rows
    for row in rows:
        assert int(row['first_token']) <= int(row['last_token']), row
        assert 0 < int(row['min_timestamp_us']) <= int(row['max_timestamp_us']), row
        assert int(row['bytes']) > 0, row
    assert sum(int(row['bytes']) for row in rows if row['table'] == 'blocks') > 300000, rows


def sstables_tell_their_level_and_their_garbage(place):
    def rows_of(table):
        head, *lines = (place.mnt / '.sstfs' / 'sstables').read_text().splitlines()
        rows = [dict(zip(head.split(), line.split(), strict=True)) for line in lines]
        return [row for row in rows if row['table'] == table]
    place.mount()
    for i in range(10):
        (place.mnt / f'{i}').write_bytes(os.urandom(300000))
    sstfs('flush', place.mnt)
    assert all(row['garbage_bytes'] == '0' for row in rows_of('blocks')), rows_of('blocks')
    assert {row['level'] for row in rows_of('dirents')} == {'0'}, rows_of('dirents')
    sstfs('compact', place.mnt)
    assert {row['level'] for row in rows_of('dirents')} == {'1'}, rows_of('dirents')
    os.unlink(place.mnt / '0')
    sstfs('flush', place.mnt)
    assert {row['level'] for row in rows_of('dirents')} == {'0', '1'}, rows_of('dirents')
    garbage = sum(int(row['garbage_bytes']) for row in rows_of('blocks'))
    assert 250000 < garbage < 400000, rows_of('blocks')


def a_handle_keeps_its_text(place):
    place.mount()
    with open(place.mnt / '.sstfs' / 'stats', 'rb', buffering=0) as early:
        (place.mnt / 'd').mkdir()
        with open(place.mnt / '.sstfs' / 'stats', 'rb', buffering=0) as late:
            assert b'request_mkdir' in late.read(1 << 20)
        whole = early.read(1 << 20)
        assert b'request_mkdir' not in whole
        # In pieces, and from the middle: the same text.
        pieces = [os.pread(early.fileno(), 100, at) for at in range(0, len(whole) + 100, 100)]
        assert b''.join(pieces) == whole and pieces[-1] == b''


def it_is_hidden(place):
    place.mount()
    (place.mnt / 'a').write_text('a')
    assert os.listdir(place.mnt) == ['a']
    assert '.sstfs' not in run('find', place.mnt).stdout
    assert '.sstfs' not in run('tar', '-C', place.mnt, '-cvf', '/dev/null', '.').stdout
    (place.mnt / 'd').mkdir()
    refused([errno.ENOENT], os.stat, place.mnt / 'd' / '.sstfs')
    refused([errno.ENOENT], os.stat, place.mnt / '.sstfs' / 'nothing')
    (place.mnt / 'd' / '.sstfs').write_text('a name like any other')
    place.snapshot('monday')
    refused([errno.ENOENT], os.stat, place.mnt / '.past' / 'monday' / '.sstfs')
    about = os.stat(place.mnt / '.sstfs')
    assert stat.S_IMODE(about.st_mode) == 0o550 and about.st_uid == os.getuid()
    numbers = {about.st_ino}
    for name in FILES:
        about = os.stat(place.mnt / '.sstfs' / name)
        assert about.st_mode == stat.S_IFREG | 0o440 and about.st_size == 0
        numbers.add(about.st_ino)
    assert len(numbers) == 1 + len(FILES)


def nothing_in_it_changes(place):
    place.mount()
    info, other = place.mnt / '.sstfs', place.mnt / 'other'
    other.write_text('mine')
    file = info / 'stats'
    no = [errno.EROFS, errno.EACCES, errno.EPERM]
    refused([errno.EEXIST], os.mkdir, info)
    refused([errno.EEXIST, errno.EISDIR], os.rename, other, info)
    refused(no, os.open, file, os.O_WRONLY)
    refused(no, os.open, file, os.O_RDWR)
    refused(no, os.open, file, os.O_WRONLY | os.O_TRUNC)
    refused(no, os.open, info / 'new', os.O_WRONLY | os.O_CREAT)
    refused(no, os.truncate, file, 0)
    refused(no, os.unlink, file)
    refused(no, os.mkdir, info / 'new')
    refused(no, os.symlink, 'x', info / 'new')
    refused(no, os.chmod, file, 0o666)
    refused(no, os.rename, file, info / 'new')
    refused([errno.EXDEV], os.rename, file, place.mnt / 'new')
    refused([errno.EXDEV], os.rename, other, info / 'new')
    refused([errno.EXDEV], os.link, file, place.mnt / 'new')
    refused(no, os.setxattr, file, 'user.a', b'b')
    refused([errno.EBUSY, errno.EISDIR], os.unlink, info)
    refused([errno.EBUSY], os.rmdir, info)
    refused([errno.EBUSY, errno.EXDEV], os.rename, info, place.mnt / 'moved')
    assert other.read_text() == 'mine' and sorted(os.listdir(info)) == FILES


def a_read_only_mount_has_it(place):
    place.mount()
    place.remount('ro')
    assert 'ro' in (place.mnt / '.sstfs' / 'config').read_text().split('\n')
    assert (place.mnt / '.sstfs' / 'metrics').read_text().endswith('# EOF\n')


if __name__ == '__main__':
    sys.exit(support.main([
        its_files_tell_what_the_commands_tell,
        sstables_are_those_in_the_store,
        sstables_tell_their_level_and_their_garbage,
        a_handle_keeps_its_text,
        it_is_hidden,
        nothing_in_it_changes,
        a_read_only_mount_has_it,
    ]))
