#!/usr/bin/env python3
"""Goal: `sstfs check` proves a healthy store clean, names each kind of damage, and writes nothing
unless it is told to repair; as fsck.sstfs it answers as fsck(8) wants.
Method: stores that are damaged in one place each. (Of the tree's invariants: unit/fs, verify.)
"""
import hashlib
import os
import shutil
import subprocess
import sys

import support
from support import SSTFS, Failed, sstfs
from test_repair import make_a_hole


def state_of(folder):
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(folder.rglob('*')) if path.is_file()}


def filled(place):
    place.mount()
    for i in range(40):
        (place.mnt / f'file{i}').write_bytes(os.urandom(9000 if i % 2 else 3000))
    (place.mnt / 'folder').mkdir()
    os.link(place.mnt / 'file0', place.mnt / 'folder' / 'link')
    place.snapshot('one')
    shutil.rmtree(place.mnt / 'folder')
    for i in range(20):
        (place.mnt / f'file{i}').unlink()
    sstfs('flush', place.mnt)


def fsck(*arguments, code):
    link = os.path.join(os.path.dirname(arguments[-1]), 'fsck.sstfs')
    if not os.path.lexists(link):
        os.symlink(os.path.abspath(SSTFS), link)
    done = subprocess.run([link, *map(str, arguments)], text=True, capture_output=True,
                          stdin=subprocess.DEVNULL, timeout=120)
    if done.returncode != code:
        raise Failed(f'fsck.sstfs {arguments}: {done.returncode}, want {code}\n{done.stdout}'
                     f'{done.stderr}')
    return done


def flip(path, offset=None):
    content = bytearray(path.read_bytes())
    content[len(content) // 2 if offset is None else offset] ^= 0x10
    path.chmod(0o600)
    path.write_bytes(content)


def lose_manifest(place):
    for path in (place.store / 'manifest').iterdir():
        path.unlink()


def a_healthy_store_is_clean(place):
    filled(place)
    assert 'is mounted' in sstfs('check', place.store, code=9).stderr
    fsck('-a', place.store, code=8)
    place.kill()
    before = state_of(place.store)
    for command in [('check',), ('check', '-n')]:
        done = sstfs(*command, place.store)
        assert '1 snapshots: no damage' in done.stdout, done.stdout
    assert 'manifest and log are good' in fsck('-a', place.store, code=0).stdout
    fsck('-a', '-f', '-C0', place.store, code=0)
    fsck(place.store, code=0)
    assert state_of(place.store) == before
    place.mount()
    place.umount()
    sstfs('check', place.store)


def a_store_just_made_is_whole(place):
    store = place.top / 'new'
    sstfs('init', store)
    before = state_of(store)
    assert 'no damage' in sstfs('check', store).stdout
    assert 'no damage' in sstfs('verify', store).stdout
    assert sstfs('ls', store).stdout == ''
    assert state_of(store) == before
    place.store = store
    place.mount('ro')
    assert os.listdir(place.mnt) == []


def what_is_no_store_is_said(place):
    sstfs('check', place.top / 'nowhere', code=4)
    sstfs('check', place.top, code=8)
    sstfs('check', code=2)
    fsck('-a', place.top / 'nowhere', code=8)
    fsck('-x', place.top / 'nowhere', code=16)


def a_lost_manifest_is_named_and_mended_when_told_so(place):
    filled(place)
    place.umount()
    lose_manifest(place)
    before = state_of(place.store)
    done = sstfs('check', place.store, code=1)
    assert "damage: it does not open: the folder 'manifest' holds none" in done.stdout, done.stdout
    fsck('-n', place.store, code=4)
    fsck(place.store, code=4)  # there is no terminal to be asked on
    assert state_of(place.store) == before
    fsck('-a', place.store, code=1)  # nothing is lost by it
    fsck('-a', place.store, code=0)
    sstfs('check', place.store)
    lose_manifest(place)
    sstfs('check', '-y', place.store)
    place.mount()
    assert len(os.listdir(place.mnt)) == 20
    place.umount()


def a_hole_in_the_log_is_named(place):
    make_a_hole(place)
    done = sstfs('check', place.store, code=1)
    assert 'damage: it does not open: commit log is damaged' in done.stdout, done.stdout
    fsck('-p', place.store, code=4)  # something is lost by it
    done = sstfs('check', '-y', place.store, code=None)
    assert 'LOSS: log' in done.stdout and 'is repaired' in done.stdout, done.stdout
    # The file is not there, its content is.
    done = sstfs('check', place.store, code=1)
    assert 'belongs to no file' in done.stdout, done.stdout
    place.mount()
    assert (place.mnt / 'first-file').read_bytes() == b'first-file'
    place.umount()


def a_damaged_sstable_is_named(place):
    filled(place)
    place.umount()
    victim = next((place.store / 'data' / 'sstfs').glob('small-*/nb-*-Data.db'))
    flip(victim)
    done = sstfs('check', place.store, code=1)
    assert f"damage: small {victim.name.rsplit('-', 1)[0]}" in done.stdout, done.stdout
    fsck('-y', place.store, code=4)


def a_damaged_snapshot_is_named(place):
    filled(place)
    sstfs('compact', place.mnt)
    place.umount()
    place.mount()  # which deletes what was compacted
    place.umount()
    live = {path.name for path in (place.store / 'data' / 'sstfs').glob('*/*')}
    victim = next(path for path in (place.store / 'snapshots' / 'one').glob('sstfs/*/*-Data.db')
                  if path.name not in live)
    flip(victim)
    done = sstfs('check', place.store, code=1)
    assert "damage: snapshot 'one': " in done.stdout, done.stdout
    assert victim.name.rsplit('-', 1)[0] in done.stdout, done.stdout
    (place.store / 'snapshots' / 'one' / 'snapshot.json').unlink()
    done = sstfs('check', place.store, code=1)
    assert "damage: snapshot 'one': it does not open" in done.stdout, done.stdout


if __name__ == '__main__':
    sys.exit(support.main([
        a_healthy_store_is_clean,
        a_store_just_made_is_whole,
        what_is_no_store_is_said,
        a_lost_manifest_is_named_and_mended_when_told_so,
        a_hole_in_the_log_is_named,
        a_damaged_sstable_is_named,
        a_damaged_snapshot_is_named,
    ]))
