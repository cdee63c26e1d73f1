#!/usr/bin/env python3
"""Goal: mounting does what was asked, or refuses in one clear line with the right exit code.
Method: call the program as a user does; look at the exit code, at the words, and at the mount table.
"""
import fcntl
import json
import os
import shutil
import signal
import sys
from pathlib import Path

import support
from support import Failed, run, sstfs

USAGE, NOT_FOUND, BUSY, NOT_A_STORE, IN_USE = 2, 4, 5, 8, 9


def refused(done, *words):
    """One line on stderr, with these words."""
    lines = done.stderr.strip().splitlines()
    if len(lines) != 1 or not all(word in lines[0] for word in words):
        raise Failed(f'want one line with {words}, got:\n{done.stderr}')


def mount_makes_a_store_and_returns_when_it_serves(place):
    place.mount()
    (place.mnt / 'file').write_text('hello')
    table = Path('/proc/self/mountinfo').read_text()
    line = next(line for line in table.splitlines() if f' {place.mnt} ' in line)
    assert ' - fuse.sstfs ' in line and str(place.store) in line, line
    assert (place.store / 'store.json').exists()
    place.umount()
    assert not (place.mnt / 'file').exists()


def an_empty_folder_becomes_a_store(place):
    place.store.mkdir()
    place.mount()


def files_survive_a_remount(place):
    place.mount()
    (place.mnt / 'd').mkdir()
    (place.mnt / 'd' / 'file').write_bytes(b'x' * 300000)
    place.remount()
    assert (place.mnt / 'd' / 'file').read_bytes() == b'x' * 300000


def a_store_is_mounted_once(place):
    other = place.top / 'other'
    other.mkdir()
    place.mount()
    refused(place.mount(mnt=other, code=IN_USE), str(place.store))
    (place.mnt / 'still').write_text('served')


def what_is_not_a_store_is_refused(place):
    place.store.mkdir()
    (place.store / 'holiday.jpg').write_text('not ours')
    refused(place.mount(code=NOT_A_STORE), 'not a store')
    assert os.listdir(place.store) == ['holiday.jpg']
    shutil.rmtree(place.store)
    place.store.write_text('a file')
    refused(place.mount(code=NOT_A_STORE), 'not a store')


def a_store_of_a_newer_version_is_refused(place):
    place.mount()
    place.umount()
    path = place.store / 'store.json'
    facts = json.loads(path.read_text())
    key = next(key for key in facts if 'version' in key)
    facts[key] += 1
    path.write_text(json.dumps(facts))
    done = place.mount(code=NOT_A_STORE)
    refused(done, 'version')


def a_copy_of_a_mounted_store_is_refused(place):
    copy, second = place.top / 'copy', place.top / 'second'
    second.mkdir()
    place.mount()
    shutil.copytree(place.store, copy, ignore=shutil.ignore_patterns('control', 'reserve'))
    refused(place.mount(store=copy, mnt=second, code=NOT_A_STORE), 'copy', '.snapshots')
    place.umount()
    shutil.rmtree(copy)
    shutil.copytree(place.store, copy)
    place.mount(store=copy)
    place.umount()


def sstables_without_a_snapshot_are_taken_on_the_users_word(place):
    copy, second, whole = place.top / 'copy', place.top / 'second', ('ro', 'all_sstables')
    second.mkdir()
    place.mount()
    (place.mnt / 'd').mkdir()
    (place.mnt / 'd' / 'file').write_bytes(os.urandom(300000))
    run('rsync', '-a', f'{place.snapshot("one")}/', copy)
    refused(place.mount(*whole, store=copy, mnt=second, code=USAGE), 'no snapshot of Cassandra')
    (copy / 'snapshot.json').unlink()
    (copy / 'SHA256SUMS').unlink()
    refused(place.mount('ro', store=copy, mnt=second, code=NOT_A_STORE), '-o ro --all-sstables')
    refused(place.mount('all_sstables', store=copy, mnt=second, code=USAGE), 'with -o ro')
    refused(sstfs('init', '--from', copy, place.top / 'new', code=NOT_A_STORE), '--all-sstables')
    refused(sstfs('verify', copy, code=NOT_A_STORE), '--all-sstables')
    refused(sstfs('verify', '--all-sstables', place.store, code=USAGE), 'no snapshot of Cassandra')
    assert 'no damage' in sstfs('verify', '--all-sstables', copy).stdout
    refused(sstfs('ls', copy, code=NOT_A_STORE), '--all-sstables')
    refused(sstfs('ls', '--all-sstables', place.store, code=NOT_A_STORE), 'no snapshot of Cassandra')
    assert sstfs('ls', '--all-sstables', f'{copy}:d').stdout.endswith('file\n')
    sstfs('mount', '-o', f'ro,log={place.log}', '--all-sstables', copy, second)
    support.same_tree(place.mnt, second)
    support.raises(30, (second / 'other').mkdir)  # EROFS
    place.umount(second)
    (folder,) = copy.glob('sstfs/dirents-*')
    (folder / 'oa-1-big-Data.db').write_text('x')
    refused(place.mount(*whole, store=copy, mnt=second, code=NOT_A_STORE), 'another format')
    (folder / 'oa-1-big-Data.db').unlink()
    next(folder.glob('*-Data.db')).unlink()
    refused(place.mount(*whole, store=copy, mnt=second, code=1), 'Data.db')


