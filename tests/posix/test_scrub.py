#!/usr/bin/env python3
"""Goal: damage on the disk is found by scrub, named, and healed from any copy that holds the same
SSTable, wherever it is linked, while the store serves.
Method: one bit flipped in each kind of component, of a store that is mounted and of a copy.
"""
import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
import time

import support
from support import run, sstfs


def flip(path, places=(0.5,)):
    """On the disk, past the hard links' modes: all names of the file see it."""
    content = bytearray(path.read_bytes())
    for place in places:
        content[int(len(content) * place)] ^= 0x10
    mode = path.stat().st_mode
    path.chmod(0o600)
    with open(path, 'r+b') as file:
        file.write(content)
    path.chmod(mode)


def components(folder):
    """One of each kind, of the table with most in it."""
    return sorted(next(folder.glob('blocks-*/nb-*-Data.db')).parent.glob(
        next(folder.glob('blocks-*/nb-*-Data.db')).name.replace('Data.db', '*')))


def filled(place):
    place.mount()
    for i in range(30):
        (place.mnt / f'file{i}').write_bytes(os.urandom(40000))
    folder = place.snapshot('one')
    run('cp', '-a', folder, place.top / 'copy')
    return place.top / 'copy'


def a_damaged_component_is_healed(place):
    copy = filled(place)
    data = place.store / 'data' / 'sstfs'
    assert 'damage:' not in sstfs('scrub', place.mnt).stdout
    kinds = components(data)
    assert len(kinds) >= 8, kinds
    for path in kinds:
        flip(path)
        done = sstfs('scrub', place.mnt, code=1)
        assert path.name.rsplit('-', 1)[0] in done.stdout, done.stdout
        done = sstfs('scrub', '--repair-from', copy, place.mnt)
        assert '1 damaged, 1 healed' in done.stdout, (path, done.stdout, done.stderr)
        tag = place.store / 'snapshots' / 'one' / 'sstfs' / path.parent.name / path.name
        assert path.read_bytes() == (copy / 'sstfs' / path.parent.name / path.name).read_bytes()
        assert os.path.samefile(path, tag)
        assert all((place.mnt / f'file{i}').stat().st_size == 40000 for i in range(30))
    sstfs('compact', place.mnt)
    place.umount()
    support.no_damage(place.store)
    # A copy is healed from the store as well.
    victim = components(copy / 'sstfs')[1]
    flip(victim)
    sstfs('verify', copy, code=1)
    sstfs('scrub', '--repair-from', place.store, copy, code=1)  # which has compacted it away
    place.mount()
    sstfs('scrub', '--repair-from', place.mnt / '.snapshots' / 'one', copy)
    support.no_damage(copy)


def a_lost_component_is_healed(place):
    copy = filled(place)
    kinds = components(place.store / 'data' / 'sstfs')
    assert len(kinds) == 8 and any(path.name.endswith('TOC.txt') for path in kinds), kinds
    for is_mounted in True, False:
        where = place.mnt if is_mounted else place.store
        if not is_mounted:
            place.umount()
        for path in kinds:
            wanted, kind = path.read_bytes(), path.name.split('-big-')[1]
            tag = place.store / 'snapshots' / 'one' / 'sstfs' / path.parent.name / path.name
            for lost in path, tag, copy / 'sstfs' / path.parent.name / path.name:
                is_copy = lost.is_relative_to(copy)
                lost.unlink()
                if not is_mounted and lost == path:
                    assert kind in sstfs('check', place.store, code=1).stdout, lost
                if is_copy or lost == tag:
                    folder = copy if is_copy else tag.parents[2]
                    assert kind in sstfs('verify', folder, code=1).stdout, lost
                else:
                    assert kind in sstfs('scrub', where, code=1).stdout, lost
                source, target = (place.store / 'snapshots' / 'one', copy) if is_copy else (copy, where)
                done = sstfs('scrub', '--repair-from', source, target)
                assert '1 damaged, 1 healed' in done.stdout and kind in done.stdout, (lost, done)
                assert lost.read_bytes() == wanted
                assert '0 damaged' in sstfs('scrub', target).stdout, lost
    sstfs('check', place.store)
    support.no_damage(copy)


