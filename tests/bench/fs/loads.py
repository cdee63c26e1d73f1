"""The loads, in the order in which they are run at each place, and what each is to reach beside the peers.

A load is a generator of (row, value). ROWS says of each row its unit, whether more is better, and the bars: the ratio of
ours to a peer's value that is asked for.
"""
import os
import sqlite3
import subprocess
import time
from collections import namedtuple
from contextlib import nullcontext

from places import device_bytes_written, run

Row = namedtuple('Row', 'unit more_is_better bars')


def rate(unit, **bars):
    return Row(unit, True, bars)


def cost(unit, **bars):
    return Row(unit, False, bars)


ROWS = {
    'write': rate('MiB/s', mergerfs=1.2, ext4=0.7),
    'read cold': rate('MiB/s', ext4=1.0),
    'read warm': rate('MiB/s', mergerfs=0.9),
    'random read cold': rate('/s', mergerfs=1.0),
    'overwrite': rate('/s', mergerfs=2.5),
    'append+fsync p50': cost('us', ext4=1.0),
    'append+fsync p99': cost('us', ext4=1.0),
    'create 1 KiB': rate('/s', mergerfs=6, ext4=4, xfs=0.35),
    'find cold': rate('/s', mergerfs=3.5),
    'find warm': rate('/s', mergerfs=4),
    'read 1 KiB cold': rate('/s', mergerfs=4, ext4=1.0),
    'rm -rf': rate('/s', mergerfs=3, ext4=1.2),
    'untar': cost('s', mergerfs=0.2, ext4=0.4),
    'du cold': cost('s', mergerfs=0.4),
    'grep -r cold': cost('s', mergerfs=0.4, ext4=1.2),
    'grep -r warm': cost('s', mergerfs=0.4),
    'rsync in': cost('s', mergerfs=0.25),
    'rsync again cold': cost('s', mergerfs=0.6),
    'git clone': cost('s', mergerfs=0.3),
    'git status cold': cost('s', mergerfs=0.6),
    'git checkout': cost('s', mergerfs=0.4),
    'fill directory': rate('/s', mergerfs=2.5),
    'ls -l cold': rate('/s', mergerfs=2.5),
    'empty directory': rate('/s', mergerfs=2.5),
    'SQLite rollback': rate('/s', ext4=1.0),
    'SQLite WAL': rate('/s', ext4=0.8),
    'save p50': cost('us', ext4=0.8),
    'rename': rate('/s', mergerfs=2),
    'move': rate('/s', mergerfs=2),
    'device/user streaming': cost('x', sstfs=1.1),
    'device/user small files': cost('x', sstfs=1.6),
    'device/user tree': cost('x', sstfs=1.0),
    'stored/user tree': cost('x', sstfs=0.7),
}


