#!/usr/bin/env python3
"""Goal: what processes do to each other's names, links and syncs at one moment comes out as if one had been first, nothing locks
up, and nobody waits for what is another's to wait for.
Method: several processes and threads, a number of rounds each, no time that must pass; then what is left is counted.
random_processes.py does the same without a plan.
"""
import errno
import mmap
import os
import re
import signal
import statistics
import sys
import threading
from functools import partial

import support
from support import at_once, raises


def directories_made_and_moved_at_once_do_not_lock_up(place):
    """rmdir of P/C, rename of C to P, mkdir of P/C: three processes, for a number of rounds."""
    place.mount()
    mnt = place.mnt
    (mnt / 'P').mkdir()
    rounds = 1500
    allowed = {errno.ENOENT, errno.EEXIST, errno.ENOTEMPTY, errno.EINVAL, errno.ESTALE}

    def repeat(step):
        for _ in range(rounds):
            try:
                step()
            except OSError as error:
                if error.errno not in allowed:
                    raise
    steps = [lambda: os.rmdir(mnt / 'P' / 'C'), lambda: os.rename(mnt / 'P' / 'C', mnt / 'P'),
             lambda: os.mkdir(mnt / 'P' / 'C'), lambda: os.rename(mnt / 'P', mnt / 'Q'),
             lambda: os.rename(mnt / 'Q', mnt / 'P')]
    at_once(*[partial(repeat, step) for step in steps])
    for folder, folders, _ in os.walk(mnt):
        if '.snapshots' not in folder:
            assert os.stat(folder).st_nlink == 2 + len(folders), folder
    place.umount()
    support.no_damage(place.store)


def hard_links_race_and_count_right(place):
    place.mount()
    for name in 'abcd':
        (place.mnt / name).mkdir()
    (place.mnt / 'f').write_bytes(b'x')

    def link(number):
        folder = place.mnt / 'abcd'[number]
        for i in range(150):
            os.link(place.mnt / 'f', folder / f'{i}')
            if i % 3 == 0:
                os.rename(folder / f'{i}', place.mnt / 'abcd'[(number + 1) % 4] / f'r{i}')
            elif i % 3 == 1:
                os.unlink(folder / f'{i}')
    at_once(*[partial(link, number) for number in range(4)])
    names = sum(len(os.listdir(place.mnt / name)) for name in 'abcd')
    assert names == 400 and os.stat(place.mnt / 'f').st_nlink == names + 1
    place.remount()
    assert os.stat(place.mnt / 'f').st_nlink == names + 1


def many_fsyncs_share_syncs(place):
    place.mount()
    before = place.stats()['log_syncs']
    total = 32 * 20

    def write(number):
        fd = os.open(place.mnt / f'{number}', os.O_WRONLY | os.O_CREAT)
        for _ in range(20):
            os.write(fd, b'x' * 100)
            os.fsync(fd)
        os.close(fd)
    threads = [threading.Thread(target=write, args=[number]) for number in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    made_syncs = place.stats()['log_syncs'] - before
    assert made_syncs < total / 2, (made_syncs, total)
    place.kill(signal.SIGKILL)
    place.mount()
    assert all((place.mnt / f'{number}').stat().st_size == 2000 for number in range(32))


def one_of_many_makes_a_name(place):
    """O_EXCL, mkdir, symlink, link of a file without a name, rename that replaces nothing: of four processes one has it."""
    place.mount()
    won = place.mnt / 'won'
    won.mkdir()
    rounds = 120

    def create(name):
        os.close(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL))

    def name_tmpfile(name):
        fd = os.open(place.mnt, os.O_TMPFILE | os.O_WRONLY)
        try:
            support.link_descriptor(fd, name)
        finally:
            os.close(fd)

    def rename(name):
        own = place.mnt / f'own{os.getpid()}'
        own.write_bytes(b'')
        support.renameat2(own, name, 1)
    ways = [create, os.mkdir, partial(os.symlink, 'x'), name_tmpfile, rename]

    def race(number):
        for i in range(rounds):
            way = ways[(i + number) % len(ways)]
            try:
                way(place.mnt / f'{i}')
            except FileExistsError:
                continue
            (won / f'{i}.{number}').write_bytes(b'')
    at_once(*[partial(race, number) for number in range(4)])
    assert sorted(name.split('.')[0] for name in os.listdir(won)) == sorted(map(str, range(rounds)))
    place.umount()
    support.no_damage(place.store)


def a_replaced_name_is_never_away(place):
    """Three processes save by rename; who opens the name finds one of the files, whole."""
    place.mount()
    target = place.mnt / 'target'
    sizes = [100, 3000, 70_000]
    target.write_bytes(b'0' * sizes[0])

    def save(number):
        own = place.mnt / f'own{number}'
        for _ in range(300):
            own.write_bytes(b'%d' % number * sizes[number])
            os.rename(own, target)

    def read():
        for _ in range(1500):
            content = target.read_bytes()
            number = int(content[:1])
            assert content == b'%d' % number * sizes[number], (len(content), content[:1])
    at_once(read, *[partial(save, number) for number in range(3)])
    assert os.listdir(place.mnt) == ['target'] and os.stat(target).st_nlink == 1
    support.wait_until(lambda: place.stats()['orphans'] == 0, 'the reclaiming')
    place.umount()
    support.no_damage(place.store)