def each_command_tells_how_it_is_called(place):
    assert sstfs('schema', '--help').stdout == sstfs('help', 'schema').stdout
    assert 'usage: sstfs mount ' in sstfs('mount', '--help').stdout
    assert sstfs('schema', 'x', code=USAGE).stderr.startswith('usage: sstfs schema')
    assert sstfs('schema').stdout.count('CREATE TABLE') == 5
    assert not place.store.exists()


def a_missing_mountpoint_is_refused(place):
    refused(place.mount(mnt=place.top / 'nowhere', code=NOT_FOUND), 'nowhere', 'does not exist')
    assert not place.store.exists()


def a_mountpoint_that_is_a_file_is_refused(place):
    (place.top / 'file').write_text('')
    refused(place.mount(mnt=place.top / 'file', code=USAGE), 'not a directory')


def a_mountpoint_in_the_store_is_refused(place):
    place.mount()
    place.umount()
    inside = place.store / 'data'
    refused(place.mount(mnt=inside, code=USAGE), 'lies in the store')
    refused(place.mount(mnt=place.store, code=USAGE), 'lies in the store')


def a_store_below_the_mountpoint_is_refused(place):
    refused(place.mount(store=place.mnt / 'store', code=USAGE), 'below the mountpoint')
    refused(place.mount(mnt=place.top, code=USAGE), 'below the mountpoint')
    assert not (place.mnt / 'store').exists()


def a_missing_store_is_not_made_read_only(place):
    refused(place.mount('ro', code=NOT_FOUND), 'does not exist')
    assert not place.store.exists()


def an_unknown_option_names_the_nearest(place):
    refused(place.mount('memroy=1G', code=USAGE), 'memroy', "'memory'")
    refused(place.mount('sync=sometimes', code=USAGE), 'periodic')
    refused(place.mount('memory=1K', code=USAGE), '32M')
    refused(place.mount('sync_period=0', code=USAGE), '60')
    refused(sstfs('mout', code=USAGE), "'mount'")
    assert not place.store.exists()


def options_of_fstab_are_dropped(place):
    place.mount('nofail', '_netdev', 'noauto', 'user', 'x-systemd.requires-mounts-for=/srv',
                'comment=ours', 'noatime', 'defaults', 'rw')
    (place.mnt / 'file').write_text('x')


def each_way_to_sync_serves(place):
    for mode in 'batch', 'group', 'periodic,sync_period=1':
        place.mount(f'sync={mode}')
        name = mode.split(',', maxsplit=1)[0]
        (place.mnt / name).write_text(name)
        place.umount()
    place.mount()
    assert sorted(os.listdir(place.mnt)) == ['batch', 'group', 'periodic']


def read_only_takes_no_change(place):
    place.mount()
    (place.mnt / 'file').write_text('kept')
    place.umount()
    before = sorted((str(path), path.lstat().st_mtime_ns) for path in place.store.rglob('*'))
    place.mount('ro')
    assert (place.mnt / 'file').read_text() == 'kept'
    support.raises(30, (place.mnt / 'file').write_text, 'lost')  # EROFS
    support.raises(30, (place.mnt / 'other').mkdir)
    place.umount()
    after = sorted((str(path), path.lstat().st_mtime_ns) for path in place.store.rglob('*'))
    assert before == after


def mount_sstfs_answers_as_mount_8_wants(place):
    helper = place.top / 'mount.sstfs'
    helper.symlink_to(os.path.abspath(shutil.which(support.SSTFS)))
    run(helper, place.store, place.mnt, '-n', '-v', '-o', f'rw,nofail,log={place.log}')
    (place.mnt / 'file').write_text('x')
    place.umount()
    run(helper, place.store, place.mnt, '-o', 'nonsense', code=1)
    run(helper, place.store, place.mnt, '-f', '-o', 'rw')
    assert not (place.mnt / 'file').exists()
    run(helper, place.store, place.mnt, '-s', '-o', f'nonsense,log={place.log}')
    place.umount()
    run(helper, place.store, place.top / 'nowhere', code=32)


