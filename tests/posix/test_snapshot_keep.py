#!/usr/bin/env python3
"""Goal: snapshots stay as long as somebody wants them and no longer, cost what is said, and are one
point of a tree that changes meanwhile.
Method: holds, expiry and keep-rules through commands and extended attributes; a writer whose order
can be recognised.
"""
import json
import mmap
import os
import subprocess
import sys

import support
from support import raises, run, sstfs, wait_until

def snapshots(place):
    return {one['tag']: one for one in
            json.loads(sstfs('snapshot', 'list', '--json', place.mnt).stdout)}


def a_held_snapshot_stays(place):
    place.mount()
    folder = place.snapshot('kept')
    sstfs('snapshot', 'hold', place.mnt, 'kept', 'copy-1')
    sstfs('snapshot', 'hold', place.mnt, 'kept', 'copy-1', code=5)
    sstfs('snapshot', 'hold', place.mnt, 'none', 'copy-1', code=4)
    sstfs('snapshot', 'hold', place.mnt, 'kept', 'no/slash', code=2)
    assert sstfs('snapshot', 'holders', place.mnt, 'kept').stdout == 'copy-1\n'
    sstfs('snapshot', 'holders', place.mnt, 'none', code=4)
    raises(16, folder.rmdir)
    done = sstfs('snapshot', 'delete', place.mnt, 'kept', code=5)
    assert len(done.stderr.splitlines()) == 1 and 'held' in done.stderr, done.stderr
    sstfs('snapshot', 'rename', place.mnt, 'kept', 'moved')
    place.remount()
    assert snapshots(place)['moved']['holds'] == ['copy-1']
    sstfs('snapshot', 'release', place.mnt, 'moved', 'other', code=4)
    sstfs('snapshot', 'release', place.mnt, 'moved', 'copy-1')
    sstfs('snapshot', 'delete', place.mnt, 'moved')
    assert snapshots(place) == {}


def holds_and_expiry_are_attributes_of_the_tag(place):
    place.mount()
    folder = place.snapshot('one')
    raises(61, os.getxattr, folder, 'user.sstfs.hold')
    os.setxattr(folder, 'user.sstfs.hold', b'a')
    os.setxattr(folder, 'user.sstfs.hold', b'b')
    assert os.getxattr(folder, 'user.sstfs.hold') == b'a\nb\n'
    raises(16, folder.rmdir)
    os.removexattr(folder, 'user.sstfs.hold.a')
    raises(61, os.removexattr, folder, 'user.sstfs.hold.a')
    assert snapshots(place)['one']['holds'] == ['b']
    os.removexattr(folder, 'user.sstfs.hold')
    os.setxattr(folder, 'user.sstfs.expires', b'4102444800')
    raises(22, os.setxattr, folder, 'user.sstfs.expires', b'tomorrow')
    assert snapshots(place)['one']['expires_us'] == 4102444800 * 1000000
    assert os.getxattr(folder, 'user.sstfs.expires') == b'4102444800'
    assert os.listxattr(folder) == []  # a copy of the folder has none of it
    raises(30, os.setxattr, folder / 'snapshot.json', 'user.sstfs.hold', b'a')
    raises(30, os.setxattr, folder, 'user.other', b'a')


def a_snapshot_expires_unless_it_is_held_or_open(place):
    place.mount()
    for tag in 'plain', 'held', 'open', 'later':
        place.snapshot(tag)
    sstfs('snapshot', 'hold', place.mnt, 'held', 'me')
    sstfs('snapshot', 'expire', place.mnt, 'later', '7d')
    with open(place.mnt / '.snapshots' / 'open' / 'snapshot.json', 'rb'):
        for tag in 'held', 'open', 'plain':
            sstfs('snapshot', 'expire', place.mnt, tag, '1s')
        wait_until(lambda: 'plain' not in snapshots(place), 'expiry')
        assert set(snapshots(place)) == {'held', 'open', 'later'}

    def look_again():  # the kernel tells of closed files a little later
        sstfs('snapshot', 'expire', place.mnt, 'held', 'never')
        return 'open' not in snapshots(place)
    wait_until(look_again, 'expiry')
    sstfs('snapshot', 'create', '--expire', '1s', '--hold', 'me', place.mnt, 'both')
    assert snapshots(place)['both']['holds'] == ['me'] and snapshots(place)['both']['expires_us']
    sstfs('snapshot', 'create', '--expire', 'soon', place.mnt, 'wrong', code=2)
    assert set(snapshots(place)) == {'held', 'later', 'both'}


def prune_keeps_what_the_rules_say(place):
    place.mount()
    for i in range(5):
        place.snapshot(f'tag{i}')
    sstfs('snapshot', 'hold', place.mnt, 'tag0', 'me')
    sstfs('snapshot', 'prune', place.mnt, code=2)
    sstfs('snapshot', 'prune', '--keep-last', 'x', place.mnt, code=2)
    dry = sstfs('snapshot', 'prune', '-n', '--keep-last', '2', place.mnt).stdout
    assert dry.splitlines()[:2] == ['tag2', 'tag1'] and 'would return' in dry, dry
    refused = sstfs('snapshot', 'prune', '--keep-last', '2', place.mnt, code=2,
                    stdin=subprocess.DEVNULL)
    assert '-y' in refused.stderr
    assert len(snapshots(place)) == 5
    with open(place.mnt / '.snapshots' / 'tag1' / 'snapshot.json', 'rb'):
        # One that cannot go does not keep the others.
        done = sstfs('snapshot', 'prune', '-y', '--keep-last', '2', place.mnt, code=3)
    assert done.stdout == 'tag2\n' and 'tag1' in done.stderr, done

    def is_pruned():  # the kernel tells of closed files a little later
        sstfs('snapshot', 'prune', '-y', '--keep-daily', '1', place.mnt, code=None)
        return set(snapshots(place)) == {'tag0', 'tag4'}
    wait_until(is_pruned, 'the removal')


