#!/usr/bin/env python3
"""Goal: whatever is wrong with a backup, or while it is made, is said in one clear line with a fitting
exit code, and what was good before is good after.
Method: copies that have lost a file, one of each kind; destinations that take nothing; programs that
are missing; a backup that is told to end.
"""
import json
import os
import shutil
import signal
import subprocess
import sys

import support
from support import Failed, copied_snapshot, run, sstfs

COMPONENTS = ('Data.db', 'Index.db', 'Filter.db', 'Summary.db', 'Statistics.db',
              'CompressionInfo.db', 'Digest.crc32', 'TOC.txt')


def one_line(done):
    if len(done.stderr.splitlines()) != 1 or not done.stderr.startswith('sstfs: '):
        raise Failed(f'not one clear line:\n{done.stderr}')
    return done.stderr


def a_file_missing_in_a_copy_is_named(place):
    copy, new, mnt = copied_snapshot(place), place.top / 'new', place.top / 'copy-mnt'
    mnt.mkdir()
    for kind in COMPONENTS:
        path = next(copy.glob(f'sstfs/blocks-*/nb-*-{kind}'))
        path.rename(place.top / 'aside')
        assert path.name in sstfs('verify', copy, code=1).stdout, kind
        assert path.name in one_line(sstfs('init', '--from', copy, new, code=1))
        assert not new.exists()
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
    copy, mnt = copied_snapshot(place), place.top / 'copy-mnt'
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
    (copy / 'snapshot.json').write_text(text.replace('"blocks"', '"blockr"'))  # one bit
    done = sstfs('verify', copy, code=1)
    one_line(done)
    assert 'snapshot.json: its SHA-256' in done.stdout, done.stdout
    one_line(sstfs('init', '--from', copy, place.top / 'new', code=8))


def quick(folder, *options, code=0):
    return sstfs('verify', '--quick', *options, folder, code=code).stdout


def scramble(path):
    """Other bytes, as many."""
    path.chmod(0o600)
    path.write_bytes(bytes(byte ^ 1 for byte in path.read_bytes()))


def a_quick_look_at_a_copy_finds_what_is_not_there_and_reads_no_sstable(place):
    copy = copied_snapshot(place)
    assert 'in their sizes' in quick(copy)
    told = json.loads(quick(copy, '--json'))
    assert told['quick'] and told['sstables'] == 3 and told['findings'] == [] and 'files' not in told, told
    assert json.loads(sstfs('verify', '--json', copy).stdout)['quick'] is False
    gone = []
    for kind in COMPONENTS:
        path = next(copy.glob(f'sstfs/blocks-*/nb-*-{kind}'))
        content = path.read_bytes()
        path.chmod(0o600)
        path.write_bytes(content[:-1])
        assert f"{path.name}' has {len(content) - 1} bytes, not {len(content)}" in quick(copy, code=1)
        path.write_bytes(content + b'x')
        assert f"{path.name}' has {len(content) + 1} bytes, not {len(content)}" in quick(copy, code=1)
        path.write_bytes(content)
        assert 'in their sizes' in quick(copy)
        gone += [path, next(copy.glob(f'sstfs/dirents-*/nb-*-{kind}'))]
    (gone[0].parent / 'stranger').write_text('')
    assert f'stranger: sstfs/{gone[0].parent.name}/stranger\n' in quick(copy)
    for path in gone:
        path.rename(place.top / path.name)
    done = quick(copy, code=1)
    assert [path for path in gone if f"{path.name}' is missing" not in done] == [], done
    assert f': {len(gone)} findings' in done, done  # of each one line
    for path in gone:
        (place.top / path.name).rename(path)

    # What snapshot.json and the other lists say is proved; what SSTables hold is not.
    (copy / 'SHA256SUMS').rename(place.top / 'aside')
    assert 'SHA256SUMS is missing' in quick(copy, code=1)
    (place.top / 'aside').rename(copy / 'SHA256SUMS')
    path = next(copy.glob('sstfs/blocks-*/manifest.json'))
    path.rename(place.top / 'aside')
    assert 'manifest.json' in quick(copy, code=1)
    (place.top / 'aside').rename(path)
    text = (copy / 'snapshot.json').read_text()
    (copy / 'snapshot.json').chmod(0o600)
    (copy / 'snapshot.json').write_text(text.replace('"level": 0', '"level": 1'))  # one bit
    assert 'snapshot.json: its SHA-256' in quick(copy, code=1)
    (copy / 'snapshot.json').write_text(text)
    support.no_damage(copy)
    for path in copy.glob('sstfs/*/nb-*'):
        scramble(path)
    assert 'in their sizes' in quick(copy)
    sstfs('verify', copy, code=1)
    one_line(sstfs('verify', '--quick', '--all-sstables', copy, code=2))


