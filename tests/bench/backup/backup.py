#!/usr/bin/env python3
"""What backups cost: making tags, copying them, verifying, mounting a copy, reading the past; and days of changes.

usage: backup.py SSTFS FOLDER [--mib 1024,4096] [--days 14] [--tree-mib 512] [--tags 40]

FOLDER is on the disk to measure; all that is made in it is removed at the end. Each row is a figure beside its bar, or
a ratio to a peer that did the same in this run. Needs root and rsync.
"""
import argparse
import os
import random
import re
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / 'fs'))
from places import Sstfs, drop_caches, remove, run  # noqa: E402

MIB = 1 << 20
FILE_BYTES = (4 << 10, 256 << 10)  # of a file of the tree, at random between
CHANGED_SHARE = 0.05  # of the tree, a day


def show(name, value, unit, bar, met):
    print(f"{name:46} {value:9.4g} {unit:8} {'' if met else 'MISSED '}{bar}", flush=True)


def seconds_of(function):
    begin = time.monotonic()
    function()
    return time.monotonic() - begin


def p95(values):
    return sorted(values)[int(len(values) * 0.95)]


class Tree:
    """Files of random bytes, which LZ4 cannot make smaller: what is changed is what is to be moved."""

    def __init__(self, folder, size, seed=1):
        self.folder, self.random, self.names, self.count = Path(folder), random.Random(seed), [], 0
        self.folder.mkdir(exist_ok=True)
        self.bytes = 0
        while self.bytes < size:
            self.bytes += self.add()

    def add(self):
        size = self.random.randrange(*FILE_BYTES)
        folder = self.folder / f'd{self.count // 200}'
        folder.mkdir(exist_ok=True)
        name = folder / f'f{self.count}'
        self.count += 1
        name.write_bytes(self.random.randbytes(size))
        self.names.append(name)
        return size

    def change(self):
        """A day's work: edits, new files, deletions, renames. The bytes that are new."""
        changed = 0
        while changed < self.bytes * CHANGED_SHARE:
            place = self.random.randrange(len(self.names))
            name = self.names[place]
            what = self.random.randrange(10)
            if what < 5:
                with open(name, 'r+b') as file:
                    file.seek(self.random.randrange(name.stat().st_size))
                    new = self.random.randbytes(self.random.randrange(1, 64 << 10))
                    file.write(new)
                changed += len(new)
            elif what < 7:
                changed += self.add()
            elif what < 9:
                name.unlink()
                del self.names[place]
            else:
                self.names[place] = name.with_name(f'r{self.count}')
                self.count += 1
                name.rename(self.names[place])
        return changed


class Writer:
    """Writes into the mount until it is stopped."""

    def __init__(self, folder):
        self.folder, self.running = Path(folder), True
        self.folder.mkdir(exist_ok=True)
        self.thread = threading.Thread(target=self.write)
        self.thread.start()

    def write(self):
        block, number = random.Random(2).randbytes(MIB), 0
        while self.running:
            (self.folder / f'w{number % 64}').write_bytes(block)
            number += 1

    def stop(self):
        self.running = False
        self.thread.join()


def tag_seconds(mount, names, tags):
    """The time that mkdir takes, and the tag is gone again."""
    times = []
    for number in range(tags):
        tag = mount.path / '.snapshots' / f'{names}{number}'
        times.append(seconds_of(tag.mkdir))
        os.listdir(tag)  # waits until it is complete
        tag.rmdir()
    return p95(times)


def measure_tags(binary, base, size_mib, tags):
    mount = Sstfs(binary, base / 'store', base / 'mnt', 'memory=1G')
    try:
        Tree(mount.path / 'tree', size_mib * MIB)
        tag_seconds(mount, 'first', 1)  # flushes what making the tree left
        idle = tag_seconds(mount, 'idle', tags)
        writer = Writer(mount.path / 'written')
        try:
            loaded = tag_seconds(mount, 'loaded', tags)
        finally:
            writer.stop()
        show(f'mkdir .snapshots/TAG, {size_mib} MiB, idle, p95', idle * 1e3, 'ms', '(<= 50)', idle <= 0.05)
        show(f'mkdir .snapshots/TAG, {size_mib} MiB, under writes, p95', loaded * 1e3, 'ms', '(<= 150)', loaded <= 0.15)
        return mount
    except BaseException:
        mount.close()
        raise


def rsync(source, target, *options):
    """Bytes of the files that were moved."""
    result = subprocess.run(['rsync', '-a', '--stats', *options, f'{source}/', f'{target}/'],
                            check=True, capture_output=True, text=True)
    return int(re.search(r'Total transferred file size: ([\d,]+)', result.stdout)[1].replace(',', ''))


