#!/usr/bin/env python3
"""Goal: a file's content is what a plain array of bytes would be, whatever is done to it and through whichever handle.

Method: random operations, drawn from a seed, on one file of a mount and on a bytearray: reads, writes, appends, truncates,
shared mappings, punched and zeroed ranges, preallocation, copies, holes looked for, O_DIRECT and O_SYNC handles, reopening,
remounting, and the daemon killed; after each the answers agree, and now and then the whole.

usage: random_content.py [OPERATIONS [SEED]]    SSTFS names the binary. A failure says its seed and the last operations.
"""
import errno
import mmap
import os
import random
import sys
from collections import deque

import support
from support import Failed, fallocate

KEEP_SIZE, PUNCH_HOLE, ZERO_RANGE = 1, 2, 16
SIZES = [1 << 13, 1 << 16, 1 << 19, 5 << 20]  # of the small table, of one block, of several, of many


class File:
    """The file under test and its model."""

    def __init__(self, place, chance, name):
        self.place, self.chance, self.name = place, chance, name
        self.path = place.mnt / name
        self.model = bytearray()
        self.limit = chance.choice(SIZES)
        self.path.touch()
        self.fds = []
        self.reopen()

    def reopen(self):
        """The handle that only writes comes first or last: handles that are open at one time pass the kernel's page
        cache by if the first of them only writes."""
        self.close()
        writes_first = self.chance.random() < 0.5
        self.write_only = self.open_to_write() if writes_first else None
        flags = [os.O_RDWR, os.O_RDWR, os.O_RDWR | os.O_APPEND]
        self.fds = [os.open(self.path, f) for f in flags]
        self.direct = os.open(self.path, os.O_RDWR | os.O_DIRECT)
        if not writes_first:
            self.write_only = self.open_to_write()

    def open_to_write(self):
        return os.open(self.path, os.O_WRONLY | (os.O_SYNC if self.chance.random() < 0.1 else 0))

    def close(self):
        for fd in self.fds + ([self.direct, self.write_only] if self.fds else []):
            try:
                os.close(fd)
            except OSError as error:  # of a daemon that was killed
                if error.errno not in (errno.ENOTCONN, errno.ECONNABORTED, errno.EIO):
                    raise
        self.fds = []

    # ---- what is drawn ----

    def aligned(self, n):
        """Mostly odd places; now and then the edges of pages and blocks, where mistakes are."""
        kind = self.chance.random()
        unit = 4096 if kind < 0.3 else 131072 if kind < 0.45 else 1
        n = n // unit * unit
        return max(0, n + self.chance.choice([-1, 0, 0, 1])) if unit > 1 else n

    def range(self):
        start = self.aligned(self.chance.randrange(self.limit))
        most = self.chance.choice([1, 100, 5000, 70000, 400000])
        return start, min(self.aligned(self.chance.randrange(most)) + 1, self.limit * 2 - start)

    def bytes(self, size):
        return bytes([self.chance.randrange(256)]) * size if self.chance.random() < 0.3 else self.chance.randbytes(size)

    def fd(self):
        return self.chance.choice(self.fds[:2])

    # ---- what is done ----

    def put(self, offset, data):
        if len(self.model) < offset:
            self.model.extend(bytes(offset - len(self.model)))
        self.model[offset:offset + len(data)] = data

    def do_read(self):
        offset, size = self.range()
        got = os.pread(self.fd(), size, offset)
        want = bytes(self.model[offset:offset + size])
        if got != want:
            at = next((i for i, (a, b) in enumerate(zip(got, want)) if a != b), min(len(got), len(want)))
            raise Failed(f'read of {size} at {offset}: {len(got)} bytes, want {len(want)}; they differ from {offset + at} on')

    def do_write(self):
        offset, size = self.range()
        data = self.bytes(size)
        fd = self.chance.choice([self.fd(), self.fd(), self.write_only])
        assert os.pwrite(fd, data, offset) == size
        self.put(offset, data)

    def do_append(self):
        data = self.bytes(self.range()[1])
        assert os.write(self.fds[2], data) == len(data)
        self.put(len(self.model), data)

    def do_truncate(self):
        size = self.aligned(self.chance.randrange(self.limit))
        if self.chance.random() < 0.5:
            os.ftruncate(self.fd(), size)
        else:
            os.truncate(self.path, size)
        if size < len(self.model):
            del self.model[size:]
        else:
            self.model.extend(bytes(size - len(self.model)))

    def do_map(self):
        if not self.model:
            return
        with mmap.mmap(self.fd(), len(self.model)) as area:
            offset, size = self.range()
            size = min(size, len(self.model) - offset)
            if size <= 0:
                return
            if area[offset:offset + size] != self.model[offset:offset + size]:
                raise Failed(f'mapped {size} at {offset} differ')
            data = self.bytes(size)
            area[offset:offset + size] = data
            self.put(offset, data)
            if self.chance.random() < 0.5:
                area.flush()

    def do_punch(self):
        offset, size = self.range()
        fallocate(self.fd(), PUNCH_HOLE | KEEP_SIZE, offset, size)
        end = min(offset + size, len(self.model))
        if offset < end:
            self.model[offset:end] = bytes(end - offset)

    def do_zero(self):
        offset, size = self.range()
        keep = self.chance.random() < 0.5
        if keep:
            try:
                fallocate(self.fd(), ZERO_RANGE | KEEP_SIZE, offset, size)
            except OSError as error:
                if error.errno != errno.EOPNOTSUPP:
                    raise
                return
        else:
            fallocate(self.fd(), ZERO_RANGE, offset, size)
        end = min(offset + size, len(self.model)) if keep else offset + size
        if offset < end:
            self.put(offset, bytes(end - offset))

    def do_allocate(self):
        offset, size = self.range()
        keep = self.chance.random() < 0.5
        fallocate(self.fd(), KEEP_SIZE if keep else 0, offset, size)
        if not keep and offset + size > len(self.model):
            self.model.extend(bytes(offset + size - len(self.model)))

    def do_copy(self):
        (offset, size), to = self.range(), self.aligned(self.chance.randrange(self.limit))
        if abs(offset - to) < size:  # EINVAL within one file
            return
        fd = self.fd()
        n = os.copy_file_range(fd, fd, size, offset, to)
        want = bytes(self.model[offset:offset + size])
        assert n <= len(want) and (n > 0 or not want), (n, len(want))
        if n:
            self.put(to, want[:n])

    def do_direct(self):
        offset = self.chance.randrange(self.limit) // 4096 * 4096
        area = mmap.mmap(-1, 4096 * self.chance.randrange(1, 40))
        if self.chance.random() < 0.5:
            n = os.preadv(self.direct, [area], offset)
            assert area[:n] == bytes(self.model[offset:offset + len(area)]), f'direct read of {len(area)} at {offset}'
        else:
            data = self.bytes(len(area))
            area[:] = data
            assert os.pwritev(self.direct, [area], offset) == len(data)
            self.put(offset, data)
        area.close()

    def do_seek(self):
        """What is said to be a hole must read as zeros."""
        offset = self.chance.randrange(self.limit)
        try:
            hole = os.lseek(self.fds[0], offset, os.SEEK_HOLE)
            assert hole <= len(self.model)
            data = os.lseek(self.fds[0], hole, os.SEEK_DATA)
        except OSError as error:
            assert error.errno == errno.ENXIO
            if offset < len(self.model):
                data = len(self.model)
            else:
                return
        assert not any(self.model[hole:data]), f'a hole at {hole} to {data} has data'

    def do_stat(self):
        for size in os.fstat(self.fds[0]).st_size, os.stat(self.path).st_size:
            assert size == len(self.model), f'size {size}, want {len(self.model)}'

    def do_sync(self):
        self.chance.choice([os.fsync, os.fdatasync])(self.fd())

    def do_reopen(self):
        self.reopen()

    def do_remount(self):
        self.close()
        if self.chance.random() < 0.5:
            self.place.umount()
        else:
            self.place.kill()
        self.place.mount()
        self.reopen()
        self.check()

    def do_flush(self):
        support.sstfs(self.chance.choice(['flush', 'compact']), self.place.mnt)

    def check(self):
        got = self.path.read_bytes()
        if got != self.model:
            at = next((i for i, (a, b) in enumerate(zip(got, self.model)) if a != b), min(len(got), len(self.model)))
            raise Failed(f'{len(got)} bytes, want {len(self.model)}; they differ from {at} on')


