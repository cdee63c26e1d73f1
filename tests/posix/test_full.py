#!/usr/bin/env python3
"""Goal: a full store can be emptied: rm works, its space comes back within seconds, and nothing
else is lost by that.
Method: a store on a small disk of its own (an image, mounted by a loop device), filled until ENOSPC.
"""
import contextlib
import errno
import hashlib
import os
import random
import sys
import time

import support
from support import Failed, run

MIB = 1 << 20
DISK_BYTES = 300 * MIB
BACK_S = 30


@contextlib.contextmanager
def small_disk(place, size=DISK_BYTES):
    """The store's folder on a filesystem of that size. Needs root, loop devices and e2fsprogs."""
    image, disk = place.top / 'image', place.top / 'disk'
    disk.mkdir()
    run('dd', 'if=/dev/zero', f'of={image}', 'bs=1M', f'count={size // MIB}', 'status=none')
    run('mkfs.ext4', '-q', '-m', '0', image)
    run('mount', '-o', 'loop', image, disk)
    try:
        place.store = disk / 'store'
        yield
    finally:
        if os.path.ismount(place.mnt):
            run(support.SSTFS, 'umount', place.mnt, code=None)
        run('umount', disk)


def fill(path, seed, size=None):
    """Random bytes until there are `size`, or until the disk is full. Returns (size, digest)."""
    chance, digest, done = random.Random(seed), hashlib.sha256(), 0
    fd = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
    try:
        while size is None or done < size:
            data = chance.randbytes(MIB if size is None else min(MIB, size - done))
            written = os.pwrite(fd, data, done)
            digest.update(data[:written])
            done += written
    except OSError as error:
        if error.errno != errno.ENOSPC or size is not None:
            raise
    finally:
        os.close(fd)
    return done, digest.hexdigest()


def available(place):
    facts = os.statvfs(place.mnt)
    return facts.f_bavail * facts.f_frsize


def await_space(place, wanted):
    deadline = time.monotonic() + BACK_S
    while available(place) < wanted:
        if time.monotonic() > deadline:
            raise Failed(f'{available(place)} bytes available after {BACK_S} s, want {wanted}\n'
                         f'{place.stats()}')
        time.sleep(0.1)


def content(path):
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        while data := file.read(MIB):
            digest.update(data)
    return digest.hexdigest()


def what_is_removed_from_a_full_store_comes_back(place):
    with small_disk(place):
        place.mount()
        first, _ = fill(place.mnt / 'first', seed=1, size=100 * MIB)
        second, digest = fill(place.mnt / 'second', seed=2)
        assert second > 90 * MIB, second
        with open(place.mnt / 'second', 'r+b') as file:
            support.raises(errno.ENOSPC, os.posix_fallocate, file.fileno(), 0, second + 50 * MIB)
            assert os.fstat(file.fileno()).st_size == second
        before = available(place)
        (place.mnt / 'first').unlink()
        await_space(place, before + first * 9 // 10)
        third, third_digest = fill(place.mnt / 'third', seed=3, size=80 * MIB)
        assert content(place.mnt / 'second') == digest
        assert content(place.mnt / 'third') == third_digest
        place.remount()
        assert content(place.mnt / 'second') == digest
        assert content(place.mnt / 'third') == third_digest
        place.umount()
        support.no_damage(place.store)


def one_file_that_filled_the_store_is_removed_again_and_again(place):
    with small_disk(place, 272 * MIB):
        place.mount()
        empty = available(place)
        for seed in range(3):
            size, _ = fill(place.mnt / 'file', seed)
            assert size > 190 * MIB, size
            (place.mnt / 'file').unlink()
            await_space(place, empty * 9 // 10)
        place.umount()
        support.no_damage(place.store)


def every_second_of_many_files_is_removed_from_a_full_store(place):
    with small_disk(place):
        place.mount()
        digests = {}
        try:
            for i in range(1000):
                digests[i] = fill(place.mnt / f'{i}', i, size=MIB)[1]
        except OSError as error:
            assert error.errno == errno.ENOSPC, error
            (place.mnt / f'{len(digests)}').unlink(missing_ok=True)
        assert len(digests) > 190, len(digests)
        before = available(place)
        for i in range(0, len(digests), 2):
            (place.mnt / f'{i}').unlink()
        await_space(place, before + len(digests) // 2 * MIB * 9 // 10)
        place.remount()
        for i in range(1, len(digests), 2):
            assert content(place.mnt / f'{i}') == digests[i], i
        place.umount()
        support.no_damage(place.store)


if __name__ == '__main__':
    sys.exit(support.main([
        what_is_removed_from_a_full_store_comes_back,
        one_file_that_filled_the_store_is_removed_again_and_again,
        every_second_of_many_files_is_removed_from_a_full_store,
    ]))
