#!/usr/bin/env python3
"""Goal: a store whose manifest is lost, or whose log has a hole, is named as such with what helps,
is mended only when that is wanted, and then mounts with all that was acknowledged.
Method: trees compared with a copy, of stores that were unmounted and of some whose daemon was killed.
"""
import os
import shutil
import sys
from pathlib import Path

import support
from support import run, same_tree, sstfs


def filled(place):
    """Files that come, change and go, over several lives of the daemon; a copy of what is left."""
    copy = place.top / 'copy'
    place.mount()
    for life in range(4):
        folder = place.mnt / f'life{life}'
        folder.mkdir()
        for i in range(60):
            (folder / f'file{i}').write_bytes(os.urandom(200 * (i % 9 + 1) * (60 if i % 7 == 0 else 1)))
        sstfs('flush', place.mnt)
        if life > 0:
            shutil.rmtree(place.mnt / f'life{life - 1}')
            sstfs('flush', place.mnt)
            sstfs('compact', place.mnt)
        if life == 2:
            place.snapshot('two')
        place.remount()
    for i in range(20):
        (place.mnt / f'late{i}').write_bytes(os.urandom(5000))
    run('cp', '-a', place.mnt, copy)
    return copy


def lose_manifest(place):
    for path in (place.store / 'manifest').iterdir():
        path.unlink()


def rebuilt(place):
    done = place.mount(code=1)
    words = [line for line in done.stderr.splitlines() if 'dead mount' not in line]
    assert len(words) == 1 and 'sstfs repair --manifest' in words[0], done.stderr
    before = sorted(str(path) for path in place.store.rglob('*'))
    done = sstfs('repair', '--manifest', place.store, code=2, stdin=-3)
    assert 'nothing is done' in done.stderr and 'LOSS' not in done.stdout, done
    done = sstfs('repair', '--manifest', '-n', place.store, code=1)
    assert 'dirents: ' in done.stdout and 'log: ' in done.stdout, done.stdout
    assert before == sorted(str(path) for path in place.store.rglob('*'))
    done = sstfs('repair', '--manifest', '--yes', place.store)
    assert 'LOSS' not in done.stdout, done.stdout
    support.no_damage(place.store)
    place.mount()


def an_unmounted_store_is_rebuilt(place):
    copy = filled(place)
    place.umount()
    lose_manifest(place)
    rebuilt(place)
    same_tree(copy, place.mnt)
    assert 'two' in sstfs('snapshot', 'list', place.mnt).stdout
    assert sorted(os.listdir(place.mnt / '.past' / 'two')) == ['life2']
    (place.mnt / 'more').write_bytes(b'more')
    place.umount()
    support.no_damage(place.store)


def a_store_whose_daemon_died_is_rebuilt(place):
    copy = filled(place)
    run('sync', '-f', place.mnt, code=None)
    place.kill()
    lose_manifest(place)
    (place.store / 'manifest').rmdir()
    rebuilt(place)
    same_tree(copy, place.mnt)
    # And once more, of the store that was rebuilt.
    shutil.rmtree(place.mnt / 'life3')
    shutil.rmtree(copy / 'life3')
    place.kill()
    lose_manifest(place)
    rebuilt(place)
    same_tree(copy, place.mnt)
    place.umount()


def a_store_that_is_mounted_is_left_alone(place):
    place.mount()
    done = sstfs('repair', '--manifest', '-y', place.store, code=9)
    assert 'is mounted' in done.stderr, done.stderr
    place.umount()
    for what in ['--manifest', '--log']:
        assert 'nothing to repair' in sstfs('repair', what, place.store).stdout
    sstfs('repair', place.store, code=2)
    sstfs('repair', '--log', place.top, code=8)
    sstfs('repair', '--log', place.top / 'nowhere', code=4)


def first_batches(place):
    """Offset of the second file's record, by what its name is in: names lie in the log as they are."""
    path = next(p for p in (place.store / 'commitlog').iterdir()
                if p.name.startswith('r') and b'second-file' in p.read_bytes())
    return path, path.read_bytes().index(b'second-file')


def make_a_hole(place):
    """A store whose daemon was killed, and in whose log the second of three files is damaged."""
    place.mount()
    place.remount()
    for name in ['first-file', 'second-file', 'third-file']:
        (place.mnt / name).write_bytes(name.encode())
        fd = os.open(place.mnt / name, os.O_RDONLY)
        os.fsync(fd)
        os.close(fd)
    place.kill()
    path, offset = first_batches(place)
    with open(path, 'r+b') as file:
        file.seek(offset)
        file.write(b'S')


def a_hole_in_the_log_is_mended_when_told_so(place):
    make_a_hole(place)
    done = place.mount(code=1)
    assert 'commit log is damaged' in done.stderr and 'sstfs repair --log' in done.stderr
    done = sstfs('repair', '--log', place.store, code=2, stdin=-3)
    assert 'LOSS: log: ' in done.stdout and 'nothing is done' in done.stderr, done
    sstfs('repair', '--log', '-y', place.store)
    assert any(Path(place.store / 'lost').iterdir())
    place.mount()
    assert (place.mnt / 'first-file').read_bytes() == b'first-file'
    assert (place.mnt / 'third-file').read_bytes() == b'third-file'
    place.umount()


if __name__ == '__main__':
    sys.exit(support.main([
        an_unmounted_store_is_rebuilt,
        a_store_whose_daemon_died_is_rebuilt,
        a_store_that_is_mounted_is_left_alone,
        a_hole_in_the_log_is_mended_when_told_so,
    ]))