WEIGHTS = {'read': 25, 'write': 25, 'append': 6, 'truncate': 8, 'map': 8, 'punch': 6, 'zero': 4, 'allocate': 3, 'copy': 6,
           'direct': 8, 'seek': 6, 'stat': 6, 'sync': 1, 'reopen': 2, 'remount': 0.1, 'flush': 0.3}


def content_is_what_an_array_would_be(place, operations, seed):
    chance = random.Random(seed)
    place.mount()
    names, weights = list(WEIGHTS), list(WEIGHTS.values())
    recent = deque(maxlen=12)
    file = None
    try:
        for number in range(operations):
            if number % 1500 == 0:
                if file:
                    file.check()
                    file.close()
                    if chance.random() < 0.5:
                        file.path.unlink()
                file = File(place, chance, f'file{number}')
            name = chance.choices(names, weights)[0]
            recent.append(f'{number}: {name}')
            getattr(file, f'do_{name}')()
        file.check()
    except Exception as error:
        raise Failed(f'seed {seed}, operations {", ".join(recent)}: {type(error).__name__}: {error}') from error
    finally:
        if file:
            file.close()
    place.umount()
    support.no_damage(place.store)


if __name__ == '__main__':
    sys.exit(support.main_of_seeds(content_is_what_an_array_would_be, 15000, [1, 2, random.randrange(1 << 32)]))