class Loads:
    """The loads at one place, in a folder of it that is empty at first.

    What is timed runs within watch().
    """

    def __init__(self, place, material, calls, scale, watch=nullcontext):
        self.place, self.material, self.program, self.scale = place, material, calls, scale
        self.watch = watch
        self.top = place.path / 'bench'

    def timed(self, *command, **options):
        with self.watch():
            begun = time.monotonic()
            run(*command, **options)
            return time.monotonic() - begun

    def calls(self, load, name, *arguments):
        with self.watch():
            done = subprocess.run([self.program, load, str(self.top / name), *map(str, arguments)], check=True,
                                  capture_output=True, text=True)
        return [float(word) for word in done.stdout.split()]

    def count(self, full):
        return max(100, int(full * self.scale))

    def written(self):
        return device_bytes_written(self.place.path.parent)

    def settle(self):
        """What was written is on the disk, and nobody has it in memory."""
        self.place.cold()

    def one_file(self):
        mib = self.count(512)
        before = self.written()
        yield 'write', self.calls('write', 'large', mib)[0]
        self.settle()
        yield 'device/user streaming', (self.written() - before) / (mib << 20)
        yield 'read cold', self.calls('read', 'large')[0]
        yield 'read warm', self.calls('read', 'large')[0]
        self.place.cold()
        yield 'random read cold', self.calls('random-read', 'large', self.count(4000))[0]
        yield 'overwrite', self.calls('overwrite', 'large', self.count(20000))[0]
        os.unlink(self.top / 'large')
        p50, p99 = self.calls('append', 'appended', self.count(500))
        yield 'append+fsync p50', p50
        yield 'append+fsync p99', p99

    def small_files(self):
        count = self.count(10000)
        before = self.written()
        yield 'create 1 KiB', self.calls('create', 'small', count)[0]
        self.settle()
        yield 'device/user small files', (self.written() - before) / (count * 1024)
        yield 'find cold', count / self.timed('find', self.top / 'small', '-printf', '%s %T@')
        yield 'find warm', count / self.timed('find', self.top / 'small', '-printf', '%s %T@')
        self.place.cold()
        yield 'read 1 KiB cold', self.calls('read-files', 'small', count)[0]
        yield 'rm -rf', count / self.timed('rm', '-rf', self.top / 'small')

    def tree(self):
        tree = self.top / 'tree'
        tree.mkdir()
        before = self.written()
        yield 'untar', self.timed('tar', '-C', tree, '-xf', self.material.archive)
        self.settle()
        yield 'device/user tree', (self.written() - before) / self.material.bytes
        stored = self.place.stored_bytes()
        if stored:
            yield 'stored/user tree', stored / self.material.bytes
        yield 'du cold', self.timed('du', '-s', tree)
        self.place.cold()
        grep = ['grep', '-r', '-c', 'a line that is nowhere', tree]
        yield 'grep -r cold', self.timed_grep(grep)
        yield 'grep -r warm', self.timed_grep(grep)
        run('rm', '-rf', tree)
        yield 'rsync in', self.timed('rsync', '-a', f'{self.material.tree}/', tree)
        self.place.cold()
        yield 'rsync again cold', self.timed('rsync', '-a', f'{self.material.tree}/', tree)

    def timed_grep(self, command):
        with self.watch():
            begun = time.monotonic()
            subprocess.run(command, check=False, stdout=subprocess.DEVNULL)  # 1: nothing found
            return time.monotonic() - begun

    def git(self):
        clone = self.top / 'clone'
        quiet = {'stderr': subprocess.DEVNULL}
        yield 'git clone', self.timed('git', 'clone', '-q', '--no-local', self.material.repository, clone, **quiet)
        self.place.cold()
        yield 'git status cold', self.timed('git', '-C', clone, 'status', '--porcelain')
        yield 'git checkout', self.timed('git', '-C', clone, 'checkout', '-q', 'HEAD~10', **quiet)

    def one_directory(self):
        count = self.count(15000)
        yield 'fill directory', self.calls('fill', 'filled', count)[0]
        self.place.cold()
        yield 'ls -l cold', self.calls('list', 'filled')[0]
        yield 'empty directory', self.calls('empty', 'filled', count)[0]

    def databases(self):
        for mode in ('delete', 'wal'):
            count = self.count(500)
            database = sqlite3.connect(self.top / f'{mode}.db', isolation_level=None)
            database.execute(f'PRAGMA journal_mode={mode}')
            database.execute('PRAGMA synchronous=FULL')
            database.execute('CREATE TABLE t (k INTEGER PRIMARY KEY, v BLOB)')
            with self.watch():
                begun = time.monotonic()
                for i in range(count):
                    database.execute('INSERT INTO t VALUES (?, ?)', (i, b'v' * 100))
                took_s = time.monotonic() - begun
            yield 'SQLite rollback' if mode == 'delete' else 'SQLite WAL', count / took_s
            database.close()

    def names(self):
        yield 'save p50', self.calls('save', 'saved', self.count(500))[0]
        yield 'rename', self.calls('rename', 'renamed', self.count(20000))[0]
        yield 'move', self.calls('move', 'moved', self.count(20000))[0]

    def all(self, wanted):
        for load in (self.one_file, self.small_files, self.tree, self.git, self.one_directory, self.databases, self.names):
            if wanted and load.__name__ not in wanted:
                continue
            self.settle()  # what others have written is not to be counted here
            self.top.mkdir()
            yield from load()
            run('rm', '-rf', self.top)