def a_quick_look_at_a_store_goes_by_its_manifest(place):
    place.mount()
    for i in range(8):
        (place.mnt / f'file{i}').write_bytes(os.urandom(20000))
    sstfs('flush', place.mnt)
    (place.mnt / 'later').write_text('only in the log')
    one_line(sstfs('verify', '--quick', place.store, code=9))
    place.kill()
    assert 'in their sizes' in quick(place.store)
    for kind in COMPONENTS:
        path = next(place.store.glob(f'data/sstfs/blocks-*/nb-*-{kind}'))
        path.rename(place.top / 'aside')
        assert f"damage: 'data/sstfs/{path.parent.name}/{path.name}' is missing" in quick(place.store, code=1)
        (place.top / 'aside').rename(path)
        with open(path, 'ab') as longer:
            longer.write(b'x')
        # Of one it knows the size, of the others what they have together.
        want = f"{path.name}' has " if kind == 'Data.db' else 'bytes together, not '
        done = quick(place.store, code=1)
        assert path.name.removesuffix(kind) in done and want in done, done
        os.truncate(path, path.stat().st_size - 1)
    for path in place.store.glob('data/sstfs/*/nb-*'):
        scramble(path)
    assert 'in their sizes' in quick(place.store)
    sstfs('verify', place.store, code=1)


def filled(place, files=4, size=1 << 20):
    """A mount with some SSTables, and a destination."""
    place.mount()
    for i in range(files):
        (place.mnt / f'file{i}').write_bytes(os.urandom(size))
        sstfs('flush', place.mnt)
    sets = place.top / 'sets'
    sets.mkdir()
    return sets


def tags(place):
    return [one['tag'] for one in
            json.loads(sstfs('snapshot', 'list', '--json', place.mnt).stdout)]


def backup_failed(place, to, code, *options, **more):
    words = one_line(sstfs('backup', *options, place.mnt, to, code=code, **more))
    assert tags(place) == [], 'the tag that was made for it is left'
    return words


def one_more_set(place, sets):
    """Under a name of its own, though another be made within the second."""
    made = sstfs('backup', '--verify', place.mnt, sets).stdout.strip()
    whole = f'{made}-{len(os.listdir(sets))}'
    os.rename(made, whole)
    return whole


def a_destination_that_takes_nothing_is_said(place):
    sets = filled(place)
    whole = one_more_set(place, sets)
    (place.mnt / 'more').write_bytes(os.urandom(1 << 20))
    assert 'lies in what' in backup_failed(place, place.mnt, 2)
    (place.mnt / 'folder').mkdir()
    assert 'lies in what' in backup_failed(place, place.mnt / 'folder', 2)
    assert 'lies in what' in backup_failed(place, place.store / 'data', 2)
    backup_failed(place, place.mnt / 'more', 8)
    backup_failed(place, place.top / 'none', 4)
    backup_failed(place, sets, 4, '--tag', 'none')
    backup_failed(place, sets, 2, '--tag', 'no/tag')
    run('mount', '--bind', sets, sets)
    run('mount', '-o', 'remount,bind,ro', sets)
    assert 'Read-only' in backup_failed(place, sets, 7)
    run('umount', sets)
    assert os.listdir(sets) == [os.path.basename(whole)]
    support.no_damage(whole)


