#!/usr/bin/env python3
"""Goal: what many processes do at once comes out as if each had been alone, and nothing locks up.

Method: processes make random calls, each in lockstep with the local disk (random_names.py), under names of their own, in
folders of their own and in folders that all share; beside that all write to one file, append to one log, link one file and set
attributes of one directory. After each round the trees are compared, and the daemon is killed or the mount is made anew.

usage: random_processes.py [OPERATIONS [SEED]]    OPERATIONS: of each process in each round. SSTFS names the binary.
"""
import os
import random
import sys
import traceback

import support
from random_names import WEIGHTS, NAMES, Pair
from support import Failed

PROCESSES, ROUNDS = 6, 6
FOLDERS = ['left', 'right']  # that all share
PIECE = 10_000


class Process(Pair):
    """One of many: no name that it uses is another's."""

    def __init__(self, roots, chance, number):
        super().__init__(roots, chance)
        self.number = number

    def path(self, depth_max=4):
        below = super().path(depth_max)
        if self.chance.random() < 0.4:
            return f'own{self.number}/{below}'
        name, _, rest = below.partition('/')
        name = f'{self.number}{name[:254]}'
        folder = self.chance.choice(FOLDERS)
        return f'{folder}/{name}/{rest}' if rest else f'{folder}/{name}'

    def neighbour(self):
        """open(2) makes the file that a link points to, which must be nobody else's either."""
        return f'{self.number}a'

    def write_own_piece(self, step):
        data = bytes([self.number, step % 256]) * (PIECE // 2)
        for root in self.roots:
            with open(root / 'pieces', 'r+b', buffering=0) as file:
                file.seek(self.number * PIECE)
                file.write(data)

    def append_line(self, step):
        for root in self.roots:
            fd = os.open(root / 'log', os.O_WRONLY | os.O_APPEND)
            os.write(fd, b'%d %06d\n' % (self.number, step))
            if step % 50 == 0:
                os.fsync(fd)
            os.close(fd)

    def link_shared_file(self, step):
        name = f'links/{self.number}{self.chance.choice(NAMES)[:254]}'
        for root in self.roots:
            if os.path.lexists(root / name):
                os.unlink(root / name)
            else:
                os.link(root / 'linked', root / name)

    def set_shared_attribute(self, step):
        for root in self.roots:
            os.setxattr(root / 'links', f'user.of{self.number}', b'%d' % step)

    def run(self, operations):
        names, weights = list(WEIGHTS), list(WEIGHTS.values())
        shared = [self.write_own_piece, self.append_line, self.link_shared_file,
                  self.set_shared_attribute]
        for step in range(operations):
            if self.chance.random() < 0.15:
                self.chance.choice(shared)(step)
            else:
                getattr(self, f'do_{self.chance.choices(names, weights)[0]}')()
        self.forget_open()


def run_round(roots, seed, operations):
    """All processes at once; fails when one does."""
    children = {}
    for number in range(PROCESSES):
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                Process(roots, random.Random(f'{seed} {number}'), number).run(operations)
                code = 0
            except Exception:
                traceback.print_exc()
            finally:
                os._exit(code)
        children[pid] = number
    failed = [number for pid, number in children.items() if os.waitpid(pid, 0)[1] != 0]
    if failed:
        raise Failed(f'processes {failed} failed')


def lines_of(root):
    """Those of each process, in the order of the log."""
    lines = (root / 'log').read_bytes().splitlines()
    return {number: [line for line in lines if line.startswith(b'%d ' % number)]
            for number in range(PROCESSES)}, len(lines)


def compare(roots):
    logs = [lines_of(root) for root in roots]
    if logs[0] != logs[1]:
        raise Failed('the logs differ')
    contents = [(root / 'log').read_bytes() for root in roots]
    for root in roots:  # lines of different processes have no order: the trees are compared without
        (root / 'log').write_bytes(b'')
    Pair(roots, None).compare()
    for root, content in zip(roots, contents):
        (root / 'log').write_bytes(content)


def processes_do_not_disturb_each_other(place, operations, seed):
    chance = random.Random(seed)
    place.mount('dev')
    roots = [place.top / 'disk', place.mnt / 'ours']
    for root in roots:
        root.mkdir()
        for name in FOLDERS + ['links'] + [f'own{number}' for number in range(PROCESSES)]:
            (root / name).mkdir()
        (root / 'linked').write_bytes(b'linked')
        (root / 'pieces').write_bytes(bytes(PROCESSES * PIECE))
        (root / 'log').write_bytes(b'')
    try:
        for number in range(ROUNDS):
            run_round(roots, f'{seed} {number}', operations)
            compare(roots)
            if chance.random() < 0.5:
                place.kill()
            else:
                support.sstfs(chance.choice(['flush', 'compact']), place.mnt)
                place.umount()
            place.mount('dev')
            compare(roots)
    except Failed as error:
        raise Failed(f'seed {seed}, round {number}: {error}') from error
    place.umount()
    support.no_damage(place.store)


if __name__ == '__main__':
    os.umask(0)
    sys.exit(support.main_of_seeds(processes_do_not_disturb_each_other, 3000,
                                   [1, random.randrange(1 << 32)]))