def a_tag_that_did_not_hold_it_does_not_after_healing(place):
    place.mount()
    names = lambda folder: {path.name for path in folder.rglob('nb-*')}
    for name in 'old', 'new':
        (place.mnt / name).write_bytes(os.urandom(40000))
        place.snapshot(name)
    old, new = (place.store / 'snapshots' / name for name in ('old', 'new'))
    run('cp', '-a', new, place.top / 'copy')
    before = names(old)
    victim = next(path for path in new.rglob('blocks-*/nb-*-Data.db') if path.name not in before)
    flip(victim)
    assert '1 healed' in sstfs('scrub', '--repair-from', place.top / 'copy', place.mnt).stdout
    assert names(old) == before and names(new) == names(place.top / 'copy')
    support.no_damage(old)


def an_sstable_that_goes_while_it_is_read_is_no_damage(place):
    """As one that a compaction replaces: a lease on it tells when scrub begins to read."""
    filled(place)
    kinds = components(place.store / 'data' / 'sstfs')
    number = kinds[0].name.split('-')[1]
    other = number[:-1] + ('1' if number[-1] == '0' else '0')
    gone = []
    for path in kinds:
        gone.append(path.with_name(path.name.replace(number, other)))
        gone[-1].write_bytes(path.read_bytes())
    data = next(path for path in gone if path.name.endswith('-Data.db'))
    flip(data)
    assert '1 damaged' in sstfs('scrub', place.mnt, code=1).stdout
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGIO])
    with open(data, 'r+b') as file:
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        with subprocess.Popen([support.SSTFS, 'scrub', place.mnt], stdout=subprocess.PIPE, text=True) as scrub:
            assert signal.sigtimedwait([signal.SIGIO], support.WAIT_S), 'scrub never looked at it'
            for path in gone:
                path.unlink()
            fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK)
            told = scrub.stdout.read()
    assert scrub.returncode == 0 and ' 0 damaged' in told, told


def a_list_of_components_that_is_wrong_is_found(place):
    copy = filled(place)
    place.umount()
    toc = next(path for path in components(place.store / 'data' / 'sstfs') if path.name.endswith('TOC.txt'))
    for wrong in 'Filter.db\n', '', toc.read_text().replace('Filter.db\n', ''), toc.read_text() + 'CRC.db\n':
        toc.chmod(0o600)
        toc.write_text(wrong)
        assert toc.name in sstfs('check', place.store, code=1).stdout, wrong
        assert '1 damaged' in sstfs('scrub', place.store, code=1).stdout, wrong
        assert '1 healed' in sstfs('scrub', '--repair-from', copy, place.store).stdout, wrong
    sstfs('check', place.store)


def reads_go_on_after_healing(place):
    copy = filled(place)
    place.remount()
    wanted = (place.mnt / 'file7').read_bytes()
    place.remount()
    flip(next(path for path in components(place.store / 'data' / 'sstfs') if 'Data.db' in path.name))
    failed = 0
    for i in range(30):
        try:
            (place.mnt / f'file{i}').read_bytes()
        except OSError:
            failed += 1
    assert failed > 0
    sstfs('scrub', '--repair-from', copy, place.mnt)
    for i in range(30):
        assert len((place.mnt / f'file{i}').read_bytes()) == 40000
    assert (place.mnt / 'file7').read_bytes() == wanted


def the_past_is_read_again_after_healing(place):
    copy = filled(place)
    past = place.mnt / '.past' / 'one'
    wanted = [(place.mnt / f'file{i}').read_bytes() for i in range(30)]
    for is_shared in True, False:  # with the live tree, until compaction; of the tag alone
        place.remount()  # nothing is cached
        directory = os.open(past, os.O_RDONLY)
        if not is_shared:
            assert (past / 'file0').read_bytes() == wanted[0]
        else:
            for i in range(30):
                (place.mnt / f'file{i}').write_bytes(os.urandom(40000))
            sstfs('flush', place.mnt)
            sstfs('compact', place.mnt)
        folder = place.store / 'snapshots' / 'one' / 'sstfs'
        # Twice: one of them may be where file0 was read, which is in the cache.
        flip(next(path for path in components(folder) if 'Data.db' in path.name), places=(0.25, 0.75))
        failed = []
        for i in range(1, 30):
            try:
                (past / f'file{i}').read_bytes()
            except OSError as error:
                assert error.errno == errno.EIO, error
                failed.append(i)
        assert failed
        sstfs('scrub', '--repair-from', copy, place.mnt)
        assert [(past / f'file{i}').read_bytes() for i in range(30)] == wanted
        os.close(directory)
    support.no_damage(place.mnt / '.snapshots' / 'one')