def facts_of(folder):
    return {path.relative_to(folder): (path.lstat().st_mtime_ns, path.is_file() and path.read_bytes())
            for path in folder.rglob('*')}


def a_destination_that_gets_full_keeps_the_sets_it_has(place):
    sets = filled(place)
    run('mount', '-t', 'tmpfs', '-o', 'size=6M', 'none', sets)
    place.snapshot('one')
    sstfs('backup', '--verify', '--tag', 'one', place.mnt, sets)
    first = sets / 'one'
    before = facts_of(first)
    for i in range(4):
        (place.mnt / f'more{i}').write_bytes(os.urandom(1 << 20))
        sstfs('flush', place.mnt)
    for _ in range(2):  # what the first try left is not in the way of the second
        words = one_line(sstfs('backup', '--keep-last', '1', place.mnt, sets, code=6))
        assert 'No space left' in words, words
        assert tags(place) == ['one']
        assert facts_of(first) == before
        support.no_damage(first)
        assert sorted(os.listdir(sets)) == ['incomplete', 'one']
    run('mount', '-o', 'remount,size=20M', sets)
    second = sstfs('backup', '--verify', place.mnt, sets).stdout.strip()
    assert sorted(os.listdir(sets)) == sorted(['one', os.path.basename(second)])
    assert facts_of(first) == before
    support.no_damage(first)
    support.no_damage(second)
    run('umount', sets)


def who_may_not_is_told_so(place):
    sets = filled(place)
    place.top.chmod(0o755)
    sets.chmod(0o755)

    def as_nobody():
        assert 'only root' in one_line(sstfs('backup', place.mnt, sets, code=7))
        assert 'only root' in one_line(sstfs('snapshot', 'create', place.mnt, 'mine', code=7))
        one_line(sstfs('restore', '--to', sets, place.mnt, 'one', 'file0', code=7))
        # What they may not look into could be anything.
        for command in (['ls', copy], ['tar', copy], ['cat', f'{copy}/:file0'], ['verify', copy], ['scrub', copy],
                        ['scrub', place.store], ['scrub', place.mnt], ['check', place.store], ['space', place.mnt], ['space', place.store],
                        ['repair', '-n', '--log', place.store], ['rollback', '-y', place.store, 'one'],
                        ['init', '--from', copy, place.top / 'new']):
            assert 'Permission denied' in one_line(sstfs(*command, code=7)), command
    copy = place.top / 'copy'
    run('cp', '-a', place.snapshot('one'), copy)
    support.as_user(65534, as_nobody)
    # Nor where all that may be had is a list of names.
    copy.chmod(0o444)
    place.store.chmod(0o444)
    support.as_user(65534, as_nobody)
    assert tags(place) == ['one'] and os.listdir(sets) == []
    place.umount()
    place.store.chmod(0o755)
    run('chmod', '-R', 'a+rX', place.store)
    support.as_user(65534, lambda: sstfs('space', place.store))
    (place.store / 'data').chmod(0o444)
    support.as_user(65534, lambda: one_line(sstfs('space', place.store, code=7)))


def a_program_that_is_missing_is_said(place):
    sets = filled(place)
    tools = place.top / 'tools'
    tools.mkdir()
    env = {**os.environ, 'PATH': str(tools)}
    assert "'rsync' is not installed" in backup_failed(place, sets, 4, env=env)
    (tools / 'rsync').symlink_to(shutil.which('rsync'))
    assert 'ssh' in backup_failed(place, f'host:{sets}', 4, env=env)
    (tools / 'ssh').write_text('#!/bin/sh\nshift\nPATH=/none exec /bin/sh -c "$*"\n')
    (tools / 'ssh').chmod(0o755)
    assert 'not found' in backup_failed(place, f'host:{sets}', 4, env=env)
    assert os.listdir(sets) == []