def sizes_add_up_and_come_back(place):
    place.mount()
    (place.mnt / 'big').write_bytes(os.urandom(32 << 20))
    place.snapshot('one')
    place.snapshot('two')
    (place.mnt / 'big').unlink()
    sstfs('flush', place.mnt)
    sstfs('compact', place.mnt)
    sizes = snapshots(place)
    assert sizes['one']['total_bytes'] > 32 << 20
    assert sizes['one']['unique_bytes'] < 1 << 20 and sizes['one']['freed_bytes'] < 1 << 20
    space = json.loads(sstfs('space', '--json', place.mnt).stdout)
    assert space['snapshots'] > 32 << 20 and space['live'] < 8 << 20, space
    assert space['total'] == sum(space[name] for name in space if name != 'total')
    taken = int(run('du', '-s', '-B1', place.store, code=None).stdout.split()[0])
    assert abs(space['total'] - taken) < 64 << 10, (space, taken)
    both = sstfs('snapshot', 'delete', '-n', place.mnt, 'one', 'two').stdout
    assert 'MiB would return' in both, both
    sstfs('snapshot', 'delete', '-n', place.mnt, 'one', 'none', code=4)

    def used():  # files go meanwhile: du may complain
        return int(run('du', '-sk', place.store, code=None).stdout.split()[0])
    before = used()
    sstfs('snapshot', 'delete', place.mnt, 'one', 'two')
    wait_until(lambda: before - used() > 30 << 10, 'the space of two snapshots')


WRITER = '''
import os, sys
top = sys.argv[1]
os.mkdir(top + '/a'); os.mkdir(top + '/b')
log = os.open(top + '/log', os.O_CREAT | os.O_WRONLY | os.O_APPEND)
number = 0
while True:
    with open(f'{top}/a/{number:06}', 'w') as file:
        file.write(str(number) * 50)
    os.link(f'{top}/a/{number:06}', f'{top}/b/{number:06}')
    os.write(log, f'{number:06}\\n'.encode())
    if number >= 20:
        os.unlink(f'{top}/b/{number - 20:06}')
    number += 1
'''


def check_prefix(tree):
    """What the writer had done when it was stopped between any two of its calls."""
    log = (tree / 'log').read_text().split()
    a, b = sorted(os.listdir(tree / 'a')), sorted(os.listdir(tree / 'b'))
    assert log == [f'{i:06}' for i in range(len(log))]
    assert a == [f'{i:06}' for i in range(len(a))] and len(a) - len(log) in (0, 1), (a, log)
    assert b == [f'{i:06}' for i in range(len(a) - len(b), len(a))] or len(a) > len(log) and \
        b == [f'{i:06}' for i in range(len(log) - len(b), len(log))], (a, b, log)
    assert len(log) < 20 or 20 <= len(b) <= 21, b
    for name in a[:-1]:
        assert (tree / 'a' / name).read_text() == str(int(name)) * 50
    return len(log)


def a_snapshot_under_load_is_a_prefix(place):
    place.mount()
    other = place.top / 'other'
    other.mkdir()
    with subprocess.Popen([sys.executable, '-c', WRITER, place.mnt]) as writer:
        try:
            wait_until((place.mnt / 'log').exists, 'the writer')
            for i in range(4):
                least = (place.mnt / 'log').stat().st_size + 200
                wait_until(lambda: (place.mnt / 'log').stat().st_size > least, 'the writer')
                place.snapshot(f'tag{i}')
        finally:
            writer.kill()
    counts = []
    for i in range(4):
        run('cp', '-r', place.mnt / '.snapshots' / f'tag{i}', place.top / f'copy{i}')
        place.mount('ro', store=place.top / f'copy{i}', mnt=other)
        counts.append(check_prefix(other))
        place.umount(other)
    assert counts == sorted(counts) and counts[0] > 0, counts


def create_takes_what_mmap_has_dirtied(place):
    place.mount()
    path = place.mnt / 'mapped'
    path.write_bytes(bytes(1 << 20))
    other = place.top / 'other'
    other.mkdir()
    with open(path, 'r+b') as file, mmap.mmap(file.fileno(), 0) as mapped:
        mapped[5000:5005] = b'dirty'
        sstfs('snapshot', 'create', place.mnt, 'one')
        folder = place.mnt / '.snapshots' / 'one'
        (folder / 'SHA256SUMS').read_bytes()
    run('cp', '-r', folder, place.top / 'copy')
    place.mount('ro', store=place.top / 'copy', mnt=other)
    assert (other / 'mapped').read_bytes()[5000:5005] == b'dirty'
    place.umount(other)


if __name__ == '__main__':
    sys.exit(support.main([
        a_held_snapshot_stays,
        holds_and_expiry_are_attributes_of_the_tag,
        a_snapshot_expires_unless_it_is_held_or_open,
        prune_keeps_what_the_rules_say,
        sizes_add_up_and_come_back,
        a_snapshot_under_load_is_a_prefix,
        create_takes_what_mmap_has_dirtied,
    ]))