def whatever_is_flipped_in_a_copy_is_named_and_healed(place):
    copy = filled(place)
    whole = place.mnt / '.snapshots' / 'one'
    paths = sorted(path for path in copy.rglob('*') if path.is_file())
    assert len(paths) == 3 * 8 + 5 * 2 + 2, len(paths)
    for path in paths:
        flip(path)
        done = sstfs('verify', copy, code=1)
        if path.name != 'SHA256SUMS':  # of which it can only tell that something does not fit
            assert str(path.relative_to(copy)) in done.stdout + done.stderr, (path, done)
        assert 'damage: ' in sstfs('scrub', copy, code=1).stdout or path.name == 'SHA256SUMS'
        done = sstfs('scrub', '--repair-from', whole, copy)
        assert '1 damaged, 1 healed' in done.stdout and done.stderr == '', (path, done.stdout, done.stderr)
        support.no_damage(copy)
    for name in 'snapshot.json', 'SHA256SUMS':  # and in a tag, from the copy
        path = place.store / 'snapshots' / 'one' / name
        wanted = path.read_bytes()
        flip(path)
        assert '1 healed' in sstfs('scrub', '--repair-from', copy, place.mnt).stdout
        assert path.read_bytes() == wanted
    (copy / 'SHA256SUMS').unlink()
    (copy / 'snapshot.json').unlink()
    sstfs('scrub', copy, code=8)
    (copy / 'snapshot.json').write_bytes((whole / 'snapshot.json').read_bytes())
    assert 'SHA256SUMS: it is missing' in sstfs('scrub', copy, code=1).stdout
    sstfs('scrub', '--repair-from', whole, copy)
    support.no_damage(copy)


def another_snapshot_is_no_source_for_its_lists(place):
    copy = filled(place)
    (place.mnt / 'more').write_text('x')
    other = place.snapshot('two')
    before = {path: path.read_bytes() for path in copy.rglob('*') if path.is_file()}
    assert '0 damaged' in sstfs('scrub', '--repair-from', other, copy).stdout
    flip(copy / 'snapshot.json')
    flipped = (copy / 'snapshot.json').read_bytes()
    done = sstfs('scrub', '--repair-from', other, copy, code=1)
    assert '1 damaged, 0 healed' in done.stdout and len(done.stderr.splitlines()) == 1, done
    assert (copy / 'snapshot.json').read_bytes() == flipped
    flip(copy / 'snapshot.json')
    assert before == {path: path.read_bytes() for path in copy.rglob('*') if path.is_file()}


def an_interrupted_scrub_goes_on(place):
    filled(place)
    sstfs('scrub', place.mnt)
    dates = (place.store / 'scrub.log').read_text().splitlines()
    assert len(dates) >= 3 and all(abs(int(line.split()[1]) - time.time()) < 600 for line in dates)
    assert ' 0 checked' in sstfs('scrub', '--older-than', '1h', place.mnt).stdout
    (place.store / 'scrub.log').write_text('\n'.join(dates[1:]) + '\n')
    assert ' 1 checked' in sstfs('scrub', '--older-than', '1h', place.mnt).stdout
    place.umount()
    assert ' 0 checked' in sstfs('scrub', '--older-than', '1h', place.store).stdout
    sstfs('scrub', '--older-than', 'x', place.store, code=2)
    sstfs('scrub', place.top, code=8)
    sstfs('scrub', place.top / 'none', code=4)
    sstfs('scrub', '--repair-from', place.top / 'none', place.store, code=4)


def a_copy_that_is_damaged_too_heals_nothing(place):
    copy = filled(place)
    data = next(path for path in components(place.store / 'data' / 'sstfs') if 'Data.db' in path.name)
    before = data.stat().st_ino
    flip(data)
    flip(next(path for path in components(copy / 'sstfs') if 'Data.db' in path.name))
    done = sstfs('scrub', '--repair-from', copy, place.mnt, code=1)
    assert len(done.stderr.splitlines()) == 1 and 'the copy in' in done.stderr, done.stderr
    assert data.stat().st_ino == before
    flip(data)  # as it was
    assert json.loads(sstfs('stats', '--json', place.mnt).stdout)['snapshots'] == 1


if __name__ == '__main__':
    sys.exit(support.main([
        a_damaged_component_is_healed,
        a_lost_component_is_healed,
        a_tag_that_did_not_hold_it_does_not_after_healing,
        an_sstable_that_goes_while_it_is_read_is_no_damage,
        a_list_of_components_that_is_wrong_is_found,
        whatever_is_flipped_in_a_copy_is_named_and_healed,
        another_snapshot_is_no_source_for_its_lists,
        reads_go_on_after_healing,
        the_past_is_read_again_after_healing,
        an_interrupted_scrub_goes_on,
        a_copy_that_is_damaged_too_heals_nothing,
    ]))