def a_backup_that_is_told_to_end_leaves_nothing_behind(place):
    sets = filled(place)
    tools = place.top / 'tools'
    tools.mkdir()
    # It is in the middle for as long as it takes to end it.
    (tools / 'rsync').write_text('#!/bin/sh\ncase "$*" in *--delete*) touch "$STARTED"; exec sleep 600;; esac\n'
                                 f'exec {shutil.which("rsync")} "$@"\n')
    (tools / 'rsync').chmod(0o755)
    started = place.top / 'started'
    env = {**os.environ, 'PATH': f"{tools}:{os.environ['PATH']}", 'STARTED': str(started)}
    place.snapshot('kept')
    for options in [], ['--tag', 'kept']:
        for how in signal.SIGINT, signal.SIGTERM, signal.SIGKILL:
            started.unlink(missing_ok=True)
            with subprocess.Popen([support.SSTFS, 'backup', *options, place.mnt, sets], env=env,
                                  stderr=subprocess.PIPE, text=True, start_new_session=True) as running:
                try:
                    support.wait_until(started.exists, 'rsync')
                    copied_tag = max(tags(place)) if options else min(tags(place))
                    sstfs('snapshot', 'delete', place.mnt, copied_tag, code=5)
                    running.send_signal(how)
                    running.wait(support.WAIT_S)
                finally:
                    if running.returncode in (None, -signal.SIGKILL):
                        os.killpg(running.pid, signal.SIGKILL)
                words = running.stderr.read()
            if how == signal.SIGKILL:
                continue
            assert running.returncode == 3 and 'interrupted' in words, words
            assert len(words.splitlines()) == 1, words
            assert tags(place) == ['kept']
            assert sstfs('snapshot', 'holders', place.mnt, 'kept').stdout == ''
        # What a killed one leaves held goes with the next; a tag of the user's own stays.
        assert 'backup-' in sstfs('snapshot', 'list', place.mnt).stdout
        one_more_set(place, sets)
        assert tags(place) == ['kept']
        assert sstfs('snapshot', 'holders', place.mnt, 'kept').stdout == ''
    sstfs('snapshot', 'hold', place.mnt, 'kept', f'backup-{os.getpid()}')  # of one that is running
    one_more_set(place, sets)
    assert sstfs('snapshot', 'holders', place.mnt, 'kept').stdout == f'backup-{os.getpid()}\n'
    for folder in sets.iterdir():
        support.no_damage(folder)


