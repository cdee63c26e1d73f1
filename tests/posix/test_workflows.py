#!/usr/bin/env python3
"""Goal: the tools that people back up with do the right thing with a mount and its snapshots, without
knowing of them.
Method: rsync, tar, find and restic as they are usually called; what they moved or read, and what
came of it.
"""
import os
import shutil
import subprocess
import sys

import support
from support import Failed, run, same_tree, sstfs
from test_round_trip import make_tree
from test_snapshots import next_second


def moved_bytes(done):
    line = next(line for line in done.stdout.splitlines() if 'transferred file size' in line)
    return int(''.join(filter(str.isdigit, line)))


def grow(place, name, size=2 << 20):
    (place.mnt / name).write_bytes(os.urandom(size))


def mount_copy(place, copy, mnt):
    mnt.mkdir(exist_ok=True)
    place.mount('ro', store=copy, mnt=mnt)


def a_rolling_mirror_of_latest(place):
    place.mount()
    mirror, mnt = place.top / 'mirror', place.top / 'copy-mnt'
    moved = 0
    for day in range(4):
        grow(place, f'day{day}')
        if day > 1:
            (place.mnt / f'day{day - 2}').unlink()
        place.snapshot(f'tag{day}')
        done = run('rsync', '-a', '--delete', '--stats', f'{place.mnt}/.snapshots/latest/', f'{mirror}/')
        moved += moved_bytes(done)
        support.no_damage(mirror)
        mount_copy(place, mirror, mnt)
        assert sorted(os.listdir(mnt)) == [f'day{i}' for i in range(max(0, day - 1), day + 1)]
        same_tree(place.mnt, mnt)
        place.umount(mnt)
        next_second()
    if moved > 14 << 20:  # of 8 MiB written: what compaction writes anew moves once more
        raise Failed(f'{moved} bytes moved')
    done = run('rsync', '-a', '--delete', '--stats', f'{place.mnt}/.snapshots/latest/', f'{mirror}/')
    assert moved_bytes(done) == 0


def dated_sets_by_link_dest(place):
    place.mount()
    sets = place.top / 'sets'
    sets.mkdir()
    before = None
    for day in range(3):
        grow(place, f'day{day}')
        folder = place.snapshot(f'tag{day}')
        link = ['--link-dest', sets / before] if before else []
        run('rsync', '-a', *link, f'{folder}/', f'{sets}/{day}/')
        before = str(day)
        next_second()
    for day in range(3):
        support.no_damage(sets / str(day))
    used = int(run('du', '-sk', sets).stdout.split()[0])
    assert used < 8 << 10, used  # three days of 2 MiB, not of 2, 4 and 6


def all_tags_at_once_with_hard_links(place):
    place.mount()
    for day in range(3):
        grow(place, f'day{day}')
        place.snapshot(f'tag{day}')
    copies = {'rsync': place.top / 'by-rsync', 'tar': place.top / 'by-tar'}
    run('rsync', '-aH', '--exclude', '/latest', f'{place.mnt}/.snapshots/', f"{copies['rsync']}/")
    copies['tar'].mkdir()
    run('sh', '-c', 'tar -C "$1" --exclude ./latest -cf - . | tar -C "$2" -xf -', 'sh',
        place.mnt / '.snapshots', copies['tar'])
    for copy in copies.values():
        for day in range(3):
            support.no_damage(copy / f'tag{day}')
        used = int(run('du', '-sk', copy).stdout.split()[0])
        assert used < 8 << 10, (copy, used)


def nothing_that_walks_enters_what_is_hidden(place):
    make_tree(place.top / 'tree')
    place.mount()
    run('cp', '-a', f'{place.top}/tree/.', place.mnt)
    place.snapshot('one')
    os.listdir(place.mnt / '.past' / 'one')  # known to the kernel, and still not listed
    hidden = run('find', place.mnt, '-name', '.snapshots', '-o', '-name', '.past', '-o', '-name', '.sstfs')
    assert hidden.stdout == ''
    copy, unpacked = place.top / 'copy', place.top / 'unpacked'
    run('rsync', '-aHAX', f'{place.mnt}/', f'{copy}/')
    same_tree(place.top / 'tree', copy)
    unpacked.mkdir()
    run('sh', '-c', 'tar -C "$1" --xattrs --acls -cf - . | tar -C "$2" --xattrs --acls -xpf -', 'sh',
        place.mnt, unpacked)
    assert sorted(os.listdir(unpacked)) == sorted(os.listdir(place.top / 'tree'))
    run('rm', '-rf', *place.mnt.iterdir())
    assert os.listdir(place.mnt) == []