def read_all(folder):
    for path, _, names in os.walk(folder):
        for name in names:
            with open(os.path.join(path, name), 'rb') as file:
                while file.read(MIB):
                    pass


def measure_copies(binary, base, mount, size_mib):
    (mount.path / '.snapshots' / 'tag').mkdir()
    source, copy = mount.path / '.snapshots' / 'tag', base / 'copy'
    copy.mkdir()
    rsync(source, copy)
    moved = 0

    def again():
        nonlocal moved
        moved = rsync(source, copy)
    took = seconds_of(again)
    show(f'rsync of an unchanged tag, {size_mib} MiB', took, 's', '(< 1)', took < 1)
    show('bytes of files that it moved', moved, '', '(0)', moved == 0)

    files = [str(path) for path in copy.rglob('*') if path.is_file()]
    drop_caches()
    theirs = seconds_of(lambda: run('sha256sum', *files))
    drop_caches()
    ours = seconds_of(lambda: run(binary, 'verify', copy))
    show('sstfs verify, its speed / that of sha256sum', theirs / ours, '', '(>= 0.8)', theirs / ours >= 0.8)

    drop_caches()
    other = base / 'copy-mnt'
    other.mkdir()
    took = seconds_of(lambda: run(binary, 'mount', '-o', 'ro', copy, other))
    run('fusermount3', '-u', other)
    show('mount -o ro of the copy, cold', took, 's', '(< 1)', took < 1)

    times = {}
    for name, tree in (('live', mount.path / 'tree'), ('past', mount.path / '.past' / 'tag' / 'tree')):
        for what, act in (('find', lambda tree=tree: run('find', tree, '-printf', '%s')), ('read', lambda tree=tree: read_all(tree))):
            mount.cold()
            times[name, what] = seconds_of(act)
    for what in ('find', 'read'):
        ratio = times['live', what] / times['past', what]
        show(f'{what} in .past, cold, its speed / the live tree\'s', ratio, '', '(>= 0.8)', ratio >= 0.8)


def space_of(*folders):
    """A file of several names counts once."""
    files = {(file.stat().st_ino, file.stat().st_blocks * 512)
             for folder in folders for file in folder.rglob('*') if file.is_file()}
    return sum(size for _, size in files)


def measure_days(binary, base, days, tree_mib):
    mount = Sstfs(binary, base / 'store', base / 'mnt', 'memory=1G')
    mirror = base / 'mirror'
    mirror.mkdir()
    try:
        tree = Tree(mount.path / 'tree', tree_mib * MIB)
        moved, changed = [], []
        for day in range(days + 1):
            changed.append(tree.change() if day else 0)
            tag = mount.path / '.snapshots' / f'day{day}'
            run(binary, 'snapshot', 'create', mount.path, tag.name)
            moved.append(rsync(tag, mirror, '--delete'))
        live = sum(name.stat().st_size for name in tree.names)
        mean = sum(moved[1:]) / sum(changed[1:])
        worst = max(m / c for m, c in zip(moved[1:], changed[1:]))
        ratio = space_of(mount.store / 'data', mount.store / 'snapshots') / (live + sum(changed))
        show(f'{days} days: bytes moved / bytes changed', mean, '', '(<= 1.5)', mean <= 1.5)
        show('the worst day', worst, '', '(<= 3)', worst <= 3)
        show(f'store with {days} tags / live and changed', ratio, '', '(<= 1.6)', ratio <= 1.6)
    finally:
        mount.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('sstfs')
    parser.add_argument('folder', type=Path)
    parser.add_argument('--mib', default='1024,4096')
    parser.add_argument('--days', type=int, default=14)
    parser.add_argument('--tree-mib', type=int, default=512)
    parser.add_argument('--tags', type=int, default=40)
    options = parser.parse_args()
    binary = os.path.abspath(options.sstfs)
    base = Path(tempfile.mkdtemp(prefix='sstfs-backup-', dir=options.folder)).resolve()
    try:
        for size_mib in map(int, options.mib.split(',')):
            here = base / str(size_mib)
            here.mkdir()
            mount = measure_tags(binary, here, size_mib, options.tags)
            try:
                measure_copies(binary, here, mount, size_mib)
            finally:
                mount.close()
            remove(here)
        here = base / 'days'
        here.mkdir()
        measure_days(binary, here, options.days, options.tree_mib)
    finally:
        remove(base)


if __name__ == '__main__':
    main()