def files_move_to_and_fro_and_none_is_lost(place):
    """Between two directories that are renamed themselves meanwhile, and exchanged."""
    place.mount()
    mnt = place.mnt
    for folder in 'ab':
        (mnt / folder).mkdir()
    for number in range(4):
        (mnt / 'a' / f'{number}').write_bytes(b'%d' % number)

    def move(number):
        moved = 0
        while moved < 300:
            for source, target in ('a', 'b'), ('b', 'a'):
                try:
                    os.rename(mnt / source / f'{number}', mnt / target / f'{number}')
                    moved += 1
                except FileNotFoundError:  # the directories were exchanged in between
                    pass

    def exchange():
        for _ in range(600):
            support.renameat2(mnt / 'a', mnt / 'b', 2)
    at_once(exchange, *[partial(move, number) for number in range(4)])
    left = sorted((name, (mnt / folder / name).read_bytes()) for folder in 'ab' for name in os.listdir(mnt / folder))
    assert left == [(f'{number}', b'%d' % number) for number in range(4)], left
    place.umount()
    support.no_damage(place.store)


def who_lists_does_not_wait_for_who_writes(place):
    """More writers than the daemon has threads, slowed to what the disk takes; `ls -l` beside them."""
    place.mount('memory=32M')
    (place.mnt / 'd').mkdir()
    for i in range(300):
        (place.mnt / 'd' / f'{i}').write_bytes(b'')
    writers, piece = 24, os.urandom(1 << 20)
    stop = threading.Event()

    def write(number):
        fd = os.open(place.mnt / f'{number}', os.O_WRONLY | os.O_CREAT)
        while not stop.is_set():
            for i in range(8):
                os.pwrite(fd, piece, i << 20)
        os.close(fd)

    def writes():
        return int(re.search(r'count{operation="write"} (\d+)', (place.mnt / '.sstfs' / 'metrics').read_text())[1])
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGTERM, lambda *_: stop.set())
        threads = [threading.Thread(target=write, args=[number]) for number in range(writers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        os._exit(0)
    support.wait_until(lambda: place.stats()['admissions_parked'] > writers, 'writers that wait')
    meanwhile = []
    for _ in range(15):
        before = writes()
        with os.scandir(place.mnt / 'd') as entries:
            assert sum(entry.stat(follow_symlinks=False).st_size for entry in entries) == 0
        meanwhile.append(writes() - before)
    os.kill(pid, signal.SIGTERM)
    assert os.waitpid(pid, 0)[1] == 0
    # In the queue of the writers each of its requests would come after one of each of them.
    assert statistics.median(meanwhile) < writers / 2, meanwhile


def who_follows_a_file_reads_what_was_written(place):
    """One appends, three read on as `tail -f` does, with read(2), through new handles, and mapped: each byte that a size told of
    is there, and is the one that was written. The kernel may keep pages of a moment before only if it knows."""
    place.mount()
    path = place.mnt / 'log'
    rounds, line = 4000, b'%015d\n'
    size = rounds * 16
    writer = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND)

    def write():
        for i in range(rounds):
            assert os.write(writer, line % i) == 16

    def check(at, piece):
        expected = b''.join(line % i for i in range(at // 16, (at + len(piece)) // 16 + 1))[at % 16:][:len(piece)]
        assert piece == expected, f'at {at}: {piece[:64]!r} for {expected[:64]!r}'

    def read_on():
        with open(path, 'rb', buffering=0) as file:
            at = 0
            while at < size:
                piece = file.read(4096)
                check(at, piece)
                at += len(piece)

    def read_anew():
        at = 0
        while at < size:
            with open(path, 'rb') as file:
                file.seek(max(0, at - 4096))
                piece = file.read()
            check(max(0, at - 4096), piece)
            at = max(0, at - 4096) + len(piece)

    def read_by_size():
        with open(path, 'rb', buffering=0) as file:
            at = 0
            while at < size:
                end = os.fstat(file.fileno()).st_size
                check(at, os.pread(file.fileno(), end - at, at))
                at = end
    at_once(write, read_on, read_anew, read_by_size)
    os.close(writer)
    check(0, path.read_bytes())
    # Written by one who is alone at first: who comes then can still map it, and sees what is written next.
    writer = os.open(path, os.O_WRONLY | os.O_TRUNC)
    os.write(writer, b'a' * 8192)
    with open(path, 'rb', buffering=0) as file, mmap.mmap(file.fileno(), 8192, prot=mmap.PROT_READ) as area:
        assert area[:] == b'a' * 8192
        os.pwrite(writer, b'b' * 4096, 4096)
        assert area[:] == b'a' * 4096 + b'b' * 4096
        assert file.read(8192) == area[:]
    os.close(writer)
    assert path.read_bytes() == b'a' * 4096 + b'b' * 4096


if __name__ == '__main__':
    sys.exit(support.main([
        directories_made_and_moved_at_once_do_not_lock_up,
        hard_links_race_and_count_right,
        many_fsyncs_share_syncs,
        one_of_many_makes_a_name,
        a_replaced_name_is_never_away,
        files_move_to_and_fro_and_none_is_lost,
        who_lists_does_not_wait_for_who_writes,
        who_follows_a_file_reads_what_was_written,
    ]))