def a_restore_that_fails_replaces_nothing(place):
    place.mount()
    folder = place.mnt / 'folder'
    folder.mkdir()
    (folder / 'good').write_text('then')
    bad = os.urandom(1 << 20)
    (folder / 'bad').write_bytes(bad)
    place.snapshot('one')
    (folder / 'good').write_text('now')
    (folder / 'bad').write_text('now')
    (folder / 'mine').write_text('now')
    place.remount()  # so that nothing is cached
    data = next((place.store / 'snapshots' / 'one').glob('sstfs/blocks-*/nb-*-Data.db'))
    whole = data.read_bytes()
    damaged = bytearray(whole)
    damaged[len(whole) // 2] ^= 1

    def write_data(content):
        data.chmod(0o600)
        with open(data, 'r+b') as file:
            file.write(content)
    write_data(damaged)
    here = lambda: {path.name: path.read_text() for path in folder.iterdir()}
    for path in 'folder/bad', 'folder':
        done = sstfs('restore', '-y', place.mnt, 'one', path, code=10)
        assert 'Input/output error' in one_line(done)
        assert here() == dict.fromkeys(['good', 'bad', 'mine'], 'now')
        one_line(sstfs('restore', '--to', place.top / 'mnt', place.mnt, 'one', 'folder/bad', code=10))
        assert os.listdir(place.mnt) == ['folder']
    write_data(whole)
    place.remount()
    sstfs('restore', '-y', place.mnt, 'one', 'folder/')
    assert sorted(os.listdir(folder)) == ['bad', 'good', 'mine'] and os.listdir(place.mnt) == ['folder']
    assert (folder / 'bad').read_bytes() == bad and (folder / 'good').read_text() == 'then'
    assert (folder / 'bad').stat().st_nlink == 1
    # What is of another kind now is the user's to remove.
    (folder / 'bad').unlink()
    (folder / 'bad').mkdir()
    one_line(sstfs('restore', '-y', place.mnt, 'one', 'folder/bad', code=5))
    assert sorted(os.listdir(folder)) == ['bad', 'good', 'mine']
    small = place.top / 'small'
    small.mkdir()
    run('mount', '-t', 'tmpfs', '-o', 'size=300k', 'none', small)
    one_line(sstfs('restore', '--to', small, place.mnt, 'one', 'folder', code=6))
    assert os.listdir(small) == []
    run('umount', small)


def a_restore_that_is_told_to_end_replaces_nothing(place):
    place.mount()
    (place.mnt / 'file').write_text('then')
    place.snapshot('one')
    (place.mnt / 'file').write_text('now')
    tools, started = place.top / 'tools', place.top / 'started'
    tools.mkdir()
    (tools / 'cp').write_text(f'#!/bin/sh\n{shutil.which("cp")} "$@"\ntouch {started}\nexec sleep 600\n')
    (tools / 'cp').chmod(0o755)
    with subprocess.Popen([support.SSTFS, 'restore', '-y', place.mnt, 'one', 'file'], stderr=subprocess.PIPE, text=True,
                          env={**os.environ, 'PATH': f"{tools}:{os.environ['PATH']}"}) as running:
        support.wait_until(started.exists, 'cp')
        running.terminate()
        words = running.stderr.read()
    assert running.returncode == 3 and 'interrupted' in words and len(words.splitlines()) == 1, words
    assert os.listdir(place.mnt) == ['file'] and (place.mnt / 'file').read_text() == 'now'


def a_store_that_has_no_room_leaves_none(place):
    copy, small = copied_snapshot(place), place.top / 'small'
    small.mkdir()
    run('mount', '-t', 'tmpfs', '-o', 'size=100k', 'none', small)
    for store in small, small / 'new':
        one_line(sstfs('init', '--from', copy, store, code=6))
        assert os.listdir(small) == []
    run('umount', small)
    sstfs('init', '--from', copy, small)
    support.no_damage(small)
    before = sorted(os.listdir(small))
    one_line(sstfs('init', '--from', copy, small, code=5))
    assert sorted(os.listdir(small)) == before


def what_a_disk_keeps_in_its_root_is_left_alone(place):
    copy, disk = copied_snapshot(place), place.top / 'disk'
    disk.mkdir()
    run('mount', '-t', 'tmpfs', '-o', 'size=100k', 'none', disk)
    (disk / 'lost+found').mkdir()
    (disk / 'lost+found' / '#12').write_text('found')
    one_line(sstfs('init', '--from', copy, disk, code=6))
    assert os.listdir(disk) == ['lost+found'] and (disk / 'lost+found' / '#12').read_text() == 'found'
    run('mount', '-o', 'remount,size=100m', disk)
    sstfs('init', disk)
    support.no_damage(disk)
    assert (disk / 'lost+found' / '#12').read_text() == 'found'
    run('umount', disk)


def output_that_is_lost_is_a_failure(place):
    copy = copied_snapshot(place)
    (place.mnt / 'file0').write_text('x')
    place.snapshot('two')
    data = next(copy.glob('sstfs/blocks-*/nb-*-Data.db'))
    with open('/dev/full', 'w', encoding='ascii') as full:
        def lost(*words, code=6):
            done = subprocess.run([support.SSTFS, *words], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
            assert done.returncode == code and 'No space left' in one_line(done), (words, done)
        for command in (['ls', copy], ['verify', copy], ['schema'], ['help'], ['tar', copy], ['cat', f'{copy}:file3'],
                        ['space', place.mnt], ['stats', place.mnt], ['scrub', place.mnt], ['diff', place.mnt, 'one', 'two'],
                        ['snapshot', 'list', place.mnt], ['snapshot', 'holders', '--json', place.mnt, 'one']):
            lost(*command)
            if command[0] in ('ls', 'verify', 'space', 'scrub', 'diff'):
                lost(command[0], '--json', *command[1:])
        place.umount()
        lost('log', 'dump', place.store)
        lost('dump', copy)
        data.unlink()
        lost('verify', copy, code=1)  # that is what it was asked for


def verify_heals_what_has_rotted_in_the_copy(place):
    sets = filled(place)
    place.snapshot('one')
    sstfs('backup', '--tag', 'one', place.mnt, sets)
    data = next((sets / 'one').rglob('nb-*-Data.db'))
    status = data.stat()
    data.chmod(0o600)
    with open(data, 'r+b') as file:
        file.write(b'rotten')
    os.utime(data, ns=(status.st_atime_ns, status.st_mtime_ns))  # nothing tells but what is in it
    (place.mnt / 'later').write_text('x')
    place.snapshot('two')
    done = sstfs('backup', '--verify', '--tag', 'two', place.mnt, sets)
    assert data.name in one_line(done) and 'copied again' in done.stderr
    support.no_damage(sets / 'two')
    sstfs('verify', sets / 'one', code=1)  # what is old is not touched
    sstfs('scrub', '--repair-from', sets / 'two', sets / 'one')
    support.no_damage(sets / 'one')


def progress_is_shown_to_who_looks(place):
    sets = filled(place)
    assert sstfs('backup', place.mnt, sets).stderr == ''
    shutil.rmtree(sets)
    sets.mkdir()
    done = sstfs('backup', '--progress', place.mnt, sets)
    assert '100%' in done.stderr and '/s' in done.stderr, done.stderr
    assert len(done.stdout.splitlines()) == 1
    shutil.rmtree(sets)
    sets.mkdir()
    ours, theirs = os.openpty()
    with subprocess.Popen([support.SSTFS, 'backup', place.mnt, sets], stderr=theirs,
                          stdout=subprocess.PIPE) as running:
        running.wait()
    os.close(theirs)
    shown = b''
    try:
        while piece := os.read(ours, 4096):
            shown += piece
    except OSError:
        pass  # the other side is closed
    os.close(ours)
    assert running.returncode == 0 and b'100%' in shown, shown


if __name__ == '__main__':
    sys.exit(support.main([
        a_file_missing_in_a_copy_is_named,
        a_copy_without_its_lists_is_not_taken_for_a_whole_one,
        a_quick_look_at_a_copy_finds_what_is_not_there_and_reads_no_sstable,
        a_quick_look_at_a_store_goes_by_its_manifest,
        a_destination_that_takes_nothing_is_said,
        a_destination_that_gets_full_keeps_the_sets_it_has,
        who_may_not_is_told_so,
        a_program_that_is_missing_is_said,
        a_backup_that_is_told_to_end_leaves_nothing_behind,
        a_restore_that_fails_replaces_nothing,
        a_restore_that_is_told_to_end_replaces_nothing,
        a_store_that_has_no_room_leaves_none, what_a_disk_keeps_in_its_root_is_left_alone,
        output_that_is_lost_is_a_failure,
        verify_heals_what_has_rotted_in_the_copy,
        progress_is_shown_to_who_looks,
    ]))
