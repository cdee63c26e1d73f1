#!/usr/bin/env python3
"""Goal: with archive=on a store comes back as it was at any moment after a snapshot, from the store,
after a crash, and from a copy of .snapshots elsewhere; and where the log has not all of it, that is
said, and nothing is made.
Method: changes of all kinds, and copies of the tree at some moments; new stores as of these,
compared with the copies.
"""
import json
import os
import random
import shutil
import sys
import time
from pathlib import Path

import support
from support import Failed, run, sstfs

MIB = 1 << 20
OPTIONS = ('archive=on', 'sync_period=1s')


def write(path, content):
    with open(path, 'wb') as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def rewrite(path, offset, content):
    with open(path, 'r+b') as file:
        file.seek(offset)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


class Moments:
    """The tree, changed step by step, and what it was like after each."""

    def __init__(self, place):
        self.place, self.random = place, random.Random(5)
        self.all = []  # of (microseconds, copy)

    def step(self):
        mnt, number = self.place.mnt, len(self.all)
        folder = mnt / f'folder-{number}'
        folder.mkdir()
        for i in range(20):
            write(folder / f'file-{i}', self.random.randbytes(self.random.randrange(9000)))
        write(folder / 'large', self.random.randbytes(9 * MIB))
        os.link(folder / 'file-1', folder / 'another')
        os.symlink('file-2', folder / 'link')
        os.setxattr(folder / 'file-3', 'user.number', str(number).encode())
        os.chmod(folder / 'file-4', 0o600 + number)
        if number > 0:
            before = mnt / f'folder-{number - 1}'
            (before / 'file-5').unlink()
            os.rename(before / 'file-6', folder / 'from-before')
            os.rename(before / 'file-7', before / 'file-8')
            os.truncate(before / 'file-9', 100)
            rewrite(before / 'large', 3 * MIB, self.random.randbytes(MIB))
        if number > 1:
            shutil.rmtree(mnt / f'folder-{number - 2}')
        write(mnt / 'same', self.random.randbytes(200000))
        self.remember()

    def remember(self):
        copy = self.place.top / f'copy-{len(self.all)}'
        moment = time.time_ns() // 1000
        run('cp', '-a', self.place.mnt, copy)
        self.all.append((moment, copy))


def at(us):
    return f'@{us}'


def restored(place, moment, folder, *options):
    """Mounted at place.top / 'again'."""
    store, mnt = place.top / 'new', place.top / 'again'
    if mnt.exists():
        place.umount(mnt)
        shutil.rmtree(store)
    mnt.mkdir(exist_ok=True)
    sstfs('restore', '--at', moment, *options, folder, store)
    support.no_damage(store)
    place.mount(store=store, mnt=mnt)
    return mnt


def refused(place, code, words, moment, folder, *options):
    done = sstfs('restore', '--at', moment, *options, folder, place.top / 'none', code=code)
    if words not in done.stderr:
        raise Failed(f"no '{words}' in '{done.stderr}'")
    assert not (place.top / 'none').exists()


def archived(place):
    return place.stats()['archive_segments']


def fill_segments(place, count):
    """Until so many more are in the archive."""
    wanted = archived(place) + count
    for i in range(2 * count + 2):
        write(place.mnt / 'filler', os.urandom(20 * MIB))
    support.wait_until(lambda: archived(place) >= wanted, 'segments in the archive')


def a_store_comes_back_as_of_any_moment(place):
    place.mount(*OPTIONS)
    moments = Moments(place)
    moments.step()
    place.snapshot('begin')
    for _ in range(4):
        moments.step()
    assert archived(place) > 0
    (place.mnt / 'same').unlink()
    place.umount()
    snapshot = place.store / 'snapshots' / 'begin'
    for moment, copy in moments.all[1:]:
        support.same_tree(copy, restored(place, at(moment), snapshot))
    mnt = restored(place, 'latest', snapshot)
    assert not (mnt / 'same').exists()
    # A store of its own, with inode numbers of its own.
    write(mnt / 'new', b'new')
    numbers = [path.lstat().st_ino for path in mnt.rglob('*') if path.name != 'another'
               and path.name != 'file-1']
    assert len(set(numbers)) == len(numbers)
    # The old one goes on.
    place.mount(*OPTIONS)
    support.same_tree(moments.all[-1][1] / 'folder-4', place.mnt / 'folder-4')


def what_a_killed_daemon_logged_counts(place):
    place.mount(*OPTIONS)
    moments = Moments(place)
    place.snapshot('begin')
    for _ in range(3):
        moments.step()
        place.kill()
        place.mount(*OPTIONS)
        moments.step()
    write(place.mnt / 'end', b'end')
    place.kill()
    snapshot = place.store / 'snapshots' / 'begin'
    for moment, copy in moments.all:
        support.same_tree(copy, restored(place, at(moment), snapshot))
    assert (restored(place, 'latest', snapshot) / 'end').read_bytes() == b'end'