def a_tag_that_goes_during_rsync(place):
    place.mount()
    for i in range(8):
        grow(place, f'file{i}', 4 << 20)
        sstfs('flush', place.mnt)
    folder = place.snapshot('one')
    copy = place.top / 'copy'
    # Held, it stays however long rsync takes.
    sstfs('snapshot', 'hold', place.mnt, 'one', 'rsync')
    with subprocess.Popen(['rsync', '-a', '--bwlimit=16M', f'{folder}/', f'{copy}/']) as rsync:
        support.wait_until(copy.exists, 'rsync')
        sstfs('snapshot', 'delete', place.mnt, 'one', code=5)
    assert rsync.returncode == 0
    support.no_damage(copy)
    # Not held, it goes between two files or is in use; rsync never takes half a copy for a whole.
    sstfs('snapshot', 'release', place.mnt, 'one', 'rsync')
    half = place.top / 'half'
    with subprocess.Popen(['rsync', '-a', '--bwlimit=16M', f'{folder}/', f'{half}/'],
                          stderr=subprocess.DEVNULL) as rsync:
        support.wait_until(half.exists, 'rsync')
        gone = sstfs('snapshot', 'delete', place.mnt, 'one', code=None).returncode == 0
    assert rsync.returncode != 0 or not gone
    if rsync.returncode == 0:
        support.no_damage(half)
    place.umount()
    support.no_damage(place.store)


def points_that_are_mixed_bring_nothing_back(place):
    """The zombie rule: an old SSTable beside a newer set, whose tombstone was purged."""
    place.mount()
    (place.mnt / 'kept').write_text('kept')
    (place.mnt / 'zombie').write_text('deleted later')
    copy, mnt = place.top / 'copy', place.top / 'copy-mnt'
    run('rsync', '-a', f"{place.snapshot('one')}/", f'{copy}/')
    (place.mnt / 'zombie').unlink()
    sstfs('flush', place.mnt)
    sstfs('compact', place.mnt)
    next_second()
    run('rsync', '-a', f"{place.snapshot('two')}/", f'{copy}/')  # without --delete
    done = sstfs('verify', copy)
    assert done.stdout.count('stranger:') >= 8, done.stdout
    mount_copy(place, copy, mnt)
    assert os.listdir(mnt) == ['kept']
    place.umount(mnt)
    sstfs('init', '--from', copy, place.top / 'again')
    place.mount(store=place.top / 'again', mnt=mnt)
    assert os.listdir(mnt) == ['kept']
    sstfs('compact', mnt)
    assert os.listdir(mnt) == ['kept']
    place.umount(mnt)
    # The other way about: an old set, and not all of its SSTables any more.
    shutil.copy(place.mnt / '.snapshots' / 'one' / 'snapshot.json', copy / 'snapshot.json')
    for path in (copy / 'sstfs').glob('dirents-*/nb-*-Data.db'):
        if not (place.mnt / '.snapshots' / 'two' / path.relative_to(copy)).exists():
            path.unlink()
    assert sstfs('verify', copy, code=None).returncode == 1


def restic_reads_unchanged_files_once(place):
    if not shutil.which('restic'):
        return
    make_tree(place.top / 'tree')
    place.mount()
    run('cp', '-a', place.top / 'tree', place.mnt / 'tree')
    env = {**os.environ, 'RESTIC_PASSWORD': 'x', 'RESTIC_REPOSITORY': str(place.top / 'repository'),
           'XDG_CACHE_HOME': str(place.top / 'cache')}
    run('restic', 'init', env=env)
    run('restic', 'backup', place.mnt / 'tree', env=env)
    place.remount()  # inode numbers and times are those of before
    done = run('restic', 'backup', place.mnt / 'tree', env=env)
    line = next(line for line in done.stdout.splitlines() if line.startswith('Files:'))
    assert ' 0 new,' in line and ' 0 changed,' in line, line
    run('restic', 'restore', 'latest', '--target', place.top / 'restored', env=env)
    run('diff', '-r', '--no-dereference', '-x', 'fifo', '-x', 'null', place.top / 'tree',
        str(place.top / 'restored') + str(place.mnt / 'tree'))


if __name__ == '__main__':
    sys.exit(support.main([
        a_rolling_mirror_of_latest,
        dated_sets_by_link_dest,
        all_tags_at_once_with_hard_links,
        nothing_that_walks_enters_what_is_hidden,
        a_tag_that_goes_during_rsync,
        points_that_are_mixed_bring_nothing_back,
        restic_reads_unchanged_files_once,
    ]))
