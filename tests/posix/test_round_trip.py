#!/usr/bin/env python3
"""Goal: what goes in comes out: of the mount, of the next mount, and after the daemon was killed.
Method: copy a tree of every kind of file in, compare it with the original, remount or kill, compare
again; let `sstfs verify` prove the store.
"""
import os
import random
import stat
import sys
from pathlib import Path

import support
from support import run, same_tree, sstfs


def make_tree(top, seed=1):
    """Files of many sizes, holes, links of both kinds, odd names, modes, times, attributes."""
    chance = random.Random(seed)
    top.mkdir()
    sizes = [0, 1, 4095, 4096, 4097, 8191, 8192, 8193, 65536, 131071, 131072, 131073, 1 << 20,
             (1 << 20) + 1, 5_000_001]
    for i, size in enumerate(sizes):
        folder = top / f'sizes{i % 4}' / 'deep' / 'er'
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f'{size}').write_bytes(chance.randbytes(size))
    many = top / 'many'
    many.mkdir()
    for i in range(1500):
        (many / f'{chance.randrange(1 << 40):x}').write_bytes(chance.randbytes(chance.randrange(300)))
    names = top / 'names'
    names.mkdir()
    for name in [b'a b', b'\xff\xfe', 'näme'.encode(), b'x' * 255, b'-rf', b"'\"\\\n\t", b'...']:
        Path(os.fsdecode(os.fsencode(names) + b'/' + name)).write_bytes(name)
    (top / 'empty').mkdir()
    links = top / 'links'
    links.mkdir()
    (links / 'one').write_text('shared')
    os.link(links / 'one', links / 'two')
    os.link(links / 'one', top / 'three')
    (links / 'symlink').symlink_to('one')
    (links / 'dangling').symlink_to('/nowhere/' + 'x' * 3000)
    with open(top / 'sparse', 'wb') as file:
        file.seek(3 << 20)
        file.write(b'end')
        file.truncate(9 << 20)
    os.mkfifo(top / 'fifo')
    (top / 'script').write_text('#!/bin/sh\n')
    (top / 'script').chmod(0o755)
    (top / 'secret').write_text('x')
    (top / 'secret').chmod(0o600)
    os.setxattr(top / 'script', 'user.colour', b'blue\0green')
    os.setxattr(top / 'many', 'user.empty', b'')
    if os.geteuid() == 0:
        os.chown(top / 'secret', 1234, 4321)
        os.mknod(top / 'null', stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.utime(top / 'script', ns=(1_000_000_001, 1_234_567_890_123_456_789))
    os.utime(top / 'empty', ns=(0, -1_000_000_001))


def a_tree_comes_out_as_it_went_in(place):
    make_tree(place.top / 'tree')
    place.mount()
    run('cp', '-a', place.top / 'tree', place.mnt / 'tree')
    same_tree(place.top / 'tree', place.mnt / 'tree')
    place.remount()
    same_tree(place.top / 'tree', place.mnt / 'tree')
    place.umount()
    support.no_damage(place.store)


def a_killed_daemon_loses_nothing_acknowledged(place):
    make_tree(place.top / 'tree')
    place.mount()
    run('cp', '-a', place.top / 'tree', place.mnt / 'tree')
    place.kill()
    place.mount()
    same_tree(place.top / 'tree', place.mnt / 'tree')
    place.kill()
    place.mount()
    same_tree(place.top / 'tree', place.mnt / 'tree')
    place.umount()
    support.no_damage(place.store)


def changes_after_a_flush_shadow_what_was_flushed(place):
    make_tree(place.top / 'tree')
    place.mount()
    run('cp', '-a', place.top / 'tree', place.mnt / 'tree')
    sstfs('flush', place.mnt)
    for top in place.top / 'tree', place.mnt / 'tree':
        many = sorted((top / 'many').iterdir())
        for path in many[::3]:
            path.unlink()
        for path in many[1::3]:
            path.rename(path.with_name(path.name + '.renamed'))
        with open(next(top.glob(f'sizes*/deep/er/{1 << 20}')), 'r+b') as file:
            file.seek(70_000)
            file.write(b'changed' * 1000)
            file.truncate(900_000)
        (top / 'links' / 'two').unlink()
    same_tree_but_times(place.top / 'tree', place.mnt / 'tree')
    sstfs('flush', place.mnt)
    place.kill()
    place.mount()
    same_tree_but_times(place.top / 'tree', place.mnt / 'tree')
    sstfs('compact', place.mnt)
    same_tree_but_times(place.top / 'tree', place.mnt / 'tree')
    place.umount()
    support.no_damage(place.store)


def same_tree_but_times(a, b):
    done = run('rsync', '-rlpgoDHXnic', '--delete', f'{a}/', f'{b}/')
    assert not done.stdout.strip(), done.stdout


def everything_can_be_removed_again(place):
    make_tree(place.top / 'tree')
    place.mount()
    run('cp', '-a', place.top / 'tree', place.mnt / 'tree')
    sstfs('flush', place.mnt)
    run('rm', '-rf', place.mnt / 'tree')
    assert os.listdir(place.mnt) == []
    place.remount()
    assert os.listdir(place.mnt) == []
    sstfs('compact', place.mnt)
    assert os.listdir(place.mnt) == []
    place.umount()
    support.no_damage(place.store)


def two_writers_at_once_do_not_disturb_each_other(place):
    make_tree(place.top / 'a', seed=2)
    make_tree(place.top / 'b', seed=3)
    place.mount()
    import subprocess
    copies = [subprocess.Popen(['cp', '-a', place.top / name, place.mnt / name]) for name in 'ab']
    for copy in copies:
        assert copy.wait() == 0
    same_tree(place.top / 'a', place.mnt / 'a')
    same_tree(place.top / 'b', place.mnt / 'b')


if __name__ == '__main__':
    sys.exit(support.main([
        a_tree_comes_out_as_it_went_in,
        a_killed_daemon_loses_nothing_acknowledged,
        changes_after_a_flush_shadow_what_was_flushed,
        everything_can_be_removed_again,
        two_writers_at_once_do_not_disturb_each_other,
    ]))