def a_copy_elsewhere_is_enough(place):
    place.mount(*OPTIONS)
    moments = Moments(place)
    place.snapshot('begin')
    moments.step()
    moments.step()
    fill_segments(place, 2)
    backup = place.top / 'backup'
    run('rsync', '-a', f'{place.mnt}/.snapshots/', f'{backup}/')
    assert (backup / 'begin').is_dir()
    segments = sorted((backup / 'log').iterdir())
    assert len(segments) >= 2
    # The oldest may go when there is a newer one: what follows on that is kept, also in the copy.
    place.snapshot('next')
    moments.step()
    fill_segments(place, 2)
    (place.mnt / '.snapshots' / 'begin').rmdir()
    moments.step()
    fill_segments(place, 2)
    run('rsync', '-a', f'{place.mnt}/.snapshots/', f'{backup}/')
    place.umount()
    shutil.rmtree(place.store)

    for moment, copy in moments.all:
        support.same_tree(copy, restored(place, at(moment), backup / 'begin'))
    moment, copy = moments.all[-1]
    support.same_tree(copy, restored(place, at(moment), backup / 'next'))
    elsewhere = place.top / 'elsewhere'
    (backup / 'log').rename(elsewhere)
    support.same_tree(copy, restored(place, at(moment), backup / 'next', '--log', elsewhere))
    refused(place, 4, 'no log', at(moment), backup / 'next')

    # What is missing, and what it means.
    segments = sorted(elsewhere.iterdir())
    middle = segments[len(segments) // 2]
    middle.rename(place.top / middle.name)
    refused(place, 1, f'segment {middle.stem} of the log is missing', 'latest', backup / 'begin',
            '--log', elsewhere)
    moment, copy = moments.all[0]
    support.same_tree(copy, restored(place, at(moment), backup / 'begin', '--log', elsewhere))
    (place.top / middle.name).rename(middle)
    with open(middle, 'r+b') as file:
        file.seek(10000)
        file.write(os.urandom(100))
    refused(place, 1, 'the log is damaged', 'latest', backup / 'begin', '--log', elsewhere)


def tags_of(place):
    return {one['tag']: one['holds'] for one in json.loads(sstfs('snapshot', 'list', '--json', place.mnt).stdout)}


def backed_up(place, sets, *options):
    return Path(json.loads(sstfs('backup', '--json', *options, place.mnt, sets).stdout)['tag'])


def segments_in(folder):
    return {path.name: path.stat().st_ino for path in (folder / 'log').iterdir()}


def first_segment_of(folder):
    return json.loads((folder / 'snapshot.json').read_text())['log_position'] >> 32


def a_backup_has_all_moments_between_its_sets(place):
    place.mount(*OPTIONS)
    moments = Moments(place)
    sets = place.top / 'sets'
    sets.mkdir()
    moments.step()
    first = sets / backed_up(place, sets)
    assert tags_of(place) == {first.name: ['backup-log']}  # or the log up to the next one would go
    before = segments_in(sets)
    support.same_tree(moments.all[0][1], restored(place, 'latest', first))
    moments.step()
    moments.step()
    second = sets / backed_up(place, sets, '--verify')
    assert tags_of(place) == {second.name: ['backup-log']}
    after = segments_in(sets)
    assert before.items() < after.items(), (before, after)  # what was there is not copied again

    # One that has rotted.
    newest = max((sets / 'log').iterdir())
    newest.chmod(0o600)
    times = newest.stat()
    with open(newest, 'r+b') as file:
        file.seek(5000)
        file.write(b'rotten')
    os.utime(newest, ns=(times.st_atime_ns, times.st_mtime_ns))
    place.snapshot('mine')
    moments.step()
    done = sstfs('backup', '--verify', '--tag', 'mine', place.mnt, sets)
    assert 'copied again' in done.stderr and after.keys() < segments_in(sets).keys(), done.stderr
    assert tags_of(place) == {second.name: ['backup-log'], 'mine': []}

    # From the folder alone; and once more when the oldest set went, and what it alone needed.
    place.umount()
    place.store.rename(place.top / 'aside')
    for moment, copy in moments.all[1:3]:
        support.same_tree(copy, restored(place, at(moment), first))
    for folder in first, second, sets / 'mine':
        support.same_tree(moments.all[3][1], restored(place, 'latest', folder))
    (place.top / 'aside').rename(place.store)
    place.mount(*OPTIONS)
    moments.step()
    told = json.loads(sstfs('backup', '--json', '--keep-last', '2', place.mnt, sets).stdout)
    assert told['log'] and set(told['removed']) == {first.name, second.name}, told
    assert tags_of(place) == {told['tag']: ['backup-log'], 'mine': []}
    oldest = f'{first_segment_of(sets / "mine"):016x}.log'
    assert min(segments_in(sets)) == oldest and min(os.listdir(place.mnt / '.snapshots' / 'log')) == oldest
    support.same_tree(moments.all[4][1], restored(place, 'latest', sets / 'mine'))

    # Nothing is kept for a log that is not archived any more.
    place.remount()
    last = sets / backed_up(place, sets)
    assert tags_of(place) == {'mine': []}
    refused(place, 1, 'is missing', 'latest', last)


def a_backup_whose_log_fails_is_there(place):
    place.mount(*OPTIONS)
    sets = place.top / 'sets'
    sets.mkdir()
    (sets / 'log').write_text('in the way')
    write(place.mnt / 'file', b'x')
    done = sstfs('backup', place.mnt, sets, code=3)
    assert len(done.stderr.splitlines()) == 1 and 'not that of its log' in done.stderr, done.stderr
    support.no_damage(done.stdout.strip())
    assert tags_of(place) == {}
    (sets / 'log').unlink()
    place.snapshot('mine')
    last = sets / backed_up(place, sets, '--tag', 'mine')
    assert (restored(place, 'latest', last) / 'file').read_bytes() == b'x'


def moments_that_are_not_there_are_refused(place):
    place.mount(*OPTIONS)
    before = time.time_ns() // 1000
    write(place.mnt / 'file', b'before')
    place.snapshot('begin')
    write(place.mnt / 'file', b'after')
    snapshot = place.store / 'snapshots' / 'begin'
    refused(place, 9, 'open', 'latest', snapshot)
    place.umount()
    refused(place, 2, 'the oldest over it is', at(before), snapshot)
    refused(place, 1, 'ends too soon', at(time.time_ns() // 1000 + MIB), snapshot)
    refused(place, 2, 'is no moment', 'yesterday', snapshot)
    refused(place, 8, 'is a store, not a snapshot', 'latest', place.store)
    assert (restored(place, 'latest', snapshot) / 'file').read_bytes() == b'after'

    other = place.top / 'other'
    sstfs('init', other)
    refused(place, 8, 'of another store', 'latest', snapshot, '--log', other)
    full = place.top / 'full'
    full.mkdir()
    write(full / 'mine', b'mine')
    sstfs('restore', '--at', 'latest', snapshot, full, code=5)
    assert os.listdir(full) == ['mine']


def a_log_does_not_go_on_over_a_rollback(place):
    place.mount(*OPTIONS)
    moments = Moments(place)
    place.snapshot('begin')
    moments.step()
    fill_segments(place, 1)
    moments.step()  # which fills no segment: only the log itself has it
    place.umount()
    sstfs('rollback', '-y', place.store, 'begin')
    place.mount(*OPTIONS)
    place.snapshot('again')
    write(place.mnt / 'after', b'after')
    moments.remember()
    write(place.mnt / 'end', b'end')
    place.umount()
    snapshots = place.store / 'snapshots'
    for moment, copy in moments.all[:2]:
        support.same_tree(copy, restored(place, at(moment), snapshots / 'begin'))
    refused(place, 1, 'rolled back', 'latest', snapshots / 'begin')
    refused(place, 1, 'rolled back', at(moments.all[2][0]), snapshots / 'begin')
    moment, copy = moments.all[2]
    support.same_tree(copy, restored(place, at(moment), snapshots / 'again'))


def what_was_logged_without_the_archive_is_missing(place):
    place.mount(*OPTIONS)
    moments = Moments(place)
    place.snapshot('begin')
    moments.step()
    fill_segments(place, 1)
    place.remount()
    # Its segments are used again: a round of all of them.
    for i in range(20):
        write(place.mnt / 'filler', os.urandom(40 * MIB))
        for j in range(50):
            write(place.mnt / f'small-{j}', os.urandom(1000))
    place.remount(*OPTIONS)
    moments.step()
    place.umount()
    snapshot = place.store / 'snapshots' / 'begin'
    moment, copy = moments.all[0]
    support.same_tree(copy, restored(place, at(moment), snapshot))
    refused(place, 1, 'archive=on', 'latest', snapshot)


def the_space_it_takes_is_told(place):
    place.mount(*OPTIONS)
    place.snapshot('begin')
    fill_segments(place, 2)
    stats = place.stats()
    on_disk = sum(path.stat().st_size for path in (place.store / 'archive').iterdir())
    assert stats['archive_bytes'] == on_disk, stats
    listed = os.listdir(place.mnt / '.snapshots' / 'log')
    assert sorted(listed) == sorted(os.listdir(place.store / 'archive'))
    assert 'archive=on' in (place.mnt / '.sstfs' / 'config').read_text()
    assert 'archive' in sstfs('space', place.mnt).stdout
    (place.mnt / '.snapshots' / 'begin').rmdir()
    support.wait_until(lambda: not os.listdir(place.store / 'archive'), 'the archive empty')
    assert archived(place) == 0
    sstfs('snapshot', 'create', place.mnt, 'log', code=2)


if __name__ == '__main__':
    sys.exit(support.main([
        a_store_comes_back_as_of_any_moment,
        what_a_killed_daemon_logged_counts,
        a_copy_elsewhere_is_enough,
        a_backup_has_all_moments_between_its_sets,
        a_backup_whose_log_fails_is_there,
        moments_that_are_not_there_are_refused,
        a_log_does_not_go_on_over_a_rollback,
        what_was_logged_without_the_archive_is_missing,
        the_space_it_takes_is_told,
    ]))