def a_busy_mount_is_not_unmounted(place):
    place.mount()
    with open(place.mnt / 'file', 'w', encoding='ascii') as file:
        refused(sstfs('umount', place.mnt, code=BUSY), 'in use')
        file.write('still here')
    assert (place.mnt / 'file').read_text() == 'still here'


def sigterm_unmounts_and_closes(place):
    place.mount()
    (place.mnt / 'file').write_text('x' * 100000)
    place.kill(signal.SIGTERM)
    assert not os.path.ismount(place.mnt)
    place.mount()
    assert place.stats()['replayed_records'] == 0
    assert (place.mnt / 'file').read_text() == 'x' * 100000


def sigterm_serves_open_files_until_they_are_closed(place):
    place.mount()
    pid = place.daemon()
    with open(place.mnt / 'file', 'w+', encoding='ascii') as file:
        os.kill(pid, signal.SIGTERM)
        while os.path.ismount(place.mnt):
            pass
        file.write('late')
        file.flush()
        file.seek(0)
        assert file.read() == 'late'
    with open(place.store / 'LOCK', encoding='ascii') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # waits for the daemon's end
    place.mount()
    assert (place.mnt / 'file').read_text() == 'late'


def a_dead_mount_is_detached_by_the_next(place):
    place.mount()
    (place.mnt / 'file').write_text('acknowledged')
    place.mnt.stat()  # from now on the kernel answers it, whether or not there is a daemon
    place.kill()
    assert not place.is_alive()
    done = place.mount()
    assert 'detached the dead mount' in done.stderr, done.stderr
    assert (place.mnt / 'file').read_text() == 'acknowledged'


def in_the_foreground_it_tells_its_supervisor_when_it_serves(place):
    import socket
    import subprocess
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor:
        supervisor.bind(str(place.top / 'notify'))
        supervisor.settimeout(support.START_S)
        with subprocess.Popen([support.SSTFS, 'mount', '-f', place.store, place.mnt],
                              stderr=subprocess.PIPE, text=True,
                              env={**os.environ, 'NOTIFY_SOCKET': str(place.top / 'notify')}) as daemon:
            assert supervisor.recv(100) == b'READY=1'
            (place.mnt / 'file').write_text('served')
            daemon.send_signal(signal.SIGINT)
            words = daemon.communicate(timeout=support.STOP_S)[1]
        assert daemon.returncode == 0, words
        assert 'serving' in words and 'unmounted' in words, words
        assert supervisor.recv(100) == b'STOPPING=1'


def umount_of_what_is_not_mounted_says_so(place):
    refused(sstfs('umount', place.mnt, code=NOT_FOUND), 'not in a mounted sstfs')
    refused(sstfs('stats', place.mnt, code=NOT_FOUND), 'not in a mounted sstfs')


def stats_count(place):
    place.mount()
    before = place.stats()
    for i in range(10):
        (place.mnt / f'file{i}').write_text('x')
    assert place.stats()['batches'] >= before['batches'] + 10
    assert 'log_records' in sstfs('stats', place.mnt / 'file1').stdout


def flush_and_compact_run_to_their_end(place):
    place.mount()
    for i in range(3):
        (place.mnt / f'file{i}').write_bytes(os.urandom(200000))
        sstfs('flush', place.mnt)
    assert place.stats()['flushes'] >= 3
    sstfs('compact', place.mnt)
    assert len((place.mnt / 'file2').read_bytes()) == 200000
    place.umount()
    support.no_damage(place.store)


if __name__ == '__main__':
    sys.exit(support.main([
        mount_makes_a_store_and_returns_when_it_serves,
        an_empty_folder_becomes_a_store,
        files_survive_a_remount,
        a_store_is_mounted_once,
        what_is_not_a_store_is_refused,
        a_store_of_a_newer_version_is_refused,
        a_copy_of_a_mounted_store_is_refused,
        sstables_without_a_snapshot_are_taken_on_the_users_word,
        each_command_tells_how_it_is_called,
        a_missing_mountpoint_is_refused,
        a_mountpoint_that_is_a_file_is_refused,
        a_mountpoint_in_the_store_is_refused,
        a_store_below_the_mountpoint_is_refused,
        a_missing_store_is_not_made_read_only,
        an_unknown_option_names_the_nearest,
        options_of_fstab_are_dropped,
        each_way_to_sync_serves,
        read_only_takes_no_change,
        mount_sstfs_answers_as_mount_8_wants,
        a_busy_mount_is_not_unmounted,
        sigterm_unmounts_and_closes,
        sigterm_serves_open_files_until_they_are_closed,
        a_dead_mount_is_detached_by_the_next,
        in_the_foreground_it_tells_its_supervisor_when_it_serves,
        umount_of_what_is_not_mounted_says_so,
        stats_count,
        flush_and_compact_run_to_their_end,
    ]))
