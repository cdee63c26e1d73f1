#!/usr/bin/env python3
"""Goal: whatever is wrong with a backup, or while it is made, is said in one clear line with a fitting
exit code, and what was good before is good after.
Method: copies that have lost a file, one of each kind; destinations that take nothing; programs that
are missing; a backup that is told to end.
"""
import os
import shutil
import sys

import support
from support import Failed, run, sstfs

COMPONENTS = ('Data.db', 'Index.db', 'Filter.db', 'Summary.db', 'Statistics.db',
              'CompressionInfo.db', 'Digest.crc32', 'TOC.txt')


def one_line(done):
    if len(done.stderr.splitlines()) != 1 or not done.stderr.startswith('sstfs: '):
        raise Failed(f'not one clear line:\n{done.stderr}')
    return done.stderr


def copied(place):
    """A copy of a snapshot of a few files."""
    place.mount()
    for i in range(8):
        (place.mnt / f'file{i}').write_bytes(os.urandom(20000))
    copy = place.top / 'copy'
    run('cp', '-a', place.snapshot('one'), copy)
    return copy


def a_file_missing_in_a_copy_is_named(place):
    copy, new, mnt = copied(place), place.top / 'new', place.top / 'copy-mnt'
    mnt.mkdir()
    for kind in COMPONENTS:
        path = next(copy.glob(f'sstfs/blocks-*/nb-*-{kind}'))
        path.rename(place.top / 'aside')
        assert path.name in sstfs('verify', copy, code=1).stdout, kind
        assert path.name in one_line(sstfs('init', '--from', copy, new, code=1))
        assert os.listdir(new) == []
        assert path.name in one_line(place.mount('ro', store=copy, mnt=mnt))
        assert len(os.listdir(mnt)) == 8  # what does not need it can be read
        place.umount(mnt)
        with open(path, 'wb') as half:
            half.write((place.top / 'aside').read_bytes()[:-1])
        sstfs('verify', copy, code=1)
        assert path.name in one_line(sstfs('init', '--from', copy, new, code=1))
        (place.top / 'aside').rename(path)
    path = next(copy.glob('sstfs/blocks-*/nb-*-Data.db'))
    path.rename(place.top / 'aside')
    one_line(sstfs('cat', f'{copy}:file3', code=1))
    (place.top / 'aside').rename(path)
    support.no_damage(copy)
    assert place.mount('ro', store=copy, mnt=mnt).stderr == ''


def a_copy_without_its_lists_is_not_taken_for_a_whole_one(place):
    copy, mnt = copied(place), place.top / 'copy-mnt'
    mnt.mkdir()
    (copy / 'SHA256SUMS').rename(place.top / 'aside')
    assert 'SHA256SUMS is missing' in sstfs('verify', copy, code=1).stdout
    (place.top / 'aside').rename(copy / 'SHA256SUMS')
    (copy / 'snapshot.json').rename(place.top / 'aside')
    for command in (['verify', copy], ['ls', copy], ['cat', f'{copy}:file3'],
                    ['init', '--from', copy, place.top / 'new'], ['mount', '-o', 'ro', copy, mnt],
                    ['scrub', copy]):
        assert 'snapshot.json' in one_line(sstfs(*command, code=8))
    shutil.copy(place.top / 'aside', copy / 'snapshot.json')
    text = (copy / 'snapshot.json').read_text()
    (copy / 'snapshot.json').chmod(0o600)
    (copy / 'snapshot.json').write_text(text[:len(text) // 2])
    for command in (['verify', copy], ['ls', copy], ['init', '--from', copy, place.top / 'new'],
                    ['mount', '-o', 'ro', copy, mnt]):
        assert 'snapshot.json: line' in one_line(sstfs(*command, code=1))


if __name__ == '__main__':
    sys.exit(support.main([
        a_file_missing_in_a_copy_is_named,
        a_copy_without_its_lists_is_not_taken_for_a_whole_one,
    ]))
